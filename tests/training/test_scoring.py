"""From terms to what PPO maximises: statistics, scaling, clip, penalty."""

import numpy as np
import pytest
import torch

from ppo_tui.config.schema import RewardConfig
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.training.scoring import RunningMoments, Scorer

BATCHES = [
    list(np.arange(100.0)),
    [1.0] * 100,
    list(np.exp(np.arange(10.0))),
    [-10.0, -1.0, 0.0, 1.0, 10.0],
]


def scorer(penalty=0.0, **config):
    terms = [{"kind": "regex", "pattern": "x", "count": True, "max_count": 100}]
    built = RewardConfig.model_validate({"terms": terms, **config})
    return Scorer(built, penalty, WeightedSum(built.terms))


def shaped(scorer, responses, finished=None, **more):
    ended = torch.tensor(finished or [True] * len(responses))
    scores = scorer.score([""] * len(responses), responses, ended, **more)
    return scores.shaped.tolist()


def test_running_moments_are_those_of_everything_seen():
    moments, seen = RunningMoments(), []
    for batch in BATCHES:
        moments.update(batch)
        seen += batch
        assert moments.count == len(seen)
        assert moments.mean == pytest.approx(np.mean(seen), abs=1e-9)
        assert moments.std == pytest.approx(np.std(seen, ddof=1), abs=1e-6)


def test_large_numbers_that_hardly_differ_keep_their_deviation():
    moments = RunningMoments()
    for batch in ([1e9 + 1, 1e9 + 2], [], [1e9 + 3]):
        moments.update(batch)
    assert moments.std == pytest.approx(1.0)


def test_the_deviation_is_1_until_two_numbers_differ():
    moments = RunningMoments()
    assert moments.std == 1.0
    moments.update([3.0])
    assert moments.std == 1.0
    moments.update([3.0, 3.0])
    assert moments.std == 1.0


def test_moments_survive_their_state():
    one, other = RunningMoments(), RunningMoments()
    one.update(BATCHES[2])
    other.load_state_dict(one.state_dict())
    one.update(BATCHES[3])
    other.update(BATCHES[3])
    assert one.state_dict() == other.state_dict()


def test_nothing_is_shaped_unless_that_is_configured():
    assert shaped(scorer(), ["x", "xxx", ""]) == [1, 3, 0]


def test_running_scaling_divides_by_the_deviation_and_keeps_the_mean():
    assert shaped(scorer(scaling="running"), ["x", "xxxxx"]) == pytest.approx(
        [1 / 2.8284271, 5 / 2.8284271]
    )


def test_the_clip_comes_after_the_scaling():
    values = shaped(scorer(scaling="running", clip=1.0), ["x", "xxxxx"])
    assert values == pytest.approx([0.3535534, 1.0])


def test_the_clip_has_two_sides():
    negative = {"kind": "regex", "pattern": "x", "count": True, "weight": -1.0}
    assert shaped(scorer(terms=[negative], clip=2.0), ["xxxxx", "x"]) == [-2, -1]


def test_the_penalty_for_a_missing_end_comes_last_and_only_there():
    values = shaped(scorer(penalty=1.5, clip=1.0), ["xxx", "xxx", ""], [True, False, False])
    assert values == pytest.approx([1.0, -0.5, -1.5])


def test_the_recorded_score_is_neither_scaled_nor_clipped_nor_penalised():
    scores = scorer(penalty=1.5, clip=1.0).score([""], ["xxx"], torch.tensor([False]))
    assert scores.score.tolist() == [3]
    assert scores.terms == {"regex": (3.0,)}


def test_scores_that_are_only_looked_at_teach_the_statistics_nothing():
    one = scorer(scaling="running")
    shaped(one, ["x", "xxxxx"], learn=False)
    assert one.moments.count == 0
