"""Listing, showing, comparing and deleting runs."""

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.records import eval_event

# What the stand-in for the worker evaluates on.
HOSTILE = "glad [bold]red[/] \x1b[31m\x1b]0;title\x07 \u202egnirts\x9b2J\rover\nnext"


@pytest.fixture
def another_run(home):
    """A run called second-run with another KL coefficient and an evaluation on the same prompt."""
    text = "# preset: demo\n" + resolve("demo", ["steps=4", "ppo.kl_coef=0.2"]).to_yaml()
    run = RunDirectory.create(home / "runs" / "second-run", text, total=4)
    pair = {"prompt": HOSTILE, "base": "sad", "base_score": -0.5, "tuned": "glad"}
    with JournalWriter(run.events_path) as journal:
        journal.append(
            eval_event(
                4, {"eval/share_of_optimum": 0.5}, pairs=[{**pair, "tuned_score": 0.25}]
            ).to_json()
        )
    return run


def test_runs_are_listed(here, run):
    assert "first-run" in here("runs", "list").out
    row = here("runs", "list", "--json").json["runs"][0]
    assert (row["name"], row["state"], row["preset"]) == ("first-run", "created", "demo")


def test_an_empty_list_is_an_answer(here):
    assert here("runs", "list").out == ""
    assert here("runs", "list", "--json").json["runs"] == []


def test_a_broken_run_is_listed_with_its_problem(here, run):
    run.state_path.write_text("{")
    assert "unusable" in here("runs", "list").out
    assert here("runs", "list", "--json").json["runs"][0]["problem"]


def test_a_finished_run_is_shown_with_its_numbers(here, run, start_worker):
    start_worker(4, "finished").wait()
    said = here("runs", "show", "first")
    assert said.out.startswith("first-run: finished, step 4 of 4")
    assert "reward/score" in said.out
    assert "96 %" in said.out
    shown = here("runs", "show", "last", "--json").json
    assert shown["metrics"]["reward/score"] == 0.4
    assert shown["metrics"]["policy/entropy"] is None
    assert shown["adapter"].endswith("checkpoints/step-000004/policy")


def test_a_failed_run_is_shown_with_its_error(here, run, start_worker):
    start_worker(2, "failed:reward.raised").wait()
    assert "It broke." in here("runs", "show", "last").out
    assert here("runs", "show", "last", "--json").json["error"]["code"] == "reward.raised"


def test_without_a_terminal_nothing_is_deleted_unasked(here, run):
    said = here("runs", "delete", "first-run")
    assert said.code == 2
    assert "--yes" in said.err
    assert run.path.exists()


def test_a_run_is_deleted_on_demand(here, run):
    assert here("runs", "delete", "first-run", "--yes", "--json").json == {"deleted": str(run.path)}
    assert not run.path.exists()


def test_a_running_run_is_not_deleted(here, run, waiting_worker):
    said = here("runs", "delete", "first-run", "--yes")
    assert said.code == 1
    assert "in the hands of" in said.err
    assert run.path.exists()


def test_hostile_names_and_texts_are_harmless_in_a_list(here, home, run):
    target = home / "runs" / "odd\x1b[2J\nname"
    run.path.rename(target)
    text = (target / "config.yaml").read_text()
    (target / "config.yaml").write_text(text.replace("name: bundled", 'name: "[/] \\e[31m"'))
    out = here("runs", "list").out
    assert "\x1b" not in out
    assert "[/]" in out


def test_two_runs_are_shown_side_by_side(here, run, start_worker, another_run):
    start_worker(4, "finished").wait()
    said = here("runs", "compare", "first", "second-run")
    assert said.code == 0
    assert "first-run" in said.out
    assert "finished" in said.out
    assert "ppo.kl_coef" in said.out
    assert "reward/score" in said.out
    assert "\x1b" not in said.out


def test_a_comparison_as_json_has_settings_numbers_and_answers(
    here, run, start_worker, another_run
):
    start_worker(4, "finished").wait()
    compared = here("runs", "compare", "first-run", "second-run", "--json").json
    assert [row["name"] for row in compared["runs"]] == ["first-run", "second-run"]
    assert compared["settings"]["ppo.kl_coef"] == ["0.05", "0.2"]
    assert compared["metrics"]["reward/score"] == [0.4, None]
    assert compared["metrics"]["eval/share_of_optimum"] == [0.96, 0.5]
    (same,) = compared["prompts"]
    assert [answer["score"] for answer in same["tuned"]] == [0.9, 0.25]
    assert same["base"][0]["response"] == "sad"


def test_answers_to_the_same_prompt_are_shown_once_with_the_base_they_share(
    here, run, start_worker, another_run
):
    start_worker(4, "finished").wait()
    out = here("runs", "compare", "first-run", "second-run").out
    assert "  base (-0.500): sad" in out
    assert "  second-run (0.250): glad" in out


def test_one_run_alone_is_not_compared(here, run):
    said = here("runs", "compare", "first-run")
    assert said.code == 2
    assert "2 to 8 runs" in said.err
