"""Which texts to ask a person about next, and why.

A rating should make the reward surer of *everything* that might be written, not only of the text
itself. So each next text is the one that lowers the mean variance over the whole pool most, the
V-optimal or transductive experimental design (Yu, Bi and Tresp, 2006). With K the covariance of
what is foretold of any two texts, given what was rated, and noise of variance 1, rating text j
lowers it by

    Σᵢ K_ij² / (K_jj + 1)

after which K is brought up to date as if j had been rated. An odd text that is like no other gains
little, and so does one beside a rated one. K weighs the features by what the taste has turned out
to depend on, and is the same for all tastes before anything is known. For pairs the same holds for
the difference of two texts' features, with the noise of a choice between them.

Nothing is asked that is the same as, or nearly, what was rated or is being asked: the same words,
or a reading in almost the same direction. Prompts take turns. The same input gives the same choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_tui.taste.model import Opinion, TasteModel
from ppo_tui.taste.views import VIEWS, Views

Array = NDArray[np.float64]

SAME = 0.98
"""Cosine of the directions of two texts from which on they are taken as the same."""

NEW = 0.35
"""Cosine to the nearest rated text below which nothing like it has been rated."""

SIGNAL = 20.0
"""Variance of the signal before anything is rated, with the noise of a rating as 1."""

_TRUST = 0.3
"""How much of the weight of a view is what the model found; the rest is the same for all. With much
more, a taste that is half about the length is asked about lengths only, and the rest never found.
"""

_EXTREME = 0.7
"""What is left of how far a text is from the middle, as a power: 1 lets odd texts be chosen for
being extreme alone, and 0 sees the direction only. Between them is best over many tastes."""

_CROWDED = 0.5
"""What a text's gain is multiplied with for each text that is asked about the same prompt."""

_MOST_SPREAD = 1024
"""Texts that the features are learnt from where no model brings them."""

_MOST_OF_A_PROMPT = 12
"""Answers to one prompt that are compared with each other."""

_MOST_PAIRS = 4000


@dataclass(frozen=True, slots=True)
class Pick:
    """A text to ask about.

    Attributes:
        index: Its place in the pool.
        reason: Why this one, in half a sentence for the person.
    """

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class PairPick:
    """Two answers to one prompt to ask about; places in the pool, and why."""

    first: int
    second: int
    reason: str


