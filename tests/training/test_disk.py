"""Room on the disk is asked for before it is needed."""

import pytest

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.errors import StorageError
from ppo_tui.runs.checkpoints import files_of, list_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe
from ppo_tui.training import disk
from ppo_tui.training.checkpoint import checkpoint_bytes
from ppo_tui.training.disk import Disk
from ppo_tui.training.session import Session
from training.toys import make_trainer


@pytest.fixture
def asked(monkeypatch):
    """What room was asked for, in bytes."""
    found = []
    monkeypatch.setattr(disk, "check_space", lambda folder, needed, what: found.append(needed))
    return found


@pytest.fixture
def run(small_config, tmp_path):
    return RunDirectory.create(tmp_path / "run", config_to_yaml(small_config()), total=4)


@pytest.mark.parametrize(
    ("checkpoint", "step", "count"),
    [
        ({"every": 1, "keep": 2}, 0, 4),  # two, the best, and the one that is being written
        ({"every": 1, "keep": 2, "keep_best": False}, 0, 3),
        ({"every": 2, "keep": 5}, 0, 2),  # no more than are ever saved
        ({"every": 0}, 0, 1),
        ({"every": 1, "keep": 5}, 3, 1),
    ],
)
def test_as_much_is_asked_for_as_is_there_at_once(
    small_config, run, asked, checkpoint, step, count
):
    config = small_config(checkpoint=checkpoint)
    trainer = make_trainer(config)
    Disk(run, config, trainer).check_start(step)
    assert asked == [count * checkpoint_bytes(trainer)]


def test_a_run_that_is_done_asks_for_nothing(small_config, run, asked):
    config = small_config()
    Disk(run, config, make_trainer(config)).check_start(config.steps)
    assert asked == []


def test_what_is_foreseen_of_a_checkpoint_is_not_less_than_it_takes(small_config, tmp_path):
    config = small_config(steps=1, ppo={"value": "adapter"}, eval={"at_end": False})
    run = RunDirectory.create(tmp_path / "run", config_to_yaml(config), total=1)
    Session(run).execute()
    ((_, path),) = list_checkpoints(run.checkpoints_path)
    taken = sum(file.stat().st_size for file in files_of(path))
    assert taken <= checkpoint_bytes(make_trainer(config)) <= 4 * taken


def test_a_disk_that_is_too_small_is_refused_before_the_first_step(small_config, run, monkeypatch):
    from ppo_tui.runs import space

    monkeypatch.setattr(space, "free_space", lambda folder: 100_000)
    with pytest.raises(StorageError) as caught:
        Session(run).execute()
    assert caught.value.code == "storage.full"
    assert "checkpoint" in caught.value.message
    seen = observe(run)
    assert (seen.phase, seen.state.step) == (Phase.FAILED, 0)


def test_a_disk_that_will_not_last_is_told_once_and_no_more_when_there_is_room(
    small_config, run, monkeypatch
):
    config = small_config(steps=100)
    watched = Disk(run, config, make_trainer(config))
    free = [10**9]
    monkeypatch.setattr(disk, "free_space", lambda folder: free[0])
    assert watched.look(0, 0) == []
    assert watched.look(1, 1_000_000) == []  # a megabyte a step, and a thousand of them free
    free[0] = 50_000_000
    (note,) = watched.look(2, 2_000_000)
    assert (note.code, note.happened) == ("health.disk", False)
    assert "47.7 MiB are left" in note.message
    free[0] = 10**9
    assert watched.look(3, 3_000_000) == []
    monkeypatch.setattr(disk, "free_space", lambda folder: None)
    assert watched.look(4, 4_000_000) == []
