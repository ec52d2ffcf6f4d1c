"""Which words of two answers differ."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.text.diff import Span, word_diff

WORDS = st.lists(
    st.sampled_from(["a", "the", "film", "was", " ", "  ", "\n", "good.", "影", "画", "é"]),
    max_size=40,
).map("".join)
TEXTS = st.one_of(st.text(max_size=60), WORDS)


def kept(spans: list[Span]) -> str:
    return "".join(span.text for span in spans if not span.changed)


def test_one_word_that_was_replaced_is_marked_in_both():
    assert word_diff("the film was dull", "the film was grand") == (
        [Span("the film was ", False), Span("dull", True)],
        [Span("the film was ", False), Span("grand", True)],
    )


def test_words_that_were_put_in_are_marked_with_their_space():
    before, after = word_diff("a good film", "a very good film")

    assert before == [Span("a good film", False)]
    assert after == [Span("a ", False), Span("very ", True), Span("good film", False)]


def test_the_space_between_two_new_words_is_new_as_well():
    _, after = word_diff("old words", "quite different")

    assert after == [Span("quite different", True)]


def test_equal_texts_are_one_piece_without_a_mark():
    assert word_diff("the same", "the same") == ([Span("the same", False)],) * 2


def test_an_empty_text_has_no_pieces():
    assert word_diff("", "something new") == ([], [Span("something new", True)])


def test_a_script_without_spaces_is_compared_by_characters():
    _, after = word_diff("这部电影很差", "这部电影很好")

    assert after == [Span("这部电影很", False), Span("好", True)]


@given(TEXTS, TEXTS)
def test_the_pieces_of_each_text_make_up_that_text(a: str, b: str):
    before, after = word_diff(a, b)

    assert "".join(span.text for span in before) == a
    assert "".join(span.text for span in after) == b
    assert all(span.text for span in [*before, *after])


@given(TEXTS, TEXTS)
def test_what_is_not_marked_is_in_both_texts_alike(a: str, b: str):
    before, after = word_diff(a, b)

    assert kept(before) == kept(after)


@given(TEXTS, TEXTS)
def test_marks_alternate(a: str, b: str):
    for spans in word_diff(a, b):
        assert all(one.changed != other.changed for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("x" * 100_000, "x" * 99_999 + "y"),
        ("a b " * 50_000, "b a " * 50_000),
        ("a " * 100_000, "b " * 100_000),
        (" ".join(map(str, range(50_000))), " ".join(map(str, range(50_000, 0, -1)))),
        ("字" * 100_000, "字画" * 50_000),
    ],
    ids=["no space", "two words", "nothing alike", "all different", "one character"],
)
@pytest.mark.timeout(30)
def test_very_long_texts_are_compared_within_bounds(a: str, b: str):
    before, after = word_diff(a, b)

    assert "".join(span.text for span in before) == a
    assert "".join(span.text for span in after) == b


def test_what_long_texts_begin_and_end_with_in_common_is_never_marked():
    many = " ".join(f"w{i}" for i in range(20_000))
    _, after = word_diff(f"{many} old {many}", f"{many} new {many}")

    assert [span.changed for span in after] == [False, True, False]
    assert after[1].text == "new"
