"""From judgements to arrays, and when they teach nothing."""

from __future__ import annotations

import numpy as np

from ppo_tui.runs.ratings import About, Pair, Rating, Ratings
from ppo_tui.taste.evidence import Evidence, evidence_of
from ppo_tui.taste.reading import encode

HEAD = {"time": 0.0, "rater": "ann", "model": "m", "base": "sha256:0", "run": "run"}


def about(*numbers: float) -> About:
    reading = encode(np.array(numbers, np.float32)) if numbers else ""
    return About("Prompt", "text", "1-0", 0, reading)


def rating(value: int, *numbers: float) -> Rating:
    return Rating(id=f"r{value}{numbers}", about=about(*numbers), rating=value, **HEAD)  # type: ignore[arg-type]


def pair(choice: float, first: About, second: About) -> Pair:
    return Pair(id="p", first=first, second=second, choice=choice, **HEAD)  # type: ignore[arg-type]


def of(y: list[float], choice: list[float], unread: int = 0) -> Evidence:
    def none(rows: int) -> np.ndarray:
        return np.zeros((rows, 6), np.float32)

    return Evidence(
        none(len(y)), np.array(y), none(len(choice)), none(len(choice)), np.array(choice), unread
    )


def test_ratings_and_pairs_become_rows() -> None:
    evidence = evidence_of(
        Ratings(
            ratings=(rating(4, 1, 2), rating(1, 3, 4)),
            pairs=(pair(0.5, about(5, 6), about(7, 8)),),
        )
    )
    assert evidence.x.tolist() == [[1, 2], [3, 4]]
    assert evidence.y.tolist() == [4, 1]
    assert evidence.first.tolist() == [[5, 6]]
    assert evidence.second.tolist() == [[7, 8]]
    assert evidence.choice.tolist() == [0.5]
    assert evidence.count == 3
    assert evidence.unread == 0


def test_what_has_no_reading_or_an_odd_one_is_counted_and_left_out() -> None:
    evidence = evidence_of(
        Ratings(
            ratings=(rating(4, 1, 2), rating(1), rating(2, 1, 2, 3), rating(3, 5, 6)),
            pairs=(pair(1.0, about(5, 6), about()),),
        )
    )
    assert evidence.y.tolist() == [4, 3]
    assert evidence.first.shape == (0, 2)
    assert evidence.unread == 3


def test_a_reading_that_is_no_text_of_numbers_is_left_out() -> None:
    broken = Rating(id="b", about=About("P", "t", "1-0", 0, "@@"), rating=3, **HEAD)  # type: ignore[arg-type]
    evidence = evidence_of(Ratings(ratings=(broken,)))
    assert evidence.count == 0
    assert evidence.unread == 1


def test_no_ratings_are_a_problem() -> None:
    assert evidence_of(Ratings()).problem == "There are no ratings yet; give some."


def test_ratings_without_readings_are_a_problem() -> None:
    assert of([], [], unread=4).problem == (
        "None of the 4 ratings says how the base model reads its text; rate what this run writes."
    )


def test_few_ratings_are_a_problem() -> None:
    assert of([1.0], []).problem == (
        "There is 1 rating, and 5 are the fewest to learn from; give some more."
    )
    assert of([1.0, 5.0], [1.0, 0.0]).problem == (
        "There are 4 ratings, and 5 are the fewest to learn from; give some more."
    )


def test_ratings_all_alike_are_a_problem() -> None:
    assert of([3.0] * 6, []).problem == (
        "All 6 ratings are 3, so nothing tells good from bad; rate some otherwise."
    )
    assert of([], [0.5] * 6).problem == (
        "All 6 pairs are ties, so nothing tells good from bad; rate some otherwise."
    )
    assert of([3.0] * 6, [0.5] * 6).problem == (
        "All 6 ratings are 3 and all 6 pairs are ties, so nothing tells good from bad; rate some "
        "otherwise."
    )


def test_one_judgement_that_differs_is_enough() -> None:
    assert of([3.0] * 5 + [4.0], []).problem == ""
    assert of([3.0] * 5, [0.0]).problem == ""
