"""How well a model of taste foretells judgements that it has not seen, by how many it learnt from.

Cross-validation: the judgements are dealt into parts by a fixed shuffle; each part is foretold by a
model that learnt from others, and from none about a text of that part. For a smaller number of
ratings each model learns from as many fewer, but is asked about all of its part, so that few
ratings are not judged by a handful.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_tui.errors import RewardError
from ppo_tui.taste.evidence import FEWEST, Evidence
from ppo_tui.taste.model import TasteModel
from ppo_tui.taste.views import Views

Array = NDArray[np.float64]

FOLDS = 5

STEPS = (10, 20, 40, 80, 160, 320)
"""Numbers of judgements at which it is told, as far as there are so many, and all of them."""

_LAST_STEPS = 4
"""The most numbers that are told where none are asked for: each costs a second model a part."""

_SEED = 20_261_125

_FEWEST_RANKED = 3


@dataclass(frozen=True, slots=True)
class Point:
    """Agreement with a number of judgements.

    Attributes:
        count: Judgements that there would be; four in five of them are learnt from.
        correlation: Spearman's rank correlation with held-out ratings; NaN if there is none.
        accuracy: Share of the held-out pairs, without ties, whose better text is told; NaN if there
            is none.
    """

    count: int
    correlation: float
    accuracy: float


def agreement(
    evidence: Evidence, pool: NDArray[Any], steps: Sequence[int] | None = None
) -> tuple[Point, ...]:
    """Agreement by number of judgements, the last with all.

    Args:
        evidence: The judgements.
        pool: ``[N, D]``, readings of unrated texts.
        steps: The numbers; larger ones are taken as all. Some from `STEPS` if None.

    Returns:
        Nothing if there are too few to hold any out, or nothing can be learnt from them.
    """
    if evidence.problem or evidence.count <= FEWEST:
        return ()
    every = evidence.count
    if steps is None:
        steps = (*[step for step in STEPS if step < every][-(_LAST_STEPS - 1) :], every)
    counts = sorted({min(step, every) for step in steps if step > FEWEST})
    views = Views.of(pool)
    parts = _deal(evidence)
    return tuple(_point(evidence, pool, views, parts, count) for count in counts)


@dataclass(frozen=True, eq=False)
class _Part:
    """One part: what is held out of it, and what may be learnt from, in a fixed order."""

    held: NDArray[np.intp]
    open: NDArray[np.intp]


def _deal(evidence: Evidence) -> list[_Part]:
    """Split the judgements; rating i is judgement i, and pair j is judgement n + j."""
    count, rated = evidence.count, len(evidence.y)
    texts = [{row.tobytes()} for row in evidence.x]
    texts += [
        {first.tobytes(), second.tobytes()}
        for first, second in zip(evidence.first, evidence.second, strict=True)
    ]
    order = np.random.default_rng(_SEED).permutation(count)
    # Both kinds are dealt out evenly.
    dealt = [*order[order < rated], *order[order >= rated]]
    part_of = {int(judgement): place % FOLDS for place, judgement in enumerate(dealt)}
    parts = []
    for fold in range(min(FOLDS, count)):
        held = [judgement for judgement in range(count) if part_of[judgement] == fold]
        seen = set[bytes]().union(*(texts[judgement] for judgement in held))
        open_ = [int(j) for j in order if part_of[int(j)] != fold and not texts[int(j)] & seen]
        parts.append(_Part(np.array(held, np.intp), np.array(open_, np.intp)))
    return parts


def _point(
    evidence: Evidence, pool: NDArray[Any], views: Views, parts: Sequence[_Part], count: int
) -> Point:
    rated = len(evidence.y)
    told = np.full(rated, np.nan)
    right: list[float] = []
    for part in parts:
        learnt = part.open[: math.ceil(len(part.open) * count / evidence.count)]
        try:
            model = TasteModel.fit(_some(evidence, learnt), pool, views)
        except RewardError:  # what is left of so few says nothing: neither does it foretell
            continue
        held = part.held[part.held < rated]
        if len(held):
            told[held] = model.predict(evidence.x[held]).mean
        pairs = part.held[part.held >= rated] - rated
        pairs = pairs[evidence.choice[pairs] != 0.5]
        if len(pairs):
            first = model.predict(evidence.first[pairs]).mean
            second = model.predict(evidence.second[pairs]).mean
            sign = np.sign(first - second) * np.sign(evidence.choice[pairs] - 0.5)
            right += ((sign + 1) / 2).tolist()
    known = np.isfinite(told)
    correlation = _correlation(told[known], evidence.y[known])
    return Point(count, correlation, float(np.mean(right)) if right else math.nan)


def _some(evidence: Evidence, judgements: NDArray[np.intp]) -> Evidence:
    chosen = np.zeros(evidence.count, bool)
    chosen[judgements] = True
    rated = len(evidence.y)
    return evidence.part(chosen[:rated], chosen[rated:])


def _correlation(told: Array, given: Array) -> float:
    """Spearman's rank correlation; 0 if the same is told of all, NaN if all were rated alike."""
    if len(given) < _FEWEST_RANKED or np.ptp(given) == 0:
        return math.nan
    if np.ptp(told) == 0:
        return 0.0
    from scipy.stats import spearmanr

    return float(spearmanr(told, given).statistic)
