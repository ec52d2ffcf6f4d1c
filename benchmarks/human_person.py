"""A simulated person whose taste is known, and how fast a reward learns it from ratings.

A *hidden score* is a function of a text that the model of taste never sees. A `Person` rates by it:
the place of the text's score among those of base texts, from 1 to 5, with Gaussian noise of a
stated size in rating steps, rounded. How well what was learnt foretells the hidden score (not the
ratings) of fresh texts is told by Spearman's rank correlation.

The offline half of `make bench-human`: nothing here trains a policy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ppo_tui.taste.choose import choose
from ppo_tui.taste.evidence import Evidence
from ppo_tui.taste.model import TasteModel
from ppo_tui.taste.views import Views

Array = NDArray[np.float64]

Strategy = Literal["random", "active"]
STRATEGIES: tuple[Strategy, ...] = ("random", "active")

COUNTS = (10, 20, 30, 40, 50, 60, 80, 100, 120)
"""Numbers of ratings at which it is measured."""

ROUND = 2
"""Texts that are chosen at once: while a person rates, the next are chosen anew all the time."""

NOISE = 0.5
"""Standard deviation of a simulated person's noise, in rating steps."""


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts that a model wrote.

    Attributes:
        prompts: What they answer.
        responses: The answers.
        readings: ``[N, D]``.
    """

    prompts: Sequence[str]
    responses: Sequence[str]
    readings: NDArray[np.float32]

    def select(self, rows: NDArray[np.intp]) -> Texts:
        """Some of them."""
        return Texts(
            [self.prompts[row] for row in rows],
            [self.responses[row] for row in rows],
            self.readings[rows],
        )


# ---- hidden scores

FIRST_PERSON = frozenset({"i", "we", "my", "us", "me", "our"})
TABLE = frozenset({"fish", "pizza", "curry", "cake", "bread", "soup", "food", "drinks", "coffee"})
BED = frozenset({"hotel", "hostel", "cabin", "bed", "room", "staff", "shower", "breakfast"})
NEGATIONS = frozenset({"not", "no", "never", "but"})


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _share(text: str, of: frozenset[str]) -> float:
    words = _words(text)
    return sum(word in of for word in words) / max(1, len(words))


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def sentiment(prompt: str, response: str) -> float:
    """Glad texts: VADER's compound score."""
    return float(_analyzer().polarity_scores(response)["compound"])


def first_person(prompt: str, response: str) -> float:
    """Texts that speak of I and we: the share of such words."""
    return _share(response, FIRST_PERSON)


def warmth(prompt: str, response: str) -> float:
    """Both at once, about equally strong on the bundled model."""
    return sentiment(prompt, response) / 0.5 + first_person(prompt, response) / 0.07


def brevity(prompt: str, response: str) -> float:
    """Few words."""
    return -float(len(_words(response)))


def affirmation(prompt: str, response: str) -> float:
    """No "not", no "but": the share of such words, negated."""
    return -_share(response, NEGATIONS)


def topic(prompt: str, response: str) -> float:
    """Texts about food or a place to sleep, by the words of prompt and response."""
    return float(sum(word in TABLE | BED for word in _words(f"{prompt} {response}")))


def brief_and_glad(prompt: str, response: str) -> float:
    """Glad, and the shorter the better."""
    return sentiment(prompt, response) / 0.5 + brevity(prompt, response) / 6.0


HIDDEN: Mapping[str, Callable[[str, str], float]] = {
    "brevity": brevity,
    "first person": first_person,
    "affirmation": affirmation,
    "topic": topic,
    "brief and glad": brief_and_glad,
    "warmth": warmth,
    "sentiment": sentiment,
}


