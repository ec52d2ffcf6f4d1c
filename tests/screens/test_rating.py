"""The rating screen: what is asked, what is kept, and what happens when something is in the way."""

import json
import os
import shutil
import time

import pytest
from textual.widgets import Static

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import identify
from ppo_tui.runs.ratings import About, RatingsFile, new_rating, new_skip
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state
from ppo_tui.screens.dialogs import Ask
from ppo_tui.screens.rating import RatingScreen
from ppo_tui.screens.widgets.plain_input import PlainInput

from .goldens import check_golden, screen_text
from .rating import Host, add_to_pool, candidate, fill_pool

LOOKS = 1500


@pytest.fixture
def run(make_run):
    run = make_run("taster", steps=3)
    fill_pool(run)
    return run


async def until(pilot, condition):
    """Wait until something is so."""
    for _ in range(LOOKS):
        if condition():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError(f"waited in vain; on the screen is\n{screen_text(pilot.app)}")


async def until_shown(pilot, words):
    await until(pilot, lambda: words in screen_text(pilot.app))


async def until_asked(pilot):
    """Wait until a question stands there and the next ones lie ready."""
    screen = pilot.app.rating
    await until(pilot, lambda: screen._current and screen._upcoming and not screen._busy)


async def answer(pilot, key):
    """Press a key that answers, and wait until that is written."""
    await pilot.press(key)
    await until(pilot, lambda: not pilot.app.rating._busy)


def lines(run):
    """What was written, without what differs each time."""
    if not run.ratings_path.exists():
        return []
    return [json.loads(line) for line in run.ratings_path.read_text().splitlines()]


def asked(app):
    """The text that is asked about."""
    return app.rating._current.first.response


def status(app):
    return screen_text(app).splitlines()[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_text_is_asked_about_beside_what_was_learnt(run, size):
    app = Host(run, "mute")
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "reward is another")
        await until_asked(pilot)
        check_golden(app, "rating-begins")
    app = Host(run)
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "rank correlation 0.72")
        await until_shown(pilot, "reward is another")
        await answer(pilot, "4")
        await until_shown(pilot, "1 by you")
        await until_shown(pilot, "why this one: Nobody has said")
        check_golden(app, "rating")
        await pilot.press("x")
        await until_shown(pilot, "second answer")
        check_golden(app, "rating-pair")


async def test_without_colours_it_says_the_same(run, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "reward is another")
        await until_asked(pilot)
        check_golden(app, "rating-begins")


