"""What a person's ratings have taught so far: in words, as a curve, and by what it now likes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ppo_tui.taste.lesson import Lesson, Mark, Told
from ppo_tui.text.figures import percent
from ppo_tui.text.plain import shortened

from ..literal import literal, update_changed
from ..rating_words import BEGIN
from .chart import Chart, Curve, Plot

LONGEST_TEXT = 160
"""Characters of a text that is told as liked or disliked."""

LONGEST_PROMPT = 60
COURSE = 5
"""Points of the curve that are told as numbers where there is no room to draw it."""

MORE = "More ratings help most."
OTHERWISE = (
    "It does not find what you like: use all of 1 to 5, and rate by one thing at a time, such as "
    "the tone, or the length."
)

FEWEST_PAIRS = 5
"""With fewer comparisons a share of them says nothing."""

_GRADES = ((0.8, "very well"), (0.6, "well"), (0.35, "somewhat"), (-2.0, "hardly at all"))

LOW_CORRELATION, LOW_ACCURACY = 0.35, 0.6
"""Below, a person is told what helps."""

MANY = 30
"""Judgements from which on it is no longer their number that is at fault."""


class RatingLesson(VerticalScroll):
    """The lesson, or that there is none yet."""

    HELP = """
What the reward has learnt from the ratings. The rank correlation says how well it foretells ratings
that it has **not** seen: 1 puts texts in exactly your order, 0 knows nothing. The curve shows how
that grew with the number of ratings. Below stand the texts that it takes you to like most and
least, each with the rating that it expects, and ± how unsure it is. `↑` and `↓` scroll.
"""
    DEFAULT_CSS = """
    RatingLesson { padding: 0 1; }
    RatingLesson Static { height: auto; }
    RatingLesson Chart { height: 8; margin: 1 0 0 0; display: none; }
    RatingLesson.-curve Chart { display: block; }
    RatingLesson #lesson-course { display: none; }
    RatingLesson:focus #lesson-title { text-style: bold reverse; }
    RatingLesson #lesson-title { text-style: bold; }
    RatingLesson .lesson-told { margin: 1 0 0 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lesson: Lesson | None = None

    def compose(self) -> ComposeResult:
        """Words, a curve, texts."""
        yield Static("What your ratings have taught", id="lesson-title", markup=False)
        yield Static(id="lesson-words")
        yield Static(id="lesson-course")
        chart = Chart(Plot("", self._curves), id="lesson-chart")
        chart.can_focus = False
        yield chart
        yield Static(id="lesson-likes", classes="lesson-told")
        yield Static(id="lesson-dislikes", classes="lesson-told")

    @property
    def told(self) -> bool:
        """Whether there was a lesson already."""
        return self._lesson is not None

    def on_mount(self) -> None:
        """Nothing is known yet."""
        for name in ("likes", "dislikes"):
            self.query_one(f"#lesson-{name}").display = False

    def say(self, words: str) -> None:
        """Show words in the place of a lesson."""
        update_changed(self.query_one("#lesson-words", Static), literal(words))

    def show(self, lesson: Lesson) -> None:
        """Show what was learnt."""
        self._lesson = lesson
        self.say(words_of(lesson))
        chart = self.query_one(Chart)
        curve = len(self._known()) > 1
        self.set_class(curve, "-curve")
        if curve:
            what = "rank correlation" if self._by_rank else "share of pairs right"
            # From nothing to perfect, or a step of a few hundredths would fill the chart.
            span = (0.0, 1.0) if self._by_rank else (0.5, 1.0)
            chart.plot = Plot(f"{what} by number of ratings", self._curves, span=span)
            course = "  ".join(f"{count}: {value:.2f}" for count, value in self._known()[-COURSE:])
            update_changed(
                self.query_one("#lesson-course", Static), literal(f"by number  {course}")
            )
        for name, title, texts in (
            ("likes", "It takes you to like most", lesson.likes),
            ("dislikes", "and least", lesson.dislikes),
        ):
            widget = self.query_one(f"#lesson-{name}", Static)
            widget.display = bool(texts)
            update_changed(widget, told_words(title, texts))

    @property
    def _by_rank(self) -> bool:
        points = self._lesson.points if self._lesson is not None else ()
        return any(math.isfinite(mark.correlation) for mark in points)

    def _known(self) -> list[tuple[int, float]]:
        points = self._lesson.points if self._lesson is not None else ()
        by_rank = self._by_rank
        values = [(m.count, m.correlation if by_rank else m.accuracy) for m in points]
        return [(count, value) for count, value in values if math.isfinite(value)]

    def _curves(self) -> Sequence[Curve]:
        known = self._known()
        counts = np.array([count for count, _ in known], dtype=np.float64)
        return [Curve("held out", counts, np.array([value for _, value in known]))]


def words_of(lesson: Lesson) -> str:
    """The lesson in a sentence or two."""
    given = _counted(lesson)
    if not given:
        return BEGIN
    if lesson.problem:
        return lesson.problem
    last = lesson.points[-1] if lesson.points else None
    said = []
    if last is not None and math.isfinite(last.correlation):
        grade = next(words for least, words in _GRADES if last.correlation >= least)
        said.append(
            f"It foretells the order of unseen ratings {grade}: "
            f"rank correlation {last.correlation:.2f} (1 is perfect)."
        )
    if last is not None and lesson.pairs >= FEWEST_PAIRS and math.isfinite(last.accuracy):
        said.append(f"It puts {percent(last.accuracy)} of unseen pairs in your order.")
    if not said:
        said.append("Too few yet to say how well it foretells what it has not seen.")
    elif last is not None and _is_low(lesson, last):
        said.append(MORE if last.count < MANY else OTHERWISE)
    return " ".join([f"{given}.", *said])


def _is_low(lesson: Lesson, last: Mark) -> bool:
    """Whether it foretells so little that a person should know what helps."""
    if math.isfinite(last.correlation):
        return last.correlation < LOW_CORRELATION
    return lesson.pairs >= FEWEST_PAIRS and last.accuracy < LOW_ACCURACY


def told_words(title: str, texts: Sequence[Told]) -> Content:
    """Texts with the ratings that are expected of them."""
    parts: list[Content] = [Content.styled(title, "bold")]
    for told in texts:
        unsure = f" ± {told.std:.1f}" if math.isfinite(told.std) else ""
        head = Content.styled(f"\n{told.mean:.1f}{unsure}  ", "bold")
        prompt, response = (
            shortened(told.prompt.strip(), 60),
            shortened(told.response, LONGEST_TEXT),
        )
        parts += [head, literal(prompt, "$foreground-muted"), literal(response)]
    return Content.assemble(*parts)


def _counted(lesson: Lesson) -> str:
    parts = []
    if lesson.ratings:
        parts.append(f"{lesson.ratings} rating{'' if lesson.ratings == 1 else 's'}")
    if lesson.pairs:
        parts.append(f"{lesson.pairs} comparison{'' if lesson.pairs == 1 else 's'}")
    people = f" by {lesson.raters} people" if lesson.raters > 1 else ""
    return f"{' and '.join(parts)}{people}" if parts else ""
