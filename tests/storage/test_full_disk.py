"""A full disk at any write: the run fails, says why, has nothing torn, and goes on later."""

import contextlib
import os
import shutil
import signal

import pytest
from worker.processes import make_run, wait_for

from ppo_tui.errors import StorageError
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.control import post
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter, read_journal
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.ratings import About, RatingsFile, new_rating
from ppo_tui.runs.records import ErrorInfo, RunState
from ppo_tui.runs.space import check_space, free_space
from ppo_tui.runs.state import observe, read_state, write_state
from storage.places import course, disk, fill, free, spare_inodes, torn_files, weights

CONFIG = "schema_version: 1\n"
FULL = RunState(
    Phase.FAILED, 3, 10, error=ErrorInfo("storage.full", "the disk is full: x could not be written")
)


@pytest.fixture
def small_disk(tmp_path):
    with disk(tmp_path / "disk", "size=64k") as place:
        yield place


@pytest.fixture
def roomy_disk(tmp_path):
    with disk(tmp_path / "disk", "size=6m") as place:
        yield place


# ---- each file of a run


@pytest.mark.parametrize("pages", range(8))
def test_a_run_is_made_whole_or_not_at_all(small_disk, pages):
    fill(small_disk, leave=pages)
    with contextlib.suppress(StorageError):
        RunDirectory.create(small_disk / "run", CONFIG + "# " + "x" * 6000)
    if (small_disk / "run").exists():
        assert read_state(RunDirectory.open(small_disk / "run")).state is Phase.CREATED
        assert pages >= 4
    else:
        assert os.listdir(small_disk) == ["ballast"]
        assert pages < 4


@pytest.mark.parametrize("name", ["events.jsonl", "samples.jsonl", "pool.jsonl"])
def test_a_journal_on_a_full_disk_keeps_its_whole_lines(small_disk, name):
    fill(small_disk, leave=2)
    record = {"text": "y" * 700}

    def write_on(journal):
        while True:
            journal.append(record)

    with JournalWriter(small_disk / name) as journal:
        with pytest.raises(StorageError) as caught:
            write_on(journal)
        assert journal.offset == (small_disk / name).stat().st_size
    assert caught.value.code == "storage.full"
    data = (small_disk / name).read_bytes()
    assert data.endswith(b"\n")
    assert read_journal(small_disk / name).records == [record] * (2 * 4096 // len(data[:712]))


def test_that_a_run_failed_takes_no_room(small_disk):
    run = RunDirectory.create(small_disk / "run", CONFIG)
    fill(small_disk)
    with pytest.raises(StorageError, match="the disk is full"):
        write_state(run, RunState(Phase.ROLLOUT, 3, 10, current_process()))
    assert read_state(run).state is Phase.CREATED
    write_state(run, FULL)
    seen = observe(run)
    assert (seen.phase, seen.state.step) == (Phase.FAILED, 3)
    assert seen.error == FULL.error
    assert torn_files(run) == []


def test_a_shorter_failure_leaves_nothing_of_a_longer_state(small_disk):
    run = RunDirectory.create(small_disk / "run", CONFIG)
    write_state(run, RunState(Phase.AWAITING_RATINGS, 3, 10, message="long " * 200))
    fill(small_disk)
    write_state(run, FULL)
    assert read_state(run).message == ""
    assert read_state(run).error == FULL.error


def test_the_lock_of_a_new_run_can_be_taken_on_a_full_disk(small_disk):
    run = RunDirectory.create(small_disk / "run", CONFIG)
    fill(small_disk)
    for _ in range(2):
        with RunLock(run):
            seen = observe(run)
            assert (seen.phase, seen.alive) == (Phase.LOADING, True)
        assert not observe(run).alive


def test_a_run_of_an_older_version_without_room_for_a_lock_says_so(small_disk):
    run = RunDirectory.create(small_disk / "run", CONFIG)
    run.lock_path.unlink()
    fill(small_disk)
    with pytest.raises(StorageError, match="lock could not be written") as caught:
        RunLock(run).acquire()
    assert caught.value.code == "storage.full"


def test_a_request_and_a_rating_say_so_and_leave_nothing(small_disk):
    run = RunDirectory.create(small_disk / "run", CONFIG)
    fill(small_disk)
    rating = new_rating("ann", "tiny", "sha256:ab", "run", About("a", "b", "1-0", 0), 4)
    for write in (
        lambda: post(run, "stop"),
        lambda: RatingsFile(run.ratings_path).append(rating),
    ):
        with pytest.raises(StorageError) as caught:
            write()
        assert caught.value.code == "storage.full"
    assert os.listdir(run.control_path) == []
    assert RatingsFile(run.ratings_path).read().given == ()
    assert torn_files(run) == []


def test_presets_and_settings_say_so_and_keep_what_was_there(small_disk, monkeypatch):
    from ppo_tui.config.presets import load_preset, save_preset
    from ppo_tui.config.resolve import resolve
    from ppo_tui.config.settings import AppSettings, load_settings, save_settings

    monkeypatch.setenv("PPO_TUI_HOME", str(small_disk / "home"))
    save_preset("mine", resolve("demo", ["steps=7"]))
    save_settings(AppSettings(smoothing=0.9))
    fill(small_disk)
    with pytest.raises(StorageError, match="the disk is full"):
        save_preset("mine", resolve("demo", ["steps=8"]), overwrite=True)
    with pytest.raises(StorageError, match="the disk is full"):
        save_settings(AppSettings(smoothing=0.6))
    assert load_preset("mine").values["steps"] == 7
    assert load_settings().smoothing == 0.9


def test_what_needs_more_room_than_there_is_is_not_begun(small_disk):
    assert free_space(small_disk / "not" / "yet" / "made") <= 64 * 1024
    check_space(small_disk, 1024, "A note")
    with pytest.raises(StorageError, match=r"A checkpoint needs about 5\.0 MiB, and the disk") as e:
        check_space(small_disk / "run", 5 * 2**20, "A checkpoint")
    assert e.value.code == "storage.full"


# ---- a real worker


@pytest.fixture(scope="module")
def config(model_folder, prompts_file):
    from training.toys import make_config

    return make_config(
        model_folder("llama"), prompts_file, steps=2, checkpoint={"every": 1}, eval={"every": 2}
    )


@pytest.fixture(scope="module")
def straight(config, a_nursery, tmp_path_factory):
    """A run that was never in want of room."""
    run = make_run(tmp_path_factory.mktemp("straight") / "run", config)
    assert a_nursery.work(run) == 0
    return run


def ends_as_failed(run):
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.FAILED, False)
    assert seen.error.code == "storage.full"
    assert torn_files(run) == []
    for _, path in list_checkpoints(run.checkpoints_path):
        verify_checkpoint(path)


