"""Which presses count as answers: not those of a key held down, none to a text not yet seen."""

import pytest

from ppo_tui.screens.rating_pace import Pace

from .goldens import screen_text
from .rating import Host, fill_pool
from .test_rating import answer, lines, until, until_asked, until_shown


class Clock:
    """Goes on by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def press(pace, clock, at, key):
    clock.now = 100 + at
    return pace.takes(key)


def test_a_text_must_have_stood_for_a_moment(clock):
    pace = Pace(clock=clock)
    assert not press(pace, clock, 0.0, 3)  # nothing is painted
    clock.now += 1
    pace.shown()
    assert not press(pace, clock, 1.2, 3)
    assert press(pace, clock, 1.5, 3)


@pytest.mark.parametrize("delay", [0.2, 0.25, 0.4, 0.5, 0.66])
@pytest.mark.parametrize("interval", [0.02, 0.033, 0.09])
def test_a_key_held_down_is_one_answer(clock, delay, interval):
    pace = Pace(clock=clock)
    pace.shown()
    presses = [1.0, *(1.0 + delay + interval * count for count in range(90))]
    taken = 0
    for at in presses:
        if press(pace, clock, at, 3):
            taken += 1
            pace.hidden()
            pace.shown()
    assert taken == 1


def test_the_same_answer_again_takes_a_little_longer_than_another(clock):
    pace = Pace(clock=clock)
    pace.shown()
    assert press(pace, clock, 1.0, 3)
    pace.shown()
    assert not press(pace, clock, 1.5, 3)
    assert press(pace, clock, 1.75, 3)
    pace.shown()
    assert press(pace, clock, 2.15, 4)


def test_taking_back_waits_for_nothing_but_is_not_repeated_by_a_held_key(clock):
    pace = Pace(clock=clock)
    assert pace.takes_back()
    clock.now += 0.033
    assert not pace.takes_back()
    clock.now += 0.3
    assert pace.takes_back()


async def test_of_many_presses_at_once_one_is_an_answer(make_run):
    run = make_run("held", steps=3)
    fill_pool(run)
    app = Host(run, "mute", pace=Pace())
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await pilot.press("4")
        assert lines(run) == []
        assert "Too soon to have read it: press the key again." in screen_text(app)
        await pilot.pause(0.8)
        await answer(pilot, "4")
        await until_shown(pilot, "1 given, 1 by you")
        for _ in range(20):
            await pilot.press("4")
        await until(pilot, lambda: not app.rating._busy)
        assert len(lines(run)) == 1
        assert "Too soon to have read it" in screen_text(app)
        await pilot.pause(0.8)
        await answer(pilot, "5")
        await until_shown(pilot, "2 given, 2 by you")
        assert "Too soon to have read it" not in screen_text(app)
    assert [line["rating"] for line in lines(run)] == [4, 5]
