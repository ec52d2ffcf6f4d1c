"""`ppo-tui rate`: say what one thinks of a run's texts, line by line, on any terminal or in a pipe.

Each judgement is on the disk before the next question is shown, so that nothing is lost however
the program ends. What to ask comes from `ppo_tui.taste`; the base model is not loaded.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ppo_tui.cli.answer import Json, answer_json
from ppo_tui.cli.failures import INTERRUPTED
from ppo_tui.text.plain import plain, shortened

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.ratings import Pair, Rating, Skip
    from ppo_tui.taste.adviser import Adviser, Question

POLL_SECONDS = 0.5
LESSON_EVERY = 5
LONGEST_NOTE = 1000

HELP = """\
One answer:   1 2 3 4 5     from bad to good
Two answers:  1 or a        the first is better
              2 or b        the second is better
              = or t        a tie
Always:       s             skip, and do not ask again
              u             take back the last, and be asked again
              n WORDS       a note for the last judgement; `4 WORDS` rates and notes at once
              p             one answer or two, the other way round
              ?             this help
              q             leave; so does the end of the input (Ctrl-D)"""

_WIDTH = 10
_PAIR_WORDS = {"1": 1.0, "a": 1.0, "2": 0.0, "b": 0.0, "=": 0.5, "t": 0.5}
_CHOICE_WORDS = {1.0: "first better", 0.5: "tie", 0.0: "second better"}
_AWAITED = re.compile(r"(\d{1,9}) of (\d{1,9}) ratings")

Kind = Literal["single", "pair"]


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("rate", epilog="`?` at the question lists what can be typed.")(rate)


def rate(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`."),
    ],
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Two answers to a prompt: which is better?")
    ] = False,
    rater: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who rates; the login name if left out.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after so many judgements.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rate what a run's model writes; the ratings are the reward of `reward: human`.

    Each rating is on the disk at once. Several people may rate one run at the same time, each under
    a name of their own. With `--json` stdout holds the summary alone.
    """
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.rater_name import checked_name, own_name

    who = own_name() if rater is None else checked_name(rater)
    sitting = _Sitting(find_run(name), who, pairs, limit, as_json=as_json)
    with contextlib.suppress(AttributeError, ValueError):
        # What is typed may be in another encoding; a note must not end the sitting.
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        sitting.hold()
        code = 0
    except KeyboardInterrupt:
        sitting.tell("")
        code = INTERRUPTED
    sitting.conclude(interrupted=code != 0)
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Given:
    """One answer of this sitting, with what takes it back.

    Attributes:
        ids: Of the judgement and of those that it replaced, such as the one without the note.
    """

    question: Question
    judgement: Rating | Pair | Skip
    ids: tuple[str, ...]


