import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo_tui.runs import strict_json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refuse(word):
    raise AssertionError(f"{word} is no JSON")


@settings(deadline=None)
@given(values)
def test_whatever_is_written_is_one_line_of_strict_json_that_reads_back(value):
    text = strict_json.dumps(value)
    assert "\n" not in text
    assert json.loads(text, parse_constant=refuse) == strict_json.plain(value)
    assert strict_json.loads(text.encode("utf-8")) == strict_json.plain(value)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_value_error(data):
    with contextlib.suppress(ValueError):
        strict_json.loads(data)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(number):
    assert strict_json.dumps({"kl/ref": number}) == '{"kl/ref":null}'


def test_text_of_any_script_is_kept():
    assert strict_json.dumps("Größe 日本語 👍🏽 e\u0301") == '"Größe 日本語 👍🏽 e\u0301"'


def test_no_control_character_reaches_a_terminal_that_shows_the_file():
    text = strict_json.dumps("\x1b[2J \x00 \x7f \x9b31m \x85 \u2028")
    assert text == '"\\u001b[2J \\u0000 \\u007f \\u009b31m \\u0085 \\u2028"'
    assert strict_json.loads(text.encode()) == "\x1b[2J \x00 \x7f \x9b31m \x85 \u2028"


def test_a_lone_surrogate_is_replaced_and_a_pair_is_joined():
    assert strict_json.dumps("a\ud800b \ud83d\ude00") == '"a\ufffdb 😀"'


def test_an_escaped_lone_surrogate_from_elsewhere_is_replaced():
    assert strict_json.loads(b'{"\\ud800":"\\uDC00"}') == {"\ufffd": "\ufffd"}


def test_the_scalars_of_array_libraries_are_numbers():
    class Scalar:
        def item(self):
            return 0.5

    assert strict_json.dumps({"x": Scalar()}) == '{"x":0.5}'


def test_what_json_has_no_word_for_is_refused_by_name():
    with pytest.raises(TypeError, match="a set cannot be written"):
        strict_json.dumps({1, 2})


@pytest.mark.parametrize("data", [b"[" * 100_000, b'"\\ud800' + b"[" * 100_000, b"1" * 5000])
def test_a_text_made_to_break_the_parser_is_only_no_json(data):
    with pytest.raises(ValueError):
        strict_json.loads(data)
