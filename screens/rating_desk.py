"""The files of a run as the rating screen needs them: looked at, and written to, one at a time.

Everything here reads or writes the disk; the screen calls it in one thread, so that ratings reach
the file in the order in which they are given.
"""

from __future__ import annotations

import threading
from collections.abc import Container
from concurrent.futures import Future
from dataclasses import dataclass

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.runs.ratings import (
    About,
    Pair,
    Rating,
    RatingsFile,
    Skip,
    new_pair,
    new_rating,
    new_skip,
    new_undo,
)
from ppo_tui.runs.state import Observed, observe
from ppo_tui.taste.stock import Kind, Question, Stock, TextKey, question_of

Given = Rating | Pair | Skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What the run is, for the records of its ratings.

    Attributes:
        model: Name of the base model; empty if the configuration cannot be read.
        base: Identity of its weights; empty if it cannot be had.
        uses_ratings: Whether the run's reward is learnt from its ratings; None if not known.
    """

    model: str = ""
    base: str = ""
    uses_ratings: bool | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What the run directory says now.

    Attributes:
        seen: How the run is doing; None if that cannot be read.
        total: Judgements in force, of everybody.
        mine: Those of this rater.
        given: What this rater can take back, skips among it.
        raters: People whose judgements are in force.
        texts: Candidates there are.
        fresh: There is something new to be asked, or taken back, since the last look.
        problem: What cannot be read, in a sentence; empty if all can.
    """

    seen: Observed | None
    total: int
    mine: int
    given: int
    raters: int
    texts: int
    fresh: bool
    problem: str = ""


class Desk:
    """A run, for one person who rates.

    Args:
        run: The run.
        rater: The person's name.
    """

    def __init__(self, run: RunDirectory, rater: str) -> None:
        self.run = run
        self.rater = rater
        self._stock = Stock(run, rater)
        self._file = RatingsFile(run.ratings_path)
        self._facts: Future[Facts] = Future()

    def find_facts(self) -> Future[Facts]:
        """Begin to find out what the run is: weights of gigabytes may have to be read for it."""

        def find() -> None:
            facts = Facts()
            try:
                facts = facts_of(self.run)
            finally:  # whatever happens: ratings wait for it
                self._facts.set_result(facts)

        # A daemon: leaving the app must not wait for a disk.
        threading.Thread(target=find, daemon=True, name="base identity").start()
        return self._facts

    def look(self) -> Look:
        """Read what is new."""
        problem, fresh, seen = "", False, None
        try:
            seen = observe(self.run)
            fresh = self._stock.refresh()
        except PpoTuiError as error:
            problem = f"{error.message}."
        except OSError as error:
            reason = error.strerror or type(error).__name__
            problem = f"{shown(self.run.path)} cannot be read: {reason}."
        if problem and not self.run.path.is_dir():
            problem = f"The run is gone: {shown(self.run.path)} is not there any more."
        stock = self._stock
        by_rater = stock.ratings.raters
        return Look(
            seen=seen,
            total=stock.ratings.count,
            mine=by_rater.get(self.rater, 0),
            given=len(stock.given()),
            raters=len(by_rater),
            texts=len(stock.candidates),
            fresh=fresh,
            problem=problem,
        )

    def spread(
        self, kind: Kind, count: int, besides: Container[frozenset[TextKey]]
    ) -> list[Question]:
        """Questions for as long as nobody knows better ones."""
        return self._stock.spread(kind, count, besides)

    def rate(self, question: Question, value: float, note: str) -> Given:
        """Write a judgement to the disk; once this returns, it cannot be lost.

        Args:
            question: What was asked.
            value: From 1 to 5, or for a pair 1.0 (the first is better), 0.5 or 0.0.
            note: What the person adds in words.

        Raises:
            StorageError: It could not be written.
        """
        facts = self._facts.result()
        head = (self.rater, facts.model, facts.base, self.run.name)
        first = About.of(question.first)
        given: Given
        if question.second is None:
            given = new_rating(*head, first, int(value), note)
        else:
            given = new_pair(*head, first, About.of(question.second), value, note)
        self._file.append(given)
        return given

    def skip(self, question: Question) -> Given:
        """Write that this person does not want to judge it.

        Raises:
            StorageError: It could not be written.
        """
        given = new_skip(self.rater, [About.of(text) for text in question.texts])
        self._file.append(given)
        return given

    def undo(self, given: Given | None) -> Question | None:
        """Take a judgement back; the question that it answered.

        Args:
            given: Which; the newest of this rater in the file if None.

        Returns:
            None if there is nothing to take back.

        Raises:
            StorageError: It could not be written.
        """
        if given is None:
            self._stock.refresh()
            newest = self._stock.given()[-1:]
            if not newest:
                return None
            given = newest[0]
        self._file.append(new_undo(self.rater, given.id))
        return question_of(given)


def facts_of(run: RunDirectory) -> Facts:
    """What the run is, as far as that can be found out; slow for large weights."""
    from ppo_tui.plan.identity import base_identity
    from ppo_tui.prepare.resume import stored_config

    try:
        config = stored_config(run)
    except PpoTuiError:  # of a newer version, say; ratings are kept all the same
        return Facts()
    try:
        base = base_identity(config.model)
    except (PpoTuiError, OSError):  # a model that is not on this machine any more
        base = ""
    return Facts(config.model.name, base, config.reward.learns_from_ratings)
