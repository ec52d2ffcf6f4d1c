from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.rewards import (
    KeywordsTerm,
    LengthTerm,
    RegexTerm,
    RepetitionTerm,
    RewardTerm,
    SentimentTerm,
)
from ppo_tui.errors import RewardError
from ppo_tui.rewards import Sample, build
from ppo_tui.rewards.regex import Regex

Make = Callable[..., list[Sample]]


def score(term: RewardTerm, *responses: str) -> list[float]:
    return list(build(term)([Sample("", response, True) for response in responses]))


def test_sentiment_is_the_compound_score_of_the_response() -> None:
    assert score(SentimentTerm(), "a wonderful film", "a terrible film", "a film") == [
        0.5719,
        -0.4767,
        0.0,
    ]


def test_negative_sentiment_is_its_opposite() -> None:
    assert score(SentimentTerm(target="negative"), "a terrible film") == [0.4767]


def test_neutral_sentiment_is_one_less_the_distance_from_zero() -> None:
    scores = score(SentimentTerm(target="neutral"), "a film", "a terrible film")
    assert scores == [1.0, pytest.approx(0.5233)]


def test_sentiment_does_not_read_the_prompt() -> None:
    assert build(SentimentTerm())([Sample("a terrible film", "", False)]) == [0.0]


def test_length_in_words_falls_by_one_a_tolerance() -> None:
    term = LengthTerm(target=3, tolerance=2)
    assert score(term, "a b c", "a b", "a  b\nc d e", "", "a " * 50) == [1.0, 0.5, 0.0, -0.5, -1.0]


def test_length_in_characters_counts_characters_not_bytes() -> None:
    assert score(LengthTerm(target=2, tolerance=1, unit="characters"), "äö", "äöü") == [1.0, 0.0]


def test_regex_tells_whether_the_pattern_stands_anywhere() -> None:
    assert score(RegexTerm(pattern=r"\d+"), "in 1999", "in May", "1 and 2") == [1.0, 0.0, 1.0]


def test_regex_counts_matches_up_to_the_most() -> None:
    term = RegexTerm(pattern="!", count=True, max_count=3)
    assert score(term, "a", "a!", "a!!!!!") == [0.0, 1.0, 3.0]


def test_regex_ignores_case_only_if_asked() -> None:
    assert score(RegexTerm(pattern="yes"), "YES") == [0.0]
    assert score(RegexTerm(pattern="yes", ignore_case=True), "YES") == [1.0]


def test_a_pattern_that_backtracks_without_end_is_an_error_and_no_hang(samples: Make) -> None:
    reward = Regex(RegexTerm(pattern=r"(a|aa)+$"), timeout=0.05)
    with pytest.raises(RewardError, match=r"'\(a\|aa\)\+\$' took more than 0.05 s") as caught:
        reward(samples("a" * 60 + "b"))
    assert caught.value.code == "reward.timeout"


def test_counting_matches_cannot_hang_either(samples: Make) -> None:
    reward = Regex(RegexTerm(pattern=r"(a|aa)+\n", count=True), timeout=0.05)
    with pytest.raises(RewardError, match="took more than"):
        reward(samples("a" * 60 + "b"))


def test_keywords_are_the_share_of_wanted_less_the_share_of_unwanted() -> None:
    term = KeywordsTerm(wanted=("sun", "sea"), unwanted=("rain", "wind", "cold", "dark"))
    assert score(term, "sun and sea", "Sun!", "sun, sun and rain", "dark cold wind, rain") == [
        1.0,
        0.5,
        0.25,
        -1.0,
    ]


def test_keywords_match_whole_words_only() -> None:
    assert score(KeywordsTerm(wanted=("art",)), "start", "art.", "modern art") == [0.0, 1.0, 1.0]


def test_a_keyword_may_end_in_a_sign() -> None:
    assert score(KeywordsTerm(wanted=("C++",)), "I like C++.", "I like C") == [1.0, 0.0]


def test_a_phrase_matches_across_a_line_end() -> None:
    assert score(KeywordsTerm(wanted=("thank you",)), "thank\nyou") == [1.0]


def test_keywords_heed_case_if_asked() -> None:
    assert score(KeywordsTerm(wanted=("Sun",), ignore_case=False), "sun", "Sun") == [0.0, 1.0]


def test_repetition_is_minus_the_share_of_repeated_ngrams() -> None:
    term = RepetitionTerm(ngram=2)
    assert score(term, "a b c d", "a b a b", "a A a a a", "", "a") == [
        0.0,
        pytest.approx(-1 / 3),
        -0.75,
        0.0,
        0.0,
    ]


@given(st.lists(st.text(), max_size=5))
def test_every_built_in_gives_a_finite_score_to_any_text(responses: list[str]) -> None:
    terms = [
        SentimentTerm(),
        LengthTerm(target=5, tolerance=0.5),
        RegexTerm(pattern=r"\w+", count=True),
        KeywordsTerm(wanted=("a",), unwanted=("b c",)),
        RepetitionTerm(),
    ]
    for term in terms:
        scores = score(term, *responses)
        assert len(scores) == len(responses)
        assert all(-1 <= value <= 5 for value in scores)
