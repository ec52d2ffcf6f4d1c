"""From ratings to a reward that other runs can use: whose ratings, and the fit to them.

For the command line and for the process that trains a reward adapter. Imports no torch; numpy and
scikit-learn only where something is fitted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui.errors import PpoTuiError, RunError, StorageError
from ppo_tui.runs.catalog import find_run
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.runs.pool import read_pool
from ppo_tui.runs.ratings import About, Ratings, RatingsFile, merge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ppo_tui.taste.agreement import Point
    from ppo_tui.taste.artefact import RewardArtefact
    from ppo_tui.taste.evidence import Evidence

FEWEST = 5
"""With fewer judgements nothing is learnt that would hold."""

LARGEST_POOL = 2000
"""Texts that the spread of texts is learnt from."""

Text = tuple[str, str]
"""Prompt, as rendered, and response."""


@dataclass(frozen=True)
class Source:
    """Where ratings come from.

    Attributes:
        name: As it stands in a sentence.
        run: The run; None for a file of ratings.
        ratings: What is in force there.
    """

    name: str
    run: RunDirectory | None
    ratings: Ratings


@dataclass(frozen=True)
class Gathered:
    """The ratings of some runs and files, all of one base.

    Attributes:
        sources: Where they come from.
        ratings: Those in force, taken together.
        base: Identity of the base model.
        model: Its name.
        unknown: How many were left out because their base is not known.
    """

    sources: tuple[Source, ...]
    ratings: Ratings
    base: str
    model: str
    unknown: int

    @property
    def runs(self) -> tuple[RunDirectory, ...]:
        """The runs among the sources."""
        return tuple(source.run for source in self.sources if source.run is not None)

    @property
    def abouts(self) -> tuple[About, ...]:
        """Every text that was judged, once for each judgement."""
        return tuple(about for each in self.ratings.given for about in each.texts)

    @property
    def lacking(self) -> tuple[Text, ...]:
        """Texts whose reading is not known, each once, in order."""
        from ppo_tui.taste.reading import decode

        texts = (about.text for about in self.abouts if decode(about.reading) is None)
        return tuple(dict.fromkeys(texts))

    def with_readings(self, readings: Mapping[Text, str]) -> Gathered:
        """The same with the readings that were missing; the others stay."""

        def read(about: About) -> About:
            return replace(about, reading=readings.get(about.text, about.reading))

        ratings = replace(
            self.ratings,
            ratings=tuple(replace(each, about=read(each.about)) for each in self.ratings.ratings),
            pairs=tuple(
                replace(each, first=read(each.first), second=read(each.second))
                for each in self.ratings.pairs
            ),
        )
        return replace(self, ratings=ratings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of what was left out, a sentence each."""
        notes = []
        if self.ratings.damaged:
            lines = _count(self.ratings.damaged, "line", "lines")
            notes.append(
                f"{lines} left out: cut, not to be read, or with a rating outside of 1 to 5."
            )
        if self.unknown:
            notes.append(
                f"{_count(self.unknown, 'rating', 'ratings')} left out: their base model is not "
                "known."
            )
        return tuple(notes)


def gather(names: Sequence[str]) -> Gathered:
    """The ratings of runs and files.

    Args:
        names: Each a run, as a person names one, or the path of a file of ratings.

    Raises:
        RunError: One is not there (`run.missing`, `ratings.missing`) or cannot be read; there is no
            rating in any (`ratings.none`), none whose base is known (`ratings.base_unknown`), or
            they are of several bases (`ratings.other_base`).
    """
    sources = tuple(_source(name) for name in dict.fromkeys(names))
    ratings = merge(source.ratings for source in sources)
    judged = ratings.given
    if not judged:
        raise _none(sources, ratings.damaged)
    bases = {each.base: each.model for each in reversed(judged) if each.base}
    if not bases:
        raise RunError(
            f"{_list(sources)}: it is not known on which base model the "
            f"{len(judged)} ratings were given, so nothing can be learnt from them",
            code="ratings.base_unknown",
        )
    if len(bases) > 1:
        raise _several(sources, bases)
    ((base, model),) = bases.items()
    fitting = ratings.of_base(base)
    return Gathered(sources, fitting, base, model, ratings.count - fitting.count)


def check_signal(ratings: Ratings) -> None:
    """Refuse ratings from which nothing can be learnt, before anything is computed.

    Raises:
        RunError: They are too few (`ratings.few`), or all say the same (`ratings.no_signal`).
    """
    more = "Give more ratings with `ppo-tui rate`; they should tell good texts from bad."
    if ratings.count < FEWEST:
        few = f"there is only {ratings.count}" if ratings.count == 1 else f"only {ratings.count}"
        raise RunError(
            f"{few} rating{'' if ratings.count == 1 else 's'}: a reward needs at least {FEWEST}",
            hint=more,
            code="ratings.few",
        )
    values = {rating.rating for rating in ratings.ratings}
    if len(values) < 2 and all(pair.choice == 0.5 for pair in ratings.pairs):
        same = f"all {len(ratings.ratings)} ratings are {min(values)}" if values else ""
        ties = f"all {len(ratings.pairs)} pairs are ties" if ratings.pairs else ""
        raise RunError(
            f"{' and '.join(filter(None, (same, ties)))}: nothing can be learnt from them",
            hint=more,
            code="ratings.no_signal",
        )


