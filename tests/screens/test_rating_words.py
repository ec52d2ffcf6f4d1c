"""What the rating screen says, word for word."""

import math

import pytest

from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import Observed
from ppo_tui.screens.rating_desk import Facts, Look
from ppo_tui.screens.rating_words import no_lesson, nothing_to_ask, notice_of, status_of_rating
from ppo_tui.screens.status import resting_line
from ppo_tui.screens.widgets.rating_lesson import words_of
from ppo_tui.taste.lesson import Lesson, Mark

HOSTILE = "\x1b]0;x\x07[bold]name[/\u202e宽" * 3


def look(phase=Phase.ROLLOUT, message="", *, alive=True, total=34, mine=30, raters=1, texts=9):
    seen = Observed(phase, RunState(phase, 12, 36, message=message), alive)
    return Look(seen, total, mine, mine, raters, texts, fresh=False)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (look(), "Rate  demo  single texts  34 given, 30 by you  ● trains, step 12/36"),
        (
            look(Phase.AWAITING_RATINGS, "12 of 20 ratings", raters=2),
            "Rate  demo  ? waits for you: 12 of 20 ratings  single texts  34 given, 30 by you"
            "  2 people",
        ),
        (look(Phase.FINISHED, total=0, raters=0), "Rate  demo  single texts  0 given  ✓ finished"),
        (None, "Rate  demo  single texts  reading …"),
    ],
)
def test_the_first_line(seen, words):
    assert status_of_rating("demo", seen, "single", 118).plain == words


def test_a_narrow_first_line_leaves_out_what_matters_least():
    seen = look(Phase.AWAITING_RATINGS, "20 of 30 ratings")
    line = status_of_rating("taste-20261125-132808", seen, "single", 78).plain
    assert line == "Rate  taste-20261125-132808  ? waits for you: 20 of 30 ratings  34 given"


@pytest.mark.parametrize("width", [38, 78, 118])
def test_the_first_line_is_harmless_whatever_a_run_is_called(width):
    line = status_of_rating(HOSTILE, look(Phase.AWAITING_RATINGS, HOSTILE), "pair", width).plain
    assert line.isprintable()
    assert line.startswith("Rate  ")


def test_what_is_wrong_comes_before_what_is_good_to_know():
    facts = Facts("bundled", "sha256:x", uses_ratings=True)
    assert notice_of(look(Phase.AWAITING_RATINGS, "12 of 20"), facts, "", "") is None
    failed = "It was not kept: the disk is full."
    notice = notice_of(look(), facts, "The adviser is gone.", failed)
    assert notice.plain == f"✗ {failed} Your answer is still asked for."
    notice = notice_of(look(Phase.STOPPED, alive=False), facts, "The adviser is gone.", "")
    assert notice.plain == (
        "▲ The adviser is gone. Questions are chosen simply, and all you say is kept. Coming back "
        "to this screen starts it anew. No worker listens; your ratings count when the run is "
        "resumed."
    )


def test_a_run_that_has_enough_says_that_one_may_go():
    facts = Facts("bundled", "sha256:x", uses_ratings=True)
    words = "It trains on what was rated. Rate on if you like; escape leads back."
    assert notice_of(look(), facts, "", "").plain.strip() == words
    assert notice_of(look(Phase.EVALUATING), facts, "", "") is None
    assert notice_of(look(), None, "", "") is None  # it is not known yet whether it learns


def test_a_run_that_waits_because_all_ratings_are_equal_says_all_of_it():
    why = "20 ratings: All 20 ratings are 4, so nothing tells good from bad; rate some otherwise."
    seen = look(Phase.AWAITING_RATINGS, why)
    assert notice_of(seen, None, "", "").plain.strip() == why


def test_why_nothing_is_asked():
    assert nothing_to_ask(None, "single") == "Reading the run …"
    assert nothing_to_ask(look(texts=0), "single") == (
        "There is no text yet. The run's first texts come with its first step, and it is working "
        "on it."
    )
    assert nothing_to_ask(look(), "pair").startswith("There are no two answers to one prompt")


def test_what_stands_in_place_of_a_lesson():
    assert no_lesson(None, broken=False).startswith("Nothing yet. Say how you like the texts")
    assert no_lesson(look(), broken=False) == "Working out what the ratings have taught …"
    assert no_lesson(look(), broken=True) == "Nothing is worked out while there is no adviser."


@pytest.mark.parametrize(
    ("lesson", "words"),
    [
        (Lesson(0, 0, 0, problem="There are no ratings yet; give some."),
         "Nothing yet. Say how you like the texts, by your own taste alone; from the fifth answer "
         "on, what you taught stands here."),
        (Lesson(1, 0, 1, problem="There is 1 rating, and 5 are the fewest."),
         "There is 1 rating, and 5 are the fewest."),
        (Lesson(9, 1, 2, (Mark(10, 0.83, 1.0),)),
         "9 ratings and 1 comparison by 2 people. It foretells the order of unseen ratings very "
         "well: rank correlation 0.83 (1 is perfect)."),
        (Lesson(0, 8, 1, (Mark(8, math.nan, 0.75),)),
         "8 comparisons. It puts 75 % of unseen pairs in your order."),
        (Lesson(9, 0, 1, (Mark(9, -0.1, math.nan),)),
         "9 ratings. It foretells the order of unseen ratings hardly at all: rank correlation "
         "-0.10 (1 is perfect). More ratings help most."),
        (Lesson(60, 0, 1, (Mark(60, 0.2, math.nan),)),
         "60 ratings. It foretells the order of unseen ratings hardly at all: rank correlation "
         "0.20 (1 is perfect). It does not find what you like: use all of 1 to 5, and rate by one "
         "thing at a time, such as the tone, or the length."),
        (Lesson(0, 8, 1, (Mark(8, math.nan, 0.5),)),
         "8 comparisons. It puts 50 % of unseen pairs in your order. More ratings help most."),
        (Lesson(6, 0, 1),
         "6 ratings. Too few yet to say how well it foretells what it has not seen."),
    ],
)  # fmt: skip
def test_a_lesson_in_words(lesson, words):
    assert words_of(lesson) == words


def test_the_training_screens_line_for_a_run_that_waits():
    keys = {"rate": "r", "continue": "p", "log": "o", "stop": "s"}
    seen = look(Phase.AWAITING_RATINGS, "12 of 20 [ratings]").seen
    line = resting_line(seen, "", keys)
    assert line.plain == ("? It waits for your ratings: 12 of 20 [ratings] [r: rate   p: go on]")
    assert resting_line(look().seen, "", keys) is None
    assert resting_line(look().seen, "Nothing moves.", keys).plain == (
        "▲ Nothing moves. [o: log   s: stop]"
    )
