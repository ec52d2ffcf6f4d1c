"""The watched prompts: base and policy answer them, and training notices nothing of it."""

import json
import random

import numpy as np
import pytest
import torch
from trusting import confirmed

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.phase import Phase
from ppo_tui.training.session import Session
from training.test_checkpoint import Stop, everything, train
from training.toys import make_trainer

DRAWING = """
import random
import numpy as np, torch

def reward(prompts, responses):
    noise = random.random() + np.random.rand() + float(torch.rand(()))
    return [float(len(response)) + noise for response in responses]
"""


def make_run(folder, config):
    return RunDirectory.create(folder, config_to_yaml(config), total=config.steps)


def answers(run):
    """The events of answers as (step, who, answers)."""
    return [
        (event["step"], event["who"], event["answers"])
        for event in read_journal(run.events_path).records
        if event["kind"] == "answers"
    ]


def kinds(run):
    return [(event["kind"], event.get("step")) for event in read_journal(run.events_path).records]


def test_before_training_base_and_policy_give_the_same_answers(small_config):
    trainer = make_trainer(small_config())

    base, policy = trainer.answers("base"), trainer.answers("policy")

    assert base == policy
    assert [answer.prompt for answer in base] == [prompt.text for prompt in trainer.data.eval[:4]]
    assert trainer.answers("base") == base


def test_after_training_the_base_answers_as_before_and_the_policy_does_not(small_config):
    trainer = make_trainer(small_config(steps=3))
    before = trainer.answers("base")
    train(trainer, 3)

    assert trainer.answers("base") == before
    assert trainer.answers("policy") != before
    assert trainer.answers("policy") == trainer.answers("policy")


def test_an_answer_has_the_score_that_a_sample_would_have(small_config):
    trainer = make_trainer(small_config(reward={"scaling": "running"}))
    for answer in trainer.answers("base"):
        vowels = sum(letter in "aeiou" for letter in answer.response)
        assert answer.score == vowels


def test_training_is_the_same_to_the_last_bit_with_and_without(small_config, tmp_path):
    source = tmp_path / "reward.py"
    source.write_text(DRAWING, encoding="utf-8")
    config = small_config(
        reward={"terms": [{"kind": "python", "path": str(confirmed(source))}], "scaling": "running"}
    )
    seen = []
    for watching in (False, True):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        trainer = make_trainer(config)
        records = []
        for _ in range(3):
            if watching:
                trainer.answers("base")
                trainer.answers("policy")
            records += train(trainer, 1)
        seen.append((json.dumps(records), everything(trainer), trainer.state_dict()))
    (quiet, quiet_tensors, quiet_state), (watched, watched_tensors, watched_state) = seen
    assert watched == quiet
    assert watched_state == quiet_state
    assert all(torch.equal(a, b) for a, b in zip(quiet_tensors, watched_tensors, strict=True))


def test_the_base_answers_once_and_the_policy_every_so_many_steps_and_at_the_end(
    small_config, tmp_path
):
    config = small_config(steps=5, eval={"watch_every": 2, "watch_prompts": 3, "at_end": False})
    run = make_run(tmp_path / "run", config)
    Session(run).execute()

    assert [(step, who) for step, who, _ in answers(run)] == [
        (0, "base"),
        (2, "policy"),
        (4, "policy"),
        (5, "policy"),
    ]
    first, *others = (given for _, _, given in answers(run))
    assert len(first) == 3
    assert set(first[0]) == {"prompt", "response", "score"}
    for given in others:
        assert [a["prompt"] for a in given] == [a["prompt"] for a in first]
    assert kinds(run).index(("answers", 0)) < kinds(run).index(("step", 1))


def test_without_watched_prompts_nobody_answers(small_config, tmp_path):
    config = small_config(steps=2, eval={"watch_prompts": 0, "watch_every": 1})
    run = make_run(tmp_path / "run", config)
    Session(run).execute()

    assert answers(run) == []


def test_no_more_prompts_are_watched_than_there_are(small_config):
    trainer = make_trainer(small_config(eval={"watch_prompts": 100}))

    assert len(trainer.answers("base")) == len(trainer.data.eval) == 3


@pytest.mark.parametrize("stop_at", [1, 2])
def test_a_resumed_run_has_the_answers_of_one_that_was_never_stopped(
    small_config, tmp_path, stop_at
):
    config = small_config(eval={"watch_every": 2, "at_end": False}, checkpoint={"every": 0})
    straight, halved = make_run(tmp_path / "a", config), make_run(tmp_path / "b", config)
    Session(straight).execute()
    assert Session(halved, Stop(halved, stop_at)).execute() is Phase.STOPPED
    assert Session(halved).execute() is Phase.FINISHED

    assert answers(halved) == answers(straight)
    assert len(answers(halved)) == 3


def test_a_run_of_before_the_watched_prompts_gets_the_base_s_answers_when_it_goes_on(
    small_config, tmp_path
):
    without, with_ = (
        small_config(eval={"watch_prompts": count, "at_end": False}, checkpoint={"every": 2})
        for count in (0, 2)
    )
    run = make_run(tmp_path / "run", without)
    Session(run, Stop(run, 2)).execute()
    run.config_path.write_text(config_to_yaml(with_), encoding="utf-8")
    Session(run).execute()

    assert [(step, who) for step, who, _ in answers(run)] == [(2, "base"), (4, "policy")]
