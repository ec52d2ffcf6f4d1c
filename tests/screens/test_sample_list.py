"""The list of samples, alone in a tiny app."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ppo_tui.runs.records import Sample
from ppo_tui.screens.widgets.sample_list import ORDERS, SampleList, arranged, first_line

from .goldens import screen_text
from .host import Host


def sample(index: int, score: float = 0.5, **given: Any) -> Sample:
    known = {
        "step": 7,
        "prompt": "a prompt",
        "response": f" answer {index}",
        "terms": {"sentiment": score},
        "kl": 1.25,
        "length": 10 + index,
        "finished": True,
        "time": 1.0,
    }
    return Sample(id=f"{given.get('step', 7)}-{index}", score=score, **{**known, **given})


THREE = [sample(0, 0.5), sample(1, -0.25, finished=False), sample(2, 0.0, length=5)]


def lines(app: Host) -> list[str]:
    return screen_text(app).splitlines()


def chosen(app: Host) -> list[str]:
    return [heard.sample.id for heard in app.heard if isinstance(heard, SampleList.Chosen)]


class Listening(Host):
    def on_sample_list_chosen(self, event: SampleList.Chosen) -> None:
        self.heard.append(event)

    def on_sample_list_ordered(self, event: SampleList.Ordered) -> None:
        self.heard.append(event)


async def test_each_sample_is_a_line_with_its_numbers_in_words_and_signs():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show(THREE, 7)
        await pilot.pause()

        assert lines(app)[:5] == [
            "Samples of step 7 · 3 · newest first",
            "   score     KL  tok ?  response",
            "   0.000   1.25    5 ✓  answer 2",
            "▼ -0.250   1.25   11 …  answer 1",
            "▲  0.500   1.25   10 ✓  answer 0",
        ]


async def test_an_empty_list_says_so():
    app = Host(SampleList())
    async with app.run_test(size=(50, 4)):
        assert lines(app)[:2] == ["Samples", "nothing has been written yet"]


async def test_a_step_whose_samples_are_damaged_is_not_one_that_wrote_nothing():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(50, 4)) as pilot:
        shown.show([], step=7)
        await pilot.pause()
        assert lines(app)[:2] == ["Samples of step 7", "none can be read"]


async def test_samples_of_several_steps_have_a_column_for_it():
    shown = SampleList("This prompt over time")
    app = Host(shown)
    async with app.run_test(size=(60, 6)) as pilot:
        shown.show([sample(0, step=3), sample(0, step=12)], note="evenly chosen")
        await pilot.pause()

        assert lines(app)[0] == "This prompt over time · 2 · newest first · evenly chosen"
        assert lines(app)[1].startswith("  step ")
        assert lines(app)[2].startswith("    12 ▲  0.500")


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        ("newest", ["7-2", "7-1", "7-0"]),
        ("best", ["7-0", "7-2", "7-1"]),
        ("worst", ["7-1", "7-2", "7-0"]),
        ("longest", ["7-1", "7-0", "7-2"]),
    ],
)
def test_the_orders_are_what_they_say(order: Any, ids: list[str]):
    assert [one.id for one in arranged(THREE, order)] == ids


@pytest.mark.parametrize("order", ["best", "worst"])
def test_a_score_that_is_no_number_comes_last(order: Any):
    broken = sample(9, math.nan)

    assert arranged([broken, *THREE], order)[-1] is broken


async def test_a_key_goes_through_the_orders_and_says_so_to_the_screen():
    shown = SampleList()
    app = Listening(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show(THREE, 7)
        shown.focus()
        for _ in ORDERS:
            await pilot.press("d")

        said = [heard.order for heard in app.heard if isinstance(heard, SampleList.Ordered)]
        assert said == ["best", "worst", "longest", "newest"]
        await pilot.press("d")
        await pilot.pause()
        assert "best first" in lines(app)[0]
        assert "answer 0" in lines(app)[2]


async def test_the_cursor_goes_through_the_list_and_enter_opens():
    shown = SampleList()
    app = Listening(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show([sample(index) for index in range(30)], 7)
        shown.focus()
        for key in ("enter", "down", "enter", "up", "end", "enter", "home", "pagedown", "enter"):
            await pilot.press(key)
        await pilot.press("pageup", "enter")

        assert chosen(app) == ["7-29", "7-28", "7-0", "7-24", "7-29"]


async def test_a_click_chooses_a_second_one_opens_and_one_on_the_head_orders():
    shown = SampleList()
    app = Listening(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show(THREE, 7)
        await pilot.click(SampleList, offset=(5, 3))
        assert shown.highlighted is THREE[1]
        assert chosen(app) == []
        await pilot.click(SampleList, offset=(5, 4), times=2)
        assert chosen(app) == ["7-0"]
        await pilot.click(SampleList, offset=(5, 0))
        assert shown.order == "best"
        await pilot.click(SampleList, offset=(5, 7))
        assert len(chosen(app)) == 1


async def test_enter_on_an_empty_list_opens_nothing():
    shown = SampleList()
    app = Listening(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.focus()
        await pilot.press("down", "end", "enter", "d")

        assert chosen(app) == []


async def test_the_cursor_stays_on_its_sample_when_others_come():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show(THREE)
        shown.focus()
        await pilot.press("down")
        assert shown.highlighted is THREE[1]

        shown.show([*THREE, *(sample(index) for index in range(3, 30))])
        await pilot.pause()
        assert shown.highlighted is THREE[1]
        assert "answer 1" in screen_text(app)


async def test_samples_of_another_step_leave_the_cursor_at_its_line():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(50, 8)) as pilot:
        shown.show(THREE, 7)
        shown.focus()
        await pilot.press("down", "down")
        shown.show([sample(index, step=8) for index in range(2)], 8)
        await pilot.pause()

        assert shown.highlighted is not None
        assert shown.highlighted.id == "8-0"
        assert lines(app)[0] == "Samples of step 8 · 2 · newest first"


async def test_text_that_would_be_markup_or_an_escape_sequence_is_shown_as_it_is():
    shown = SampleList()
    app = Host(shown)
    awkward = " [red]bold[/ \x1b[31m\x07 \u202e字 x\nsecond line"
    async with app.run_test(size=(70, 6)) as pilot:
        shown.show([sample(0, response=awkward)], 7)
        await pilot.pause()

        assert r"[red]bold[/ \x1b[31m\x07 \u202e字 x" in lines(app)[2]
        assert "second" not in screen_text(app)


def test_only_the_beginning_of_a_long_response_is_looked_at():
    assert first_line("\n\n  first\nsecond") == "first"
    assert len(first_line("x" * 10_000_000)) == 1000


async def test_hundreds_of_very_long_samples_are_drawn_as_their_beginnings():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(80, 10)) as pilot:
        shown.show([sample(index, response=f"{index}" + "x" * 100_000) for index in range(256)], 7)
        await pilot.pause()

        assert lines(app)[0] == "Samples of step 7 · 256 · newest first"
        assert lines(app)[2].endswith("x…")
        assert len(lines(app)[2]) <= 80
        assert len(shown._drawn) <= 10


async def test_a_narrow_list_keeps_its_numbers():
    shown = SampleList()
    app = Host(shown)
    async with app.run_test(size=(30, 6)) as pilot:
        shown.show(THREE, 7)
        await pilot.pause()

        assert lines(app)[4] == "▲  0.500   1.25   10 ✓  answe…"
