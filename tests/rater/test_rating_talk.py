"""The messages between app and adviser: what is written is read, what is odd is refused."""

import math
import subprocess
import sys

import pytest

from ppo_tui.rating_talk import (
    Failure,
    Questions,
    Ready,
    Taught,
    Want,
    encode,
    read_reply,
    read_request,
)
from ppo_tui.runs.pool import Candidate
from ppo_tui.taste.lesson import Lesson, Mark, Told
from ppo_tui.taste.stock import Question

HOSTILE = "\x1b]0;x\x07[bold]name[/\u202e宽\nline\ud800"
TEXT = Candidate("r0-1", 0, "p", " a", 3, True, "AAA=", time=5.0)
OTHER = Candidate("r0-2", 0, "p", " b", 3, False, "", time=6.0)


@pytest.mark.parametrize("kind", ["single", "pair"])
def test_a_wish_comes_through(kind):
    wish = Want(7, kind, 4, ("r0-1", "r0-2"))
    assert read_request(encode(wish)) == wish


@pytest.mark.parametrize(
    "reply",
    [
        Ready(),
        Questions(3, "single", ()),
        Questions(3, "single", (Question(TEXT, None, "Nobody knows."),)),
        Questions(4, "pair", (Question(TEXT, OTHER, "Two of a kind."),)),
        Taught(Lesson(0, 0, 0, problem="There are no ratings yet.")),
        Taught(Lesson(9, 2, 1, (Mark(5, 0.5, 0.75),), (Told("p", "r", 4.5, 0.2),), (), "")),
        Failure("run.journal", "It cannot be read.", "Look.", fatal=True),
    ],
)
def test_a_reply_comes_through(reply):
    line = encode(reply)
    assert line.count(b"\n") == 1
    assert read_reply(line) == reply


def test_a_number_that_is_none_comes_through_as_none():
    told = Taught(Lesson(9, 0, 1, (Mark(5, math.nan, math.inf),)))
    read = read_reply(encode(told))
    [mark] = read.lesson.points
    assert math.isnan(mark.correlation)
    assert math.isnan(mark.accuracy)


def test_a_hostile_text_stays_one_line_that_every_terminal_survives():
    text = Candidate("r0-1", 0, HOSTILE, HOSTILE, 3, True, "")
    line = encode(Questions(1, "single", (Question(text, None, HOSTILE),)))
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert read_reply(line).questions[0].first.response.startswith("\x1b]0;x")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "Expecting value"),
        (b"[]\n", "a message is an object"),
        (b'{"kind":"sing"}\n', "there is no request 'sing'; known: want"),
        (b'{"kind":"want","of":"single"}\n', "want needs a number"),
        (b'{"kind":"want","number":1,"of":"three"}\n', "of is 'three'; it must be one of"),
        (b'{"kind":"want","number":1,"of":"single","count":0}\n', "count is 0; it must be from 1"),
        (b'{"kind":"want","number":1,"of":"single","besides":[1]}\n', "besides must be a list"),
    ],
)
def test_what_is_no_wish_is_refused_in_words(line, why):
    with pytest.raises(ValueError, match=why):
        read_request(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"mood"}\n',
        b'{"kind":"taught"}\n',
        b'{"kind":"questions","number":1,"of":"single","questions":[{}]}\n',
        b'{"kind":"questions","number":1,"of":"single","questions":7}\n',
        b'{"kind":"taught","lesson":{"ratings":1}}\n',
    ],
)
def test_what_is_no_reply_is_refused(line):
    with pytest.raises(ValueError, match=r"no reply|lacks a field"):
        read_reply(line)


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import ppo_tui.rating_talk, ppo_tui.taste.stock", {"numpy", "sklearn", "textual"}),
        ("import ppo_tui.screens.rating", {"sklearn", "scipy", "torch"}),
        ("import ppo_tui.taste.adviser", {"torch", "textual", "pydantic"}),
    ],
)
def test_the_app_never_loads_what_learning_needs(statement, without):
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(without)