def evidence_for(gathered: Gathered) -> Evidence:
    """The ratings as numbers.

    Raises:
        RunError: Nothing can be learnt from them (`ratings.few`, `ratings.no_signal`,
            `ratings.no_reading`).
    """
    from ppo_tui.taste.evidence import evidence_of

    check_signal(gathered.ratings)
    evidence = evidence_of(gathered.ratings)
    if evidence.problem:
        raise RunError(evidence.problem, code="ratings.no_reading")
    return evidence


def fit_taste(gathered: Gathered, to: Path, *, overwrite: bool) -> None:
    """Fit the taste model to the ratings, find out how well it foretells, and save it.

    Raises:
        RunError: Nothing can be learnt from them.
        StorageError: It cannot be saved.
    """
    from ppo_tui.taste.agreement import agreement
    from ppo_tui.taste.artefact import save_artefact
    from ppo_tui.taste.model import TasteModel

    evidence = evidence_for(gathered)
    pool = pool_for(gathered, evidence)
    taste = TasteModel.fit(evidence, pool)
    record = record_of(gathered, "human", agreement(evidence, pool))
    save_artefact(to, replace(record, taste=taste), overwrite=overwrite)


def pool_for(gathered: Gathered, evidence: Evidence) -> NDArray[np.float32]:
    """Readings ``[N, D]`` that say how texts differ: the runs' pools, else what was judged."""
    import numpy as np

    from ppo_tui.taste.reading import decode

    judged = np.concatenate([evidence.x, evidence.first, evidence.second])
    width = judged.shape[1]
    found = []
    for run in gathered.runs:
        for candidate in read_pool(run.pool_path)[0]:
            reading = decode(candidate.reading) if candidate.reading else None
            if reading is not None and len(reading) == width:
                found.append(reading)
    if len(found) > LARGEST_POOL:  # evenly over the time of the runs
        found = [found[i * len(found) // LARGEST_POOL] for i in range(LARGEST_POOL)]
    return np.stack(found) if found else judged


def refuse_taken(to: Path, *, overwrite: bool) -> None:
    """Say before any work that a reward cannot be saved there.

    Raises:
        StorageError: Something is there already (`reward.exists`).
    """
    if not os.path.lexists(to):
        return
    if not overwrite:
        raise StorageError(
            f"{shown(to)} is there already; name another folder, or say --force to replace it",
            code="reward.exists",
        )
    if (to / "state.json").exists() or not (to.is_dir() and is_artefact(to)):
        raise StorageError(
            f"{shown(to)} is no reward, and --force replaces nothing else; name another folder",
            code="reward.exists",
        )


def is_artefact(path: Path) -> bool:
    """Whether a reward was saved in a folder, even a damaged one."""
    from ppo_tui.taste.artefact import RECORD

    return (path / RECORD).is_file()


def _source(name: str) -> Source:
    path = Path(os.path.expanduser(name)) if "\0" not in name else Path("?")
    if path.is_file():
        # A link is followed where a person names it, not where it lies in a run directory.
        return Source(shown(path), None, RatingsFile(path.resolve()).read(refuse_newer=True))
    if path.suffix in (".jsonl", ".json") and not path.exists():
        raise RunError(f"there are no ratings at {shown(path)}", code="ratings.missing")
    run = find_run(name)
    return Source(shown(run.name), run, RatingsFile(run.ratings_path).read(refuse_newer=True))


def _none(sources: Sequence[Source], damaged: int) -> PpoTuiError:
    lines = f", only {_count(damaged, 'damaged line', 'damaged lines')}" if damaged else ""
    hold = "holds" if len(sources) == 1 else "hold"
    return RunError(
        f"{_list(sources)} {hold} no rating{lines}",
        hint=f"Rate what a run writes: `ppo-tui rate {_first_run(sources)}`.",
        code="ratings.none",
    )


def _several(sources: Sequence[Source], bases: Mapping[str, str]) -> PpoTuiError:
    """Name two of the bases, and where their ratings lie."""

    def where(base: str) -> str:
        for source in sources:
            if any(each.base == base for each in source.ratings.given):
                return source.name
        return "?"

    one, other = list(bases)[:2]
    first, second = (bases[base] or "a model without a name" for base in (one, other))
    same = " (the names are the same, the weights are not)" if first == second else ""
    return RunError(
        f"the ratings in {where(one)} are of texts as {shown(first)} reads them, those in "
        f"{where(other)} as {shown(second)} does{same}; a reward is of one base model",
        hint="Fit one reward for each base model.",
        code="ratings.other_base",
    )


def _list(sources: Sequence[Source]) -> str:
    return ", ".join(source.name for source in sources)


def _first_run(sources: Sequence[Source]) -> str:
    return next((source.name for source in sources if source.run is not None), "RUN")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many} {'is' if number == 1 else 'are'}"


def record_of(
    gathered: Gathered, kind: str, points: Sequence[Point], **more: Any
) -> RewardArtefact:
    """What an artefact records of the ratings behind it; `more` is JSON."""
    from ppo_tui.taste.artefact import RewardArtefact

    ratings = gathered.ratings
    return RewardArtefact(
        kind=kind,
        base=gathered.base,
        model=gathered.model,
        ratings=len(ratings.ratings),
        pairs=len(ratings.pairs),
        raters=len(ratings.raters),
        agreement=tuple(points),
        more=more,
    )