class Person:
    """Somebody whose ratings follow a hidden score.

    The same text gets the same rating, whenever it is asked about.

    Args:
        hidden: The hidden score of a prompt and a response.
        base: Texts of the base model: ratings are in terms of what is usual among them.
        noise: Standard deviation of the noise, in rating steps.
        seed: Another seed, another noise.
    """

    def __init__(
        self,
        hidden: Callable[[str, str], float],
        base: Sequence[tuple[str, str]],
        noise: float = NOISE,
        seed: int = 0,
    ) -> None:
        self._hidden = hidden
        self._usual = np.sort([hidden(prompt, response) for prompt, response in base])
        self._noise = noise
        self._seed = seed

    def score(self, texts: Sequence[tuple[str, str]]) -> Array:
        """The hidden scores, ``[N]``."""
        return np.array([self._hidden(prompt, response) for prompt, response in texts])

    def steps(self, texts: Sequence[tuple[str, str]]) -> Array:
        """What is meant, before noise and rounding: ``[N]``, 1 to 5, by place among the usual."""
        scores = self.score(texts)
        below = np.searchsorted(self._usual, scores, "left")
        not_above = np.searchsorted(self._usual, scores, "right")
        result: Array = 1 + 4 * (below + not_above) / (2 * len(self._usual))
        return result

    def rate(self, texts: Sequence[tuple[str, str]]) -> Array:
        """Ratings ``[N]``, whole numbers from 1 to 5, of prompts and responses."""
        steps = self.steps(texts)
        noise = np.array([self._noise_of(text) for text in texts])
        ratings: Array = np.clip(np.round(steps + self._noise * noise), 1, 5)
        return ratings

    def _noise_of(self, text: tuple[str, str]) -> float:
        digest = hashlib.blake2b("\0".join(text).encode("utf-8", "replace"), digest_size=8)
        seed = int.from_bytes(digest.digest(), "little")
        return float(np.random.default_rng([self._seed, seed]).standard_normal())


# ---- learning curves


def learning_curve(
    pool: Texts,
    fresh: Texts,
    person: Person,
    strategy: Strategy,
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> tuple[float, ...]:
    """Rank correlation with the hidden score of fresh texts, by number of ratings.

    Args:
        pool: What the person may be asked about.
        fresh: What it is measured on; none of it in the pool.
        person: Who rates.
        strategy: Texts at random, or those that `choose` picks, `ROUND` at a time.
        counts: Numbers of ratings, growing.
        seed: Of the random choice.
    """
    views = Views.of(pool.readings)
    truth = person.score(list(zip(fresh.prompts, fresh.responses, strict=True)))
    ratings = person.rate(list(zip(pool.prompts, pool.responses, strict=True)))
    shuffled = np.random.default_rng(seed).permutation(len(ratings))
    asked: list[int] = []
    curve = []
    for count in counts:
        while len(asked) < count:
            more = min(ROUND, count - len(asked))
            if strategy == "random":
                asked += shuffled[len(asked) : len(asked) + more].tolist()
                continue
            model = _learnt(pool, ratings, asked, views)
            rated, skip = pool.readings[asked], frozenset(asked)
            picks = choose(pool.readings, pool.prompts, pool.responses, rated, more, model, skip)
            if not picks:
                raise ValueError(f"the pool has nothing left to ask after {len(asked)} ratings")
            asked += [pick.index for pick in picks]
        model = _learnt(pool, ratings, asked, views)
        curve.append(0.0 if model is None else _rank(model.predict(fresh.readings).mean, truth))
    return tuple(curve)


def learning_curves(
    pool: Texts,
    fresh: Texts,
    person: Person,
    strategies: Sequence[Strategy] = STRATEGIES,
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = (0,),
) -> dict[Strategy, Array]:
    """`learning_curve` for each strategy, ``[seeds, counts]``; only the random one has seeds."""
    curves: dict[Strategy, Array] = {}
    for strategy in strategies:
        used = seeds if strategy == "random" else seeds[:1]
        rows = [learning_curve(pool, fresh, person, strategy, counts, seed) for seed in used]
        curves[strategy] = np.array(rows)
    return curves


def ratings_needed(correlation: float, curve: Array, counts: Sequence[int] = COUNTS) -> float:
    """Ratings after which a curve reaches a correlation, between two counts in proportion.

    Infinite if it never does.
    """
    best = np.maximum.accumulate(curve)
    if best[-1] < correlation:
        return float("inf")
    return float(np.interp(correlation, best, counts))


def _learnt(pool: Texts, ratings: Array, asked: Sequence[int], views: Views) -> TasteModel | None:
    nothing = np.empty((0, pool.readings.shape[1]), np.float32)
    evidence = Evidence(
        pool.readings[list(asked)], ratings[list(asked)], nothing, nothing, np.empty(0)
    )
    return None if evidence.problem else TasteModel.fit(evidence, pool.readings, views)


def _rank(told: Array, truth: Array) -> float:
    from scipy.stats import spearmanr

    if np.ptp(told) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(spearmanr(told, truth).statistic)
