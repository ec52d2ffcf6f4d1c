"""A penalty for saying the same thing again."""

from __future__ import annotations

from collections.abc import Sequence

from ppo_tui.config.rewards import RepetitionTerm
from ppo_tui.rewards.protocol import Sample


class Repetition:
    """``-(1 - distinct / total)`` over the response's word n-grams: 0 when all differ.

    Words are what stands between white space, whatever their case. A response with no n-gram
    repeats nothing.
    """

    def __init__(self, term: RepetitionTerm) -> None:
        self._ngram = term.ngram

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score the response of each sample."""
        return [self._score(sample.response) for sample in samples]

    def _score(self, response: str) -> float:
        words = response.casefold().split()
        total = len(words) - self._ngram + 1
        if total < 1:
            return 0.0
        distinct = len({tuple(words[i : i + self._ngram]) for i in range(total)})
        return distinct / total - 1
