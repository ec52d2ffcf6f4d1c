import errno
import os
from pathlib import Path

import pytest

from ppo_tui.errors import RunError, RunExists, StorageError
from ppo_tui.runs.directory import RunDirectory, new_run_path
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state

CONFIG = "schema_version: 1\n"


def test_a_new_run_is_private_and_has_what_a_run_begins_with(tmp_path):
    run = RunDirectory.create(tmp_path / "runs" / "demo", CONFIG, total=60)
    assert sorted(os.listdir(run.path)) == [
        "checkpoints",
        "config.yaml",
        "control",
        "lock",
        "state.json",
    ]
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert run.config_path.read_text() == CONFIG
    state = read_state(run)
    assert (state.state, state.step, state.total) == (Phase.CREATED, 0, 60)
    assert 0 < state.started <= state.updated
    assert run.name == "demo"


def test_an_empty_folder_may_become_a_run_and_turns_private(tmp_path):
    (tmp_path / "run").mkdir(mode=0o755)
    run = RunDirectory.create(tmp_path / "run", CONFIG)
    assert run.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunExists) as caught:
        RunDirectory.create(tmp_path, CONFIG)
    assert caught.value.code == "run.exists"
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_an_existing_run_is_refused_and_left_alone(run):
    before = run.state_path.read_bytes()
    with pytest.raises(RunExists):
        RunDirectory.create(run.path, "other: config\n")
    assert run.state_path.read_bytes() == before


def test_a_file_in_the_place_is_refused_and_left_alone(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(RunExists):
        RunDirectory.create(tmp_path / "f", CONFIG)
    assert (tmp_path / "f").read_text() == "mine"


def test_a_place_under_a_file_is_one_clear_error_and_nothing_is_made(tmp_path):
    (tmp_path / "f").write_text("mine")
    with pytest.raises(StorageError, match="Not a directory"):
        RunDirectory.create(tmp_path / "f" / "deep" / "run", CONFIG)
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize("call", ["replace", "write", "fsync"])
def test_a_failure_half_way_leaves_nothing_half_made(tmp_path, monkeypatch, call):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError) as caught:
        RunDirectory.create(tmp_path / "new" / "runs" / "demo", CONFIG)
    monkeypatch.undo()
    assert caught.value.code == "storage.full"
    assert os.listdir(tmp_path) == []


def test_a_failure_in_a_folder_that_was_there_leaves_it_empty(tmp_path, monkeypatch):
    def forbidden(*args, **kwargs):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(os, "replace", forbidden)
    with pytest.raises(StorageError) as caught:
        RunDirectory.create(tmp_path / "run", CONFIG)
    monkeypatch.undo()
    assert caught.value.code == "storage.permission"
    assert os.listdir(tmp_path / "run") == []


def test_a_full_disk_leaves_nothing_half_made(small_disk):
    (small_disk / "ballast").write_bytes(b"x" * 56_000)
    with pytest.raises(StorageError) as caught:
        RunDirectory.create(small_disk / "runs" / "demo", "#" * 20_000)
    assert caught.value.code == "storage.full"
    assert os.listdir(small_disk) == ["ballast"]


def test_of_two_creators_of_one_place_one_wins(tmp_path, monkeypatch):
    """Both find the same empty folder; the other is faster by one file."""
    place = tmp_path / "run"
    place.mkdir()
    really = Path.chmod

    def meanwhile(path, mode):
        really(path, mode)
        (path / "config.yaml").write_text("the other's")

    monkeypatch.setattr(Path, "chmod", meanwhile)
    with pytest.raises(RunExists):
        RunDirectory.create(place, CONFIG)
    assert (place / "config.yaml").read_text() == "the other's"


def test_a_run_is_opened_by_its_path(run):
    assert RunDirectory.open(run.path) == run


def test_a_relative_path_is_made_absolute(run, monkeypatch):
    monkeypatch.chdir(run.path.parent)
    assert RunDirectory.open(Path("run")) == run


def test_a_place_with_nothing_is_a_missing_run(tmp_path):
    with pytest.raises(RunError, match="there is no run at") as caught:
        RunDirectory.open(tmp_path / "gone")
    assert caught.value.code == "run.missing"


@pytest.mark.parametrize("missing", ["config.yaml", "state.json"])
def test_a_folder_that_lacks_a_file_of_a_run_is_no_run_and_says_which(run, missing):
    (run.path / missing).unlink()
    with pytest.raises(RunError, match=f"it has no {missing}") as caught:
        RunDirectory.open(run.path)
    assert caught.value.code == "run.not_a_run"


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(RunError, match="is a file") as caught:
        RunDirectory.open(tmp_path / "f")
    assert caught.value.code == "run.not_a_run"


def test_a_new_path_is_named_after_the_preset_and_the_time(tmp_path):
    path = new_run_path(tmp_path, "demo")
    assert path.parent == tmp_path
    stem, day, clock = path.name.split("-")
    assert (stem, len(day), len(clock)) == ("demo", 8, 6)
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_taken_gets_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr("ppo_tui.runs.directory.time.strftime", lambda form: "20261123-214512")
    for expected in ("demo-20261123-214512", "demo-20261123-214512-2", "demo-20261123-214512-3"):
        path = new_run_path(tmp_path, "demo")
        assert path.name == expected
        path.mkdir()


@pytest.mark.parametrize("stem", ["../../etc", "a/b", "", ".hidden", "-x", "\x1b[31m", "ü" * 300])
def test_no_stem_leads_out_of_the_folder_or_makes_an_odd_name(tmp_path, stem):
    path = new_run_path(tmp_path, stem)
    assert path.parent == tmp_path
    assert path.name.isascii()
    assert path.name.isprintable()
    assert path.name[0].isalnum()
    assert len(path.name) < 100


def test_a_configuration_with_lone_surrogates_can_still_be_written(tmp_path):
    run = RunDirectory.create(tmp_path / "run", "description: a\ud800b\n")
    assert run.config_path.read_text("utf-8") == "description: a\ufffdb\n"
