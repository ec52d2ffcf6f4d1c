"""Listing, showing and deleting runs."""


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
