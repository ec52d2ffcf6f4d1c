"""Rate what the model writes, one text or two at a time; what was rated becomes the reward.

A judgement is on the disk before the next question stands there. The files of the run are the
truth: whatever dies, what was given is kept, and another rater's ratings are counted as they come.
What to ask next is worked out by a process of its own; until that is ready, and if it dies, a
simple choice does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from ppo_tui.errors import PpoTuiError
from ppo_tui.rating_talk import (
    Failure,
    Questions,
    Ready,
    Reply,
    Taught,
    Want,
    start_command,
)
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.rater_name import own_name
from ppo_tui.taste.stock import Judgement, Kind, Question, TextKey

from .adviser_process import AdviserProcess
from .base import PpoScreen
from .dialogs import Ask
from .literal import update_changed
from .rating_desk import Desk, Facts, Look
from .rating_pace import Pace
from .rating_words import no_lesson, nothing_to_ask, notice_of, status_of_rating
from .widgets.rating_lesson import RatingLesson
from .widgets.rating_question import RatingQuestion

AHEAD = 4
"""Questions that lie ready, so that the next one stands there at once."""

LOOK_SECONDS = 1.0
"""How often the files are looked at for other raters, new texts and the state of the run."""

LONGEST_NOTE = 2000

LEAST_LINES = 18
"""With fewer there is room for the question only."""

T = TypeVar("T")


class RatingScreen(PpoScreen[None]):
    """Questions of one run, for one person.

    Args:
        run: The run; it may go on meanwhile, or be over.
        rater: The person; the system's name if left out.
        start: Makes the command of the process that advises.
        pace: Says which presses count as answers.
    """

    CSS_PATH = "rating.tcss"
    TITLE_WORDS = "Rate"
    AUTO_FOCUS = "#rating-first"
    HELP = """
Say what you think of what the model writes, and it becomes the reward: `1` (bad) to `5` (great),
or with `x` two answers to one prompt: `1` the first is better, `2` a tie, `3` the second is better.

`s` passes over a text, which then is not asked again; `z` takes the last answer back, as often as
you like; `c` notes something with the next answer. Every answer is on the disk before the next
question comes: close the app whenever you want.

