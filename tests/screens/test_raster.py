"""From numbers to dots: nothing is lost, nothing is invented."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.screens.widgets.raster import Smoother, braille, column_ranges, dots_of, limits

finite = st.floats(-1e6, 1e6)
values = st.lists(st.one_of(finite, st.just(math.nan), st.just(math.inf)), min_size=1, max_size=300)


@given(values, st.integers(2, 80))
def test_the_extremes_of_a_curve_survive_any_width(numbers: list[float], columns: int) -> None:
    x, y = np.arange(1.0, len(numbers) + 1), np.array(numbers)
    start, end = (1.0, float(len(numbers))) if len(numbers) > 1 else (0.5, 1.5)
    low, high = column_ranges(x, y, start, end, columns)
    known = y[np.isfinite(y)]
    if len(known):
        assert np.nanmin(low) == known.min()
        assert np.nanmax(high) == known.max()
    else:
        assert np.isnan(low).all()
        assert np.isnan(high).all()


@given(values, st.integers(2, 80))
def test_no_column_lies_outside_of_the_curve(numbers: list[float], columns: int) -> None:
    x, y = np.arange(1.0, len(numbers) + 1), np.array(numbers)
    low, high = column_ranges(x, y, 1.0, max(2.0, float(len(numbers))), columns)
    known = np.isfinite(low)
    assert (known == np.isfinite(high)).all()
    assert (low[known] <= high[known]).all()
    finite_values = y[np.isfinite(y)]
    if known.any():
        margin = 1e-9 * max(1.0, float(np.abs(finite_values).max()))
        assert low[known].min() >= finite_values.min() - margin
        assert high[known].max() <= finite_values.max() + margin


def test_few_points_are_joined_by_straight_lines() -> None:
    low, high = column_ranges(np.array([0.0, 4.0]), np.array([0.0, 8.0]), 0.0, 4.0, 5)
    assert low.tolist() == high.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    y = np.array([1.0, math.nan, 3.0])
    low, _ = column_ranges(np.array([0.0, 1.0, 2.0]), y, 0.0, 2.0, 5)
    assert low[0] == 1.0
    assert np.isnan(low[1:4]).all()
    assert low[4] == 3.0


def test_many_points_are_drawn_as_least_and_greatest_of_each_column() -> None:
    y = np.zeros(1000)
    y[503] = 7.0
    low, high = column_ranges(np.arange(1000.0), y, 0.0, 999.0, 10)
    assert high.max() == 7.0
    assert low.max() == 0.0


def test_a_window_cuts_the_line_at_its_edges() -> None:
    x, y = np.array([0.0, 10.0]), np.array([0.0, 10.0])
    low, _ = column_ranges(x, y, 4.0, 6.0, 3)
    assert low.tolist() == [4.0, 5.0, 6.0]


def test_neighbouring_columns_are_joined_without_holes() -> None:
    low = high = np.array([0.0, 9.0])
    dots = dots_of(low, high, 0.0, 9.0, 12)
    assert dots.any(axis=1).all()
    assert dots[11, 0]
    assert dots[0, 1]


def test_dashes_leave_out_columns() -> None:
    flat = np.zeros(8)
    dots = dots_of(flat, flat, -1.0, 1.0, 4, (3, 1))
    assert dots.any(axis=0).tolist() == [True, True, True, False] * 2


def test_braille_has_the_dots_where_they_belong() -> None:
    dots = np.zeros((4, 4), dtype=np.bool_)
    dots[0, 0] = dots[3, 3] = True
    assert [chr(code) for code in braille(dots)[0]] == ["⠁", "⢀"]
    assert chr(int(braille(np.ones((4, 2), dtype=np.bool_))[0, 0])) == "⣿"


def test_an_axis_shows_all_finite_values() -> None:
    assert limits(np.array([3.0, math.nan, -1.0, math.inf])) == (-1.0, 3.0)
    assert limits(np.array([math.nan])) is None
    assert limits(np.empty(0)) is None


def test_values_that_are_all_alike_lie_in_the_middle() -> None:
    assert limits(np.array([4.0, 4.0])) == (2.0, 6.0)
    assert limits(np.array([0.0])) == (-1.0, 1.0)


def test_a_logarithmic_axis_shows_positive_values_only() -> None:
    assert limits(np.array([-1.0, 0.0, 0.1, 10.0]), logarithmic=True) == (0.1, 10.0)
    assert limits(np.array([-1.0, 0.0]), logarithmic=True) is None


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.99])
def test_a_constant_is_smoothed_to_itself(weight: float) -> None:
    smoother = Smoother(weight)
    smoother.extend(np.full(50, 0.3))
    assert np.allclose(smoother.values, 0.3, rtol=1e-12)


@given(values, st.floats(0, 0.99), st.integers(0, 300))
def test_points_that_come_in_pieces_are_smoothed_alike(
    numbers: list[float], weight: float, cut: int
) -> None:
    y = np.array(numbers)
    whole, pieces = Smoother(weight), Smoother(weight)
    whole.extend(y)
    pieces.extend(y[:cut])
    pieces.extend(y[cut:])
    np.testing.assert_array_equal(whole.values, pieces.values)
    assert (np.isfinite(whole.values) == np.isfinite(y)).all()


def test_smoothing_is_adams_average_without_its_bias() -> None:
    smoother = Smoother(0.5)
    smoother.extend(np.array([1.0, 3.0, math.nan, 5.0]))
    first, second, gap, third = smoother.values.tolist()
    assert first == 1.0
    assert second == pytest.approx((0.5 * 1 + 3) / 1.5)
    assert math.isnan(gap)
    assert third == pytest.approx((0.25 * 1 + 0.5 * 3 + 5) / 1.75)
