"""What a reward may answer, and how it becomes plain finite floats.

A reward may return a list, tuple, generator, NumPy array, torch tensor or pandas column, holding
anything that stands for one number: int, float, bool, Fraction, a scalar of NumPy or torch. A text
is not a number even where it reads like one, and None never is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import islice
from typing import Any

from ppo_tui.errors import RewardError
from ppo_tui.rewards.foreign import excerpt, foreign_code, printable
from ppo_tui.rewards.protocol import Sample

LARGEST = 1e18
"""Score beyond which its square has no place in float32, in which the training computes."""


def drained(answer: Any, count: int) -> list[Any]:
    """The scores in an answer, `count` of them; an endless one is not read to its end.

    Raises:
        RewardError: The answer is no list of scores, or one of another length (``reward.count``).
    """
    if hasattr(answer, "tolist"):  # an array of any library, on any device
        answer = answer.tolist()
    unordered = (str, bytes, bytearray, Mapping, set, frozenset)
    if isinstance(answer, unordered) or not isinstance(answer, Iterable):
        raise RewardError(
            f"it returned {_shown(answer)} where a list of {count} numbers was expected.",
            code="reward.count",
        )
    scores = list(answer if isinstance(answer, Sized) else islice(answer, count + 1))
    if len(scores) != count:
        more = len(scores) > count and not isinstance(answer, Sized)
        got = f"more than {count}" if more else f"{len(scores)}"
        raise RewardError(
            f"it returned {got} scores for {count} responses; it must return one number for each.",
            code="reward.count",
        )
    return scores


def checked(answer: Any, samples: Sequence[Sample]) -> tuple[float, ...]:
    """The answer as finite floats, one for each sample.

    Raises:
        RewardError: ``reward.count``, ``reward.not_number`` or ``reward.not_finite``, with a
            sentence that lacks its subject: `WeightedSum` puts the term's name in front.
    """
    scores = drained(answer, len(samples))
    return tuple(
        _finite(score, index, sample)
        for index, (score, sample) in enumerate(zip(scores, samples, strict=True))
    )


def _finite(score: Any, index: int, sample: Sample) -> float:
    try:
        number = _number(score)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError) as error:
        raise RewardError(
            f"it returned {_shown(score)} for responses[{index}] = {excerpt(sample.response)}, "
            f"which is not a number.",
            code="reward.not_number",
        ) from error
    if not math.isfinite(number):
        raise RewardError(
            f"it returned {number} for responses[{index}] = {excerpt(sample.response)}; "
            f"every score must be a finite number.",
            code="reward.not_finite",
        )
    if abs(number) > LARGEST:
        raise RewardError(
            f"it returned {number:g} for responses[{index}] = {excerpt(sample.response)}; "
            f"no score may be beyond {LARGEST:g}.",
            code="reward.not_finite",
        )
    return number


def _number(score: Any) -> float:
    if isinstance(score, (str, bytes, bytearray)) or getattr(score, "shape", ()) not in ((), None):
        raise TypeError
    if hasattr(score, "item"):  # a scalar of NumPy or torch, on any device
        score = score.item()
    return float(score)


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, str):
        return excerpt(value)
    with foreign_code("its answer cannot be shown:", code="reward.not_number"):
        return f"{printable(repr(value), 60)} ({type(value).__name__})"
