"""Made-up readings in which a taste can be hidden: small, and the same at every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppo_tui.taste.evidence import Evidence

WIDTH = 12
"""Of each of the five parts."""

DIMENSIONS = 5 * WIDTH + 1


@dataclass(frozen=True, eq=False)
class World:
    """Texts of some prompts.

    Attributes:
        readings: ``[N, D]``.
        glad: ``[N]``, a direction of the responses, with variance 1.
        prompts: N prompts.
        texts: N responses, all different.
    """

    readings: NDArray[np.float32]
    glad: NDArray[np.float64]
    prompts: list[str]
    texts: list[str]


def world(count: int, seed: int = 0, prompts: int = 10) -> World:
    rules = np.random.default_rng(7)  # how texts are read is the same in all worlds
    topics = rules.standard_normal((200, WIDTH))
    mixing = rules.standard_normal((4, 6, WIDTH))
    by_topic = rules.standard_normal((4, WIDTH, WIDTH))
    draws = np.random.default_rng(seed)
    which = np.arange(count) % prompts
    hidden = draws.standard_normal((count, 6))
    parts = [
        hidden @ mixing[i] + topics[which] @ by_topic[i] + draws.standard_normal((count, WIDTH)) / 5
        for i in range(4)
    ]
    length = np.log(draws.integers(3, 30, (count, 1)))
    readings = np.concatenate([*parts, topics[which], length], axis=1).astype(np.float32)
    names = [f"Prompt {prompt}" for prompt in which]
    return World(readings, hidden[:, 0], names, [f"text {seed}/{i}" for i in range(count)])


def nothing() -> NDArray[np.float32]:
    return np.empty((0, DIMENSIONS), np.float32)


def rated(readings: NDArray[np.float32], ratings: NDArray[np.float64]) -> Evidence:
    none = np.empty((0, readings.shape[1]), np.float32)
    return Evidence(readings, np.asarray(ratings, np.float64), none, none, np.empty(0))


def stars(glad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratings of somebody who likes what is glad, without noise but for the rounding."""
    return np.clip(np.round(3 + 1.2 * glad), 1, 5)


def compared(one: World, pairs: NDArray[np.intp], ratings: Evidence | None = None) -> Evidence:
    """Somebody's choices between texts of a world, beside ratings."""
    first, second = pairs.T
    gap = one.glad[first] - one.glad[second]
    choice = np.where(gap > 0.3, 1.0, np.where(gap < -0.3, 0.0, 0.5))
    x = nothing() if ratings is None else ratings.x
    y = np.empty(0) if ratings is None else ratings.y
    return Evidence(x, y, one.readings[first], one.readings[second], choice)


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
