"""Base against tuned on the held-out prompts of a real run."""

import pytest
from training.toys import make_trainer

EVAL = {"prompts": 3, "samples": 8, "reference_samples": 8}


def test_an_untrained_policy_has_no_kl_and_answers_on_held_out_prompts(small_config):
    trainer = make_trainer(small_config(eval=EVAL))
    found = trainer.evaluate()
    assert found.kl == 0.0
    held_out = [prompt.text for prompt in trainer.data.eval]
    assert [pair.prompt for pair in found.pairs] == held_out[:3]
    assert not set(held_out) & {prompt.text for prompt in trainer.data.train}
    assert (found.share.prompts, found.share.samples, found.share.reference_samples) == (3, 8, 8)


def test_evaluating_twice_gives_the_same_answer(small_config):
    trainer = make_trainer(small_config(eval=EVAL))
    assert trainer.evaluate() == trainer.evaluate()


def test_training_shows_in_the_evaluation_of_tuned_and_not_of_base(small_config):
    trainer = make_trainer(small_config(eval=EVAL, steps=6))
    before = trainer.evaluate()
    list(trainer.steps())
    after = trainer.evaluate()
    assert after.score_base == before.score_base
    assert after.kl > 0.1
    assert [pair.base for pair in after.pairs] == [pair.base for pair in before.pairs]
    assert [pair.tuned for pair in after.pairs] != [pair.tuned for pair in before.pairs]
    assert {pair.base for pair in after.pairs} == {pair.base for pair in before.pairs}


def test_with_running_scaling_base_and_tuned_are_scaled_alike(small_config):
    trainer = make_trainer(small_config(eval=EVAL, reward={"scaling": "running"}))
    first = trainer.evaluate()
    list(trainer.steps())
    second = trainer.evaluate()
    std = trainer.scorer.moments.std
    assert std != 1.0
    assert first.share.objective_base == pytest.approx(first.score_base)
    assert second.share.objective_base == pytest.approx(second.score_base / std)


def test_evaluation_does_not_feed_the_running_statistics(small_config):
    trainer = make_trainer(small_config(eval=EVAL, reward={"scaling": "running"}))
    trainer.evaluate()
    assert trainer.scorer.moments.count == 0


def test_where_no_prompts_are_held_out_the_train_prompts_are_used(small_config):
    trainer = make_trainer(small_config(eval={**EVAL, "prompts": 100}, data={"eval_fraction": 0}))
    assert len(trainer.evaluate().pairs) == 12


def test_every_number_of_an_evaluation_has_a_name(small_config):
    metrics = make_trainer(small_config(eval=EVAL)).evaluate().metrics
    assert set(metrics) == {
        "eval/score_base",
        "eval/score_tuned",
        "eval/kl",
        "eval/objective",
        "eval/objective_base",
        "eval/objective_optimum",
        "eval/share_of_optimum",
        "eval/share_low",
        "eval/share_high",
        "eval/prompts",
        "eval/samples",
        "eval/reference_samples",
    }
