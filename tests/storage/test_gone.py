"""A run directory that vanishes or turns read-only under a run: said in one sentence."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from worker.processes import make_run, steps_of, wait_for

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs.control import Inbox, post
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.lock import is_held
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe, read_state
from storage.places import can_be_frozen, disk, mount, unmount
from storage.program import begin, said, stand_in

CONFIG = "schema_version: 1\n"


@pytest.fixture(scope="module")
def config(model_folder, prompts_file):
    from training.toys import make_config

    return make_config(model_folder("llama"), prompts_file, steps=4000, eval={"at_end": False})


def training(run, nursery):
    """A worker that has done a step of a long run."""
    worker = nursery.start(run)
    wait_for(lambda: steps_of(run), worker)
    return worker


# ---- the worker


@pytest.mark.slow
@pytest.mark.parametrize("resting", [False, True])
def test_a_worker_ends_when_its_run_is_deleted_even_while_it_is_paused(
    config, nursery, home, here, resting
):
    run = make_run(home / "runs" / "mine", config)
    if resting:
        post(run, "pause")
        worker = nursery.start(run)
        wait_for(lambda: read_state(run).state is Phase.PAUSED, worker)
    else:
        worker = training(run, nursery)
    shutil.rmtree(run.path)
    assert worker.wait() == 1
    assert not run.path.exists()
    with pytest.raises(RunError, match="is gone: it was deleted or moved") as caught:
        observe(run)
    assert caught.value.code == "run.missing"
    told = here("runs", "show", "mine")
    assert told.code == 1
    assert "there is no run 'mine'" in told.error


@pytest.mark.slow
def test_a_worker_whose_run_is_moved_away_ends_and_its_log_says_why(config, nursery, home):
    run = make_run(home / "runs" / "mine", config)
    worker = training(run, nursery)
    elsewhere = RunDirectory(run.path.rename(home / "runs" / "moved"))
    assert worker.wait() == 1
    assert not run.path.exists()
    assert not is_held(elsewhere)
    log = elsewhere.log_path.read_text()
    assert "ERROR ppo_tui.worker: storage.gone: " in log
    assert "could not be written: its folder is not there" in log
    # What was written is whole, and the run can be gone on with from where it is now.
    assert observe(elsewhere).phase is Phase.CRASHED
    assert steps_of(elsewhere)[0] == 1


@pytest.mark.slow
def test_a_worker_whose_disk_is_taken_away_ends(config, nursery, tmp_path):
    with disk(tmp_path / "disk", "size=20m") as place:
        run = make_run(place / "run", config)
        worker = training(run, nursery)
        unmount(place)
        assert worker.wait() == 1
        assert list(place.iterdir()) == []


@pytest.mark.slow
def test_a_run_whose_folder_turns_read_only_tells_its_log_and_its_viewers(
    config, home, here, tmp_path
):
    run = make_run(home / "runs" / "mine", config)
    worker = start_worker(run)
    wait_for(lambda: steps_of(run), worker)
    mount("--bind", str(run.path), str(run.path))
    mount("-o", "remount,bind,ro", str(run.path))
    try:
        assert worker.wait(120) == 1
        seen = observe(run)
        assert (seen.phase, seen.alive) == (Phase.CRASHED, False)
        assert seen.error.code == "storage.permission"
        assert "the file system is read-only" in seen.error.message
        assert "the file system is read-only" in here("runs", "show", "mine").out
        watched = here("watch", "mine", "--plain")
        assert watched.code == 1
        assert "could only tell its log why: the file system is read-only" in watched.error
        for command in ("resume", "stop"):
            told = here(command, "mine")
            assert told.code == 1
        again = here("resume", "mine", "--json")
        assert again.json["error"]["code"] in ("storage.permission", "storage.full")
    finally:
        unmount(run.path)
    assert read_state(run).state is not Phase.FAILED


@pytest.mark.slow
def test_a_run_whose_folder_is_frozen_ends_with_a_sentence(config, nursery, home):
    run = make_run(home / "runs" / "mine", config)
    if not can_be_frozen(run.path):
        pytest.skip("this file system knows no chattr +i")
    worker = training(run, nursery)
    subprocess.run(["chattr", "+i", str(run.path)], check=True)
    try:
        assert worker.wait() == 1
        assert "storage.permission: no permission: " in run.log_path.read_text()
    finally:
        subprocess.run(["chattr", "-i", str(run.path)], check=True)


# ---- those who look on


@pytest.fixture
def run(home):
    return RunDirectory.create(home / "runs" / "mine", CONFIG, total=4)


@pytest.fixture
def worker(run):
    """A stand-in that has done two steps and waits to be told."""
    process = subprocess.Popen(stand_in(run.path, 3, "stays", 2))
    wait_for(lambda: len(steps_of(run)) == 2, process)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_watch_says_in_a_sentence_that_the_run_is_gone(run, worker, options):
    watching = begin("watch", "mine", "--plain", *options)
    assert "step 1/" in watching.stderr.readline()
    shutil.rmtree(run.path)
    told = said(watching)
    assert told.code == 1
    if options:
        assert told.json["error"]["code"] == "run.missing"
        assert "is gone: it was deleted or moved" in told.json["error"]["message"]
    else:
        assert f"the run {run.path} is gone: it was deleted or moved" in told.error


def test_a_paused_worker_does_not_wait_for_ever_in_a_run_that_is_gone(run):
    inbox = Inbox(run)
    assert inbox.take() == []
    shutil.rmtree(run.path)
    with pytest.raises(StorageError) as caught:
        inbox.take()
    assert caught.value.code == "storage.gone"


def test_a_journal_that_was_deleted_takes_nothing_more(tmp_path):
    with JournalWriter(tmp_path / "events.jsonl") as journal:
        (tmp_path / "events.jsonl").unlink()
        with pytest.raises(StorageError, match="was deleted while the run was writing it") as e:
            journal.append({"kind": "step"})
    assert e.value.code == "storage.gone"


async def test_the_app_says_that_a_run_is_gone_and_lives_on(run, worker):
    from ppo_tui.screens.app import Opening, PpoTuiApp
    from screens.goldens import screen_text

    app = PpoTuiApp(Opening(run, None))

    async def shows(words):
        deadline = time.monotonic() + 60
        while words not in " ".join(screen_text(app).split()):
            assert time.monotonic() < deadline, screen_text(app)
            await pilot.pause(0.02)

    async with app.run_test(size=(120, 40)) as pilot:
        await shows("step 2/")
        shutil.rmtree(run.path)
        await shows("is gone: it was deleted or moved")
        await pilot.press("escape")
        await shows("There are no runs")
        assert app.is_running


def test_the_sentence_is_one_line_of_json_too(run, here):
    place = Path(run.path)
    run.state_path.unlink()
    run.config_path.unlink()
    told = here("runs", "show", str(place), "--json")
    assert told.code == 1
    assert json.loads(told.out)["error"]["code"] == "run.not_a_run"
