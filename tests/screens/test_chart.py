"""The chart alone: what it reads, how it looks, what its keys do."""

import math

import numpy as np
import pytest

from ppo_tui.screens.widgets.chart import Chart, Curve, Plot
from ppo_tui.screens.widgets.raster import Smoother

from .goldens import screen_text
from .host import Host

X = np.arange(1.0, 41.0)
RISING = 1 - np.exp(-X / 10)


def rising() -> list[Curve]:
    return [Curve("score", X, RISING)]


class ListeningHost(Host):
    """Keeps where the user looked."""

    def on_chart_looked(self, event: Chart.Looked) -> None:
        self.heard.append(event)


async def lines_of(chart: Chart, width: int = 60, height: int = 12) -> list[str]:
    app = Host(chart)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        return screen_text(app).split("\n")


async def test_the_title_row_reads_the_newest_value_and_where_it_goes() -> None:
    lines = await lines_of(Chart(Plot("Reward", rising)))
    assert lines[0].startswith("▸Reward  0.982 ▲")


async def test_the_axes_say_what_is_shown() -> None:
    lines = await lines_of(Chart(Plot("Reward", rising)))
    assert lines[1].startswith(" 0.982┤")
    assert lines[10].startswith(" 0.095┤")
    assert lines[11].split() == ["1", "40"]


async def test_a_chart_without_values_says_so() -> None:
    lines = await lines_of(Chart(Plot("Reward", list)))
    assert any("no values yet" in line for line in lines)


async def test_values_that_are_not_finite_are_no_trouble() -> None:
    y = np.full(40, math.nan)
    lines = await lines_of(Chart(Plot("Reward", lambda: [Curve("a", X, y)])))
    assert lines[0].startswith("▸Reward  –")
    assert any("no values yet" in line for line in lines)


async def test_several_curves_are_told_apart_by_signs_and_dashes() -> None:
    def curves() -> list[Curve]:
        return [Curve("up", X, RISING, None, 0), Curve("down", X, -RISING, None, 1)]

    lines = await lines_of(Chart(Plot("Terms", curves)))
    assert "● up 0.982" in lines[0]
    assert "■ down -0.982" in lines[0]


async def test_a_smoothed_curve_lies_over_the_raw_one() -> None:
    noisy = RISING + np.where(X % 2 == 0, 0.1, -0.1)
    smoother = Smoother(0.9)
    smoother.extend(noisy)

    def curves() -> list[Curve]:
        return [Curve("a", X, noisy, smoother.values)]

    chart = Chart(Plot("Reward", curves))
    app = Host(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        styles = {
            segment.style.color
            for y in range(1, 11)
            for segment in chart.render_line(y)
            if segment.style and any("⠁" <= char <= "⣿" for char in segment.text)
        }
    assert len(styles) == 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (10, 2), (27, 5), (300, 100)])
async def test_every_size_is_drawn(width: int, height: int) -> None:
    chart = Chart(Plot("Reward", rising))
    app = Host(chart)
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        for y in range(chart.size.height):
            assert chart.render_line(y).cell_length == chart.size.width


async def test_the_cursor_reads_an_earlier_step() -> None:
    chart = Chart(Plot("Reward", rising))
    app = ListeningHost(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        chart.focus()
        await pilot.press("home")
        assert chart.cursor == 1
        assert "0.095" in screen_text(app).split("\n")[0]
        assert "at 1" in screen_text(app).split("\n")[0]
        await pilot.press("right")
        assert chart.cursor == 2
        await pilot.press("left", "left", "left")
        assert chart.cursor == 1
        await pilot.press("end")
        assert chart.cursor is None
        assert [event.cursor for event in app.heard] == [1, 2, 1, 1, 1, None]


async def test_zoom_looks_at_fewer_steps_around_the_cursor() -> None:
    chart = Chart(Plot("Reward", rising))
    app = ListeningHost(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        chart.focus()
        await pilot.press("home", "plus")
        assert chart.window == (1.0, 20.5)
        assert screen_text(app).split("\n")[11].split() == ["1", "20"]
        await pilot.press("minus")
        assert chart.window is None
        await pilot.press("plus", "0")
        assert chart.window is None


async def test_a_click_reads_the_step_under_it() -> None:
    chart = Chart(Plot("Reward", rising))
    app = ListeningHost(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.click(Chart, offset=(59, 5))
        assert chart.cursor == 40
        await pilot.click(Chart, offset=(7, 5))
        assert chart.cursor == 1


async def test_a_logarithmic_axis_needs_positive_values() -> None:
    chart = Chart(Plot("Loss", lambda: [Curve("a", X, -RISING)]))
    app = Host(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        chart.focus()
        await pilot.press("y")
        assert "no positive value" in screen_text(app)
        await pilot.press("y")
        assert "no positive value" not in screen_text(app)


async def test_a_chart_that_nobody_changes_is_not_drawn_again() -> None:
    drawn = []

    def curves() -> list[Curve]:
        drawn.append(1)
        return rising()

    chart = Chart(Plot("Reward", curves))
    app = Host(chart)
    async with app.run_test(size=(60, 12)) as pilot:
        chart.focus()
        await pilot.pause()
        chart.refresh()
        await pilot.pause()
        before = len(drawn)
        chart.refresh()
        await pilot.pause()
        assert len(drawn) == before
        chart.redraw()
        await pilot.pause()
        assert len(drawn) == before + 1


async def test_a_title_from_elsewhere_is_shown_literally() -> None:
    lines = await lines_of(
        Chart(Plot("[bold]x[/", lambda: [Curve("\x1b[31m", X, RISING), Curve("b", X, RISING)]))
    )
    assert "[bold]x[/" in lines[0]
    assert "\\x1b[31m" in lines[0]
