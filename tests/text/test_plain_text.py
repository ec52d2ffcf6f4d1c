from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.text.plain import plain, shortened


def test_escape_sequences_are_spelled_out():
    assert plain("a\x1b[31mb\x07\x9b2J\x7f") == r"a\x1b[31mb\x07\x9b2J\x7f"


def test_a_line_end_is_shown_and_a_carriage_return_cannot_overwrite():
    assert plain("one\r\ntwo\rthree") == r"one⏎two\rthree"


def test_text_that_would_be_read_backwards_is_spelled_out():
    assert plain("\u202eabc\u2066") == r"\u202eabc\u2066"


def test_ordinary_text_of_any_script_is_left_alone():
    for text in ("naïve façade", "日本語", "שלום", "👩‍👩‍👧 ☀️", "[bold]not markup[/]"):
        assert plain(text) == text


def test_odd_spaces_become_spaces():
    assert plain("a\u00a0b\u3000c") == "a b c"


def test_lines_are_kept_on_request_and_nothing_else_is():
    assert plain("a\tb\nc\x1b", lines=True) == "a\tb\nc\\x1b"


def test_shortening_ends_in_an_ellipsis():
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"


@given(st.text())
def test_nothing_is_left_that_a_terminal_would_obey(text):
    joiners = "\u200d\ufe0e\ufe0f"
    assert all(char.isprintable() or char in joiners for char in plain(text))


def test_a_pile_of_marks_covers_no_other_line():
    assert plain("a" + "\u0301" * 8) == "a" + "\u0301" * 8
    assert plain("a" + "\u0301" * 10 + "b") == "a" + "\u0301" * 8 + r"\u0301\u0301" + "b"
