"""Sentiment by VADER, a lexicon of rated words with rules (Hutto and Gilbert, ICWSM 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ppo_tui.config.rewards import SentimentTerm
from ppo_tui.rewards.protocol import Sample


class Sentiment:
    """The compound score c of a response, from -1 (sad) to 1 (glad), or what is made of it.

    positive scores c, negative scores -c, neutral scores 1 - |c|.
    """

    def __init__(self, term: SentimentTerm) -> None:
        self._target = term.target

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score the response of each sample."""
        analyzer = _analyzer()
        return [
            self._score(analyzer.polarity_scores(sample.response)["compound"]) for sample in samples
        ]

    def _score(self, compound: float) -> float:
        if self._target == "positive":
            return compound
        if self._target == "negative":
            return -compound
        return 1 - abs(compound)


@cache
def _analyzer() -> Any:
    """The lexicon, read from disk at the first response and shared by all terms."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
