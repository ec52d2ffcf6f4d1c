"""What a resume must not throw away, and what a checkpoint after a failure must not take in."""

import json
import random
import shutil
from pathlib import Path

import pytest
from worker.processes import events, make_run, reward_file
from worker.test_worker import without_clock

from ppo_tui.errors import CheckpointError, RewardError
from ppo_tui.runs.checkpoints import MANIFEST, list_checkpoints, sha256_of, verify_checkpoint
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.training.checkpoint import save_checkpoint
from ppo_tui.training.session import Session
from training.toys import make_trainer

DRAWING = """
import random, threading
from pathlib import Path

MARK = Path(__file__).with_name("broken")

def reward(prompts, responses):
    scores = [random.random() for _ in responses]
    while MARK.exists():
        random.random()
    return scores
"""

JUDGING = """
from pathlib import Path

MARK = Path(__file__).with_name("broken")

def reward(prompts, responses):
    if MARK.exists() and len(responses) != 8:
        raise ValueError("not in an evaluation")
    return [float(response.count("e")) for response in responses]
"""


def executed(run):
    with RunLock(run):
        return Session(run).execute()


@pytest.fixture
def finished_first(small_config, tmp_path):
    """A run that ended after its second step of four, as its state says."""
    config = small_config(steps=2, eval={"at_end": False}, checkpoint={"every": 1})
    run = make_run(tmp_path / "run", config)
    assert executed(run) is Phase.FINISHED
    return run


def test_a_run_whose_checkpoints_are_gone_keeps_its_journals(finished_first):
    run = finished_first
    shutil.rmtree(run.checkpoints_path)
    run.checkpoints_path.mkdir()
    steps, samples = events(run, "step"), run.samples_path.read_bytes()
    with pytest.raises(CheckpointError, match="would erase"):
        executed(run)
    assert events(run, "step") == steps
    assert run.samples_path.read_bytes() == samples


def test_a_reward_that_hangs_and_goes_on_drawing_does_not_move_what_is_saved(
    small_config, tmp_path
):
    terms = reward_file(tmp_path, DRAWING)
    trainer = make_trainer(small_config(reward={**terms, "timeout_seconds": 0.2}))
    steps = trainer.steps()
    next(steps)
    (tmp_path / "broken").touch()
    before = random.getstate()
    with pytest.raises(RewardError, match="has not answered"):
        next(steps)
    path = save_checkpoint(tmp_path, trainer, {})
    (tmp_path / "broken").unlink()
    saved = verify_checkpoint(path)["reward_rng"]["python"]
    assert saved == json.loads(json.dumps(before))


HOSTILE = {
    "no extra": lambda state: state.pop("extra"),
    "empty extra": lambda state: state.update(extra={}),
    "endless offset": lambda state: state["extra"].update(events_offset=float("inf")),
    "a text for an offset": lambda state: state["extra"].update(events_offset="x"),
    "no list": lambda state: state["extra"].update(unwell=5),
    "endless step": lambda state: state["trainer"].update(step=float("inf")),
    "another step": lambda state: state["trainer"].update(step=-3),
    "a text for a rate": lambda state: state["trainer"]["learning_rate"].update(scale="x"),
    "a text for a mean": lambda state: state["trainer"]["reward_moments"].update(mean="x"),
    "huge generator": lambda state: state["reward_rng"]["python"].__setitem__(1, [2**70] * 625),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_checkpoint_of_a_stranger_with_right_hashes_is_refused_in_a_sentence(
    finished_first, what
):
    run = finished_first
    for _, path in list_checkpoints(run.checkpoints_path):
        record = path / "state.json"
        state = json.loads(record.read_text())
        HOSTILE[what](state)
        record.write_text(json.dumps(state))
        manifest = json.loads((path / MANIFEST).read_text())
        manifest["sha256"]["state.json"] = sha256_of(record)
        (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as caught:
        executed(run)
    assert caught.value.code in ("checkpoint.damaged", "checkpoint.mismatch")


def test_a_reward_that_fails_in_an_evaluation_costs_no_step(small_config, tmp_path):
    terms = reward_file(tmp_path, JUDGING)
    config = small_config(
        steps=4,
        reward=terms,
        checkpoint={"every": 0},
        eval={"every": 3, "at_end": False, "watch_prompts": 0, "samples": 6},
    )
    straight = make_run(tmp_path / "straight", config)
    assert executed(straight) is Phase.FINISHED
    run = make_run(tmp_path / "run", config)
    (tmp_path / "broken").touch()
    with pytest.raises(RewardError, match="not in an evaluation"):
        executed(run)
    assert [step for step, _ in list_checkpoints(run.checkpoints_path)] == [3]
    (tmp_path / "broken").unlink()
    assert executed(run) is Phase.FINISHED
    assert without_clock(run) == without_clock(straight)
    weights = Path("checkpoints/step-000004/policy/adapter_model.safetensors")
    assert (run.path / weights).read_bytes() == (straight.path / weights).read_bytes()