class _Sitting:
    """One person in front of one run, from the first question to the summary."""

    def __init__(
        self, run: RunDirectory, rater: str, pairs: bool, limit: int | None, *, as_json: bool
    ) -> None:
        from ppo_tui.runs.ratings import RatingsFile
        from ppo_tui.taste.adviser import Adviser

        self._run = run
        self._rater = rater
        self._kind: Kind = "pair" if pairs else "single"
        self._asked: Kind | None = None
        self._limit = limit
        self._as_json = as_json
        self._file = RatingsFile(run.ratings_path)
        self._adviser: Adviser = Adviser(run, rater)
        self._model, self._base = "", ""
        self._history: list[_Given] = []
        self._again: list[Question] = []
        self._note = ""
        self._before = 0
        self._came_before = False
        self._given = self._skipped = self._undone = 0
        self._correlation = math.nan

    def tell(self, text: str = "", *, end: str = "\n") -> None:
        """Talk to the person; on stderr where stdout is for the summary alone."""
        out = sys.stderr if self._as_json else sys.stdout
        out.write(plain(text, lines=True) + end)
        out.flush()  # whoever drives this through a pipe waits for it

    def hold(self) -> None:
        """Ask until the person leaves, the limit is reached, or nothing is left.

        Raises:
            RunError: There is nothing to rate, and nothing will come (`ratings.nothing`).
        """
        held = self._file.read()
        self._before = held.raters.get(self._rater, 0)
        self._came_before = any(each.rater == self._rater for each in (*held.given, *held.skips))
        if left_out := held.damaged + held.newer:
            self.tell(f"{_count(left_out, 'line')} of ratings.jsonl cannot be read; left out.")
        self._identify()
        greeted = False
        while self._limit is None or self._given < self._limit:
            question = self._again.pop() if self._again else self._next_question()
            if question is None:
                return
            if not greeted:
                self.tell(f"Rating {plain(self._run.name)} as {self._rater}. `?` helps, `q` ends.")
                greeted = True
            self._show(question)
            if not self._ask(question):
                return

    def conclude(self, *, interrupted: bool) -> None:
        """The summary, of what is on the disk."""
        held = self._file.read()
        if self._as_json and not interrupted:
            self._learn()
        if self._as_json:
            answer_json(
                {
                    "run_dir": str(self._run.path),
                    "given": self._given,
                    "skipped": self._skipped,
                    "undone": self._undone,
                    "ratings": len(held.ratings),
                    "pairs": len(held.pairs),
                    "correlation": self._correlation,
                }
            )
            return
        words = [f"{self._given} given"]
        words += [f"{self._skipped} skipped"] if self._skipped else []
        words += [f"{self._undone} taken back"] if self._undone else []
        whole = [_count(len(held.ratings), "rating")] if held.ratings or not held.pairs else []
        whole += [_count(len(held.pairs), "pair")] if held.pairs else []
        self.tell(f"{', '.join(words)}. {plain(self._run.name)} has {' and '.join(whole)}, kept.")

    # ---- what is asked

    def _identify(self) -> None:
        """Which base model the texts are read by; a rating is taken even if that is not known."""
        from ppo_tui.errors import ModelError
        from ppo_tui.plan.identity import base_identity
        from ppo_tui.prepare.resume import stored_config

        model = stored_config(self._run).model
        self._model = model.name
        try:
            self._base = base_identity(model)
        except ModelError as error:
            self.tell(plain(error.message))
            self.tell("Your ratings are kept, but without the model they cannot be learnt from.")

    def _next_question(self) -> Question | None:
        """What to ask next; waits while a run that is alive has nothing to ask about."""
        from ppo_tui.errors import RunError
        from ppo_tui.runs.paths import shown
        from ppo_tui.runs.state import observe

        waiting = False
        while True:
            alive = observe(self._run).alive  # before the look, so that the last text is not missed
            self._refresh()
            for kind in (self._kind, _other(self._kind)):
                found = self._adviser.questions(kind, 1)
                if not found:
                    continue
                if kind != self._kind and kind != self._asked:
                    left = "two answers to one prompt" if kind == "single" else "single answer"
                    self.tell(f"No {left} to ask about; here is the other kind of question.")
                self._asked = kind
                return found[0]
            judged = bool(self._came_before or self._given or self._skipped)
            if not alive and not judged:
                raise RunError(
                    f"{shown(self._run.name)} holds nothing to rate: it has written no texts",
                    hint=f"`ppo-tui resume {shown(self._run.name)}` lets it go on.",
                    code="ratings.nothing",
                )
            if not alive:
                self.tell("Nothing is left to rate: you have judged all that there is.")
                return None
            if not waiting:
                what = "has nothing new to rate" if judged else "has written nothing to rate yet"
                self.tell(f"{plain(self._run.name)} {what}; waiting for it. Ctrl-C leaves.")
                waiting = True
            time.sleep(POLL_SECONDS)

    def _refresh(self) -> None:
        """Take in what the run and other raters have written."""
        from ppo_tui.errors import RunError

        try:
            self._adviser.refresh()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RunError(
                f"the texts of {plain(self._run.name)} cannot be read: {reason}", code="run.journal"
            ) from error

    def _show(self, question: Question) -> None:
        first, second = question.first, question.second
        self.tell(f"\n-- {plain(first.id)}, {_age(first.step)}: {plain(question.reason)}")
        self._show_text("prompt", first.prompt)
        if second is None:
            self._show_text("answer", first.response, finished=first.finished)
        else:
            self._show_text("1st", first.response, finished=first.finished)
            self._show_text("2nd", second.response, finished=second.finished)

    def _show_text(self, title: str, text: str, *, finished: bool = True) -> None:
        shown = plain(text, lines=True).replace("\n", "\n" + " " * _WIDTH) or "(nothing)"
        self.tell(f"{title:<{_WIDTH}}{shown}{'' if finished else ' ... [cut off]'}")

    # ---- what is answered

    def _ask(self, question: Question) -> bool:
        """Take lines until the question is done with; False if the person leaves."""
        scale = "1-5" if question.second is None else "1 2 ="
        typed = sys.stdin is not None and sys.stdin.isatty()
        while True:
            if typed:
                self.tell(f"{scale} s u n p ? q > ", end="")
            line = sys.stdin.readline() if sys.stdin is not None else ""
            if not line:
                if typed:
                    self.tell()
                return False
            word, _, rest = line.strip().partition(" ")
            word, rest = word.lower(), rest.strip()
            if word == "q" and not rest:
                return False
            if self._take(question, word, rest):
                return True

    def _take(self, question: Question, word: str, rest: str) -> bool:
        """Do what a line says; whether the question is done with."""
        value = _value(question, word)
        if len(rest) > LONGEST_NOTE:
            self.tell(f"A note may have {LONGEST_NOTE} characters; this one has {len(rest)}.")
        elif value is not None:
            self._judge(question, value, rest)
            return True
        elif word == "n":
            self._take_note(rest)
        elif rest or word not in ("s", "u", "p", "?"):
            wanted = "1 to 5" if question.second is None else "1, 2 or ="
            said = shortened(f"{word} {rest}".strip(), 40)
            self.tell(f"{said!r} is no answer; type {wanted}, or ? for help.")
        elif word == "?":
            self.tell(HELP)
        elif word == "s":
            self._skip(question)
            return True
        elif word == "u":
            return self._undo(question)
        else:
            self._kind = "pair" if question.second is None else "single"
            self._again.clear()  # they are of the kind that is not wanted now
            return True
        return False

    def _judge(self, question: Question, value: float, note: str) -> None:
        from ppo_tui.runs.ratings import About, new_pair, new_rating

        note = note or self._note
        first = About.of(question.first)
        whose = (self._rater, self._model, self._base, self._run.name)
        judgement: Rating | Pair
        if question.second is None:
            judgement = new_rating(*whose, first, int(value), note)
        else:
            judgement = new_pair(*whose, first, About.of(question.second), value, note)
        self._file.append(judgement)
        self._history.append(_Given(question, judgement, (judgement.id,)))
        self._given += 1
        self._note = ""
        self._tell_progress()

    def _skip(self, question: Question) -> None:
        from ppo_tui.runs.ratings import About, new_skip

        texts = (question.first,) if question.second is None else (question.first, question.second)
        skip = new_skip(self._rater, map(About.of, texts))
        self._file.append(skip)
        self._history.append(_Given(question, skip, (skip.id,)))
        self._skipped += 1
        self.tell("Skipped.")

    def _undo(self, question: Question) -> bool:
        from ppo_tui.runs.ratings import Skip, new_undo

        if not self._history:
            self.tell("There is nothing to take back: you have given nothing in this sitting.")
            return False
        last = self._history.pop()
        self._file.append(*(new_undo(self._rater, id_) for id_ in last.ids))
        if isinstance(last.judgement, Skip):
            self._skipped -= 1
        else:
            self._given -= 1
        self._undone += 1
        self._again += [question, last.question]  # the last of them is asked first
        self.tell(f"Taken back: {_in_words(last.judgement)}.")
        return True

    def _take_note(self, words: str) -> None:
        from uuid import uuid4

        from ppo_tui.runs.ratings import Skip

        last = self._history[-1] if self._history else None
        if not words:
            self.tell("Type the note behind the n, such as: n too long")
        elif last is None or isinstance(last.judgement, Skip):
            self._note = words
            self.tell("Noted; it goes with your next judgement.")
        else:
            # No line is ever changed: the same judgement again, with the note, replaces it.
            noted = replace(last.judgement, id=uuid4().hex, time=time.time(), note=words)
            self._file.append(noted)
            self._history[-1] = _Given(last.question, noted, (noted.id, *last.ids))
            self.tell(f"Noted for the last one ({_in_words(noted)}).")

    # ---- what it leads to

    def _tell_progress(self) -> None:
        words = [f"{self._before + self._given} rated"]
        awaited = self._awaited_words()
        words += [awaited] if awaited else []
        if self._given % LESSON_EVERY == 0:
            words.append(self._learn())
        self.tell("; ".join(words) + ".")

    def _awaited_words(self) -> str:
        """How many more the run waits for; empty if it does not wait."""
        from ppo_tui.errors import RunError
        from ppo_tui.runs.phase import Phase
        from ppo_tui.runs.state import observe

        try:
            seen = observe(self._run)
        except RunError:  # the run is another's business; a rating is still a rating
            return ""
        if seen.phase is not Phase.AWAITING_RATINGS:
            return ""
        found = _AWAITED.match(seen.state.message)
        if not found:
            return plain(seen.state.message).rstrip(".")
        # What was given since the run last counted, it will count as well.
        since = sum(
            each.judgement.time > seen.state.updated
            for each in self._history
            if each.judgement.kind != "skip"
        )
        left = int(found[2]) - int(found[1]) - since
        return f"{left} more and the run goes on" if left > 0 else "the run goes on"

    def _learn(self) -> str:
        """What the ratings have taught so far, in words."""
        self._refresh()
        lesson = self._adviser.lesson()
        if lesson.problem:
            return plain(lesson.problem).rstrip(".")
        point = lesson.points[-1] if lesson.points else None
        if point is not None and not math.isnan(point.correlation):
            self._correlation = point.correlation
            return f"it guesses your ratings with correlation {point.correlation:.2f}"
        if point is not None and not math.isnan(point.accuracy):
            return f"it guesses {point.accuracy:.0%} of your comparisons"
        return "too few to tell what it has learnt"


def _value(question: Question, word: str) -> float | None:
    """The judgement that a word stands for; none if it is something else."""
    if question.second is not None:
        return _PAIR_WORDS.get(word)
    return float(word) if word in ("1", "2", "3", "4", "5") else None


def _in_words(judgement: Rating | Pair | Skip) -> str:
    from ppo_tui.runs.ratings import Pair, Rating

    if isinstance(judgement, Rating):
        return f"the {judgement.rating}"
    return _CHOICE_WORDS[judgement.choice] if isinstance(judgement, Pair) else "the skip"


def _age(step: int) -> str:
    return f"after step {step}" if step else "by the base model"


def _other(kind: Kind) -> Kind:
    return "single" if kind == "pair" else "pair"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
