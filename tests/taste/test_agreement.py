"""How well held-out judgements are foretold."""

from __future__ import annotations

import math

import numpy as np

from ppo_tui.taste.agreement import agreement
from ppo_tui.taste.evidence import Evidence
from tests.taste.worlds import compared, rated, stars, world

POOL = world(300, seed=1)


def test_it_grows_with_the_number_of_ratings() -> None:
    points = agreement(rated(POOL.readings[:100], stars(POOL.glad[:100])), POOL.readings)
    assert [point.count for point in points] == [20, 40, 80, 100]
    assert points[-1].correlation > 0.93
    assert points[-1].correlation > points[0].correlation
    assert all(math.isnan(point.accuracy) for point in points)


def test_ratings_without_sense_are_not_foretold() -> None:
    noise = np.random.default_rng(0).integers(1, 6, 100).astype(float)
    (point,) = agreement(rated(POOL.readings[:100], noise), POOL.readings, steps=(100,))
    assert abs(point.correlation) < 0.3


def test_pairs_have_an_accuracy() -> None:
    evidence = compared(POOL, np.arange(200).reshape(-1, 2))
    points = agreement(evidence, POOL.readings, steps=(20, 100))
    assert [point.count for point in points] == [20, 100]
    assert points[-1].accuracy > 0.85
    assert math.isnan(points[-1].correlation)


def test_both_kinds_are_told_of() -> None:
    ratings = rated(POOL.readings[:60], stars(POOL.glad[:60]))
    evidence = compared(POOL, 60 + np.arange(120).reshape(-1, 2), ratings)
    (point,) = agreement(evidence, POOL.readings, steps=(evidence.count,))
    assert point.count == 120
    assert point.correlation > 0.9
    assert point.accuracy > 0.85


def test_a_text_that_two_people_rated_does_not_foretell_itself() -> None:
    draws = np.random.default_rng(0)
    noise = draws.integers(1, 6, 40).astype(float)
    twice = np.concatenate([POOL.readings[:40], POOL.readings[:40]])
    (point,) = agreement(rated(twice, np.tile(noise, 2)), POOL.readings, steps=(80,))
    assert abs(point.correlation) < 0.4  # a reader that had seen the other rating knows them all


def test_numbers_beyond_what_there_is_mean_all() -> None:
    evidence = rated(POOL.readings[:30], stars(POOL.glad[:30]))
    assert [point.count for point in agreement(evidence, POOL.readings, (3, 10, 99))] == [10, 30]


def test_too_few_or_all_alike_have_no_agreement() -> None:
    assert agreement(rated(POOL.readings[:5], stars(POOL.glad[:5])), POOL.readings) == ()
    assert agreement(rated(POOL.readings[:9], np.full(9, 2.0)), POOL.readings) == ()


def test_six_ratings_of_which_one_differs_do_not_break_it() -> None:
    evidence = rated(POOL.readings[:6], np.array([3.0, 3, 3, 3, 3, 4]))
    (point,) = agreement(evidence, POOL.readings)
    assert point.count == 6
    assert not math.isinf(point.correlation)


def test_the_same_evidence_has_the_same_agreement() -> None:
    evidence: Evidence = rated(POOL.readings[:40], stars(POOL.glad[:40]))
    one, other = (agreement(evidence, POOL.readings) for _ in range(2))
    assert [p.correlation for p in one] == [p.correlation for p in other]
