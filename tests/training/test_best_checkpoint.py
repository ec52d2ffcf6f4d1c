"""The checkpoint that did best in an evaluation is kept, and known again after a resume."""

import math

import pytest

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.runs.best import Best, best_of
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from ppo_tui.training.checkpoint import checkpoint_name, tidy
from ppo_tui.training.session import Session


@pytest.fixture
def objectives(monkeypatch):
    """Let the evaluations of steps 1, 2, … come to these objectives."""
    from ppo_tui.evaluation.compare import Evaluation

    said = {}
    metrics = Evaluation.metrics.fget
    seen = []

    def told(self):
        if not any(one is self for one in seen):  # it is asked more than once
            seen.append(self)
        return {**metrics(self), "eval/objective": said[len(seen)]}

    monkeypatch.setattr(Evaluation, "metrics", property(told))
    return said


def trained(path, config):
    run = RunDirectory.create(path, config_to_yaml(config), total=config.steps)
    Session(run).execute()
    return run


def kept(run):
    return sorted(step for step, _ in list_checkpoints(run.checkpoints_path))


def once_a_step(small_config, **checkpoint):
    return small_config(
        steps=5,
        checkpoint={"every": 1, "keep": 1, **checkpoint},
        eval={
            "every": 1,
            "at_end": False,
            "samples": 2,
            "reference_samples": 2,
            "watch_prompts": 0,
        },
    )


@pytest.mark.parametrize(
    ("came_to", "expected"),
    [
        ([0.1, 0.9, 0.3, 0.2, 0.1], [2, 5]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [5]),
        ([0.9, 0.2, 0.9, 0.4, 0.5], [1, 5]),  # the first of equals
        ([math.nan, 0.1, math.nan, -1.0, math.nan], [2, 5]),
    ],
)
def test_the_best_one_is_kept_beside_the_newest(
    small_config, tmp_path, objectives, came_to, expected
):
    objectives.update(enumerate(came_to, start=1))
    run = trained(tmp_path / "run", once_a_step(small_config))
    assert kept(run) == expected
    for step, path in list_checkpoints(run.checkpoints_path):
        assert verify_checkpoint(path)["trainer"]["step"] == step
    assert best_of(run).step == expected[0]


def test_without_the_wish_only_the_newest_are_kept(small_config, tmp_path, objectives):
    objectives.update(enumerate([0.9, 0.1, 0.1, 0.1, 0.1], start=1))
    assert kept(trained(tmp_path / "run", once_a_step(small_config, keep_best=False))) == [5]


def test_it_is_saved_when_it_is_found_though_no_checkpoint_is_due(
    small_config, tmp_path, objectives
):
    objectives.update(enumerate([0.1, 0.9, 0.3, 0.2, 0.1], start=1))
    run = trained(tmp_path / "run", once_a_step(small_config, every=0))
    assert kept(run) == [2, 5]
    events = read_journal(run.events_path).records
    assert [e["step"] for e in events if e["kind"] == "checkpoint"] == [1, 2, 5]


def test_after_a_resume_the_best_one_is_still_known(small_config, tmp_path, objectives):
    objectives.update(enumerate([0.1, 0.9, 0.3, 0.2, 0.1], start=1))
    config = once_a_step(small_config)
    run = trained(tmp_path / "run", config.model_copy(update={"steps": 3}))
    assert kept(run) == [2, 3]
    run.config_path.write_text(config_to_yaml(config))
    Session(run).execute()
    assert kept(run) == [2, 5]


def test_an_evaluation_that_says_nothing_is_never_the_best():
    best = Best()
    assert not best.look(1, {})
    assert not best.look(2, {"eval/objective": math.nan})
    assert best.step is None
    assert best.look(3, {"eval/objective": -5.0})
    assert (best.step, best.objective) == (3, -5.0)


def test_what_a_kill_left_between_two_names_is_put_right(tmp_path):
    """The old checkpoint had been renamed, the new one had not got its name yet."""
    name = checkpoint_name(3)
    for left in (f".{name}.replaced", f".{name}.partial", f".{checkpoint_name(1)}.removed"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "file").write_text(left)
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "file").read_text() == f".{name}.replaced"


def test_one_that_was_replaced_wholly_is_not_brought_back(tmp_path):
    name = checkpoint_name(3)
    for left in (name, f".{name}.replaced"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "file").write_text(left)
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "file").read_text() == name


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / ".step-notes").mkdir()
    (tmp_path / "mine.removed").mkdir()
    tidy(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_best_can_be_asked_for_by_name(small_config, tmp_path, objectives, monkeypatch, capsys):
    from ppo_tui.cli.entry import run as command

    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    objectives.update(enumerate([0.1, 0.9, 0.3, 0.2, 0.1], start=1))
    run = trained(tmp_path / "run", once_a_step(small_config))
    assert (
        command(["export", str(run.path), "--to", str(tmp_path / "b"), "--checkpoint", "best"]) == 0
    )
    assert "after step 2" in capsys.readouterr().err
    assert command(["runs", "show", str(run.path)]) == 0
    assert "after step 2 (best), 5" in capsys.readouterr().out
    assert command(["export", str(run.path), "--to", str(tmp_path / "c"), "--checkpoint", "x"]) == 2
    assert "it must be a step, best or newest" in capsys.readouterr().err


def test_where_nothing_was_evaluated_there_is_no_best(small_config, tmp_path, capsys):
    from ppo_tui.cli.entry import run as command

    config = small_config(steps=1, eval={"at_end": False, "watch_prompts": 0})
    run = trained(tmp_path / "run", config)
    assert (
        command(["export", str(run.path), "--to", str(tmp_path / "b"), "--checkpoint", "best"]) == 1
    )
    assert "has not been evaluated" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
