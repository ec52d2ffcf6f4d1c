"""The ratings of a run while it trains: which there are, what they say, when to wait for more.

Between two steps the reward is fitted anew if ratings have come; within a step it stands still. The
same ratings on the same pool of texts give the same reward, and a checkpoint holds the fitted one,
so that a run which nobody rates in the meantime resumes exactly.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_tui.config.schema import RatingsConfig, RunConfig
from ppo_tui.errors import RunError
from ppo_tui.plan.identity import base_identity
from ppo_tui.rewards.human import Human
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.judgements import About, Pair, Ratings, merge
from ppo_tui.runs.paths import shown
from ppo_tui.runs.pool import read_pool
from ppo_tui.runs.rating_files import ratings_at
from ppo_tui.runs.ratings import RatingsFile
from ppo_tui.taste.agreement import Point, agreement
from ppo_tui.taste.evidence import Evidence, evidence_of
from ppo_tui.taste.model import TasteModel
from ppo_tui.taste.reading import decode, encode
from ppo_tui.training.batches import HealthNote
from ppo_tui.training.candidates import Written, read_texts, write_candidates
from ppo_tui.training.trainer import Trainer

log = logging.getLogger(__name__)

LARGEST_POOL = 2000
"""Texts that the spread of texts is learnt from: those of the base, and the newest."""

CHOICE = 6
"""Candidates that are written for each rating of a round."""

DRIFTED = 0.5
"""Share of a step's responses where nobody has looked from which on it is told."""


@dataclass(frozen=True)
class Lesson:
    """What a fit came to.

    Attributes:
        ratings: Ratings in force, those of other runs included.
        pairs: Pairs.
        raters: People.
        agreement: Held out, with all of them.
    """

    ratings: int
    pairs: int
    raters: int
    agreement: Point | None

    def __str__(self) -> str:
        """In words."""
        parts = [f"{self.ratings} ratings"] if self.ratings else []
        parts += [f"{self.pairs} pairs"] if self.pairs else []
        people = "1 person" if self.raters == 1 else f"{self.raters} people"
        words = f"The reward follows {' and '.join(parts)} of {people}."
        point = self.agreement
        if point is not None and point.correlation == point.correlation:
            words += f" Held out, its rank correlation with them is {point.correlation:.2f}."
        elif point is not None and point.accuracy == point.accuracy:
            words += f" Held out, it picks the better of a pair in {point.accuracy:.0%}."
        return words


def needed(config: RatingsConfig, step: int, alone: bool, elsewhere: int) -> int:
    """Ratings that this run must have of its own before the step after `step`.

    Args:
        config: When to wait.
        step: Steps that are done.
        alone: Whether the ratings are all that the run is rewarded by.
        elsewhere: Ratings of other runs that count for the first round.
    """
    if config.mode == "flow":
        return max(0, config.first - elsewhere) if alone else 0
    return max(0, config.first - elsewhere) + step // config.every * config.per_round


