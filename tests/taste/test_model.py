"""What is learnt from ratings and pairs, and how sure it is."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ppo_tui.errors import RewardError
from ppo_tui.taste.evidence import Evidence
from ppo_tui.taste.model import TasteModel
from tests.taste.worlds import (
    DIMENSIONS,
    compared,
    nothing,
    rank_correlation,
    rated,
    stars,
    world,
)

POOL = world(300, seed=1)
FRESH = world(300, seed=2)


def fitted(count: int) -> TasteModel:
    evidence = rated(POOL.readings[:count], stars(POOL.glad[:count]))
    return TasteModel.fit(evidence, POOL.readings)


def test_forty_ratings_foretell_the_taste_on_fresh_texts() -> None:
    opinion = fitted(40).predict(FRESH.readings)
    assert rank_correlation(opinion.mean, FRESH.glad) > 0.95


def test_the_mean_is_on_the_scale_of_the_ratings() -> None:
    opinion = fitted(60).predict(FRESH.readings)
    assert np.abs(opinion.mean - np.clip(3 + 1.2 * FRESH.glad, 1, 5)).mean() < 0.35
    assert opinion.mean.min() >= 1.0
    assert opinion.mean.max() <= 5.0


def test_more_ratings_make_it_surer() -> None:
    stds = [fitted(count).predict(FRESH.readings).std.mean() for count in (6, 20, 60, 200)]
    assert stds == sorted(stds, reverse=True)
    assert stds[0] > 3 * stds[-1]


def test_it_is_surer_of_what_was_rated_than_of_the_rest() -> None:
    model = fitted(8)
    assert model.predict(POOL.readings[:8]).std.mean() < model.predict(FRESH.readings).std.mean()


def test_a_topic_can_be_the_taste() -> None:
    liked = np.array([name in ("Prompt 1", "Prompt 4", "Prompt 7") for name in POOL.prompts])
    evidence = rated(POOL.readings[:60], np.where(liked[:60], 5.0, 2.0))
    opinion = TasteModel.fit(evidence, POOL.readings).predict(FRESH.readings)
    assert opinion.mean[liked].min() > opinion.mean[~liked].max()


def test_a_length_in_the_middle_can_be_the_taste() -> None:
    tokens = np.exp(POOL.readings[:, -1])
    evidence = rated(POOL.readings[:60], 5.0 - np.minimum(4, np.abs(tokens[:60] - 14) // 3))
    told = TasteModel.fit(evidence, POOL.readings).predict(FRESH.readings).mean
    fresh = np.exp(FRESH.readings[:, -1])
    assert told[np.abs(fresh - 14) < 3].mean() > told[fresh < 6].mean() + 1.5
    assert told[np.abs(fresh - 14) < 3].mean() > told[fresh > 26].mean() + 0.8


def test_pairs_alone_order_texts_around_three() -> None:
    pairs = np.arange(160).reshape(-1, 2)
    opinion = TasteModel.fit(compared(POOL, pairs), POOL.readings).predict(FRESH.readings)
    assert rank_correlation(opinion.mean, FRESH.glad) > 0.9
    assert 2.7 < opinion.mean.mean() < 3.3
    assert 0.7 < opinion.mean.std() < 1.3


def test_few_pairs_leave_it_unsure() -> None:
    few = TasteModel.fit(compared(POOL, np.arange(12).reshape(-1, 2)), POOL.readings)
    many = TasteModel.fit(compared(POOL, np.arange(240).reshape(-1, 2)), POOL.readings)
    few_std, many_std = (model.predict(FRESH.readings).std.mean() for model in (few, many))
    assert few_std > 0.7
    assert few_std > 1.5 * many_std


def test_pairs_help_a_few_ratings_and_keep_their_scale() -> None:
    ratings = rated(POOL.readings[:10], stars(POOL.glad[:10]))
    pairs = 10 + np.arange(160).reshape(-1, 2)
    alone = TasteModel.fit(ratings, POOL.readings).predict(FRESH.readings)
    both = TasteModel.fit(compared(POOL, pairs, ratings), POOL.readings).predict(FRESH.readings)
    truth = np.clip(3 + 1.2 * FRESH.glad, 1, 5)
    assert rank_correlation(both.mean, FRESH.glad) > rank_correlation(alone.mean, FRESH.glad)
    assert np.abs(both.mean - truth).mean() < np.abs(alone.mean - truth).mean()


def test_two_ties_are_a_win_for_each() -> None:
    first, second = POOL.readings[:40], POOL.readings[40:80]
    gap = POOL.glad[:40] > POOL.glad[40:80]

    def told(*last: float) -> NDArray[np.float64]:
        choice = np.append(gap.astype(float), last)
        rows = [*range(40), 0, 0]
        evidence = Evidence(nothing(), np.empty(0), first[rows], second[rows], choice)
        return TasteModel.fit(evidence, POOL.readings).predict(FRESH.readings).mean

    np.testing.assert_allclose(told(0.5, 0.5), told(1.0, 0.0), atol=1e-3)
    assert np.abs(told(0.5, 0.5) - told(1.0, 1.0)).max() > 0.01


def test_swapping_the_texts_of_a_pair_changes_nothing() -> None:
    one = compared(POOL, np.arange(80).reshape(-1, 2))
    other = Evidence(one.x, one.y, one.second, one.first, 1 - one.choice)
    told = [TasteModel.fit(e, POOL.readings).predict(FRESH.readings).mean for e in (one, other)]
    np.testing.assert_allclose(told[0], told[1], atol=1e-3)


def test_a_text_unlike_any_other_is_outside_and_unsure() -> None:
    model = fitted(40)
    odd = FRESH.readings[:20].copy()
    odd[:, :-1] = odd[:, :-1] * 40 + 100
    opinion = model.predict(odd)
    assert model.outside(odd).all()
    assert (opinion.std > 3 * model.predict(FRESH.readings).std.mean()).all()
    assert (opinion.mean >= 1.0).all()
    assert (opinion.mean <= 5.0).all()


def test_a_twentieth_of_the_pool_is_outside() -> None:
    assert fitted(40).outside(POOL.readings).sum() == 15


def test_the_same_evidence_gives_the_same_bits() -> None:
    evidence = compared(
        POOL, 20 + np.arange(80).reshape(-1, 2), rated(POOL.readings[:20], stars(POOL.glad[:20]))
    )
    one, other = (TasteModel.fit(evidence, POOL.readings).to_tensors() for _ in range(2))
    assert one.keys() == other.keys()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_what_was_saved_says_the_same_to_the_bit() -> None:
    evidence = compared(
        POOL, 20 + np.arange(80).reshape(-1, 2), rated(POOL.readings[:20], stars(POOL.glad[:20]))
    )
    model = TasteModel.fit(evidence, POOL.readings)
    again = TasteModel.from_tensors(model.to_tensors())
    one, other = model.predict(FRESH.readings), again.predict(FRESH.readings)
    assert one.mean.tobytes() == other.mean.tobytes()
    assert one.std.tobytes() == other.std.tobytes()
    assert (model.outside(FRESH.readings) == again.outside(FRESH.readings)).all()


def test_five_ratings_on_a_pool_of_five_are_enough_for_numbers() -> None:
    small = world(5, seed=3)
    model = TasteModel.fit(rated(small.readings, np.array([1.0, 2, 3, 4, 5])), small.readings)
    opinion = model.predict(FRESH.readings)
    assert np.isfinite(opinion.mean).all()
    assert np.isfinite(opinion.std).all()
    assert np.ptp(model.predict(small.readings).mean) > 0.5


def test_one_text_rated_by_many_is_the_mean_of_their_ratings() -> None:
    same = np.repeat(POOL.readings[:1], 6, axis=0)
    model = TasteModel.fit(rated(same, np.array([2.0, 3, 2, 3, 2, 3])), POOL.readings)
    assert model.predict(same).mean[0] == pytest.approx(2.5)
    assert np.isfinite(model.predict(FRESH.readings).std).all()


def test_readings_that_never_vary_teach_nothing_but_do_not_break() -> None:
    flat = np.ones((20, DIMENSIONS), np.float32)
    model = TasteModel.fit(rated(flat[:6], np.array([1.0, 5, 1, 5, 1, 5])), flat)
    opinion = model.predict(flat)
    assert opinion.mean == pytest.approx(np.full(20, 3.0))
    assert np.isfinite(opinion.std).all()


def test_all_ratings_alike_are_refused_in_words() -> None:
    with pytest.raises(RewardError, match="All 8 ratings are 4, so nothing tells good") as refused:
        TasteModel.fit(rated(POOL.readings[:8], np.full(8, 4.0)), POOL.readings)
    assert refused.value.code == "ratings.no_signal"


def test_ratings_all_alike_do_not_hide_what_pairs_say() -> None:
    alike = rated(POOL.readings[:8], np.full(8, 4.0))
    evidence = compared(POOL, 10 + np.arange(120).reshape(-1, 2), alike)
    opinion = TasteModel.fit(evidence, POOL.readings).predict(FRESH.readings)
    assert rank_correlation(opinion.mean, FRESH.glad) > 0.85


def test_readings_of_another_model_are_refused() -> None:
    model = fitted(20)
    for width in (DIMENSIONS - 5, DIMENSIONS + 5):
        other = np.zeros((4, width), np.float32)
        with pytest.raises(RewardError, match="of another base model") as refused:
            model.predict(other)
        assert refused.value.code == "reward.reading_mismatch"
        with pytest.raises(RewardError) as refused:
            TasteModel.fit(rated(POOL.readings[:9], stars(POOL.glad[:9])), other)
        assert refused.value.code == "reward.reading_mismatch"


def test_an_array_of_no_layout_is_no_reading() -> None:
    with pytest.raises(RewardError, match="An array of shape 9×60 holds no readings") as refused:
        TasteModel.fit(
            rated(POOL.readings[:9], stars(POOL.glad[:9])), np.zeros((9, 60), np.float32)
        )
    assert refused.value.code == "reward.reading_mismatch"


@pytest.mark.parametrize("broken", ["share", "slope", "views.mixing", "threshold"])
def test_tensors_with_a_part_missing_are_damaged(broken: str) -> None:
    tensors = fitted(20).to_tensors()
    del tensors[broken]
    with pytest.raises(RewardError, match="it lacks") as refused:
        TasteModel.from_tensors(tensors)
    assert refused.value.code == "reward.artefact_damaged"


def test_tensors_that_are_not_finite_or_do_not_fit_are_damaged() -> None:
    for name, value in (
        ("slope", np.full((1, 1), np.nan)),
        ("slope", np.zeros((1, 1))),
        ("offset", np.array([1e300])),
        ("share", np.array([0.5, 0.1])),
        ("views.segments", np.full(3, 99)),
        ("floor", np.array([-1.0])),
    ):
        with pytest.raises(RewardError) as refused:
            TasteModel.from_tensors({**fitted(20).to_tensors(), name: value})
        assert refused.value.code == "reward.artefact_damaged"


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    count=st.integers(5, 40),
    pool=st.integers(1, 60),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    pairs=st.integers(0, 10),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_rated_the_opinion_is_finite_and_on_the_scale(
    count: int, pool: int, scale: float, pairs: int, seed: int
) -> None:
    draws = np.random.default_rng(seed)

    def readings(rows: int) -> NDArray[np.float32]:
        made = draws.standard_normal((rows, DIMENSIONS)) * scale
        made[:, draws.integers(0, DIMENSIONS, 8)] = 1.0
        return made.astype(np.float32)

    ratings = draws.integers(1, 6, count).astype(float)
    ratings[:2] = 1, 5
    choice = draws.choice([0.0, 0.5, 1.0], pairs)
    evidence = Evidence(readings(count), ratings, readings(pairs), readings(pairs), choice)
    opinion = TasteModel.fit(evidence, readings(pool)).predict(readings(30) * 10)
    assert ((opinion.mean >= 1) & (opinion.mean <= 5)).all()
    assert (np.isfinite(opinion.std) & (opinion.std >= 0)).all()


def test_hundreds_of_ratings_are_learnt_in_well_under_a_second() -> None:
    fitted(20)  # scikit-learn takes a second to import
    draws = np.random.default_rng(0)
    readings = draws.standard_normal((1000, 641)).astype(np.float32)
    evidence = rated(readings[:300], stars(readings[:300, 0].astype(float)))
    began = time.process_time()
    TasteModel.fit(evidence, readings)
    assert time.process_time() - began < 4.0  # of all cores, on a busy machine; half a second else


def test_texts_of_a_policy_that_has_moved_do_not_widen_what_is_usual() -> None:
    evidence = rated(POOL.readings[:40], stars(POOL.glad[:40]))
    moved = FRESH.readings * 3.0
    whole = np.concatenate([POOL.readings, moved])
    model = TasteModel.fit(evidence, whole, usual=POOL.readings)
    assert model.outside(POOL.readings).mean() == pytest.approx(0.05, abs=0.01)
    widened = TasteModel.fit(evidence, whole)
    assert model.outside(moved).mean() > widened.outside(moved).mean() + 0.2
