"""The reward that people teach: what their ratings say of a response.

Scores are on the scale of the ratings, 1 to 5. The fit itself is `ppo_tui.taste.model`; which
ratings it is fitted to is the matter of `ppo_tui.training.taste`, which puts each new fit in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppo_tui.config.rewards import HumanTerm
from ppo_tui.errors import RewardError
from ppo_tui.rewards.protocol import REFERENCE, Sample

if TYPE_CHECKING:
    from ppo_tui.taste.artefact import RewardArtefact
    from ppo_tui.taste.model import TasteModel

NEUTRAL = 3.0
"""The score of every response while nothing is known: the middle of the scale."""


class Human:
    """``mean - pessimism * std`` of the rating that a person would give.

    Attributes:
        taste: What is known of the person; None while there is nothing to learn from.
        artefact: The reward that was made before, where the term names one.

    Raises:
        RewardError: The reward it is to use is damaged, of a newer version, or an adapter.
        ResourceError: It is not there.
    """

    reading = REFERENCE

    def __init__(self, term: HumanTerm) -> None:
        self._pessimism = term.pessimism
        self._metrics: dict[str, float] = {}
        self.taste: TasteModel | None = None
        self.artefact: RewardArtefact | None = None
        if term.source is not None:
            self._use(term.source)

    def _use(self, source: str) -> None:
        from ppo_tui.taste.artefact import load_artefact

        artefact = load_artefact(Path(source))
        if artefact.taste is None:
            raise RewardError(
                f"{source} is a reward adapter; name it with kind: adapter and path.",
                code="reward.artefact_kind",
            )
        self.taste, self.artefact = artefact.taste, artefact

    def __call__(self, samples: Sequence[Sample]) -> Sequence[float]:
        """One score each; `NEUTRAL` while nothing is known."""
        if self.taste is None:
            self._metrics = {}
            return [NEUTRAL] * len(samples)
        readings = np.stack([sample.readings[self.reading] for sample in samples])
        opinion = self.taste.predict(readings)
        penalty = self._pessimism * opinion.std
        self._metrics = {
            "mean": float(opinion.mean.mean()),
            "std": float(opinion.std.mean()),
            "penalty": float(penalty.mean()),
            "outside": float(self.taste.is_outside(opinion).mean()),
        }
        scores: list[float] = (opinion.mean - penalty).tolist()
        return scores

    def metrics(self) -> Mapping[str, float]:
        """What the last call found, as means over its samples.

        ``mean`` and ``std`` of the expected rating, the ``penalty`` for not being sure, and the
        share of samples ``outside`` of where ratings have been given.
        """
        return self._metrics
