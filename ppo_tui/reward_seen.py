"""What is known of a reward that people teach: of a run's ratings as they are, or of a saved one.

For `ppo-tui reward show`. Plain data; numpy and scikit-learn are imported where a run is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui.taste.lesson import Mark, Told

if TYPE_CHECKING:
    from ppo_tui.taste.artefact import RewardArtefact


@dataclass(frozen=True)
class Seen:
    """What there is to tell.

    Attributes:
        kind: ``run``, or that of the artefact: ``human`` or ``adapter``.
        name: Of the run, or the folder.
        model: Name of the base model.
        base: Its identity.
        ratings: How many there are.
        pairs: How many.
        raters: How many people.
        points: Agreement with held-out judgements, by how many were learnt from.
        likes: Texts of the run that the person is taken to like most.
        dislikes: And least.
        date: When a saved reward was made; empty for a run.
        problem: Why nothing can be learnt yet; empty if it can.
        damaged: Lines that are no judgement.
    """

    kind: str
    name: str
    model: str
    base: str
    ratings: int
    pairs: int
    raters: int
    points: tuple[Mark, ...]
    likes: tuple[Told, ...] = ()
    dislikes: tuple[Told, ...] = ()
    date: str = ""
    problem: str = ""
    damaged: int = 0

    @property
    def sentence(self) -> str:
        """What it is made of, and how well it foretells."""
        counts = [
            _count(number, one)
            for number, one in ((self.ratings, "rating"), (self.pairs, "pair"))
            if number
        ]
        people = f"{self.raters} {'person' if self.raters == 1 else 'people'}"
        words = f"{' and '.join(counts) or 'no ratings'} of {people}"
        last = self.points[-1] if self.points else None
        if last is not None and not math.isnan(last.correlation):
            words += f"; held out, its rank correlation with them is {last.correlation:.2f}"
        if last is not None and not math.isnan(last.accuracy):
            words += f"; held out, it tells the better of {last.accuracy:.0%} of the pairs"
        return f"{words}."

    def to_dict(self) -> dict[str, Any]:
        """As `--json` prints it; NaN becomes null there."""
        record = asdict(self)
        record["agreement"] = [asdict(point) for point in self.points]
        del record["points"]
        if self.kind != "run":
            del record["likes"], record["dislikes"], record["problem"], record["damaged"]
        return record


def seen_in_run(name: str) -> Seen:
    """What a run's ratings have taught so far.

    Raises:
        RunError: There is no such run, or its ratings cannot be read.
    """
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.taste.adviser import Adviser

    run = find_run(name)
    adviser = Adviser(run, "")
    adviser.refresh()
    lesson, ratings = adviser.lesson(), adviser.ratings
    given = ratings.given
    newest = given[-1] if given else None
    return Seen(
        kind="run",
        name=run.name,
        model=newest.model if newest else "",
        base=newest.base if newest else "",
        ratings=lesson.ratings,
        pairs=lesson.pairs,
        raters=lesson.raters,
        points=lesson.points,
        likes=lesson.likes,
        dislikes=lesson.dislikes,
        problem=lesson.problem,
        damaged=ratings.damaged,
    )


def seen_in_artefact(path: Path) -> Seen:
    """What a saved reward says of itself.

    Raises:
        PpoTuiError: There is none, it is damaged, or of a newer version.
    """
    from ppo_tui.taste.artefact import load_artefact

    return _seen(path, load_artefact(path))


def _seen(path: Path, artefact: RewardArtefact) -> Seen:
    points: Sequence[Any] = artefact.agreement
    return Seen(
        kind=artefact.kind,
        name=str(path),
        model=artefact.model,
        base=artefact.base,
        ratings=artefact.ratings,
        pairs=artefact.pairs,
        raters=artefact.raters,
        points=tuple(Mark(p.count, p.correlation, p.accuracy) for p in points),
        date=artefact.date,
    )


def _count(number: int, one: str) -> str:
    return f"{number} {one}{'' if number == 1 else 's'}"
