"""A run directory is private to its user, and whatever is planted in one leads nowhere else."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from ppo_tui.cli.outcome import adapter_path
from ppo_tui.errors import CheckpointError, PpoTuiError, RunError, StorageError
from ppo_tui.runs.catalog import delete_run, summarise
from ppo_tui.runs.checkpoints import MANIFEST, list_checkpoints, sha256_of, verify_checkpoint
from ppo_tui.runs.control import Inbox, post, waiting
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalTail, JournalWriter, read_journal
from ppo_tui.runs.launch import last_launch, start_worker
from ppo_tui.runs.lock import RunLock, is_held
from ppo_tui.runs.log_tail import LogTail
from ppo_tui.runs.pool import read_pool
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.records import checkpoint_event
from ppo_tui.runs.state import read_state
from storage.program import stand_in

CONFIG = "schema_version: 1\nno_such_setting: 1\n"
FILES = (
    "config.yaml",
    "state.json",
    "events.jsonl",
    "samples.jsonl",
    "pool.jsonl",
    "ratings.jsonl",
    "log.txt",
    "lock",
    "launch.json",
)
FOLDERS = ("control", "checkpoints")


@pytest.fixture
def run(home):
    return RunDirectory.create(home / "runs" / "mine", CONFIG)


@pytest.fixture
def outside(tmp_path):
    """What lies outside the run, and must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.json").write_text('{"v": 1, "state": "finished", "secret": "mine"}\n')
    folder.chmod(0o755)
    (folder / "precious.json").chmod(0o644)
    return folder


