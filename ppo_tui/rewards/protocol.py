"""What a reward is: a callable from samples to one score each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt with the response that a model wrote to it.

    Args:
        prompt: The prompt as it was rendered for the model.
        response: The response's text, without the end-of-sequence token.
        finished: Whether the response ended by itself instead of at the length limit.
    """

    prompt: str
    response: str
    finished: bool


class Reward(Protocol):
    """Scores samples; called with a whole batch at a time.

    Returns one finite number for each sample, in order. It may be handed to `WeightedSum`, which
    checks the answer, so that a reward need not.
    """

    def __call__(self, samples: Sequence[Sample], /) -> Sequence[float]:
        """One finite number for each sample, in order."""
        ...
