"""The end of a log, in bounded memory whatever is written to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.runs.log_tail import LONGEST_LINE, LogTail


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.txt"


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def test_a_log_that_is_not_there_is_said_once(path):
    tail = LogTail(path)
    assert tail.poll().missing
    assert tail.poll() is None
    append(path, b"one\n")
    assert tail.poll().lines == ("one",)


def test_what_comes_is_added_and_nothing_is_told_twice(path):
    append(path, b"one\n")
    tail = LogTail(path)
    assert tail.poll().lines == ("one",)
    assert tail.poll() is None
    append(path, b"two\nthr")
    assert tail.poll().lines == ("one", "two", "thr")
    append(path, b"ee\n")
    assert tail.poll().lines == ("one", "two", "three")


def test_an_empty_log_has_no_line(path):
    path.touch()
    tail = LogTail(path)
    assert tail.poll().lines == ()
    assert tail.poll() is None


def test_only_the_last_lines_are_kept(path):
    append(path, b"".join(b"%d\n" % number for number in range(10)))
    tail = LogTail(path, most_lines=3)
    text = tail.poll()
    assert (text.lines, text.first, text.cut) == (("7", "8", "9"), 7, True)
    append(path, b"10\n")
    text = tail.poll()
    assert (text.lines, text.first) == (("8", "9", "10"), 8)


def test_a_long_log_is_read_at_its_end_only(path):
    append(path, b"".join(b"%04d\n" % number for number in range(1000)))
    text = LogTail(path, most_bytes=20).poll()
    assert text.lines == ("0997", "0998", "0999")
    assert text.cut


def test_a_burst_is_not_read_in_full(path):
    append(path, b"old\n")
    tail = LogTail(path, most_bytes=20)
    tail.poll()
    append(path, b"".join(b"%04d\n" % number for number in range(1000)))
    text = tail.poll()
    assert text.lines == ("0997", "0998", "0999")
    assert text.generation == 1


def test_a_file_that_begins_anew_is_read_anew(path):
    append(path, b"one\ntwo\n")
    tail = LogTail(path)
    tail.poll()
    path.write_bytes(b"new\n")
    text = tail.poll()
    assert (text.lines, text.generation) == (("new",), 1)
    path.rename(path.with_suffix(".old"))
    append(path, b"another file\n")
    assert tail.poll().lines == ("another file",)


def test_a_line_without_an_end_fills_no_memory(path):
    tail = LogTail(path, most_bytes=1000)
    for _ in range(20):
        append(path, b"x" * 900)
        text = tail.poll()
    assert len(text.lines[-1]) <= 1000
    assert len(tail._open) == 1000


def test_a_very_long_line_is_cut_and_says_so(path):
    append(path, b"y" * 100_000 + b"\n")
    (line,) = LogTail(path).poll().lines
    assert line == "y" * LONGEST_LINE + "… (100,000 bytes)"


def test_a_progress_bar_is_shown_as_it_was_last(path):
    append(path, b"10 %\r50 %\r100 %\r\nnext\r\n")
    assert LogTail(path).poll().lines == ("100 %", "next")


def test_what_is_no_text_is_replaced(path):
    append(path, b"a\xff\xfeb\n")
    assert LogTail(path).poll().lines == ("a\ufffd\ufffdb",)


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_lines(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("log") / "log.txt"
    path.touch()
    tail = LogTail(path)
    text = tail.poll()
    for piece in pieces:
        append(path, piece)
        text = tail.poll() or text
    assert text.lines == LogTail(path).poll().lines