async def test_a_rating_holds_who_said_what_of_which_text(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await answer(pilot, "4")
        [line] = lines(run)
    assert len(line.pop("id")) == 32
    assert abs(line.pop("time") - time.time()) < 60
    assert line.pop("base").startswith("sha256:")
    assert line == {
        "v": 1,
        "kind": "rating",
        "rater": "ada",
        "model": "bundled",
        "run": "taster",
        "about": {
            "prompt": "The film",
            "response": " a long story of its own.",
            "sample": "r2-3",
            "step": 2,
            "reading": "",
        },
        "rating": 4,
        "note": "",
    }


async def test_each_digit_is_a_rating_and_the_next_question_follows(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        for key in "12345":
            await until_asked(pilot)
            await answer(pilot, key)
        await until_shown(pilot, "5 given, 5 by you")
    assert [line["rating"] for line in lines(run)] == [1, 2, 3, 4, 5]
    assert len({line["about"]["sample"] for line in lines(run)}) == 5


async def test_the_next_question_stands_there_at_once(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await answer(pilot, "1")
        await until_asked(pilot)
        before = app.rating._current
        begun = time.perf_counter()
        app.rating.action_rate(3)
        while app.rating._current is before:
            await pilot._wait_for_screen()
        assert time.perf_counter() - begun < 0.5  # some milliseconds, and a busy machine


async def test_a_click_on_the_scale_rates(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await pilot.click("#rating-scale", offset=(1, 0))
        await until(pilot, lambda: lines(run))
    assert [line["rating"] for line in lines(run)] == [1]


@pytest.mark.parametrize(("key", "choice"), [("1", 1.0), ("2", 0.5), ("3", 0.0)])
async def test_two_answers_are_compared(run, key, choice):
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_asked(pilot)
        await pilot.press("x")
        await until_shown(pilot, "second answer")
        await until_asked(pilot)
        await answer(pilot, "4")  # means nothing here
        assert lines(run) == []
        await answer(pilot, key)
        await until_shown(pilot, "1 given, 1 by you")
    [line] = lines(run)
    assert line["choice"] == choice
    assert line["first"]["prompt"] == line["second"]["prompt"]
    assert line["first"]["response"] != line["second"]["response"]


async def test_a_skipped_text_is_not_asked_again_and_not_counted(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        first = app.rating._current.key
        await answer(pilot, "s")
        await until_shown(pilot, "0 given")
        assert app.rating._current.key != first
        for _ in range(11):
            await until(pilot, lambda: app.rating._current)
            assert app.rating._current.key != first
            await answer(pilot, "3")
        await until_shown(pilot, "You have judged every text there is.")
        await until_shown(pilot, "11 given, 11 by you")
    assert [line["kind"] for line in lines(run)] == ["skip"] + 11 * ["rating"]


async def test_the_last_answer_is_taken_back_and_asked_again(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        first = asked(app)
        await answer(pilot, "5")
        await until_shown(pilot, "1 given, 1 by you")
        await answer(pilot, "z")
        await until_shown(pilot, "0 given")
        assert asked(app) == first
        await answer(pilot, "1")
        await until_shown(pilot, "1 given, 1 by you")
    assert [line["kind"] for line in lines(run)] == ["rating", "undo", "rating"]
    [rating] = RatingsFile(run.ratings_path).read().ratings
    assert rating.rating == 1


async def test_what_was_given_another_day_can_be_taken_back(run):
    text = About("The soup was", " cold, and I left it.", "r0-0", 0)
    RatingsFile(run.ratings_path).append(new_rating("ada", "bundled", "", "taster", text, 2))
    RatingsFile(run.ratings_path).append(new_rating("bob", "bundled", "", "taster", text, 5))
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "2 given, 1 by you  2 people")
        await answer(pilot, "z")
        await until_shown(pilot, "1 given, 0 by you")
        assert asked(app) == " cold, and I left it."
        await until(pilot, lambda: app.rating.check_action("undo", ()) is None)
    [rating] = RatingsFile(run.ratings_path).read().ratings
    assert rating.rater == "bob"


async def test_a_note_is_kept_with_the_answer(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        app.screen.query_one(PlainInput).value = "too [bold]sweet[/]"
        await pilot.press("enter")
        await until_shown(pilot, "note: too [bold]sweet[/]")
        await answer(pilot, "2")
        await answer(pilot, "3")
    assert [line["note"] for line in lines(run)] == ["too [bold]sweet[/]", ""]


async def test_the_file_is_the_truth_when_it_is_opened_again(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await answer(pilot, "4")
        await answer(pilot, "2")
    with run.ratings_path.open("a") as file:
        file.write('{"kind":"rating","id":"torn')  # a machine that died while it wrote
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "2 given, 2 by you")
        await until_shown(pilot, "Working out what the ratings have taught")
        await until_asked(pilot)
        await answer(pilot, "5")
        await until_shown(pilot, "3 given, 3 by you")
    assert len(RatingsFile(run.ratings_path).read().ratings) == 3


async def test_leaving_at_once_loses_nothing(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        await pilot.press("4", "q")
    for _ in range(500):
        if lines(run):
            break
        time.sleep(0.01)
    assert [line["rating"] for line in lines(run)] == [4]


async def test_another_raters_answers_are_counted_as_they_come(run):
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_asked(pilot)
        await answer(pilot, "4")
        text = About("The soup was", " cold, and I left it.", "r0-0", 0)
        RatingsFile(run.ratings_path).append(new_rating("bob", "bundled", "", "taster", text, 5))
        await until_shown(pilot, "2 given, 1 by you  2 people")


async def test_a_write_that_fails_is_said_and_the_question_stays(run):
    run.ratings_path.mkdir()
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.rating._look)
        await until_shown(pilot, "ratings.jsonl is a folder")
        run.ratings_path.rmdir()
        await until_asked(pilot)
        run.ratings_path.mkdir()
        first = asked(app)
        await answer(pilot, "4")
        await until_shown(pilot, "It was not kept:")
        await until_shown(pilot, "Your answer is still asked for.")
        assert asked(app) == first
        run.ratings_path.rmdir()
        await answer(pilot, "4")
        await until_shown(pilot, "1 given, 1 by you")
        assert "It was not kept" not in screen_text(app)
    assert len(lines(run)) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_disk_that_takes_nothing_is_said(run):
    run.path.chmod(0o500)
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_asked(pilot)
        await answer(pilot, "4")
        await until_shown(pilot, "no permission")
    run.path.chmod(0o700)


async def test_new_texts_are_taken_in_while_one_rates(make_run):
    run = make_run("young", steps=0, answers=False)
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "There is no text yet.")
        add_to_pool(run, candidate(0, "The soup was", " warm."))
        await until_shown(pilot, "warm.")
        await answer(pilot, "4")
        await until_shown(pilot, "You have judged every text there is.")
        add_to_pool(run, candidate(1, "The soup was", " cold."))
        await until_shown(pilot, "cold.")


async def test_a_run_without_candidates_is_asked_about_its_samples(make_run):
    run = make_run("old", steps=5)
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "one of the run's samples")
        await answer(pilot, "4")
        await until_shown(pilot, "1 given, 1 by you")
    [line] = lines(run)
    step, _, _ = line["about"]["sample"].partition("-")
    assert line["about"]["step"] == int(step) - 1  # it was written before that step's update


async def test_the_advisers_questions_replace_the_simple_ones(run):
    app = Host(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "rank correlation 0.72")
        await until_asked(pilot)
        await answer(pilot, "s")
        await until_shown(pilot, "why this one: Nobody has said anything like it.")


async def test_without_an_adviser_it_goes_on(run):
    app = Host(run, "dies")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "The adviser is gone: it ended with exit code 3.")
        await until_shown(pilot, "Questions are chosen simply, and all you say is kept.")
        for _ in range(6):
            await until_asked(pilot)
            await answer(pilot, "4")
        await until_shown(pilot, "6 given, 6 by you")
    app = Host(run, "fatal")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "there is no run")
        await until_asked(pilot)


async def test_the_adviser_ends_with_the_screen(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(second := app.screen_of(run, "ready", "ada"))
        await until(pilot, lambda: second._ready)
        process = identify(second._process.pid)
        assert process.is_running()
        await pilot.press("escape")
        await until(pilot, lambda: not process.is_running())
        assert app.screen is app.rating


async def test_hostile_texts_are_shown_literally(make_run):
    run = make_run("[bold]odd[/", steps=1)
    hostile = "[red]x[/] [/ \x1b[31m 宽宽宽 👩‍👩‍👧 \u202e" + "long " * 2000
    add_to_pool(run, candidate(0, hostile, hostile), candidate(1, hostile, "second"))
    app = Host(run, "mute", rater="[b]ada\x1b")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        shown = screen_text(app)
        assert "\x1b" not in shown
        assert "1 bad   2 poor   3 so-so   4 good   5 great" in shown
        await answer(pilot, "4")
        await until_shown(pilot, r"[red]x[/] [/ \x1b[31m 宽宽宽")
        assert "1 bad   2 poor   3 so-so   4 good   5 great" in screen_text(app)
        await pilot.press("x")
        await until_shown(pilot, "second answer")
        assert "1 first is better   2 tie   3 second is better" in screen_text(app)
    assert len(lines(run)) == 1


async def test_on_the_smallest_screen_both_answers_are_to_be_read(run):
    app = Host(run)
    async with app.run_test(size=(40, 12)) as pilot:
        await until_asked(pilot)
        await pilot.press("x")
        await until_shown(pilot, "second answer")
        await until_asked(pilot)
        shown = " ".join(screen_text(app).split())
        question = app.rating._current
        assert question.first.response.strip() in shown
        assert question.second.response.strip() in shown
        assert "What your ratings have taught" not in shown


async def test_a_long_answer_is_scrolled_by_the_keys(make_run):
    run = make_run("long", steps=1)
    add_to_pool(run, candidate(0, "Go on.", "\n".join(f"line {n}" for n in range(90))))
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "line 0")
        assert "line 80" not in screen_text(app)
        await pilot.press("end")
        await until_shown(pilot, "line 89")


async def test_a_run_that_waits_says_for_how_many(make_run, worker):
    run = make_run("waits", steps=3, settings=["reward=human"])
    fill_pool(run)
    worker(run)
    state = RunState(Phase.AWAITING_RATINGS, 3, 30, message="12 of 20 ratings")
    write_state(run, state)
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "? waits for you: 12 of 20 ratings")
        await until(pilot, lambda: app.rating._facts)
        assert not app.rating.query_one("#rating-notice", Static).display


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.FINISHED, "The run is over; your ratings serve `ppo-tui reward fit`."),
        (Phase.STOPPED, "No worker listens; your ratings count when the run is resumed."),
    ],
)
async def test_a_run_without_a_worker_says_what_ratings_are_for(make_run, phase, words):
    run = make_run("over", phase=phase, settings=["reward=human"])
    fill_pool(run)
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, words)


