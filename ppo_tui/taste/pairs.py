"""What pairs say: the model of Bradley and Terry on the features of texts.

A text has a utility, linear in its features, and the first of two is called better with a
probability of ``sigmoid(u(first) - u(second))`` (Bradley and Terry, 1952). That is a logistic
regression without an intercept on the differences of features, with a Gaussian prior on the weights
(`sklearn.linear_model.LogisticRegression`, whose C is the prior's variance). A tie counts as half a
win for each.

Which features matter, and how wide the prior is, is decided by the Laplace approximation of the
evidence (MacKay, 1992). With H = I / C + Σ p (1 - p) d dᵀ, the curvature at the weights w that were
found over the differences d:

    log evidence ≈ log likelihood(w) - |w|² / (2 C) - ½ log det(C H)

and H⁻¹ is the covariance of the weights.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppo_tui.taste.views import Views

Array = NDArray[np.float64]

_VIEWS = ("whole", "words", "end", "length")
"""Two answers to one prompt have the same topic, so that pairs say nothing of topics."""

_WIDTHS = (1.0, 4.0, 16.0, 64.0)


@dataclass(frozen=True)
class Utility:
    """A utility of texts, from pairs.

    Attributes:
        weights: ``[K]``, for features.
        factor: ``[K, R]``: the variance of the utility of features f is ``|f factor|²``.
    """

    weights: Array
    factor: Array

    def of(self, features: Array) -> tuple[Array, Array]:
        """Mean and variance of the utility, ``[N]`` each, of centred features ``[N, K]``."""
        return features @ self.weights, ((features @ self.factor) ** 2).sum(1)


def utility_of(views: Views, first: Array, second: Array, choice: Array) -> Utility:
    """Fit the utility with the largest evidence.

    Args:
        views: Gives the views that are tried.
        first: ``[m, K]``, features of the first texts.
        second: ``[m, K]``, of the second texts.
        choice: ``[m]``: 1, 0.5 or 0; not all 0.5.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found: list[tuple[float, float, Array, Array, Array]] = []
    for name in _VIEWS:
        weight = views.weights(name)
        used = weight > 0
        differences = ((first - second) * weight)[:, used]
        # Each pair is there both ways round, as a win and as a loss: both classes always occur.
        rows = np.concatenate([differences, -differences, -differences, differences])
        wins = np.repeat([1, 0, 1, 0], len(choice))
        shares = np.concatenate([choice, choice, 1 - choice, 1 - choice]) / 2
        for width in _WIDTHS:
            model = LogisticRegression(
                C=width, fit_intercept=False, solver="newton-cholesky", max_iter=100
            )
            with warnings.catch_warnings():
                # Texts far outside of the pool may stop it early; what was found is then a weak
                # fit, and its evidence is in proportion.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(rows[shares > 0], wins[shares > 0], shares[shares > 0])
            w = np.asarray(model.coef_[0], np.float64)
            margin = differences @ w
            likelihood = -(
                choice * np.logaddexp(0, -margin) + (1 - choice) * np.logaddexp(0, margin)
            ).sum()
            p = 1 / (1 + np.exp(-np.clip(margin, -500, 500)))
            scaled = differences * np.sqrt(p * (1 - p) * width)[:, None]
            curvature = np.eye(w.size) + scaled.T @ scaled
            log_evidence = likelihood - (w @ w) / (2 * width) - np.linalg.slogdet(curvature)[1] / 2
            found.append((log_evidence, width, w, curvature, weight))
    _, width, w, curvature, weight = max(found, key=lambda each: each[0])
    used = weight > 0
    factor = np.zeros((weight.size, w.size))
    factor[used] = np.linalg.cholesky(np.linalg.inv(curvature) * width)
    factor *= weight[:, None]
    weights = np.zeros(weight.size)
    weights[used] = w
    return Utility(weights * weight, factor)