What is asked is what would teach most: texts that the reward is unsure of, spread over prompts, no
near-copies. A run that waits for ratings goes on by itself once it has enough. On a run that is
over, ratings serve `ppo-tui reward fit`.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "rate(1)", "Bad", id="rating.one", show=False, tooltip="Rate it 1: bad"),
        Binding("2", "rate(2)", "Poor", id="rating.two", show=False, tooltip="Rate it 2: poor"),
        Binding("3", "rate(3)", "So-so", id="rating.three", show=False,
                tooltip="Rate it 3: so-so"),
        Binding("4", "rate(4)", "Good", id="rating.four", show=False, tooltip="Rate it 4: good"),
        Binding("5", "rate(5)", "Great", id="rating.five", show=False,
                tooltip="Rate it 5: great"),
        Binding("1", "prefer(1.0)", "First better", id="rating.first", show=False,
                tooltip="The first answer is better"),
        Binding("2", "prefer(0.5)", "Tie", id="rating.tie", show=False,
                tooltip="Both are equally good"),
        Binding("3", "prefer(0.0)", "Second better", id="rating.second", show=False,
                tooltip="The second answer is better"),
        Binding("s", "skip", "Skip", id="rating.skip",
                tooltip="Pass over it; it is not asked again"),
        Binding("z", "undo", "Undo", id="rating.undo",
                tooltip="Take the last answer back, and ask again"),
        Binding("c", "note", "Note", id="rating.note",
                tooltip="Note something that is kept with the next answer"),
        Binding("x", "kind", "Pairs", id="rating.kind",
                tooltip="Compare two answers to one prompt, or rate single texts again"),
    ]  # fmt: skip

    def __init__(
        self,
        run: RunDirectory,
        rater: str = "",
        start: Callable[[RunDirectory, str], list[str]] = start_command,
        pace: Pace | None = None,
    ) -> None:
        super().__init__()
        self._run = run
        self.rater = rater or own_name()
        self._desk = Desk(run, self.rater)
        # One thread: what is given first is written first.
        self._pen = ThreadPoolExecutor(1, "rating")
        self._process = AdviserProcess(start(run, self.rater), self._hear)
        self._pace = pace or Pace()
        self._ready = False
        self._broken: Failure | None = None
        self._facts: Facts | None = None
        self._look: Look | None = None
        self._kind: Kind = "single"
        self._current: Question | None = None
        self._upcoming: list[Question] = []
        self._answered: set[frozenset[TextKey]] = set()
        self._history: list[tuple[Judgement, Question]] = []
        self._number = self._heard = 0
        self._note = ""
        self._failed = ""
        self._busy = False

    def compose_body(self) -> ComposeResult:
        """What is wrong or good to know; the question beside what was learnt."""
        yield Static(id="rating-notice")
        with Container(id="rating-body"):
            yield RatingQuestion()
            yield RatingLesson(id="rating-lesson")

    def on_mount(self) -> None:
        """Start the adviser, look at the files, and go on looking."""
        self._show()
        self._advise()
        self._find_facts()
        self._look_again()
        self.set_interval(LOOK_SECONDS, self._beat)

    async def on_unmount(self) -> None:
        """End the adviser; what is being written is written to its end."""
        self._pen.shutdown(wait=False)
        await self._process.end()

    async def _in_thread(self, deed: Callable[..., T], *arguments: object) -> T:
        """Do something with the files, after all that was asked for before.

        Shielded: leaving the screen must not take back a rating that waits for its turn.
        """
        done = asyncio.wrap_future(self._pen.submit(deed, *arguments))
        return await asyncio.shield(done)

    # ---- the run

    @work(group="facts", exit_on_error=False)
    async def _find_facts(self) -> None:
        self._facts = await asyncio.shield(asyncio.wrap_future(self._desk.find_facts()))
        self._show_notice()

    def _beat(self) -> None:
        if self.in_sight:
            self._look_again()

    @work(exclusive=True, group="look", exit_on_error=False)
    async def _look_again(self) -> None:
        look = await self._take_look()
        if look.fresh and self._ready and not self._busy and len(self._upcoming) < AHEAD:
            self._ask_ahead()
        if self._current is None and not self._busy:
            await self._spread()

    async def _take_look(self) -> Look:
        self._look = await self._in_thread(self._desk.look)
        self._show()
        return self._look

    # ---- the adviser

    @work(exclusive=True, group="adviser", exit_on_error=False)
    async def _advise(self) -> None:
        await self._process.run()

    def _hear(self, reply: Reply) -> None:
        match reply:
            case Ready():
                self._ready = True
                self._ask_ahead()
            case Questions():
                self._take_questions(reply)
            case Taught(lesson):
                self.query_one(RatingLesson).show(lesson)
            case Failure(fatal=True):
                self._broken, self._ready = reply, False
                self._show_notice()
                self._look_again()
            case Failure():
                self._broken = reply
                self._show_notice()

    def _take_questions(self, reply: Questions) -> None:
        # An answer to an earlier wish still serves a person who is quicker than the adviser: what
        # has been answered meanwhile is left out.
        if reply.number < self._heard or reply.kind != self._kind:
            return
        self._heard = reply.number
        self._broken = None
        self._upcoming = [question for question in reply.questions if self._is_new(question)]
        if self._current is None and not self._busy:
            self._next()

    def _ask_ahead(self) -> None:
        """Ask the adviser for the next questions; the newest wish is the one that counts."""
        self._number += 1
        texts = self._current.texts if self._current is not None else ()
        besides = tuple(text.id for text in texts)
        self._process.say(Want(self._number, self._kind, AHEAD, besides))

    async def _spread(self) -> None:
        """Take simple questions where the adviser has none ready."""
        kind, besides = self._kind, set(self._answered)
        questions = await self._in_thread(self._desk.spread, kind, AHEAD, besides)
        if kind == self._kind and not self._upcoming:
            self._upcoming = [question for question in questions if self._is_new(question)]
        if self._current is None and not self._busy:
            self._next()

    def _is_new(self, question: Question) -> bool:
        here = self._current is not None and question.key == self._current.key
        return question.kind == self._kind and question.key not in self._answered and not here

    def _next(self) -> None:
        """Show the next question that lies ready, and see to more."""
        self._current = None
        while self._upcoming and self._current is None:
            question = self._upcoming.pop(0)
            if self._is_new(question):
                self._put(question)
        self._show()

    def _put(self, question: Question) -> None:
        """Make it the question on the screen; it can be answered from a moment after it is seen."""
        self._current = question
        self._pace.hidden()
        self.call_after_refresh(self._pace.shown)

    # ---- answers

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Digits mean one thing for a text and another for a pair."""
        asked = self._current is not None and not self._busy
        if action in ("rate", "prefer"):
            if (action == "rate") != (self._kind == "single"):
                return False
            return True if asked else None
        if action in ("skip", "note"):
            return True if asked else None
        if action == "undo":
            given = bool(self._history) or (self._look is not None and self._look.given > 0)
            return True if given and not self._busy else None
        if action == "kind":
            return True if not self._busy else None
        return super().check_action(action, parameters)

    def action_rate(self, value: int) -> None:
        """Rate the text."""
        self._give(float(value))

    def action_prefer(self, choice: float) -> None:
        """Say which answer is better."""
        self._give(choice)

    def _give(self, value: float) -> None:
        question, note = self._current, self._note
        if question is None or self._busy or not self._counts(value):
            return
        write = partial(self._desk.rate, question, value, note)
        self._write(partial(self._give_in_thread, question, write))

    def action_skip(self) -> None:
        """Pass over the question."""
        question = self._current
        if question is not None and not self._busy and self._counts("skip"):
            write = partial(self._desk.skip, question)
            self._write(partial(self._give_in_thread, question, write))

    def _counts(self, answer: object) -> bool:
        """Whether the press answers what is on the screen; says so if it came too soon for that."""
        if self._pace.takes(answer):
            return True
        self.query_one(RatingQuestion).hurry()
        return False

    def action_undo(self) -> None:
        """Take the last answer back, and ask again."""
        if not self._busy and self._pace.takes_back():
            self._write(self._undo_in_thread)

    def _write(self, deed: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Write something, and say so if it fails; the question stays until it is on the disk."""
        self._busy = True
        if self._facts is None:
            self._show_notice()
        self._write_in_order(deed)

    @work(group="write", exit_on_error=False)
    async def _write_in_order(self, deed: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await deed()
            self._failed = ""
        except PpoTuiError as error:
            self._failed = f"It was not kept: {error.message}. {error.hint}".rstrip()
        # The person reads it on the screen; a key that does nothing without a word is worse.
        except Exception as error:
            self._failed = f"It was not kept: {type(error).__name__}: {error}"
        finally:
            self._busy = False
        if self._failed:
            self.app.bell()
            self._show()
            return
        await self._take_look()
        if self._ready:
            self._ask_ahead()
        if not self._upcoming:
            await self._spread()

    async def _give_in_thread(self, question: Question, write: Callable[[], Judgement]) -> None:
        given = await self._in_thread(write)
        self._history.append((given, question))
        self._answered.add(question.key)
        self._note, self._busy = "", False
        self._next()

    async def _undo_in_thread(self) -> None:
        newest = self._history[-1] if self._history else None
        question = await self._in_thread(self._desk.undo, newest and newest[0])
        if self._history:
            question = self._history.pop()[1]
        if question is None:
            self.app.tell("There is nothing to take back.")
            return
        self._answered.discard(question.key)
        if self._current is not None and self._current.kind == question.kind:
            self._upcoming.insert(0, self._current)
        if question.kind != self._kind:
            self._kind, self._upcoming = question.kind, []
        self._put(question)
        self._busy = False
        self.app.tell("Taken back.", seconds=2)
        self._show()

    def action_note(self) -> None:
        """Note something with the next answer."""

        def check(text: str) -> str:
            longest = f"A note has at most {LONGEST_NOTE:,} characters."
            return longest if len(text) > LONGEST_NOTE else ""

        def take(text: str | None) -> None:
            if text is not None:
                self._note = text.strip()
                self.query_one(RatingQuestion).show_note(self._note)

        self.app.push_screen(Ask("A note, kept with your answer", self._note, check=check), take)

    def action_kind(self) -> None:
        """Go over to pairs, or back to single texts."""
        self._kind = "pair" if self._kind == "single" else "single"
        self._current, self._upcoming, self._note = None, [], ""
        self._show()
        if self._ready:
            self._ask_ahead()
        self._look_again()

    # ---- what is shown

    def _show(self) -> None:
        """Bring the screen up to date; what has not changed is not painted."""
        if not self.is_mounted:
            return
        body = self.query_one(RatingQuestion)
        if self._current is not None:
            body.show(self._current)
        else:
            body.show_none(nothing_to_ask(self._look, self._kind))
        body.show_note(self._note)
        lesson = self.query_one(RatingLesson)
        if not lesson.told:
            lesson.say(no_lesson(self._look, self._broken is not None))
        name = self._run.name
        self.status.show(status_of_rating(name, self._look, self._kind, self.size.width - 2))
        self._show_notice()
        self.refresh_bindings()

    def _show_notice(self) -> None:
        if not self.is_mounted:
            return
        broken = "" if self._broken is None else self._broken.message
        notice: Content | None = notice_of(self._look, self._facts, broken, self._failed)
        if self._busy and self._facts is None:
            notice = Content("  The base model's files are looked at first; then it is kept.")
        line = self.query_one("#rating-notice", Static)
        line.display = notice is not None
        line.set_class(bool(self._failed), "-grave")
        line.set_class(bool(broken or (self._look is not None and self._look.problem)), "-wrong")
        if notice is not None:
            update_changed(line, notice)

    def on_resize(self) -> None:
        """What fits depends on the size."""
        self.set_class(self.size.height < LEAST_LINES, "-tiny")
        self._show()
