"""Words and phrases that a response should, or should not, hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ppo_tui.config.rewards import KeywordsTerm
from ppo_tui.rewards.protocol import Sample


class Keywords:
    """The share of wanted words that stand in the response, less the share of unwanted ones.

    From -1 to 1. A word counts once however often it stands there, and only where it stands whole:
    `art` is not in `start`. White space within a phrase matches any white space.
    """

    def __init__(self, term: KeywordsTerm) -> None:
        flags = re.IGNORECASE if term.ignore_case else re.NOFLAG
        self._wanted = [_whole(word, flags) for word in term.wanted]
        self._unwanted = [_whole(word, flags) for word in term.unwanted]

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score the response of each sample."""
        return [
            _share(self._wanted, sample.response) - _share(self._unwanted, sample.response)
            for sample in samples
        ]


def _whole(word: str, flags: re.RegexFlag) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(part) for part in word.split())
    # Not \b: it would look for a letter beside a word such as "C++" or "!".
    return re.compile(rf"(?<!\w){words}(?!\w)", flags)


def _share(words: Sequence[re.Pattern[str]], response: str) -> float:
    if not words:
        return 0.0
    return sum(1 for word in words if word.search(response)) / len(words)
