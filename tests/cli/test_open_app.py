"""How the command line opens the app, and what it says where it cannot."""

import pytest

from ppo_tui.cli.open_app import has_terminal
from ppo_tui.runs.directory import RunDirectory


def test_a_run_in_place_of_a_command_needs_a_terminal(ppo_tui, run: RunDirectory) -> None:
    said = ppo_tui("first-run")
    assert said.code == 2
    assert said.out == ""
    assert "The app needs a terminal" in said.err
    assert "watch RUN --plain" in said.err


def test_without_a_terminal_and_a_command_the_runs_are_listed(ppo_tui, run: RunDirectory) -> None:
    said = ppo_tui()
    assert said.code == 0
    assert "first-run" in said.out
    assert "Usage: ppo-tui" in said.out


def test_a_replay_needs_a_terminal(ppo_tui, run: RunDirectory) -> None:
    said = ppo_tui("watch", "first-run", "--replay", "20")
    assert said.code == 2
    assert "The app needs a terminal" in said.err


@pytest.mark.parametrize("speed", ["0", "-3", "nan", "inf", "1e9"])
def test_a_replay_needs_a_speed(here, run: RunDirectory, speed: str) -> None:
    said = here("watch", "first-run", "--replay", speed)
    assert said.code == 2
    assert "--replay takes a speed above 0, such as 20" in said.err


@pytest.mark.parametrize("option", ["--plain", "--json"])
def test_a_replay_is_for_the_app(here, run: RunDirectory, option: str) -> None:
    said = here("watch", "first-run", "--replay", "20", option)
    assert said.code == 2
    assert "leave out --plain and --json" in said.out + said.err


def test_a_word_that_is_neither_a_command_nor_a_run(here, run: RunDirectory) -> None:
    said = here("fist-run")
    assert said.code == 2
    assert "There is no command 'fist-run'" in said.err


def test_a_path_that_leads_nowhere_is_meant_as_a_run(here, run: RunDirectory) -> None:
    said = here("./nowhere")
    assert said.code == 1
    assert "there is no run " in said.err


def test_the_beginning_of_several_names_is_not_guessed(here, run: RunDirectory) -> None:
    text = run.config_path.read_text()
    RunDirectory.create(run.path.with_name("first-two"), text)
    said = here("first")
    assert said.code == 1
    assert "'first' fits 2 runs" in said.err


def test_a_pipe_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert not has_terminal()


def test_the_last_run_is_asked_for_before_there_is_one(here) -> None:
    said = here("last")
    assert said.code == 1
    assert "there is no run yet" in said.err


def test_a_misspelt_last_is_understood(here) -> None:
    said = here("lst")
    assert said.code == 2
    assert "did you mean 'last'?" in said.err
