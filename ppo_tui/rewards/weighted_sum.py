"""Several rewards as one score, each term kept apart for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ppo_tui.config.rewards import RewardTerm
from ppo_tui.errors import PpoTuiError, RewardError
from ppo_tui.rewards.answers import LARGEST, checked
from ppo_tui.rewards.foreign import excerpt, foreign_code
from ppo_tui.rewards.human import Human
from ppo_tui.rewards.protocol import Reward, Sample
from ppo_tui.rewards.registry import build


@dataclass(frozen=True, slots=True)
class TermScores:
    """The scores of B samples.

    Args:
        total: B numbers, the sum of weight times term.
        terms: For each term's label its B numbers, not weighted.
        metrics: What the terms have to say of these samples as a whole, by metric name.
    """

    total: tuple[float, ...]
    terms: dict[str, tuple[float, ...]]
    metrics: Mapping[str, float] = field(default_factory=dict)


class WeightedSum:
    """``total = Σ weight · term`` over the configured terms.

    Raises:
        ResourceError: A file or package that a term needs is missing.
        RewardError: A term cannot be made.
    """

    def __init__(self, terms: Sequence[RewardTerm]) -> None:
        self._terms = tuple(terms)
        if len(set(self.labels)) != len(self._terms):
            raise ValueError(f"two terms have the same label: {', '.join(self.labels)}")
        self._rewards = tuple(build(term) for term in self._terms)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names under which the terms are recorded, in the order of the configuration."""
        return tuple(term.label for term in self._terms)

    @property
    def rewards(self) -> dict[str, Reward]:
        """The rewards by the labels of their terms."""
        return dict(zip(self.labels, self._rewards, strict=True))

    @property
    def readings(self) -> frozenset[str]:
        """What of the model's the samples have to carry; see `Reads`."""
        named = (getattr(reward, "reading", None) for reward in self._rewards)
        return frozenset(name for name in named if isinstance(name, str))

    def score(self, samples: Sequence[Sample]) -> TermScores:
        """Score samples with every term; each reward is called once, unless there is no sample.

        Raises:
            RewardError: A term raised (``reward.raised``) or took too long (``reward.timeout``),
                or its answer has the wrong count (``reward.count``), holds what is no number
                (``reward.not_number``) or is not finite (``reward.not_finite``).
        """
        if not samples:
            return TermScores((), dict.fromkeys(self.labels, ()))
        terms: dict[str, tuple[float, ...]] = {}
        metrics: dict[str, float] = {}
        for label, reward in self.rewards.items():
            terms[label] = _scores(label, reward, samples)
            if isinstance(reward, Human):
                metrics |= {f"{label}/{name}": value for name, value in reward.metrics().items()}
        total = tuple(
            sum(term.weight * terms[term.label][i] for term in self._terms)
            for i in range(len(samples))
        )
        for index, value in enumerate(total):
            if not abs(value) <= LARGEST:  # NaN neither
                raise RewardError(
                    f"The weighted sum of the reward terms is {value:g} for responses[{index}] = "
                    f"{excerpt(samples[index].response)}; use smaller weights.",
                    code="reward.not_finite",
                )
        return TermScores(total, terms, metrics)


def _scores(label: str, reward: Reward, samples: Sequence[Sample]) -> tuple[float, ...]:
    try:
        with foreign_code("it raised", code="reward.raised"):
            return checked(reward(samples), samples)
    except PpoTuiError as error:
        raise RewardError(
            f"Reward term {label!r}: {error.message}", hint=error.hint, code=error.code
        ) from error
