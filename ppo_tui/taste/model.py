"""What a person would rate a text, and how sure that is, from some ratings and pairs.

**Ratings.** Bayesian ridge regression (`sklearn.linear_model.BayesianRidge`; MacKay, 1992): the
rating is linear in the features f of a text, ``y = b + wᵀf + ε``, with ``w ~ N(0, I/λ)`` and
``ε ~ N(0, 1/α)``; α and λ are those with the largest evidence. Both have a weak Gamma prior, which
keeps a fit to a few ratings from being sure that there is nothing to see, or no noise.

**Views.** What a taste depends on is not known beforehand: the words, the ending, the length, the
topic. One ridge is fitted for each view of the features (`ppo_tui.taste.views`), and the views are
averaged with weights in proportion to their evidence (Bayesian model averaging; Hoeting et al.,
1999). Where they disagree the average is unsure:

    mean = Σ pᵢ mᵢ        variance = Σ pᵢ (sᵢ² + mᵢ²) - mean²
    sᵢ² = (f - f̄)ᵀ Σᵢ (f - f̄) + 1 / (α n)

The variance is that of the expected rating, not of one more rating: noise is not in it.

**Pairs** give a utility (`ppo_tui.taste.pairs`). With ratings beside them it is one more feature of
every ridge, strongly weighted, so that the ratings calibrate it; its own uncertainty is added,
times the square of its weight. With pairs only the scale is set: the middle is 3, and the utility's
whole spread, what is not known of it included, is `SPREAD` steps.

The same evidence and pool give the same model, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_tui.errors import RewardError
from ppo_tui.taste.evidence import Evidence
from ppo_tui.taste.pairs import Utility, utility_of
from ppo_tui.taste.views import VIEWS, Views

Array = NDArray[np.float64]

LOWEST, HIGHEST = 1.0, 5.0
MIDDLE = 3.0

SPREAD = 1.2
"""Standard deviation of what people rate, in steps, where only pairs are known."""

_UTILITY_WEIGHT = 2.0
"""Of the utility as a feature; the features of a view weigh 1 together."""

_NEGLIGIBLE = 0.01
"""Views with a smaller share of the evidence are left out."""

_OUTSIDE = 0.95

_ABSURD = 1e12
"""No number of a model is as large; with smaller ones nothing that is foretold can overflow."""

_PRIOR = {"alpha_1": 3.0, "alpha_2": 1.0, "lambda_1": 1.0, "lambda_2": 1.5}
"""As if six more ratings had shown a noise of 0.6 steps, and two more weights a signal of 1.2."""


@dataclass(frozen=True)
class Opinion:
    """What is foretold of N texts.

    Attributes:
        mean: ``[N]``, the expected rating, 1 to 5.
        std: ``[N]``, how unsure that expectation is.
    """

    mean: Array
    std: Array


@dataclass(frozen=True)
class _Members:
    """The M ridges that are averaged; the utility is their last feature, 0 where there is none.

    Attributes:
        share: ``[M]``, summing to 1.
        offset: ``[M]``, what is foretold at the centre.
        slope: ``[M, K + 1]``.
        centre: ``[M, K + 1]``, mean features of what was rated.
        factor: ``[M, K + 1, R]``: the variance is ``|(f - centre) factor|² + floor``.
        floor: ``[M]``.
    """

    share: Array
    offset: Array
    slope: Array
    centre: Array
    factor: Array
    floor: Array


class TasteModel:
    """A fitted taste; made by `fit` or `from_tensors`.

    Attributes:
        views: The map from readings to features.
        view_shares: Share of the evidence of each of `VIEWS`, ``[V]``.
    """

    def __init__(
        self,
        views: Views,
        utility: Utility,
        members: _Members,
        view_shares: Array,
        threshold: float,
    ) -> None:
        self.views = views
        self.view_shares = view_shares
        self._utility = utility
        self._members = members
        self._threshold = threshold

    @classmethod
    def fit(
        cls,
        evidence: Evidence,
        pool: NDArray[Any],
        views: Views | None = None,
        usual: NDArray[Any] | None = None,
    ) -> TasteModel:
        """Learn from judgements.

        Args:
            evidence: The judgements.
            pool: ``[N, D]``, readings of unrated texts: how texts differ at all.
            views: Made from this pool before, to save the time.
            usual: ``[M, D]``, texts that set the bound of `outside`; the pool if left out. Those of
                the base: with a policy's own among them, a drift would widen the bound that is to
                tell of it.

        Raises:
            RewardError: Nothing can be learnt (`ratings.no_signal`), or pool and ratings were read
                by different models (`reward.reading_mismatch`).
        """
        if evidence.problem:
            raise RewardError(evidence.problem, code="ratings.no_signal")
        views = Views.of(pool) if views is None else views
        scene = views.features(pool)
        utility = _no_utility(scene.shape[1])
        if evidence.pairs_differ:
            first, second = views.features(evidence.first), views.features(evidence.second)
            utility = utility_of(views, first, second, evidence.choice)
        if evidence.ratings_differ and len(evidence.y) >= 3:
            rated = views.features(evidence.x)
            members, shares = _ridges(views, rated, evidence.y, scene, utility)
        else:
            members, shares = _scaled(scene, utility), np.full(len(VIEWS), 1 / len(VIEWS))
        model = cls(views, utility, members, shares, np.inf)
        known = scene if usual is None else views.features(usual)
        spread = model.opinion_of(known).std
        model._threshold = float(np.quantile(spread, _OUTSIDE))
        return model

    def predict(self, x: NDArray[Any]) -> Opinion:
        """What is foretold of readings ``[N, D]``.

        Raises:
            RewardError: They are of another base (`reward.reading_mismatch`).
        """
        return self.opinion_of(self.views.features(x))

    def outside(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """``[N]``: where nobody has looked, less sure than 95 % of usual texts were at the fit."""
        return self.is_outside(self.predict(x))

    def is_outside(self, opinion: Opinion) -> NDArray[np.bool_]:
        """`outside`, of texts that were foretold already."""
        result: NDArray[np.bool_] = opinion.std > self._threshold
        return result

    def opinion_of(self, features: Array) -> Opinion:
        """`predict` for those who have the features, ``[N, K]`` of `views`, already."""
        m = self._members
        utility, doubt = self._utility.of(features)
        whole = np.concatenate([features, utility[:, None]], axis=1)
        means, variances = np.empty((2, len(m.share), len(features)))
        for i in range(len(m.share)):
            away = whole - m.centre[i]
            means[i] = m.offset[i] + away @ m.slope[i]
            variances[i] = ((away @ m.factor[i]) ** 2).sum(1) + m.floor[i]
            variances[i] += m.slope[i, -1] ** 2 * doubt
        mean = m.share @ means
        variance = m.share @ (variances + (means - mean) ** 2)
        return Opinion(np.clip(mean, LOWEST, HIGHEST), np.sqrt(variance))

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """All of it, by name, for a file of tensors."""
        m = self._members
        return {
            **{f"views.{name}": tensor for name, tensor in self.views.to_tensors().items()},
            "utility.weights": self._utility.weights,
            "utility.factor": self._utility.factor,
            "share": m.share,
            "offset": m.offset,
            "slope": m.slope,
            "centre": m.centre,
            "factor": m.factor,
            "floor": m.floor,
            "view_shares": self.view_shares,
            "threshold": np.array([self._threshold]),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> TasteModel:
        """What `to_tensors` made; it may come from a stranger.

        Raises:
            RewardError: Something is missing, not finite, or does not go together
                (`reward.artefact_damaged`).
        """
        try:
            return cls._from_tensors(tensors)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            missing = isinstance(error, KeyError)
            reason = f"it lacks {error}" if missing else " ".join(str(error).split())[:200]
            raise RewardError(
                f"The saved reward is damaged: {reason}.",
                hint="Make it again with `ppo-tui reward fit`.",
                code="reward.artefact_damaged",
            ) from error

    @classmethod
    def _from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> TasteModel:
        for name, values in tensors.items():
            if not (np.abs(values) < _ABSURD).all():
                raise ValueError(f"a number of {name} is not finite, or absurd")

        def tensor(name: str) -> Array:
            return np.array(tensors[name], np.float64)

        prefix = "views."
        parts = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        views = Views.from_tensors(parts)
        utility = Utility(tensor("utility.weights"), tensor("utility.factor"))
        members = _Members(*map(tensor, ("share", "offset", "slope", "centre", "factor", "floor")))
        shares, threshold = tensor("view_shares"), tensor("threshold")
        features, count = len(views.segments), members.share.size
        wanted = (count, features + 1)
        if (
            not count
            or utility.weights.shape != (features,)
            or utility.factor.ndim != 2
            or len(utility.factor) != features
            or any(a.shape != (count,) for a in (members.share, members.offset, members.floor))
            or any(a.shape != wanted for a in (members.slope, members.centre))
            or members.factor.ndim != 3
            or members.factor.shape[:2] != wanted
            or shares.shape != (len(VIEWS),)
            or threshold.shape != (1,)
        ):
            raise ValueError("its parts do not go together")
        if (members.share < 0).any() or abs(members.share.sum() - 1) > 1e-6:
            raise ValueError("its shares are none")
        if (members.floor < 0).any():
            raise ValueError("a variance is negative")
        return cls(views, utility, members, shares, float(threshold[0]))


def _no_utility(features: int) -> Utility:
    return Utility(np.zeros(features), np.zeros((features, 0)))


def _ridges(
    views: Views, rated: Array, y: Array, scene: Array, utility: Utility
) -> tuple[_Members, Array]:
    """One Bayesian ridge for each view, and each view's share of the evidence."""
    from sklearn.linear_model import BayesianRidge

    spread = float(utility.of(scene)[0].std())
    column = utility.of(rated)[0][:, None]
    whole = np.concatenate([rated, column], axis=1)
    extra = np.sqrt(_UTILITY_WEIGHT) / spread if spread > 0 else 0.0
    centre = whole.mean(0)
    fits, evidences = [], []
    for name in VIEWS:
        weight = np.append(views.weights(name), extra)
        used = np.flatnonzero(weight)
        ridge = BayesianRidge(max_iter=300, compute_score=True, **_PRIOR)
        ridge.fit(((whole - centre) * weight)[:, used], y)
        fits.append((weight, used, ridge))
        evidences.append(float(ridge.scores_[-1]))
    shares = np.exp(np.array(evidences) - max(evidences))
    shares /= shares.sum()
    kept = np.flatnonzero(shares >= _NEGLIGIBLE)
    share = shares[kept] / shares[kept].sum()
    slope = np.zeros((len(kept), whole.shape[1]))
    rank = max(len(fits[i][1]) for i in kept)
    factor = np.zeros((len(kept), whole.shape[1], rank))
    for at, i in enumerate(kept):
        weight, used, ridge = fits[i]
        slope[at, used] = ridge.coef_ * weight[used]
        root = _root(np.asarray(ridge.sigma_, np.float64))
        factor[at, used, : len(used)] = root * weight[used, None]
    floor = np.array([1 / (fits[i][2].alpha_ * len(y)) for i in kept])
    # Features were centred on what was rated, so that the mean rating is foretold there.
    offset = np.full(len(kept), y.mean())
    return _Members(share, offset, slope, np.tile(centre, (len(kept), 1)), factor, floor), shares


def _scaled(scene: Array, utility: Utility) -> _Members:
    """The utility alone, on the scale of the ratings."""
    mean, doubt = utility.of(scene)
    scale = SPREAD / np.sqrt(max(float(mean.var() + doubt.mean()), 1e-12))
    slope = np.zeros((1, scene.shape[1] + 1))
    slope[0, -1] = scale
    centre = np.zeros_like(slope)
    centre[0, -1] = mean.mean()
    nothing = np.zeros((1, scene.shape[1] + 1, 0))
    return _Members(np.ones(1), np.array([MIDDLE]), slope, centre, nothing, np.zeros(1))


def _root(covariance: Array) -> Array:
    """A factor F with F Fᵀ the covariance, whatever rounding did to it."""
    variances, directions = np.linalg.eigh((covariance + covariance.T) / 2)
    result: Array = directions * np.sqrt(np.maximum(variances, 0.0))
    return result
