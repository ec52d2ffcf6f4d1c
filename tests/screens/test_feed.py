"""The one thread that reads: what it sends, to whom, and when it is silent."""

from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import step_event
from ppo_tui.screens.feed import MOST_WAITING, Feed, FeedPulse, Pulse, RunSource

from .conftest import MakeRun


class Receiver(App[None]):
    """Keeps what it is sent; says `taken` unless it is told not to."""

    def __init__(self, *, takes: bool = True) -> None:
        super().__init__()
        self.pulses: list[Pulse] = []
        self.takes = takes

    def on_feed_pulse(self, event: FeedPulse) -> None:
        self.pulses.append(event.pulse)
        if self.takes:
            event.taken()


class Counting:
    """A source that always has something new."""

    def __init__(self) -> None:
        self.polled = 0

    def poll(self) -> Pulse:
        self.polled += 1
        return Pulse(problem=str(self.polled))


def test_a_run_is_read_once_and_then_only_what_is_new(make_run: MakeRun) -> None:
    run = make_run(steps=5)
    source = RunSource(run)
    pulse = source.poll()
    assert pulse is not None
    assert pulse.seen is not None
    assert pulse.seen.phase is Phase.FINISHED
    assert pulse.batch is not None
    assert pulse.batch.block.steps.tolist() == [1, 2, 3, 4, 5]
    assert source.poll() is None
    with JournalWriter(run.events_path) as journal:
        journal.append(step_event(6, {"reward/score": 1.0}).to_json())
    pulse = source.poll()
    assert pulse is not None
    assert pulse.seen is None
    assert pulse.batch is not None
    assert pulse.batch.block.steps.tolist() == [6]


def test_a_run_that_goes_and_comes_back_is_told_once_each(make_run: MakeRun) -> None:
    run = make_run(steps=1)
    source = RunSource(run)
    source.poll()
    away = run.state_path.with_name("away")
    run.state_path.rename(away)
    pulse = source.poll()
    assert pulse is not None
    assert "state.json" in pulse.problem
    assert source.poll() is None
    away.rename(run.state_path)
    pulse = source.poll()
    assert pulse is not None
    assert pulse.problem == ""
    assert pulse.seen is not None
    assert source.poll() is None


async def test_a_receiver_is_sent_what_is_new(make_run: MakeRun) -> None:
    app = Receiver()
    feed = Feed(1000)
    async with app.run_test() as pilot:
        feed.subscribe(RunSource(make_run(steps=3)), app)
        assert await until(pilot, lambda: bool(app.pulses))
        feed.close()
    assert app.pulses[0].batch is not None
    assert len(app.pulses[0].batch.block) == 3


async def test_a_receiver_that_is_busy_is_not_buried() -> None:
    app, source, feed = Receiver(takes=False), Counting(), Feed(1000)
    async with app.run_test() as pilot:
        subscription = feed.subscribe(source, app)
        await until(pilot, lambda: subscription.waiting >= MOST_WAITING)
        polled = source.polled
        for _ in range(20):
            await pilot.pause(0.005)
        assert source.polled == polled == MOST_WAITING
        feed.close()


async def test_nothing_is_read_after_the_subscription_has_ended() -> None:
    app, source, feed = Receiver(), Counting(), Feed(1000)
    async with app.run_test() as pilot:
        subscription = feed.subscribe(source, app)
        await until(pilot, lambda: source.polled >= 2)
        subscription.end()
        feed.close()
        polled = source.polled
        await pilot.pause(0.02)
        assert source.polled == polled


async def test_a_receiver_that_is_gone_is_dropped() -> None:
    app, source = Receiver(), Counting()
    async with app.run_test():
        pass
    feed = Feed(1000)
    feed.subscribe(source, app)
    feed.close()
    assert source.polled <= MOST_WAITING


async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> bool:
    for _ in range(2000):
        if holds():
            return True
        await pilot.pause(0.005)
    return False
