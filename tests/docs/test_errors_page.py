"""docs/errors.md lists the codes that the source has, no more and no less, and their exit codes."""

import re
from pathlib import Path

import pytest

from ppo_tui.cli.failures import exit_code_of

from .error_codes import codes, exit_codes

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
NOTES = ("health", "diagnosis")

_ERROR_ROW = re.compile(r"\| `([a-z0-9_.]+)` \| (\d) \| ([^|]+) \| ([^|]+) \|")
_NOTE_ROW = re.compile(r"\| `((?:health|diagnosis)[a-z0-9_.]*)` \| ([^|]+) \| ([^|]+) \|")


def is_note(code: str) -> bool:
    """Whether a code is of a note on a run's health, which ends nothing."""
    return code.partition(".")[0] in NOTES


def rows(pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    """The rows of the page of one kind, without their bars."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [match.groups() for line in lines if (match := pattern.fullmatch(line))]


ERRORS, HEALTH = rows(_ERROR_ROW), rows(_NOTE_ROW)
IN_SOURCE = sorted({found.code for found in codes()})


def test_every_row_is_read():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n| `") == len(ERRORS) + len(HEALTH)


def test_no_code_stands_twice():
    names = [row[0] for row in (*ERRORS, *HEALTH)]
    assert sorted(names) == sorted(set(names))


def test_the_page_has_every_error_of_the_source_and_no_other():
    assert {row[0] for row in ERRORS} == {code for code in IN_SOURCE if not is_note(code)}


def test_the_page_has_every_note_of_the_source_and_no_other():
    assert {row[0] for row in HEALTH} == {code for code in IN_SOURCE if is_note(code)}


@pytest.mark.parametrize(("code", "shown"), [(row[0], int(row[1])) for row in ERRORS])
def test_the_exit_code_is_that_of_the_class_and_of_the_command_line(code, shown):
    assert exit_code_of(code) == shown
    # Where only a message carries the code, there is no class to ask.
    assert exit_codes(code) <= {shown}


@pytest.mark.parametrize("row", [*ERRORS, *HEALTH], ids=lambda row: row[0])
def test_cause_and_remedy_are_sentences(row):
    for words in row[-2:]:
        assert words[0].isupper() or words[0] in "`"
        assert words.endswith(".")
        assert len(words.split()) > 1


def test_the_readers_of_the_source_find_what_is_known_to_be_there():
    found = {(each.code, each.raised) for each in codes()}
    assert ("config.yaml", "ConfigError") in found  # a keyword
    assert ("run.busy", "RunBusy") in found  # a class's default
    assert ("training.not_finite", "TrainingError") in found  # that of a class of a module's own
    assert ("run.crashed", None) in found  # among the arguments
    assert ("reward.raised", "RewardError") in found  # through a function of ours
    assert ("trust.reward_file", "ConfigError") in found  # put together
    assert ("diagnosis.kl_runaway", None) in found  # a rule
    assert ("run.state", None) in found  # one branch of a conditional expression
    assert "data.column" in {code for code, raised in found if raised == "ConfigError"}
