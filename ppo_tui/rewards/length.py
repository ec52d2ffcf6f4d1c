"""How near a response's length is to a target."""

from __future__ import annotations

from collections.abc import Sequence

from ppo_tui.config.rewards import LengthTerm
from ppo_tui.rewards.protocol import Sample


class Length:
    """``max(-1, 1 - |length - target| / tolerance)``, in characters or words (at white space)."""

    def __init__(self, term: LengthTerm) -> None:
        self._term = term

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Score the response of each sample."""
        return [self._score(sample.response) for sample in samples]

    def _score(self, response: str) -> float:
        length = len(response) if self._term.unit == "characters" else len(response.split())
        return max(-1.0, 1 - abs(length - self._term.target) / self._term.tolerance)