def choose(
    pool: NDArray[Any],
    prompts: Sequence[str],
    texts: Sequence[str],
    rated: NDArray[Any],
    count: int,
    model: TasteModel | None,
    skip: Container[int],
) -> list[Pick]:
    """The texts whose ratings would teach most, the most telling first.

    Args:
        pool: ``[N, D]``, readings of all that could be asked about.
        prompts: N prompts.
        texts: N responses.
        rated: ``[R, D]``, readings of what was judged already.
        count: How many, at most.
        model: What is known of the taste; None before anything is.
        skip: Places in the pool that are not to be asked about.

    Returns:
        Fewer than `count` if there are no more.

    Raises:
        RewardError: The readings are of another base than the model (`reward.reading_mismatch`).
    """
    if not len(pool) or count < 1:
        return []
    scene = _Scene.of(pool, rated, model)
    open_ = np.array([at not in skip for at in range(len(texts))]) & (scene.nearest < SAME)
    design = _Design(scene.features, scene.features, np.ones(len(texts)), scene.covariance)
    keys = [_key(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    asked: Counter[str] = Counter()
    picks: list[Pick] = []
    crowd = np.ones(len(texts))
    while len(picks) < count and open_.any():
        at = int(np.where(open_, design.gains() * crowd, -1.0).argmax())
        picks.append(Pick(at, _why(scene, at, prompts[at] not in asked and bool(picks))))
        asked[prompts[at]] += 1
        crowd[[prompt == prompts[at] for prompt in prompts]] *= _CROWDED
        open_ &= np.array([key != keys[at] for key in keys])
        open_ &= scene.directions @ scene.directions[at] < SAME
        open_[at] = False
        design.take(at)
    return picks


def choose_pairs(
    pool: NDArray[Any],
    prompts: Sequence[str],
    texts: Sequence[str],
    rated: NDArray[Any],
    count: int,
    model: TasteModel | None,
    skip: Container[int],
) -> list[PairPick]:
    """The pairs of different answers to one prompt whose comparison would teach most.

    Arguments and errors are those of `choose`. A pair of which the outcome is foreseen teaches
    little: its noise is ``1 / (4 p (1 - p))`` with p what is foretold of it.
    """
    if not len(pool) or count < 1:
        return []
    scene = _Scene.of(pool, rated, model)
    pairs = _pairs(scene, prompts, texts, skip)
    if not len(pairs):
        return []
    first, second = pairs.T
    noise = np.ones(len(pairs))
    if scene.opinion is not None:
        gap = scene.opinion.mean[first] - scene.opinion.mean[second]
        doubt = scene.opinion.std[first] ** 2 + scene.opinion.std[second] ** 2
        # The mean of a sigmoid over a Gaussian (MacKay, 1992): doubt pulls it to one half.
        margin = gap / np.sqrt(1 + np.pi * doubt / 8)
        p = 1 / (1 + np.exp(-margin))
        noise = 1 / (4 * p * (1 - p))
    differences = scene.features[first] - scene.features[second]
    design = _Design(differences, scene.features, noise, scene.covariance)
    open_, crowd = np.ones(len(pairs), bool), np.ones(len(pairs))
    of_prompt = np.array([prompts[at] for at in first])
    picks: list[PairPick] = []
    while len(picks) < count and open_.any():
        at = int(np.where(open_, design.gains() * crowd, -1.0).argmax())
        one, other = int(first[at]), int(second[at])
        another = bool(picks) and crowd[at] == 1.0
        picks.append(PairPick(one, other, _why_pair(scene, one, other, another)))
        crowd[of_prompt == prompts[one]] *= _CROWDED
        # Neither text again in this round: a person should see something new.
        open_ &= ~(np.isin(first, (one, other)) | np.isin(second, (one, other)))
        design.take(at)
    return picks


@dataclass(frozen=True, eq=False)
class _Scene:
    """The pool as it is chosen from.

    Attributes:
        features: ``[N, K]``, weighted by what the taste seems to depend on, and tamed.
        covariance: ``[K, K]``, of the weights, given what was rated.
        directions: ``[N, K]``, of length 1, weighted alike for all tastes: what is the same text.
        nearest: ``[N]``, cosine to the nearest rated text; minus infinity if nothing was.
        opinion: What the model says of them.
    """

    features: Array
    covariance: Array
    directions: Array
    nearest: Array
    opinion: Opinion | None

    @classmethod
    def of(cls, pool: NDArray[Any], rated: NDArray[Any], model: TasteModel | None) -> _Scene:
        alike = np.full(len(VIEWS), 1 / len(VIEWS))
        if model is None:
            spread = np.linspace(0, len(pool) - 1, min(len(pool), _MOST_SPREAD)).astype(np.intp)
            views, shares = Views.of(pool[spread]), alike
        else:
            views, shares = model.views, _TRUST * model.view_shares + (1 - _TRUST) * alike
        plain = views.features(pool)
        even, tilted = _weights(views, alike), _weights(views, shares)
        directions, features = _of_length_one(plain * even), _tamed(plain * tilted)
        covariance = SIGNAL * np.eye(features.shape[1])
        nearest = np.full(len(pool), -np.inf)
        if len(rated):
            known = views.features(rated)
            seen = _tamed(known * tilted)
            gram = np.eye(len(seen)) + SIGNAL * seen @ seen.T
            covariance -= SIGNAL**2 * seen.T @ np.linalg.solve(gram, seen)
            nearest = (directions @ _of_length_one(known * even).T).max(1)
        opinion = None if model is None else model.opinion_of(plain)
        return cls(features, covariance, directions, nearest, opinion)


def _weights(views: Views, shares: Array) -> Array:
    """Weights of the features, from how much each view counts."""
    squares = [share * views.weights(name) ** 2 for share, name in zip(shares, VIEWS, strict=True)]
    result: Array = np.sqrt(np.sum(squares, axis=0))
    return result


class _Design:
    """How much each of P candidates would teach of the N texts, as one after another is taken.

    Args:
        candidates: ``[P, K]``, what an answer would be about.
        targets: ``[N, K]``, the texts.
        noise: ``[P]``, variance of an answer.
        covariance: ``[K, K]``, of the weights.
    """

    def __init__(self, candidates: Array, targets: Array, noise: Array, covariance: Array) -> None:
        self._candidates, self._noise, self._covariance = candidates, noise, covariance.copy()
        self._targets = targets.T @ targets / len(targets)
        projected = candidates @ covariance
        self._through = projected @ self._targets  # [P, K], C z seen by the targets
        self._variance = (projected * candidates).sum(1)
        self._explained = (self._through * projected).sum(1)

    def gains(self) -> Array:
        """``[P]``, by how much an answer lowers the mean variance."""
        gains: Array = self._explained / (self._variance + self._noise)
        return gains

    def take(self, at: int) -> None:
        """Go on as if this one had been answered."""
        column = self._covariance @ self._candidates[at]
        size = float(self._variance[at] + self._noise[at])
        seen = self._targets @ column
        shared = self._candidates @ column
        # (z C - shared c / size) T (C z - c shared / size), without a product of matrices.
        self._explained += shared * (
            shared * float(column @ seen) / size**2 - 2 * (self._through @ column) / size
        )
        self._through -= np.outer(shared / size, seen)
        self._variance -= shared**2 / size
        self._covariance -= np.outer(column, column) / size


def _pairs(
    scene: _Scene, prompts: Sequence[str], texts: Sequence[str], skip: Container[int]
) -> NDArray[np.intp]:
    """Pairs ``[P, 2]`` of answers to one prompt that differ in words and reading."""
    answers: dict[str, list[int]] = {}
    known: set[tuple[str, str]] = set()
    for at, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        key = _key(prompt, text)
        if at not in skip and key not in known:
            known.add(key)
            answers.setdefault(prompt, []).append(at)
    open_prompts = [places for places in answers.values() if len(places) > 1]
    if not open_prompts:
        return np.empty((0, 2), np.intp)
    most = max(2, min(_MOST_OF_A_PROMPT, int(np.sqrt(2 * _MOST_PAIRS / len(open_prompts)))))
    variance = ((scene.features @ scene.covariance) * scene.features).sum(1)
    found: list[tuple[int, int]] = []
    for places in open_prompts:
        unsure = sorted(places, key=lambda at: (-variance[at], at))[:most]
        for one, other in combinations(sorted(unsure), 2):
            if float(scene.directions[one] @ scene.directions[other]) < SAME:
                found.append((one, other))
    return np.array(found, np.intp).reshape(-1, 2)


def _key(prompt: str, text: str) -> tuple[str, str]:
    """What makes two texts the same for a person: the words, not spaces and capitals."""
    return prompt, " ".join(text.casefold().split())


def _tamed(features: Array) -> Array:
    """Features whose length is the power `_EXTREME` of what it was."""
    size = (features**2).sum(1, keepdims=True)
    result: Array = features * np.where(size > 0, size, 1.0) ** ((_EXTREME - 1) / 2)
    return result


def _of_length_one(features: Array) -> Array:
    size = np.sqrt((features**2).sum(1, keepdims=True))
    result: Array = features / np.where(size > 0, size, 1.0)
    return result


def _why(scene: _Scene, at: int, other_prompt: bool) -> str:
    opinion = scene.opinion
    if -np.inf < scene.nearest[at] < NEW:
        return "nothing like it has been rated"
    if opinion is not None and opinion.std[at] > np.median(opinion.std):
        return f"the reward is unsure of it ({opinion.mean[at]:.1f} ± {opinion.std[at]:.1f})"
    if other_prompt:
        return "another prompt, and many texts are like it"
    return "many texts are like it, so that its rating tells of them all"


def _why_pair(scene: _Scene, one: int, other: int, other_prompt: bool) -> str:
    opinion = scene.opinion
    if opinion is not None:
        means, stds = opinion.mean[[one, other]], opinion.std[[one, other]]
        if abs(means[0] - means[1]) < np.sqrt((stds**2).sum()):
            return f"the reward cannot tell which is better ({means[0]:.1f} and {means[1]:.1f})"
    if other_prompt:
        return "another prompt, and two answers that differ"
    return "two answers that differ in what many texts differ in"