class Taste:
    """The ratings of a run and the reward that is fitted to them.

    Args:
        run: The run.
        config: Its configuration, with a human term that learns.
        trainer: Reads texts, and holds the reward.
        human: The reward that is fitted.

    Raises:
        ModelError: The base model's files cannot be identified.
        RunError: Ratings of another run that are to be used are not there.
    """

    def __init__(
        self, run: RunDirectory, config: RunConfig, trainer: Trainer, human: Human
    ) -> None:
        self._run, self._config, self._trainer, self._human = run, config, trainer, human
        self._base = base_identity(config.model)
        self._sources = [ratings_at(Path(path)) for path in config.ratings.use]
        self._own = RatingsFile(run.ratings_path)
        self._sizes: tuple[int, ...] = ()
        self._ratings = Ratings()
        self._elsewhere = 0
        self._foreign = 0
        self._evidence: Evidence | None = None
        self._fitted = ""
        self._forgiven = self._released = 0
        self._missing: dict[tuple[str, str], str] = {}
        self._of_base: list[NDArray[np.float32]] = []
        self._newest: deque[NDArray[np.float32]] = deque(maxlen=LARGEST_POOL)
        self._rounds: set[str] = set()
        self._pool_offset = 0
        others = [t for t in config.reward.terms if t.weight and t.label != self._label]
        self._alone = not others
        self.lesson: Lesson | None = None
        self.trouble = ""  # why the ratings cannot be read just now, in a sentence

    @classmethod
    def of(
        cls, run: RunDirectory, config: RunConfig, reward: WeightedSum, trainer: Trainer
    ) -> Taste | None:
        """The taste that a run learns; None if no term of its reward does."""
        for term in reward.rewards.values():
            if isinstance(term, Human) and term.artefact is None:
                return cls(run, config, trainer, term)
        return None

    @property
    def _label(self) -> str:
        rewards = self._trainer.reward.rewards
        return next(label for label, reward in rewards.items() if reward is self._human)

    # ---- what there is

    def look(self) -> bool:
        """Read the ratings if there are new ones; whether there are.

        A file that cannot be read leaves what was read before in force, and is tried again: a run
        must not end because of what may be put right while it goes on. `trouble` says so.
        """
        sizes = tuple(_size(path) for path in (self._own.path, *self._sources))
        if sizes == self._sizes:
            return False
        try:
            own = self._own.read()
            every = merge([own, *(RatingsFile(path).read() for path in self._sources)])
        except RunError as error:
            self.trouble = f"{error.message.rstrip('.')}."
            return False
        self._sizes, self.trouble = sizes, ""
        self._ratings = every.of_base(self._base)
        self._foreign = every.count - self._ratings.count
        mine = {each.id for each in own.given}
        self._elsewhere = sum(each.id not in mine for each in self._ratings.given)
        self._evidence = None
        return True

    @property
    def given(self) -> int:
        """Ratings of this run in force."""
        return self._ratings.count - self._elsewhere

    @property
    def alone(self) -> bool:
        """Whether the run is rewarded by nothing but the ratings."""
        return self._alone

    @property
    def foreign(self) -> int:
        """Ratings that are left out because they are of another base."""
        return self._foreign

    @property
    def damaged(self) -> int:
        """Lines of the ratings files that are no ratings."""
        return self._ratings.damaged

    @property
    def wanted(self) -> int:
        """Ratings of its own that the run must have before its next step."""
        return max(0, self._planned - self._forgiven)

    @property
    def lacking(self) -> bool:
        """Whether the next step has to wait: too few ratings, or none that say anything."""
        if not self.wanted or self._planned <= self._released:
            return False
        return self.given < self.wanted or bool(self.problem)

    def rest_is_over(self) -> None:
        """The round is rated: what is taken back later does not make the run wait for it again."""
        self._released = max(self._released, self._planned)

    def go_on(self) -> None:
        """Let this round be; the next one asks for its own number and no more."""
        self._forgiven += max(0, self.wanted - self.given)
        self._released = self._planned

    @property
    def _planned(self) -> int:
        config, step = self._config.ratings, self._trainer.step
        return needed(config, step, self._alone, self._elsewhere)

    @property
    def problem(self) -> str:
        """Why nothing can be learnt from the ratings, in a sentence; empty if it can."""
        return self.evidence.problem

    @property
    def evidence(self) -> Evidence:
        """The ratings as numbers; readings that they lack are made."""
        if self._evidence is None:
            self._evidence = evidence_of(self._with_readings(self._ratings))
        return self._evidence

    # ---- learning

    def learn(self) -> bool:
        """Fit the reward to the ratings, unless it is; whether it was fitted anew."""
        self.look()
        evidence = self.evidence
        if evidence.problem:
            return False
        digest = _digest(evidence)
        if digest == self._fitted:
            return False
        pool = self._readings_of_pool()
        width = self._width()
        of_base = [reading for reading in self._of_base if len(reading) == width]
        usual = np.stack(of_base) if of_base else None
        self._human.taste = TasteModel.fit(evidence, pool, usual=usual)
        self._fitted = digest
        points = agreement(evidence, pool, steps=(evidence.count,))
        raters = self._ratings.raters
        self.lesson = Lesson(
            len(self._ratings.ratings),
            len(self._ratings.pairs),
            len(raters),
            points[-1] if points else None,
        )
        return True

    def metrics(self) -> dict[str, float]:
        """Of the last fit, by metric name."""
        if self.lesson is None:
            return {}
        metrics = {f"{self._label}/ratings": float(self._ratings.count)}
        point = self.lesson.agreement
        if point is not None:
            # Where there are pairs alone: Kendall's tau, from the share that is put in order.
            ranked = point.correlation == point.correlation
            agreement = point.correlation if ranked else 2 * point.accuracy - 1
            metrics[f"{self._label}/agreement"] = agreement
        return metrics

    def health(self, metrics: Mapping[str, float]) -> list[HealthNote]:
        """What a step says of the ratings."""
        outside = metrics.get(f"{self._label}/outside", 0.0)
        if outside > DRIFTED:
            return [
                HealthNote(
                    "health.unrated",
                    f"{outside:.0%} of the responses lie where nobody has rated yet: the policy "
                    "has moved on, and the reward guesses.",
                    f"Rate some of the newest: `ppo-tui rate {shown(self._run.name)}`, or r in the "
                    "app.",
                )
            ]
        return []

    # ---- candidates

    def write_candidates(self) -> list[tuple[str, Written]]:
        """Texts to choose from before the next step, each with its id; none unless one is due."""
        config, step = self._config.ratings, self._trainer.step
        if step == 0:
            count = config.candidates
        elif config.mode == "wait" and step % config.every == 0:
            count = CHOICE * config.per_round
        else:
            return []
        self._read_pool()
        if f"r{step}-0" in self._rounds:
            return []  # of this round, from before a stop in the middle of it
        trainer = self._trainer
        written = write_candidates(trainer.roles, self._config, trainer.data, step, count)
        return [(f"r{step}-{index}", each) for index, each in enumerate(written)]

    # ---- across a checkpoint

    def state_dict(self) -> dict[str, Any]:
        """What the fitted reward was fitted to; JSON."""
        return {
            "fitted": self._fitted,
            "forgiven": self._forgiven,
            "released": self._released,
            "lesson": asdict(self.lesson) if self.lesson is not None else None,
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The fitted reward; nothing before the first fit."""
        return self._human.taste.to_tensors() if self._human.taste is not None else {}

    def load(self, state: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        """Go on from `state_dict` and `tensors`."""
        self._fitted = str(state["fitted"])
        self._forgiven, self._released = int(state["forgiven"]), int(state["released"])
        self._human.taste = TasteModel.from_tensors(tensors) if tensors else None
        # A checkpoint of an older version has none: its figures come back with the next fit.
        lesson = state.get("lesson")
        self.lesson = _lesson(lesson) if lesson else None

    # ---- readings

    def _readings_of_pool(self) -> NDArray[np.float32]:
        """How texts differ; where the pool is lost, the rated ones are all that says so."""
        width, base = self._width(), self._of_base
        later = list(self._newest)[-(LARGEST_POOL - len(base)) :]
        readings = [reading for reading in (*base, *later) if len(reading) == width]
        if readings:
            return np.stack(readings)
        evidence = self.evidence
        return np.concatenate([evidence.x, evidence.first, evidence.second])

    def _read_pool(self) -> None:
        """Take in what is new, and keep no more of it in mind than is learnt from."""
        found, self._pool_offset = read_pool(self._run.pool_path, self._pool_offset)
        for candidate in found:
            if candidate.id.startswith("r") and candidate.id.endswith("-0"):
                self._rounds.add(candidate.id)
            reading = decode(candidate.reading)
            if reading is None:
                continue
            if candidate.step:
                self._newest.append(reading)
            elif len(self._of_base) < LARGEST_POOL // 2:
                self._of_base.append(reading)

    def _width(self) -> int:
        """Numbers of a reading of this base, as the run's own texts have them; 0 if unknown."""
        self._read_pool()
        widths = Counter(len(reading) for reading in (*self._of_base, *self._newest))
        return widths.most_common(1)[0][0] if widths else 0

    def _with_readings(self, ratings: Ratings) -> Ratings:
        """The ratings with a reading each: what has none is read from its text, once."""
        texts: Sequence[About] = [text for r in ratings.ratings for text in r.texts]
        texts = [*texts, *(text for pair in ratings.pairs for text in pair.texts)]
        width = self._width()
        bad = {t.text for t in texts if _lacks(t, width)}
        if named := sorted(bad - self._missing.keys()):
            made = read_texts(self._trainer.roles, self._config, named)
            self._missing.update(zip(named, map(encode, made), strict=True))

        def read(about: About) -> About:
            lacks = about.text in bad and _lacks(about, width)
            return replace(about, reading=self._missing[about.text]) if lacks else about

        def read_pair(pair: Pair) -> Pair:
            return replace(pair, first=read(pair.first), second=read(pair.second))

        return replace(
            ratings,
            ratings=tuple(replace(each, about=read(each.about)) for each in ratings.ratings),
            pairs=tuple(map(read_pair, ratings.pairs)),
        )


def _lacks(about: About, width: int) -> bool:
    """Whether a text has to be read: its reading is missing, damaged, or of another width."""
    reading = decode(about.reading)
    return reading is None or (width != 0 and len(reading) != width)


def _lesson(state: Mapping[str, Any]) -> Lesson:
    found = state["agreement"]
    if found is None:
        return Lesson(**state)
    # What is not known is null in a file.
    values = [math.nan if found[key] is None else found[key] for key in ("correlation", "accuracy")]
    return Lesson(**{**state, "agreement": Point(found["count"], *values)})


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _digest(evidence: Evidence) -> str:
    digest = hashlib.sha256()
    arrays = (evidence.x, evidence.y, evidence.first, evidence.second, evidence.choice)
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
