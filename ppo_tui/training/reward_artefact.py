"""A trained reward adapter as something to keep: how good it is, and the folder it lies in.

It is compared with the taste model, which costs a hundredth of it and is the better one while the
ratings are few. Both are asked about the same judgements, which neither of them has seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.adapter import ADAPTER, HEAD, head_tensors
from ppo_tui.taste.artefact import RewardArtefact, save_artefact
from ppo_tui.taste.evidence import Evidence
from ppo_tui.taste.model import TasteModel
from ppo_tui.training.reward_adapter import HeldOut, Judged, RewardHead, Trained

Array = NDArray[Any]

RESAMPLES = 400
SURE = 0.9
"""Share of the resamples in which one must be ahead to be called the better one."""


@dataclass(frozen=True)
class Agreement:
    """How well held-out judgements are foretold.

    Attributes:
        correlation: Spearman's rank correlation with the ratings; NaN if there is none.
        accuracy: Share of the pairs in which the better text is told; NaN if there is none.
    """

    correlation: float
    accuracy: float

    def to_json(self) -> dict[str, float | None]:
        """As a message and a file have it."""
        return {
            "correlation": None if math.isnan(self.correlation) else self.correlation,
            "accuracy": None if math.isnan(self.accuracy) else self.accuracy,
        }


@dataclass(frozen=True)
class Comparison:
    """The adapter beside the taste model.

    Attributes:
        judgements: How many were held out.
        better: Empty where they do not differ by more than chance.
    """

    judgements: int
    adapter: Agreement
    taste: Agreement
    better: Literal["", "adapter", "taste"]

    def to_json(self) -> dict[str, Any]:
        """As the artefact records it."""
        return {
            "held_out": self.judgements,
            "adapter": self.adapter.to_json(),
            "taste": self.taste.to_json(),
            "better": self.better,
        }


@dataclass(frozen=True)
class _Foretold:
    """Held-out judgements and what was foretold: ratings ``[n]``, differences of pairs ``[m]``."""

    rating: Array
    difference: Array


def compare(trained: Trained, judged: Judged, evidence: Evidence, pool: Array) -> Comparison:
    """Ask both about what the adapters were not trained on.

    Args:
        trained: With its held-out parts.
        judged: The judgements, as they were trained on.
        evidence: The same ones as the taste model learns from them, in the same order.
        pool: Readings that say how texts differ, ``[N, D]``.
    """
    parts = trained.held_out
    held = np.concatenate([part.judgements for part in parts])
    truth = judged.select(held)
    adapter = _Foretold(
        np.concatenate([part.rating for part in parts]),
        np.concatenate([part.difference for part in parts]),
    )
    told = [_by_taste(part, evidence, pool) for part in parts]
    taste = _Foretold(
        np.concatenate([each.rating for each in told]),
        np.concatenate([each.difference for each in told]),
    )
    # `select` sorts ratings before pairs, and each of them as the parts stand.
    rating, choice = truth.rating, truth.choice
    ahead = _ahead(adapter, taste, rating, choice)
    better: Literal["", "adapter", "taste"] = (
        "adapter" if ahead >= SURE else "taste" if ahead <= 1 - SURE else ""
    )
    return Comparison(
        len(held),
        _agreement(adapter, rating, choice),
        _agreement(taste, rating, choice),
        better,
    )


def _by_taste(part: HeldOut, evidence: Evidence, pool: Array) -> _Foretold:
    held = np.zeros(evidence.count, bool)
    held[part.judgements] = True
    rated = len(evidence.y)
    known = evidence.part(~held[:rated], ~held[rated:])
    asked = evidence.part(held[:rated], held[rated:])
    if known.problem:  # such as all ratings equal in what is left
        return _Foretold(np.zeros(len(asked.y)), np.zeros(len(asked.choice)))
    model = TasteModel.fit(known, pool)

    def mean(x: Array) -> Array:
        result: Array = model.predict(x).mean if len(x) else np.zeros(0)
        return result

    return _Foretold(mean(asked.x), mean(asked.first) - mean(asked.second))


def _agreement(told: _Foretold, rating: Array, choice: Array) -> Agreement:
    return Agreement(_correlation(told.rating, rating), _accuracy(told.difference, choice))


def _correlation(told: Array, rating: Array) -> float:
    if len(rating) < 3 or np.ptp(rating) == 0:
        return math.nan
    if np.ptp(told) == 0:
        return 0.0  # the same of everything: it tells nothing
    from scipy.stats import spearmanr

    return float(spearmanr(told, rating).statistic)


def _accuracy(difference: Array, choice: Array) -> float:
    decided = choice != 0.5
    if not decided.any():
        return math.nan
    right = np.sign(difference[decided]) * np.sign(choice[decided] - 0.5)
    return float(((right + 1) / 2).mean())


def _ahead(adapter: _Foretold, taste: _Foretold, rating: Array, choice: Array) -> float:
    """Share of resamples of the judgements in which the adapter foretells them better."""
    draws = np.random.default_rng(0)
    wins = 0.0
    for _ in range(RESAMPLES):
        rows = draws.integers(0, max(1, len(rating)), len(rating))
        pairs = draws.integers(0, max(1, len(choice)), len(choice))
        values = [
            _together(
                _Foretold(each.rating[rows], each.difference[pairs]), rating[rows], choice[pairs]
            )
            for each in (adapter, taste)
        ]
        wins += 0.5 if values[0] == values[1] else float(values[0] > values[1])
    return wins / RESAMPLES


def _together(told: _Foretold, rating: Array, choice: Array) -> float:
    """Both kinds of agreement in one number, each by how many judgements it is about."""
    agreement = _agreement(told, rating, choice)
    correlation, accuracy = agreement.correlation, 2 * agreement.accuracy - 1
    weighted = [(len(rating), correlation), (len(choice), accuracy)]
    return sum(count * value for count, value in weighted if not math.isnan(value))


def save_reward_adapter(
    path: Path, record: RewardArtefact, roles: Roles, head: RewardHead, *, overwrite: bool = False
) -> None:
    """Save a trained reward adapter.

    Args:
        path: The folder that is made.
        record: What is known of it.
        roles: Hold the LoRA in the place of the policy's.
        head: Reads its states.
        overwrite: Replace a reward that is there.

    Raises:
        StorageError: Something is there, or it cannot be written.
    """
    from safetensors.numpy import save

    def write(folder: Path) -> None:
        roles.save_adapter("policy", folder / ADAPTER)
        # Written by Python, whose error says why where it fails.
        (folder / HEAD).write_bytes(save(head_tensors(head.weight, head.bias)))

    save_artefact(path, record, write_more=write, overwrite=overwrite)
