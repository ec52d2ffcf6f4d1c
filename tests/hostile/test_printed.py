"""What foreign code prints, and what is logged of it, can be read with `cat`."""

import contextlib
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.errors import RewardError
from ppo_tui.libraries import OneParagraph
from ppo_tui.rewards.foreign import MOST_PRINTED, foreign_code
from ppo_tui.text.harmless import MOST_HELD, HarmlessStream, harmless
from ppo_tui.text.secrets import REDACTED

TOKEN = "hf_" + "aB3" * 11
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\x00\rover\x7f\ud800"


def is_tame(text):
    """Whether a terminal obeys nothing in it but line ends and tabs."""
    return all(char.isprintable() or char in "\n\t\u200d\ufe0e\ufe0f" for char in text)


def printed(*pieces, limit=None):
    below = io.StringIO()
    stream = HarmlessStream(below, limit)
    for piece in pieces:
        stream.write(piece)
    stream.end()
    return below.getvalue()


def test_escape_sequences_are_spelled_out_and_lines_stay():
    assert printed("a\x1b[2Jb\nc\td\n") == "a\\x1b[2Jb\nc\td\n"


def test_a_carriage_return_hides_nothing():
    assert printed("secretly\rover\r\nnext\n") == "secretly\nover\nnext\n"


@given(st.lists(st.text(max_size=30), max_size=10))
def test_whatever_is_written_in_whatever_pieces_is_tame_and_complete(pieces):
    text = "".join(pieces)
    said = printed(*pieces)
    assert is_tame(said)
    assert said.removesuffix("\n") == harmless(text).removesuffix("\n")


@pytest.mark.parametrize("at", range(1, len(TOKEN)))
def test_a_token_in_two_pieces_is_taken_out(at):
    assert printed("it is ", TOKEN[:at], TOKEN[at:], "\n") == f"it is {REDACTED}\n"


def test_a_token_in_a_line_without_end_is_taken_out():
    words = "word " * (MOST_HELD // 2)
    said = printed(*(f"{words}{TOKEN} " for _ in range(3)))
    assert TOKEN not in said
    assert said.count(REDACTED) == 3


def test_beyond_the_limit_only_the_count_is_told():
    assert printed("abcdef\n", "ghi", limit=5) == "abcde\n[5 more characters left out]\n"
    assert printed("abcde", limit=5) == "abcde\n"


def test_bytes_and_text_come_by_the_same_way():
    below = io.StringIO()
    stream = HarmlessStream(below)
    stream.buffer.write(b"\x1b[2J\xff\n")
    stream.writelines(["one\n", "two\n"])
    with pytest.raises(TypeError):
        stream.write(b"bytes")
    assert below.getvalue() == "\\x1b[2J\ufffd\none\ntwo\n"


# ---- a reward that prints


def test_what_a_reward_prints_is_tame_on_both_streams(capsys):
    with foreign_code("it raised", code="reward.raised"):
        print("out", ESCAPES, TOKEN)
        print("err", ESCAPES, TOKEN, file=sys.stderr)
        sys.stdout.buffer.write(ESCAPES.encode("utf-8", "replace"))
    said = capsys.readouterr()
    assert said.out == ""
    assert is_tame(said.err)
    assert said.err.startswith("out \\x1b[2J")
    assert said.err.count(REDACTED) == 2


def test_a_reward_that_prints_a_gigabyte_fills_no_disk(capsys):
    line = "x" * 999_999 + "\n"
    with foreign_code("it raised", code="reward.raised"):
        for _ in range(1000):
            print(line, end="")
    said = capsys.readouterr().err
    assert len(said) < MOST_PRINTED + 100
    assert said.endswith("\n[999,934,464 more characters left out]\n")


def test_a_reward_within_the_sum_shares_the_limit_of_the_sum(capsys):
    with foreign_code("it raised", code="reward.raised"):
        for _ in range(3):
            with foreign_code("it raised", code="reward.raised"):
                print("y" * MOST_PRINTED)
    assert capsys.readouterr().err.count("left out") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_reward_that_prints_is_not_blamed_for_a_full_disk(monkeypatch):
    with open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        with foreign_code("it raised", code="reward.raised"):
            print("counted to\nthree", flush=True)
            done = True
        monkeypatch.undo()
        with contextlib.suppress(OSError):  # what it still holds back is lost
            full.close()
    assert done


def test_what_was_printed_before_it_raised_is_kept_and_the_error_holds_no_token(capsys):
    def reward():
        print("on the way", end="")
        raise ValueError(f"{ESCAPES} {'x' * 120} {TOKEN} {'x' * 200}")

    with pytest.raises(RewardError) as caught, foreign_code("it raised", code="reward.raised"):
        reward()
    assert capsys.readouterr().err == "on the way\n"
    assert is_tame(caught.value.message)
    assert "hf_" not in caught.value.message


def test_the_streams_are_as_they_were_afterwards():
    before = sys.stdout, sys.stderr
    with pytest.raises(RewardError), foreign_code("it raised", code="reward.raised"):
        sys.exit(3)
    assert (sys.stdout, sys.stderr) == before


# ---- the log


def logged(message, *arguments, **more):
    record = logging.LogRecord("foreign", logging.ERROR, "f.py", 1, message, arguments, None)
    record.__dict__.update(more)
    return OneParagraph().format(record)


def test_a_record_is_one_paragraph_and_cannot_pass_for_two():
    said = logged("first\n2026-01-01 00:00:00,000 ERROR ppo_tui.worker: forged\r\nthird")
    first, second, third = said.split("\n")
    assert first.endswith("ERROR foreign: first")
    assert second == "    2026-01-01 00:00:00,000 ERROR ppo_tui.worker: forged"
    assert third == "    third"


def test_a_record_is_tame_and_its_traceback_holds_no_token():
    try:
        raise ValueError(f"{ESCAPES}{TOKEN} in it")
    except ValueError:
        said = logged("%s", ESCAPES, exc_info=sys.exc_info())
    assert is_tame(said)
    assert "ValueError" in said
    assert TOKEN not in said


PROGRAM = f"""
import logging, sys, warnings
from ppo_tui.libraries import prepare_libraries
prepare_libraries(sys.stdout)
print("printed", {ESCAPES!r}, {TOKEN!r})
print("complained", {ESCAPES!r}, {TOKEN!r}, file=sys.stderr)
logging.getLogger("other").error("logged %s %s", {ESCAPES!r}, {TOKEN!r})
warnings.warn("warned " + {ESCAPES!r} + {TOKEN!r})
print("unfinished", end="")
raise SystemError("raised " + {ESCAPES!r} + {TOKEN!r})
"""


def test_a_process_that_computes_says_nothing_else(tmp_path):
    log = tmp_path / "log.txt"
    with log.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], stdout=file, stderr=subprocess.STDOUT, check=False
        )
    said = log.read_text(encoding="utf-8")
    assert done.returncode == 1
    assert is_tame(said)
    for word in ("printed", "complained", "logged", "warned", "raised", "unfinished"):
        assert word in said
    assert said.count(REDACTED) >= 5
    assert TOKEN not in said
    assert os.fsencode("\\x1b]0;owned\\x07") in log.read_bytes()