def look_of(folder: Path) -> list[tuple[str, int, bytes]]:
    return [
        (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    ]


def plant(run: RunDirectory, name: str, target: Path) -> None:
    """Put a link in the place of one of the run's files."""
    place = run.path / name
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(target)


# ---- links


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_no_command_follows_a_link_in_a_run_and_delete_removes_the_link(
    run, outside, here, home, name
):
    plant(run, name, outside / "precious.json" if name in FILES else outside)
    before = look_of(outside)
    for command in (("runs", "show"), ("watch", "--plain"), ("resume",), ("stop",), ("pause",)):
        told = here(*command[:2] if command[0] == "runs" else command[:1], "mine", *command[2:])
        assert told.code == 1
        assert f"{name} of " in told.error
        assert "is a symbolic link, and a run's files must lie in it" in told.error
        assert "mine" not in told.out
    assert here("runs", "show", "mine", "--json").json["error"]["code"] == "run.link"
    (listed,) = here("runs", "list", "--json").json["runs"]
    assert "symbolic link" in listed["problem"]
    assert here("runs", "delete", "mine", "--yes").code == 0
    assert not run.path.exists()
    assert look_of(outside) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_a_worker_started_on_such_a_run_refuses_it_and_touches_nothing(run, outside, name, nursery):
    plant(run, name, outside / "precious.json" if name in FILES else outside)
    before, state = look_of(outside), run.state_path.read_bytes()
    assert nursery.work(run) == 1
    assert look_of(outside) == before
    assert run.state_path.read_bytes() == state
    if name != "log.txt":
        words = f"run.link: {name} of {run.path} is a symbolic link"
        assert words in run.log_path.read_text()


def test_a_link_that_comes_later_is_not_followed_either(run, outside):
    """Whoever has opened the run already: every file is opened without following links."""
    for name in FILES:
        plant(run, name, outside / "precious.json")
    for name in FOLDERS:
        plant(run, name, outside)
    before = look_of(outside)
    for write in (
        lambda: JournalWriter(run.events_path),
        lambda: RunLock(run).acquire(timeout=0),
        lambda: start_worker(run),
    ):
        with pytest.raises(StorageError) as caught:
            write()
        assert caught.value.code == "run.link"
    for read in (
        lambda: read_journal(run.samples_path),
        lambda: JournalTail(run.events_path).poll(),
        lambda: LogTail(run.log_path).poll(),
    ):
        with pytest.raises(OSError, match="it is a symbolic link"):
            read()
    with pytest.raises(RunError, match="it is a symbolic link"):
        read_pool(run.pool_path)
    with pytest.raises(RunError) as caught_run:
        read_state(run)
    assert caught_run.value.code == "run.link"
    with pytest.raises(RunError) as caught_run:
        post(run, "stop")
    assert caught_run.value.code == "run.link"
    assert (last_launch(run), is_held(run), waiting(run)) == (None, False, [])
    assert Inbox(run).take() == []
    assert list_checkpoints(run.checkpoints_path) == []
    assert look_of(outside) == before


@pytest.mark.parametrize("name", ["events.jsonl", "samples.jsonl", "pool.jsonl"])
def test_a_pipe_in_place_of_a_journal_keeps_no_worker_waiting(run, name):
    os.mkfifo(run.path / name)
    with pytest.raises(StorageError, match=f"{name} could not be written"):
        JournalWriter(run.path / name)


def test_a_pipe_in_place_of_the_log_keeps_nobody_waiting(run):
    os.mkfifo(run.log_path)
    with pytest.raises(StorageError, match=r"log\.txt could not be written"):
        start_worker(run)


def test_a_request_that_is_a_link_is_set_aside_unread(run, outside):
    (run.control_path / "1.json").symlink_to(outside / "precious.json")
    before = look_of(outside)
    inbox = Inbox(run)
    assert inbox.take() == []
    assert [(odd.name, odd.problem) for odd in inbox.set_aside] == [("1.json", "it is a link")]
    assert look_of(outside) == before


def test_a_run_that_is_itself_a_link_is_the_users_own_choice(run, tmp_path, here):
    (tmp_path / "short").symlink_to(run.path)
    told = here("runs", "show", str(tmp_path / "short"))
    assert told.code == 0
    assert "created, step 0" in told.out
    refused = here("runs", "delete", str(tmp_path / "short"), "--yes")
    assert refused.code == 1
    assert "delete that run itself" in refused.error
    assert run.path.exists()


# ---- checkpoints


@pytest.fixture
def checkpoint(run):
    folder = run.checkpoints_path / "step-000001"
    (folder / "policy").mkdir(parents=True)
    (folder / "state.json").write_text('{"v": 1}')
    (folder / "policy" / "adapter_model.safetensors").write_bytes(b"weights")
    write_manifest(folder, "state.json", "policy/adapter_model.safetensors")
    return folder


def write_manifest(folder, *names):
    hashes = {name: sha256_of(folder / name) for name in names}
    (folder / MANIFEST).write_text(json.dumps({"v": 1, "sha256": hashes}))


def test_the_checkpoint_of_these_tests_is_whole(checkpoint):
    assert verify_checkpoint(checkpoint) == {"v": 1}


@pytest.mark.parametrize("name", ["state.json", "policy/adapter_model.safetensors", MANIFEST])
def test_a_file_of_a_checkpoint_that_is_a_link_is_damage(checkpoint, outside, name):
    target = outside / "target"
    target.write_bytes((checkpoint / name).read_bytes())
    (checkpoint / name).unlink()
    (checkpoint / name).symlink_to(target)
    with pytest.raises(CheckpointError, match="is a symbolic link") as caught:
        verify_checkpoint(checkpoint)
    assert caught.value.code == "checkpoint.damaged"


def test_a_folder_of_a_checkpoint_that_is_a_link_is_damage(checkpoint, outside):
    (checkpoint / "policy").rename(outside / "policy")
    (checkpoint / "policy").symlink_to(outside / "policy")
    with pytest.raises(CheckpointError, match="policy is a symbolic link"):
        verify_checkpoint(checkpoint)


def test_a_checkpoint_that_is_a_link_is_none(run, checkpoint, outside):
    checkpoint.rename(outside / "step-000001")
    checkpoint.symlink_to(outside / "step-000001")
    assert list_checkpoints(run.checkpoints_path) == []


@pytest.mark.parametrize("name", ["../../../outside/precious.json", "/etc/hostname", "..", "a\0b"])
def test_a_manifest_that_names_what_lies_outside_is_damage(checkpoint, name):
    hashes = json.loads((checkpoint / MANIFEST).read_text())["sha256"]
    (checkpoint / MANIFEST).write_text(json.dumps({"v": 1, "sha256": {**hashes, name: "0" * 64}}))
    with pytest.raises(CheckpointError, match="missing") as caught:
        verify_checkpoint(checkpoint)
    assert caught.value.code == "checkpoint.damaged"


@pytest.mark.parametrize(
    "path", ["../../outside", "/etc", "checkpoints/../../../outside", "checkpoints/step-1/../.."]
)
def test_a_journal_cannot_name_an_adapter_outside_the_run(run, outside, path):
    (outside / "policy").mkdir()
    with JournalWriter(run.events_path) as journal:
        journal.append(checkpoint_event(1, path).to_json())
    progress = Progress(run)
    progress.poll()
    assert progress.checkpoint == ""
    assert adapter_path(run, progress) is None


# ---- private


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_run_is_private_whatever_the_umask_says(home, mask):
    before = os.umask(mask)
    try:
        run = RunDirectory.create(home / "runs" / "mine", CONFIG)
        subprocess.run(stand_in(run.path, 2, "finished"), check=True)
        post(run, "pause")
        start_worker(run).wait()  # its configuration is refused: it writes a log and its state
    finally:
        os.umask(before)
    for folder in (home, home / "runs", run.path, run.control_path, run.checkpoints_path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert {"events.jsonl", "samples.jsonl", "state.json", "lock", "log.txt", "launch.json"} <= {
        path.name for path in files
    }
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_cannot_be_used_is_one_problem_in_a_list(run, outside):
    plant(run, "lock", outside / "precious.json")
    assert summarise(run.path).problem.startswith("lock of ")
    with pytest.raises(PpoTuiError):
        RunDirectory.open(run.path)
    delete_run(RunDirectory(run.path))
    assert (outside / "precious.json").exists()
