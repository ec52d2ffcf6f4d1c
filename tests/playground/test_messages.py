"""What base, tuned model and those who ask say to each other, line by line."""

import io
import sys

import pytest

from ppo_tui.conversation import (
    Ask,
    Cancel,
    Done,
    Failure,
    Piece,
    Quit,
    Ready,
    Status,
    encode,
    how_it_ended,
    last_words,
    read_reply,
    read_request,
    start_command,
)
from ppo_tui.errors import CheckpointError
from ppo_tui.runs.directory import RunDirectory


@pytest.mark.parametrize(
    "request_",
    [Ask("1", "Once\nupon", "tuned", 0.5, 20, 7), Ask("2", "ä\x1b[31m"), Cancel("1"), Quit()],
)
def test_a_request_is_one_line_and_comes_back_equal(request_):
    line = encode(request_)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read_request(line) == request_


@pytest.mark.parametrize(
    "reply",
    [
        Status("Loading."),
        Ready("bundled", "cpu", 36, 0.7, 32),
        Piece("1", "base", "two\nlines"),
        Done("1", "tuned", "whole", 3, True, False, 5),
        Failure("memory", "Too small.", "Wait.", "1", True),
    ],
)
def test_a_reply_is_one_line_and_comes_back_equal(reply):
    line = encode(reply)
    assert line.count(b"\n") == 1
    assert read_reply(line) == reply


def test_a_message_is_json_that_says_its_kind():
    assert encode(Piece("1", "base", "x")) == b'{"kind":"piece","id":"1","who":"base","text":"x"}\n'


def test_what_a_newer_program_adds_is_ignored():
    assert read_request(b'{"kind":"cancel","id":"1","why":"bored"}') == Cancel("1")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"no json", "Expecting value"),
        (b"[]", "an object with a kind"),
        (b'{"kind":"dance"}', "there is no kind 'dance'; known: ask, cancel, quit"),
        (b'{"kind":"ask","id":"1"}', "ask lacks a field"),
        (b'{"kind":"ask","id":1,"prompt":"x"}', "both of them texts"),
        (b'{"kind":"ask","id":"1","prompt":"x","who":"me"}', "who is 'me'"),
        (b'{"kind":"ask","id":"1","prompt":"x","temperature":0}', "temperature is 0; it must be"),
        (b'{"kind":"ask","id":"1","prompt":"x","max_tokens":1.5}', "max_tokens is 1.5"),
        (b'{"kind":"ask","id":"1","prompt":"x","max_tokens":true}', "max_tokens is True"),
        (b'{"kind":"ask","id":"1","prompt":"x","seed":-1}', "seed is -1"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(line, problem):
    with pytest.raises(ValueError, match=problem):
        read_request(line)


def test_an_error_travels_with_its_code_and_hint():
    error = CheckpointError("No checkpoint.", hint="Wait.", code="checkpoint.none")
    back = read_reply(encode(Failure.of(error, "3"))).to_error()
    assert (back.code, back.message, back.hint) == ("checkpoint.none", "No checkpoint.", "Wait.")


def test_the_process_is_started_by_the_same_python(tmp_path):
    run = RunDirectory(tmp_path)
    start = [sys.executable, "-P", "-m", "ppo_tui.playground", str(tmp_path)]
    assert start_command(run) == start
    assert start_command(run, 20) == [*start, "--checkpoint", "20"]


def test_the_last_words_are_the_end_of_stderr_and_harmless():
    log = io.BytesIO(b"x" * 100_000 + b"\nfirst\n\nsecond\xff\nthi\x1b[31mrd\n")
    assert last_words(log, 2) == ["second\ufffd", r"thi\x1b[31mrd"]


def test_an_unexpected_end_names_its_likely_cause():
    assert how_it_ended(-9) == "it was killed, as the system does when memory runs out"
    assert how_it_ended(-15) == "it was killed by signal 15"
    assert how_it_ended(1) == "it ended with exit code 1"