async def test_a_skip_of_another_person_does_not_hide_a_text(make_run):
    run = make_run("two", steps=1)
    add_to_pool(run, candidate(0, "The soup was", " warm."))
    skipped = About("The soup was", " warm.", "r0-0", 0)
    RatingsFile(run.ratings_path).append(new_skip("bob", [skipped]))
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "warm.")


async def test_a_run_that_is_deleted_meanwhile_is_said(run):
    app = Host(run, "mute")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_asked(pilot)
        shutil.rmtree(run.path)
        await until_shown(pilot, "The run is gone:")
        await answer(pilot, "4")
        await until_shown(pilot, "It was not kept:")
        assert not run.path.exists()


async def test_a_pool_that_vanishes_is_no_end(run):
    app = Host(run, "mute")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_asked(pilot)
        run.pool_path.unlink()
        await answer(pilot, "4")
        await until_shown(pilot, "1 given, 1 by you")


def test_the_settings_of_the_tests_are_those_of_a_run_that_learns_from_ratings():
    assert resolve("demo", ["reward=human"]).config.reward.learns_from_ratings


async def test_the_key_opens_it_from_a_run_and_from_home(run):
    from ppo_tui.screens.app import Opening, PpoTuiApp

    app = PpoTuiApp(Opening(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "taster")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RatingScreen))
        await pilot.press("escape", "escape")
        await until_shown(pilot, "Runs")
        await until_shown(pilot, "taster")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, RatingScreen))


async def test_a_replay_cannot_be_rated(run):
    from ppo_tui.screens.app import Opening, PpoTuiApp

    app = PpoTuiApp(Opening(run, replay=100.0))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "replay")
        assert app.screen.check_action("rate", ()) is False


async def test_the_training_screen_says_that_a_run_waits(make_run, worker):
    from ppo_tui.screens.app import Opening, PpoTuiApp

    run = make_run("waits", steps=3)
    worker(run)
    write_state(run, RunState(Phase.AWAITING_RATINGS, 3, 30, message="12 of 20 ratings"))
    app = PpoTuiApp(Opening(run))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "? It waits for your ratings: 12 of 20 ratings [r: rate")
