"""What a reward is: a callable from samples to one score each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt with the response that a model wrote to it.

    Args:
        prompt: The prompt as it was rendered for the model.
        response: The response's text, without the end-of-sequence token.
        finished: Whether the response ended by itself instead of at the length limit.
        readings: What the model in memory says of it, for the rewards that ask (see `Reads`): by
            the name of the reading, a flat float32 vector.
    """

    prompt: str
    response: str
    finished: bool
    readings: Mapping[str, NDArray[Any]] = field(default_factory=dict, compare=False, repr=False)


class Reward(Protocol):
    """Scores samples; called with a whole batch at a time.

    Returns one finite number for each sample, in order. It may be handed to `WeightedSum`, which
    checks the answer, so that a reward need not.
    """

    def __call__(self, samples: Sequence[Sample], /) -> Sequence[float]:
        """One finite number for each sample, in order."""
        ...


REFERENCE = "reference"
"""The reading that the reference pass makes; see `ppo_tui.taste.reading`."""


class Reads(Protocol):
    """A reward that scores by what the model in memory says of a response.

    Attributes:
        reading: Which one: `REFERENCE`, or the name of a reward adapter.
    """

    reading: str
