import math

import pytest

from ppo_tui.text.figures import ago, compact, duration, number, percent, size, sparkline


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.7123, "0.712"),
        (-0.0001, "-1e-4"),
        (3e-4, "3e-4"),
        (1e-3, "0.001"),
        (12.345, "12.35"),
        (123.4, "123"),
        (1234567.0, "1.23e6"),
        (math.nan, "–"),
        (None, "–"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_about_three_digits(value, text):
    assert number(value) == text


def test_shares_durations_and_sizes_read_as_people_write_them():
    assert percent(0.957) == "96 %"
    assert percent(math.nan) == "–"
    assert [duration(s) for s in (None, 5, 65, 3700, 200_000)] == [
        "–:––",
        "0:05",
        "1:05",
        "1:01:40",
        "2 d 7 h",
    ]
    assert [compact(v) for v in (3.14, 950, 5300, 2.5e6)] == ["3.1", "950", "5.3k", "2.5M"]
    assert [size(v) for v in (10 * 2**20, 8 * 2**30)] == ["10.0 MiB", "8.00 GiB"]
    assert [ago(s) for s in (5, 65, 7300, 90_000)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
    ]


def test_a_curve_rises_where_its_values_rise():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 0, 7, 7], 2, ascii_only=True) == "_#"


def test_a_curve_has_gaps_where_there_is_no_number():
    assert sparkline([0.0, math.nan, 1.0], 3) == "▁ █"
    assert sparkline([math.nan, math.inf], 2) == "  "


def test_a_curve_of_one_value_and_of_none_can_be_drawn():
    assert sparkline([0.5, 0.5], 8) == "▁▁"
    assert sparkline([], 8) == ""
