import os
import tempfile
from pathlib import Path

import pytest

from ppo_tui.errors import RunBusy, RunError
from ppo_tui.runs import strict_json
from ppo_tui.runs.catalog import Catalog, delete_run, find_run, list_runs, summarise
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import ErrorInfo, RunState, log_event, step_event
from ppo_tui.runs.state import write_state

CONFIG = """\
# preset: sentiment
schema_version: 1
description: 'glad reviews: from a small
  model of our own'
adapter:
  name: not the model
model:
  quantization: nf4
  name: Qwen/Qwen2.5-0.5B-Instruct
steps: 60
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "runs"


def make(root, name, started=1.0, phase=Phase.STOPPED):
    run = RunDirectory.create(root / name, CONFIG)
    write_state(run, RunState(phase, 3, 60, None, started=started))
    return run


def test_where_there_are_no_runs_the_list_is_empty(root):
    assert list_runs() == []
    assert not root.exists()


def test_a_run_is_listed_with_what_a_person_wants_to_know(root):
    run = make(root, "a", started=5.0)
    with JournalWriter(run.events_path) as journal:
        journal.append(step_event(2, {"reward/score": 0.25}).to_json())
        journal.append(step_event(3, {"reward/score": 0.75}).to_json())
        journal.append(log_event("x" * 30_000).to_json())
    (listed,) = list_runs()
    assert listed.name == "a"
    assert listed.path == run.path
    assert (listed.phase, listed.alive) == (Phase.STOPPED, False)
    assert (listed.step, listed.total) == (3, 60)
    assert listed.model == "Qwen/Qwen2.5-0.5B-Instruct"
    assert listed.preset == "sentiment"
    assert listed.description == "glad reviews: from a small model of our own"
    assert listed.reward == 0.75
    assert listed.rewards == (0.25, 0.75)
    assert listed.error is None
    assert listed.started == 5.0
    assert listed.updated > 5.0
    assert listed.problem == ""


def test_the_newest_run_comes_first(root):
    make(root, "b", started=2.0)
    make(root, "a", started=1.0)
    make(root, "c", started=3.0)
    assert [run.name for run in list_runs()] == ["c", "b", "a"]


def test_a_run_that_should_be_alive_and_is_not_is_listed_as_crashed(root):
    make(root, "a", phase=Phase.UPDATE)
    assert list_runs()[0].phase is Phase.CRASHED


def test_broken_directories_are_listed_with_their_problem_after_the_others(root):
    make(root, "fine")
    make(root, "damaged").state_path.write_bytes(b"\xff{")
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    (root / "a file").touch()
    listed = {run.name: run.problem for run in list_runs()}
    assert next(iter(listed)) == "fine"
    assert listed["fine"] == ""
    assert "is damaged" in listed["damaged"]
    assert "it has no config.yaml" in listed["empty"]
    assert set(listed) == {"fine", "damaged", "empty"}


@pytest.mark.parametrize(
    "config",
    [b"", b"\xff\xfe\x00", b"model: [", b"model:\n  name: [1]\n", b"model: " + b"[" * 5000],
    ids=["empty", "binary", "torn", "no text", "deep"],
)
def test_a_configuration_that_is_nonsense_does_not_break_the_list(root, config):
    make(root, "a").config_path.write_bytes(config)
    (listed,) = list_runs()
    assert (listed.model, listed.problem) == ("", "")


def test_a_configuration_made_to_explode_is_not_expanded(root):
    bomb = "description: x\nmodel:\n  a: &a [x,x,x,x,x,x,x,x,x]\n"
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"  {two}: &{two} [" + ",".join([f"*{one}"] * 9) + "]\n"
    make(root, "a").config_path.write_text(bomb + "  name: *i\n")
    assert list_runs()[0].description == "x"


def test_before_the_first_step_there_is_no_reward(root):
    assert summarise(make(root, "a").path).reward is None


def test_a_reward_that_was_not_finite_is_no_reward(root):
    run = make(root, "a")
    with JournalWriter(run.events_path) as journal:
        journal.append(step_event(1, {"reward/score": float("nan")}).to_json())
    assert summarise(run.path).reward is None


def test_a_step_without_a_reward_is_a_gap_in_the_curve(root):
    run = make(root, "a")
    with JournalWriter(run.events_path) as journal:
        for step, score in enumerate((0.5, float("nan"), 1.0)):
            journal.append(step_event(step, {"reward/score": score}).to_json())
    rewards = summarise(run.path).rewards
    assert [str(reward) for reward in rewards] == ["0.5", "nan", "1.0"]


def test_of_a_long_journal_only_the_end_is_read_for_the_curve(root):
    run = make(root, "a")
    with JournalWriter(run.events_path) as journal:
        for step in range(500):
            metrics = {"reward/score": float(step), "filler": 1 / 3}
            journal.append(step_event(step, metrics, note="x" * 900).to_json())
    rewards = summarise(run.path).rewards
    assert 50 < len(rewards) < 70
    assert rewards[-2:] == (498.0, 499.0)


def test_a_journal_that_is_a_pipe_does_not_hold_the_list_up(root):
    os.mkfifo(make(root, "a").events_path)
    assert list_runs()[0].reward is None


def test_a_failed_run_is_listed_with_its_error(root):
    run = make(root, "a")
    error = ErrorInfo("reward.raised", "It broke.", "Mend it.")
    write_state(run, RunState(Phase.FAILED, 3, 60, None, started=1.0, error=error))
    assert list_runs()[0].error == error


def test_a_crashed_run_is_listed_with_the_conclusion_in_words(root):
    make(root, "a", phase=Phase.UPDATE)
    error = list_runs()[0].error
    assert error is not None
    assert "the worker died after step 3" in error.message


def test_a_second_look_gives_what_did_not_change_unread(root):
    make(root, "a", started=2.0)
    run = make(root, "b", started=1.0)
    catalog = Catalog(root)
    first = catalog.look()
    with JournalWriter(run.events_path) as journal:
        journal.append(step_event(4, {"reward/score": 0.5}).to_json())
    second = catalog.look()
    assert second[0] is first[0]
    assert (first[1].reward, second[1].reward) == (None, 0.5)


def test_a_second_look_sees_a_new_state_a_new_run_and_a_deleted_one(root):
    run, gone = make(root, "a"), make(root, "gone")
    catalog = Catalog(root)
    catalog.look()
    write_state(run, RunState(Phase.FINISHED, 60, 60, None, started=1.0))
    delete_run(gone)
    make(root, "new", started=3.0)
    found = [(seen.name, seen.phase, seen.step) for seen in catalog.look()]
    assert found == [("new", Phase.STOPPED, 3), ("a", Phase.FINISHED, 60)]


def test_a_second_look_sees_a_new_checkpoint(root):
    run = make(root, "a")
    catalog = Catalog(root)
    assert catalog.look()[0].saved is None
    (run.checkpoints_path / "step-000020").mkdir()
    (run.checkpoints_path / "step-000040").mkdir()
    assert catalog.look()[0].saved == 40


def test_a_second_look_sees_that_a_worker_died_though_no_file_changed(run, worker):
    process = worker("rollout")
    catalog = Catalog(run.path.parent)
    assert [seen.phase for seen in catalog.look()] == [Phase.ROLLOUT]
    process.kill()
    process.wait()
    assert [seen.phase for seen in catalog.look()] == [Phase.CRASHED]


def test_a_run_that_was_broken_is_read_in_full_once_it_is_mended(root):
    run = make(root, "a")
    with JournalWriter(run.events_path) as journal:
        journal.append(step_event(3, {"reward/score": 0.5}).to_json())
    whole = run.state_path.read_bytes()
    run.state_path.write_bytes(b"{")
    catalog = Catalog(root)
    assert "is damaged" in catalog.look()[0].problem
    run.state_path.write_bytes(whole)
    mended = catalog.look()[0]
    assert (mended.problem, mended.model, mended.reward) == ("", "Qwen/Qwen2.5-0.5B-Instruct", 0.5)


def test_a_folder_of_runs_that_vanishes_is_an_empty_one(root):
    make(root, "a")
    catalog = Catalog(root)
    assert len(catalog.look()) == 1
    root.rename(root.with_name("elsewhere"))
    assert catalog.look() == []


def test_a_folder_of_runs_that_cannot_be_read_is_told(root):
    root.parent.mkdir()
    root.write_text("a file")
    with pytest.raises(RunError, match="cannot be listed") as caught:
        Catalog(root).look()
    assert caught.value.code == "run.root"


@pytest.fixture
def closed_run():
    """A run in a folder that the user may list, in a directory that the user may not enter."""
    with tempfile.TemporaryDirectory() as folder:
        run = make(Path(folder), "closed")
        run.path.chmod(0)
        os.chmod(folder, 0o755)
        user = os.geteuid()
        if user == 0:  # whom nothing is closed to
            os.seteuid(65534)
        yield run
        os.seteuid(user)
        run.path.chmod(0o700)


def test_a_run_that_may_not_be_entered_is_listed_with_that_as_its_problem(closed_run):
    (listed,) = Catalog(closed_run.path.parent).look()
    assert listed.name == "closed"
    assert listed.problem.endswith("closed cannot be read: Permission denied")


def test_a_run_is_found_by_name_by_beginning_by_path_and_as_the_last(root, tmp_path):
    first = make(root, "demo-20261123-1", started=1.0)
    second = make(root, "sentiment-20261123-2", started=2.0)
    elsewhere = make(tmp_path, "elsewhere")
    assert find_run("demo-20261123-1") == first
    assert find_run("demo") == first
    assert find_run("last") == second
    assert find_run(str(elsewhere.path)) == elsewhere


def test_a_run_in_the_current_folder_is_found_by_its_name(root, tmp_path, monkeypatch):
    elsewhere = make(tmp_path, "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert find_run("elsewhere") == elsewhere


def test_a_folder_here_that_is_no_run_does_not_hide_a_run(root, tmp_path, monkeypatch):
    run = make(root, "demo-1")
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_run("demo") == run


def test_a_whole_name_wins_over_a_longer_one_that_begins_so(root):
    run = make(root, "demo")
    make(root, "demo-2")
    assert find_run("demo") == run


def test_a_beginning_that_fits_several_runs_names_them(root):
    make(root, "demo-1")
    make(root, "demo-2")
    with pytest.raises(RunError, match="fits 2 runs: demo-1, demo-2") as caught:
        find_run("demo")
    assert caught.value.code == "run.ambiguous"


def test_a_name_that_no_run_has_gets_the_nearest(root):
    make(root, "sentiment-1")
    with pytest.raises(RunError, match="did you mean 'sentiment-1'") as caught:
        find_run("sentimnet-1")
    assert caught.value.code == "run.missing"


TYPED = {
    "nothing": "",
    "last of none": "last",
    "nul": "x\x00y",
    "escape": "\x1b[31m",
    "unknown user": "~nobody-here/run",
    "long": "x" * 100_000,
    "here": ".",
}


@pytest.mark.parametrize("text", TYPED.values(), ids=TYPED.keys())
def test_whatever_is_typed_the_answer_is_one_clear_sentence(root, text):
    with pytest.raises(RunError) as caught:
        find_run(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 700


def test_a_run_is_deleted_with_all_it_made(root):
    run = make(root, "a")
    (run.checkpoints_path / "step-1").mkdir()
    (run.checkpoints_path / "step-1" / "weights").write_bytes(b"x")
    delete_run(run)
    assert os.listdir(root) == []


def test_a_run_at_work_is_not_deleted(run, worker):
    process = worker("rollout")
    with pytest.raises(RunBusy, match=str(process.pid)):
        delete_run(run)
    assert run.config_path.exists()


def test_a_run_whose_worker_is_just_starting_is_not_deleted(run):
    record = {"v": 1, "time": 1.0, **current_process().to_json()}
    run.launch_path.write_text(strict_json.dumps(record))
    with pytest.raises(RunBusy):
        delete_run(run)
    assert run.config_path.exists()


def test_what_is_no_run_is_not_deleted(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("mine")
    with pytest.raises(RunError) as caught:
        delete_run(RunDirectory(tmp_path / "thesis"))
    assert caught.value.code == "run.not_a_run"
    assert (tmp_path / "thesis" / "chapter").exists()


def test_links_inside_a_run_are_removed_and_not_followed(root, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").write_text("mine")
    run = make(root, "a")
    (run.checkpoints_path / "link").symlink_to(tmp_path / "precious")
    delete_run(run)
    assert not run.path.exists()
    assert (tmp_path / "precious" / "thesis").read_text() == "mine"


def test_a_link_to_a_run_is_not_deleted(root):
    run = make(root, "a")
    (root / "link").symlink_to(run.path)
    with pytest.raises(RunError, match="is a link"):
        delete_run(RunDirectory.open(root / "link"))
    assert run.config_path.exists()
