"""The layout of a reading, and how it is written down."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.taste.reading import BLOCKS, SKETCH, decode, encode, sketch


def test_the_parts_stand_one_after_the_other_and_the_length_last() -> None:
    blocks = {name: np.full((2, 3), i, np.float32) for i, name in enumerate(BLOCKS)}
    reading = sketch(blocks, np.array([1, 20]))
    assert reading.shape == (2, 16)
    assert reading[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0]
    assert reading[1, -1] == np.float32(np.log(20))


def test_wide_states_are_projected_and_keep_their_distances() -> None:
    states = np.random.default_rng(0).standard_normal((20, 2000)).astype(np.float32)
    reading = sketch(dict.fromkeys(BLOCKS, states), np.ones(20))
    assert reading.shape == (20, 5 * SKETCH + 1)
    wide = np.linalg.norm(states[0] - states[1:], axis=1)
    for part in range(5):
        kept = reading[:, part * SKETCH : (part + 1) * SKETCH]
        narrow = np.linalg.norm(kept[0] - kept[1:], axis=1)
        assert np.abs(narrow / wide - 1).max() < 0.2


def test_the_projection_is_the_same_always() -> None:
    states = np.ones((1, 300), np.float32)
    one, other = (sketch(dict.fromkeys(BLOCKS, states), np.ones(1)) for _ in range(2))
    assert one.tobytes() == other.tobytes()
    assert not np.array_equal(one[0, :SKETCH], one[0, SKETCH : 2 * SKETCH])


def test_huge_states_stay_within_half_precision() -> None:
    blocks = dict.fromkeys(BLOCKS, np.full((1, 3), 1e9, np.float32))
    reading = sketch(blocks, np.array([5]))
    again = decode(encode(reading[0]))
    assert again is not None
    assert np.isfinite(again).all()


@given(st.lists(st.floats(-6e4, 6e4, width=16), min_size=1, max_size=50))
def test_a_reading_in_half_precision_survives_being_written(numbers: list[float]) -> None:
    reading = decode(encode(np.array(numbers, np.float32)))
    assert reading is not None
    assert reading.tolist() == numbers


def test_what_is_no_reading_is_none() -> None:
    for text in ("", "@", "AAA", "AA==", "AAB8", encode(np.array([np.nan])), "é"):
        assert decode(text) is None
