"""The simulated person of the benchmark rates as it says."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.human_person import (
    HIDDEN,
    Person,
    Texts,
    brevity,
    first_person,
    learning_curves,
    ratings_needed,
    topic,
)
from tests.taste.worlds import world

BASE = [("The hotel", " ".join(["word"] * length)) for length in range(1, 101)]


def test_without_noise_a_rating_is_the_place_among_usual_texts() -> None:
    person = Person(brevity, BASE, noise=0.0)
    texts = [BASE[at] for at in (0, 25, 50, 75, 99)]
    assert person.rate(texts).tolist() == [5, 4, 3, 2, 1]


def test_the_same_text_gets_the_same_rating_and_another_seed_another_noise() -> None:
    person = Person(brevity, BASE, noise=0.5, seed=1)
    assert person.rate(BASE).tolist() == person.rate(BASE[::-1])[::-1].tolist()
    assert person.rate(BASE).tolist() != Person(brevity, BASE, 0.5, 2).rate(BASE).tolist()


def test_the_noise_is_as_large_as_stated() -> None:
    noisy, exact = (Person(brevity, BASE, noise).rate(BASE) for noise in (0.5, 0.0))
    inner = (exact > 1) & (exact < 5)
    assert 0.4 < (noisy - exact)[inner].std() < 0.8  # rounding twice adds to it


def test_hidden_scores_say_what_their_names_say() -> None:
    assert first_person("", "I like my bed") == 0.5
    assert brevity("", "two words.") == -2
    assert topic("The curry", "was served at a hotel") == 2
    assert HIDDEN["sentiment"]("", "I loved it") > 0 > HIDDEN["sentiment"]("", "I hated it")
    assert HIDDEN["affirmation"]("", "it was not bad") == -0.25


def test_curves_rise_and_tell_what_is_needed() -> None:
    made, fresh = world(150, seed=1), world(150, seed=2)

    def texts(of: object, made_from: str) -> Texts:
        assert hasattr(of, "readings")
        words = [" ".join(["word"] * round(float(np.exp(row[-1])))) for row in of.readings]
        return Texts([made_from] * 150, words, of.readings)

    pool = texts(made, "p")
    person = Person(brevity, list(zip(pool.prompts, pool.responses, strict=True)))
    curves = learning_curves(pool, texts(fresh, "p"), person, counts=(10, 20), seeds=(0, 1))
    assert curves["random"].shape == (2, 2)
    assert curves["active"].shape == (1, 2)
    assert curves["active"][0, -1] > 0.9


def test_ratings_needed_lie_between_the_counts() -> None:
    curve = np.array([0.2, 0.4, 0.3, 0.8])
    assert ratings_needed(0.3, curve, (10, 20, 30, 40)) == 15
    assert ratings_needed(0.6, curve, (10, 20, 30, 40)) == 35
    assert math.isinf(ratings_needed(0.9, curve, (10, 20, 30, 40)))
