"""Share of the optimum, on distributions small enough to know the answer."""

import math

import numpy as np
import pytest

from ppo_tui.evaluation.optimum import log_mean_exp, optimum_share

BETA = 0.5
BASE = np.array([0.5, 0.3, 0.2])
SCORES = np.array([0.0, 1.0, 2.0])
# J* = beta log E[exp(score / beta)] = 0.5 log(0.5 + 0.3 e^2 + 0.2 e^4)
OPTIMUM = 0.5 * math.log(0.5 + 0.3 * math.e**2 + 0.2 * math.e**4)


def samples_of(probabilities, count):
    """Outcomes in exactly the proportions of a distribution."""
    return np.repeat(np.arange(3), np.round(probabilities * count).astype(int))


def share_of(policy, count=1000, **more):
    """The share of a policy over the three outcomes, for two prompts alike."""
    outcomes = np.tile(samples_of(policy, count), (2, 1))
    base = np.tile(samples_of(BASE, 1000), (2, 1))
    kl = np.log(policy / BASE)
    return optimum_share(SCORES[outcomes], kl[outcomes], SCORES[base], BETA, **more)


def test_the_optimum_is_exact_where_the_samples_have_the_very_proportions():
    found = share_of(BASE)
    assert found.objective_optimum == pytest.approx(OPTIMUM, abs=1e-12)
    assert found.objective_base == pytest.approx(0.7)
    assert pytest.approx(1.3063694, abs=1e-6) == OPTIMUM


def test_the_base_itself_has_a_share_of_0():
    found = share_of(BASE)
    assert found.share == pytest.approx(0, abs=1e-12)
    assert found.objective == pytest.approx(found.objective_base)


def test_the_optimal_policy_has_a_share_of_1():
    weights = BASE * np.exp(SCORES / BETA)
    optimal = weights / weights.sum()
    # score - beta KL is the same for every outcome there, so that any proportions will do.
    found = share_of(optimal, count=1_000_000, resamples=0)
    assert found.share == pytest.approx(1, abs=1e-6)
    assert found.objective == pytest.approx(OPTIMUM, abs=1e-6)


def test_a_policy_that_scores_best_at_any_price_has_less():
    greedy = np.array([1e-12, 1e-12, 1 - 2e-12])
    found = share_of(greedy)
    # J = 2 - 0.5 log 5
    assert found.objective == pytest.approx(1.1952810, abs=1e-6)
    assert found.share == pytest.approx((1.1952810 - 0.7) / (OPTIMUM - 0.7), abs=1e-5)


def test_the_interval_contains_the_share_and_is_the_same_for_the_same_seed():
    policy = np.array([0.2, 0.3, 0.5])
    found = share_of(policy, count=100, seed=1)
    assert found.low < found.share < found.high
    assert 0.01 < found.high - found.low < 1
    assert found == share_of(policy, count=100, seed=1)
    assert found.low != share_of(policy, count=100, seed=2).low


def test_more_samples_make_the_interval_narrower():
    policy = np.array([0.2, 0.3, 0.5])
    few, many = share_of(policy, count=100), share_of(policy, count=1000)
    assert many.high - many.low < few.high - few.low


def test_the_counts_are_reported():
    found = share_of(BASE, count=100)
    assert (found.prompts, found.samples, found.reference_samples) == (2, 100, 1000)


def test_without_a_kl_penalty_the_optimum_is_the_best_sample_seen():
    found = optimum_share(
        np.array([[1.0, 2.0]]), np.array([[5.0, 7.0]]), np.array([[0.0, 1.0, 3.0, 0.0]]), 0.0
    )
    assert found.objective_optimum == 3.0
    assert found.share == pytest.approx((1.5 - 1.0) / (3.0 - 1.0))


def test_where_nothing_can_be_bettered_there_is_no_share():
    same = np.ones((2, 4))
    found = optimum_share(same, np.zeros((2, 4)), same, 0.1)
    assert math.isnan(found.share)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_log_mean_exp_of_large_numbers_does_not_overflow():
    assert log_mean_exp(np.array([1e4, 1e4 + math.log(3)])) == pytest.approx(1e4 + math.log(2))
    assert log_mean_exp(np.array([-1e4, -1e4])) == pytest.approx(-1e4)


def test_log_mean_exp_is_over_the_last_axis():
    rows = np.log(np.array([[1.0, 3.0], [5.0, 5.0]]))
    assert np.exp(log_mean_exp(rows)).tolist() == pytest.approx([2.0, 5.0])


def test_a_tiny_kl_coefficient_gives_a_finite_share():
    found = optimum_share(np.ones((1, 3)), np.zeros((1, 3)), np.array([[0.0, 1.0]]), 1e-6)
    assert found.objective_optimum == pytest.approx(1.0, abs=1e-5)
    assert found.share == pytest.approx(1.0, abs=1e-5)
