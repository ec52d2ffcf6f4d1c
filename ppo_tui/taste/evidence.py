"""From judgements to arrays: what a model of taste is fitted to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ppo_tui.taste.reading import decode

if TYPE_CHECKING:
    from ppo_tui.runs.ratings import Ratings

FEWEST = 5
"""With fewer judgements nothing is learnt that would hold."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Judgements as numbers.

    Attributes:
        x: ``[n, D]``, readings of the texts that were rated.
        y: ``[n]``, their ratings, 1 to 5.
        first: ``[m, D]``, readings of the first texts of the pairs.
        second: ``[m, D]``, of the second.
        choice: ``[m]``: 1 if the first is better, 0.5 for a tie, 0 if the second is.
        unread: Judgements left out because a text has no reading, or one of another width.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float64]
    first: NDArray[np.float32]
    second: NDArray[np.float32]
    choice: NDArray[np.float64]
    unread: int = 0

    @property
    def count(self) -> int:
        """Judgements of both kinds."""
        return len(self.y) + len(self.choice)

    @property
    def ratings_differ(self) -> bool:
        """Whether the ratings say of some texts that they are better than others."""
        return bool(len(self.y) and np.ptp(self.y) > 0)

    @property
    def pairs_differ(self) -> bool:
        """Whether one of the pairs is no tie."""
        return bool((self.choice != 0.5).any())

    @property
    def problem(self) -> str:
        """Why nothing can be learnt, in a sentence that ends with the way out; empty if it can."""
        if not self.count and self.unread:
            return (
                f"None of the {self.unread} ratings says how the base model reads its text; rate "
                "what this run writes."
            )
        if not self.count:
            return "There are no ratings yet; give some."
        if self.count < FEWEST:
            are = "is 1 rating" if self.count == 1 else f"are {self.count} ratings"
            return f"There {are}, and {FEWEST} are the fewest to learn from; give some more."
        if not self.ratings_differ and not self.pairs_differ:
            return f"{self._all_alike}, so nothing tells good from bad; rate some otherwise."
        return ""

    @property
    def _all_alike(self) -> str:
        rated = f"All {len(self.y)} ratings are {self.y[0]:g}" if len(self.y) else ""
        ties = f"ll {len(self.choice)} pairs are ties" if len(self.choice) else ""
        return f"{rated} and a{ties}" if rated and ties else rated or f"A{ties}"

    def part(self, ratings: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> Evidence:
        """Some of it: those ratings ``[n]`` and pairs ``[m]`` that are true."""
        return Evidence(
            self.x[ratings],
            self.y[ratings],
            self.first[pairs],
            self.second[pairs],
            self.choice[pairs],
            self.unread,
        )


def evidence_of(ratings: Ratings) -> Evidence:
    """The judgements whose texts have a reading; of several widths the most frequent one."""
    rated = [(decode(each.about.reading), each.rating) for each in ratings.ratings]
    pairs = [
        (decode(each.first.reading), decode(each.second.reading), each.choice)
        for each in ratings.pairs
    ]
    widths = Counter(len(reading) for reading, _ in rated if reading is not None)
    widths.update(len(reading) for *both, _ in pairs for reading in both if reading is not None)
    width = widths.most_common(1)[0][0] if widths else 0

    def fits(reading: NDArray[np.float32] | None) -> bool:
        return reading is not None and len(reading) == width

    kept = [(reading, value) for reading, value in rated if fits(reading)]
    compared = [pair for pair in pairs if fits(pair[0]) and fits(pair[1])]
    return Evidence(
        _rows([reading for reading, _ in kept], width),
        np.array([value for _, value in kept], np.float64),
        _rows([first for first, _, _ in compared], width),
        _rows([second for _, second, _ in compared], width),
        np.array([choice for *_, choice in compared], np.float64),
        len(rated) + len(pairs) - len(kept) - len(compared),
    )


def _rows(readings: list[NDArray[np.float32] | None], width: int) -> NDArray[np.float32]:
    rows = [reading for reading in readings if reading is not None]
    return np.stack(rows) if rows else np.empty((0, width), np.float32)
