"""Features of a text for a model of taste, made from its reading and from how readings spread.

A reading has too many numbers for a few dozen ratings, and most of them say what the *prompt* was.
So, from readings without ratings (the pool):

1. Every number is standardised over the pool.
2. Each part of a reading that is about the response (mean, last, max, embedding) is split into what
   the prompt foretells of it (a ridge regression on the prompt's part) and the rest. The rest is
   what the policy can change, and what most tastes are about; the foretold part is the topic.
3. Of both, the main directions are kept (principal components) and scaled to variance 1 in total,
   so that a direction of much variance weighs more than one of little.

That gives *segments* of features. A *view* is a weighting of the segments, which is the prior of a
linear model: what a taste depends on is not known beforehand, so `ppo_tui.taste.model` fits several
views and lets their evidence decide. Everything but the squared length is one linear map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_tui.errors import RewardError
from ppo_tui.taste.reading import BLOCKS

Array = NDArray[np.float64]

RESPONSE_PARTS = ("mean", "last", "max", "embedding")
TOPIC_PARTS = ("mean", "embedding")
"""Parts whose foretold half is kept too."""

COMPONENTS = 48
TOPIC_COMPONENTS = 16

SEGMENTS = (
    "mean",
    "last",
    "max",
    "embedding",
    "mean topic",
    "embedding topic",
    "length",
    "squared",
)
"""In the order of the features; `squared` lets a length in the middle be the best."""

VIEWS: Mapping[str, Mapping[str, float]] = {
    "whole": {"mean": 1, "last": 1, "max": 1, "embedding": 1, "length": 1},
    "words": {
        "embedding": 2,
        "mean": 0.3,
        "last": 0.3,
        "max": 0.3,
        "mean topic": 0.3,
        "embedding topic": 0.3,
        "length": 1,
    },
    "end": {"last": 1, "embedding": 1, "length": 1},
    "topic": {"mean topic": 1, "embedding topic": 1, "length": 0.1},
    "words and topic": {
        "embedding": 1,
        "mean topic": 0.3,
        "embedding topic": 0.3,
        "length": 0.1,
    },
    "length": {"length": 1, "squared": 0.5},
}
"""Weights of the segments. Chosen greedily, by how well they foretell 16 very different scores
(`benchmarks/human_person.py` has some of them) together, from some forty."""

_RIDGE = 10.0
_SMALLEST = 1e-6
"""Columns and components with less than this share of the largest spread are taken as constant."""

_FURTHEST = 100.0
"""A standardised number beyond is cut: one absurd value must not outweigh all that is known."""


@dataclass(frozen=True)
class Views:
    """The map from readings to features.

    Attributes:
        centre: ``[D]``, means over the pool.
        spread: ``[D]``, one over the standard deviations; 0 for what is constant.
        mixing: ``[D, K]``: standardised reading to features, without the squared length.
        squared: Mean, and one over the standard deviation, of the squared standardised length.
        segments: ``[K + 1]``, the index in `SEGMENTS` of each feature.
    """

    centre: Array
    spread: Array
    mixing: NDArray[np.float32]
    squared: Array
    segments: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Numbers of a reading."""
        return len(self.centre)

    @classmethod
    def of(cls, pool: NDArray[Any]) -> Views:
        """Learn the map from readings.

        Args:
            pool: ``[N, D]``, N at least 1.

        Raises:
            RewardError: They are no readings (`reward.reading_mismatch`).
        """
        readings = np.asarray(pool, np.float64)
        if readings.ndim != 2 or not len(readings) or (readings.shape[1] - 1) % len(BLOCKS):
            raise RewardError(
                f"An array of shape {'×'.join(map(str, readings.shape))} holds no readings; they "
                f"have {len(BLOCKS)} parts of one width and a length.",
                code="reward.reading_mismatch",
            )
        centre, deviation = readings.mean(0), readings.std(0)
        constant = deviation <= _SMALLEST * np.maximum(1.0, np.abs(centre))
        spread = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
        standard = _standardised(readings, centre, spread)
        width = (readings.shape[1] - 1) // len(BLOCKS)
        at = {name: slice(i * width, (i + 1) * width) for i, name in enumerate(BLOCKS)}
        prompt = standard[:, at["prompt"]]
        gram = prompt.T @ prompt + _RIDGE * np.eye(width)
        columns: dict[str, Array] = {}
        for name in RESPONSE_PARTS:
            foretelling = np.linalg.solve(gram, prompt.T @ standard[:, at[name]])
            foretold = prompt @ foretelling
            rest = _components(standard[:, at[name]] - foretold, COMPONENTS)
            columns[name] = np.zeros((readings.shape[1], rest.shape[1]))
            columns[name][at[name]] = rest
            columns[name][at["prompt"]] = -foretelling @ rest
            if name in TOPIC_PARTS:
                topic = _components(foretold, TOPIC_COMPONENTS)
                columns[f"{name} topic"] = np.zeros((readings.shape[1], topic.shape[1]))
                columns[f"{name} topic"][at["prompt"]] = foretelling @ topic
        columns["length"] = np.zeros((readings.shape[1], 1))
        columns["length"][-1] = 1.0
        parts = [columns[name] for name in SEGMENTS[:-1]]
        segments = [np.full(part.shape[1], i) for i, part in enumerate(parts)]
        squares = standard[:, -1] ** 2
        varied = squares.std() > _SMALLEST
        squared = np.array([squares.mean(), 1.0 / squares.std() if varied else 0.0])
        return cls(
            centre,
            spread,
            np.concatenate(parts, axis=1).astype(np.float32),
            squared,
            np.concatenate([*segments, [len(SEGMENTS) - 1]]).astype(np.int64),
        )

    def features(self, readings: NDArray[Any]) -> Array:
        """Features ``[N, K + 1]`` of readings ``[N, D]``.

        Raises:
            RewardError: They are of another width (`reward.reading_mismatch`).
        """
        readings = np.asarray(readings, np.float64)
        if readings.ndim != 2 or readings.shape[1] != self.width:
            raise RewardError(
                f"The reward was learnt from readings of {self.width} numbers, and these are "
                f"{'×'.join(map(str, readings.shape))}: they are of another base model.",
                code="reward.reading_mismatch",
            )
        standard = _standardised(readings, self.centre, self.spread)
        squared = (standard[:, -1:] ** 2 - self.squared[0]) * self.squared[1]
        return np.concatenate([standard @ self.mixing.astype(np.float64), squared], axis=1)

    def weights(self, view: str) -> Array:
        """The square root of a view's weight for each feature, ``[K + 1]``; their sum is 1."""
        given = np.array([VIEWS[view].get(name, 0.0) for name in SEGMENTS])
        weights: Array = np.sqrt(given / given.sum())[self.segments]
        return weights

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """All of it, by name."""
        return {
            "centre": self.centre,
            "spread": self.spread,
            "mixing": self.mixing,
            "squared": self.squared,
            "segments": self.segments,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Views:
        """What `to_tensors` made.

        Raises:
            ValueError: The shapes do not go together.
        """
        views = cls(
            np.array(tensors["centre"], np.float64),
            np.array(tensors["spread"], np.float64),
            np.array(tensors["mixing"], np.float32),
            np.array(tensors["squared"], np.float64),
            np.array(tensors["segments"], np.int64),
        )
        width = views.centre.size
        if (
            views.centre.shape != (width,)
            or (width - 1) % len(BLOCKS)
            or views.spread.shape != (width,)
            or views.mixing.ndim != 2
            or views.mixing.shape[0] != width
            or views.squared.shape != (2,)
            or views.segments.shape != (views.mixing.shape[1] + 1,)
            or not np.isin(views.segments, np.arange(len(SEGMENTS))).all()
        ):
            raise ValueError("the parts of its features do not go together")
        return views


def _standardised(readings: Array, centre: Array, spread: Array) -> Array:
    result: Array = np.clip((readings - centre) * spread, -_FURTHEST, _FURTHEST)
    return result


def _components(values: Array, most: int) -> Array:
    """Main directions of rows, scaled so that the projections have variance 1 in total."""
    centred = values - values.mean(0)
    variance, directions = np.linalg.eigh(centred.T @ centred / len(values))
    order = np.argsort(-variance, kind="stable")[:most]
    kept = order[variance[order] > max(_SMALLEST * variance.max(), 1e-9)]
    if not len(kept):
        return np.zeros((values.shape[1], 0))
    chosen = directions[:, kept]
    # The sign of an eigenvector is arbitrary; the largest entry positive makes it the same always.
    signs = np.sign(chosen[np.abs(chosen).argmax(0), np.arange(len(kept))])
    scaled: Array = chosen * signs / np.sqrt(variance[kept].sum())
    return scaled