def goes_on_to_the_same_end(run, straight, nursery):
    assert nursery.work(run) == 0
    assert read_state(run).state is Phase.FINISHED
    assert course(run) == course(straight)
    assert weights(run, 2) == weights(straight, 2)


@pytest.mark.slow
def test_whatever_page_is_the_last_a_worker_fails_readably_and_goes_on_later(
    roomy_disk, config, straight, nursery
):
    """The disk fills while the run is halted, so that what needs so many pages is what fails."""
    failed = 0
    for pages in (0, 1, 2, 3, 4, 5, 6, 8, 12, 40, 80, 1000):
        run = make_run(roomy_disk / "run", config)
        post(run, "pause")
        worker = nursery.start(run)
        wait_for(lambda run=run: read_state(run).state is Phase.PAUSED, worker)
        worker.signal(signal.SIGSTOP)
        post(run, "continue")
        fill(roomy_disk, leave=pages)
        worker.signal(signal.SIGCONT)
        if code := worker.wait():
            assert code == 1
            failed += 1
            ends_as_failed(run)
            free(roomy_disk)
            goes_on_to_the_same_end(run, straight, nursery)
        else:
            free(roomy_disk)
        shutil.rmtree(run.path)
    assert 8 <= failed < 12


@pytest.mark.slow
def test_whatever_file_is_the_last_a_worker_fails_readably_and_goes_on_later(
    roomy_disk, config, straight, nursery
):
    failed = 0
    for files in (*range(8), 10, 12, 14, 16, 18, 20, 24, 30):
        run = make_run(roomy_disk / "run", config)
        spare_inodes(roomy_disk, files)
        code = nursery.work(run)
        spare_inodes(roomy_disk, 1000)
        if code:
            assert code == 1
            failed += 1
            ends_as_failed(run)
            goes_on_to_the_same_end(run, straight, nursery)
        shutil.rmtree(run.path)
    assert 10 <= failed < 16


# ---- what the user sees


def test_train_on_a_full_disk_is_one_sentence_and_leaves_nothing(small_disk, here):
    fill(small_disk)
    told = here("train", "demo", "--run-dir", str(small_disk / "run"))
    assert told.code == 1
    assert "the disk is full" in told.error
    assert "Free some space" in told.err
    assert os.listdir(small_disk) == ["ballast"]


def test_a_run_that_the_full_disk_ended_says_so_to_every_viewer(
    roomy_disk, config, nursery, here, monkeypatch
):
    monkeypatch.setenv("PPO_TUI_HOME", str(roomy_disk))
    (roomy_disk / "runs").mkdir()
    run = make_run(roomy_disk / "runs" / "mine", config)
    fill(roomy_disk, leave=2)
    assert nursery.work(run) == 1
    (listed,) = here("runs", "list", "--json").json["runs"]
    assert (listed["state"], listed["alive"]) == ("failed", False)
    told = here("runs", "show", "mine")
    assert told.out.startswith("mine: failed, step ")
    assert "the disk" in told.out
    watched = here("watch", "mine", "--plain")
    assert watched.code == 1
    assert "the disk" in watched.error
    assert here("watch", "mine", "--json").json["error"]["code"] == "storage.full"
    # The log could not be opened for the new worker's words, or its launch could not be noted.
    again = here("resume", "mine", "--json")
    assert again.code == 1
    assert again.json["error"]["code"] == "storage.full"
    assert read_state(run).state is Phase.FAILED
