"""Which texts are asked about, and what is never asked."""

from __future__ import annotations

import time

import numpy as np

from ppo_tui.taste.choose import choose, choose_pairs
from ppo_tui.taste.model import TasteModel
from tests.taste.worlds import World, nothing, rank_correlation, rated, stars, world

POOL = world(200, seed=1)


def asked(
    pool: World, count: int, rows: list[int] | None = None, model: TasteModel | None = None
) -> list[int]:
    rows = rows or []
    rated_rows = pool.readings[rows]
    picks = choose(pool.readings, pool.prompts, pool.texts, rated_rows, count, model, set(rows))
    return [pick.index for pick in picks]


def taught(rows: list[int]) -> TasteModel:
    return TasteModel.fit(rated(POOL.readings[rows], stars(POOL.glad[rows])), POOL.readings)


def test_the_same_pool_gives_the_same_questions() -> None:
    assert asked(POOL, 12) == asked(POOL, 12)
    assert len(set(asked(POOL, 12))) == 12


def test_prompts_take_turns() -> None:
    prompts = [POOL.prompts[at] for at in asked(POOL, 10)]
    assert len(set(prompts)) >= 8


def test_what_is_skipped_is_not_asked() -> None:
    first = asked(POOL, 10)
    picks = choose(POOL.readings, POOL.prompts, POOL.texts, nothing(), 10, None, frozenset(first))
    assert not {pick.index for pick in picks} & set(first)
    assert len(picks) == 10


def test_the_same_words_are_asked_about_once() -> None:
    texts = ["It was  good." if at % 2 else "it was GOOD." for at in range(200)]
    picks = choose(POOL.readings, POOL.prompts, texts, nothing(), 50, None, ())
    assert len(picks) == 10  # one for each prompt


def test_nearly_the_same_reading_is_asked_about_once() -> None:
    draws = np.random.default_rng(0)
    near = np.repeat(POOL.readings[:10], 20, axis=0)
    near[:, :-1] += draws.standard_normal(near[:, :-1].shape).astype(np.float32) * 1e-3
    prompts = [f"Prompt {at}" for at in range(200)]
    picks = choose(near, prompts, POOL.texts, nothing(), 50, None, ())
    assert sorted(pick.index // 20 for pick in picks) == list(range(10))


def test_nearly_what_was_rated_is_not_asked_about() -> None:
    rows = [3, 50, 120]
    picks = choose(POOL.readings, POOL.prompts, POOL.texts, POOL.readings[rows], 200, None, ())
    assert not {pick.index for pick in picks} & set(rows)


def test_a_small_pool_is_asked_about_to_its_end() -> None:
    five = world(5, seed=4)
    assert sorted(asked(five, 10)) == [0, 1, 2, 3, 4]
    assert asked(world(1, seed=4), 10) == [0]
    assert asked(POOL, 0) == []


def test_an_empty_pool_has_nothing_to_ask() -> None:
    assert choose(nothing(), [], [], nothing(), 10, None, ()) == []
    assert choose_pairs(nothing(), [], [], nothing(), 10, None, ()) == []


def test_chosen_ratings_teach_more_than_random_ones() -> None:
    fresh = world(300, seed=2)
    draws = np.random.default_rng(0)

    def learnt(rows: list[int]) -> float:
        return rank_correlation(taught(rows).predict(fresh.readings).mean, fresh.glad)

    random = [learnt(draws.permutation(200)[:20].tolist()) for _ in range(10)]
    assert learnt(asked(POOL, 20)) > np.mean(random) + 0.02


def test_the_reason_says_how_unsure_the_reward_is() -> None:
    rows = list(range(30))
    model = taught(rows)
    picks = choose(POOL.readings, POOL.prompts, POOL.texts, POOL.readings[rows], 10, model, rows)
    opinion = model.predict(POOL.readings)
    told = [pick for pick in picks if pick.reason.startswith("the reward is unsure of it")]
    assert told
    for pick in told:
        mean, std = opinion.mean[pick.index], opinion.std[pick.index]
        assert pick.reason == f"the reward is unsure of it ({mean:.1f} ± {std:.1f})"


def test_the_reason_says_that_nothing_like_it_was_rated() -> None:
    picks = choose(POOL.readings, POOL.prompts, POOL.texts, POOL.readings[:1], 3, None, {0})
    assert picks[0].reason == "nothing like it has been rated"


def test_pairs_are_two_different_answers_to_one_prompt() -> None:
    picks = choose_pairs(POOL.readings, POOL.prompts, POOL.texts, nothing(), 8, None, ())
    assert len(picks) == 8
    assert all(POOL.prompts[pick.first] == POOL.prompts[pick.second] for pick in picks)
    texts = [at for pick in picks for at in (pick.first, pick.second)]
    assert len(set(texts)) == 16
    assert len({POOL.prompts[pick.first] for pick in picks}) >= 6


def test_there_is_no_pair_of_the_same_words_or_of_one_answer() -> None:
    same = ["The same." for _ in POOL.texts]
    assert choose_pairs(POOL.readings, POOL.prompts, same, nothing(), 8, None, ()) == []
    alone = [f"Prompt {at}" for at in range(200)]
    assert choose_pairs(POOL.readings, alone, POOL.texts, nothing(), 8, None, ()) == []


def test_a_pair_holds_nothing_that_is_skipped() -> None:
    skip = set(range(0, 200, 2))
    picks = choose_pairs(POOL.readings, POOL.prompts, POOL.texts, nothing(), 8, None, skip)
    assert picks
    assert all(pick.first % 2 and pick.second % 2 for pick in picks)


def test_pairs_are_close_calls_once_something_is_known() -> None:
    rows = list(range(60))
    model = taught(rows)
    mean = model.predict(POOL.readings).mean

    def gap(model: TasteModel | None) -> float:
        picks = choose_pairs(
            POOL.readings, POOL.prompts, POOL.texts, POOL.readings[rows], 10, model, ()
        )
        return float(np.mean([abs(mean[pick.first] - mean[pick.second]) for pick in picks]))

    assert gap(model) < gap(None)


def test_ten_of_three_thousand_are_chosen_quickly() -> None:
    draws = np.random.default_rng(0)
    pool = draws.standard_normal((3000, 1281)).astype(np.float32)
    prompts = [f"Prompt {at % 300}" for at in range(3000)]
    texts = [f"text {at}" for at in range(3000)]
    ratings = rated(pool[:60], stars(pool[:60, 0].astype(float)))
    model = TasteModel.fit(ratings, pool[:1000])
    began = time.process_time()
    choose(pool, prompts, texts, pool[:60], 10, model, set(range(60)))
    assert time.process_time() - began < 3.0  # of all cores, on a busy machine; 0.3 s else
