"""What to ask a person next, and what the answers have taught: a run's pool and ratings in use.

For the command line and for the process that advises the app. Everything is read from the run
directory and worked out anew from it, so that the same files give the same advice; nothing is
written. A run without readings (an older one, or one that keeps no candidates) is asked about
simply, as `Stock` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.judgements import About, Ratings
from ppo_tui.runs.pool import Candidate
from ppo_tui.taste.agreement import agreement
from ppo_tui.taste.choose import choose, choose_pairs
from ppo_tui.taste.evidence import Evidence, evidence_of
from ppo_tui.taste.lesson import Lesson, Mark, Told
from ppo_tui.taste.model import TasteModel
from ppo_tui.taste.reading import decode
from ppo_tui.taste.stock import Kind, Question, Stock, key_of
from ppo_tui.taste.views import Views

__all__ = ["Adviser", "Lesson", "Mark", "Question", "Told"]

Array = npt.NDArray[np.float32]

MOST_TOLD = 3
"""Texts that are told as liked most, and as many as liked least."""

MOST_FITTED = 1024
"""Candidates that say how texts are spread; more make the fit slow and no better."""

NO_READINGS = (
    "This run kept its texts without what the base model reads in them, so nothing is worked out "
    "here. Your ratings are kept; `ppo-tui reward fit` learns from them."
)


class Adviser:
    """Advice on one run, for one person.

    Args:
        run: The run; nothing is read yet.
        rater: Who is asked: nothing is asked twice of the same person.
    """

    def __init__(self, run: RunDirectory, rater: str) -> None:
        self._stock = Stock(run, rater)
        self._read: dict[str, Array | None] = {}
        self._usable: list[Candidate] = []
        self._pool: Array = np.empty((0, 0), dtype=np.float32)
        self._version = -1
        self._views: Views | None = None
        self._evidence: Evidence | None = None
        self._model: TasteModel | None = None
        self._fitted = False

    @property
    def ratings(self) -> Ratings:
        """The ratings that are in force, as of the last `refresh`."""
        return self._stock.ratings

    def refresh(self) -> bool:
        """Read what is new; whether anything was.

        Raises:
            OSError: A file is there and cannot be read.
            PpoTuiError: Likewise.
        """
        news = self._stock.refresh()
        if news or self._evidence is None:
            self._take_in()
        return news

    def questions(self, kind: Kind, count: int = 1, besides: Sequence[str] = ()) -> list[Question]:
        """What to ask next, the most telling first.

        Never what this person judged or passed over, and no near-copy of it.

        Args:
            kind: One text, or two answers to one prompt.
            count: How many, at most.
            besides: Ids of texts that are being asked about right now.

        Returns:
            Fewer than `count` if there are no more; none if nothing is left.
        """
        if not self._usable:
            return self._simply(kind, count, besides)
        texts = self._usable
        prompts = [text.prompt for text in texts]
        responses = [text.response for text in texts]
        shut = self._shut(kind, besides)
        model = self._fit()
        if kind == "single":
            picks = choose(self._pool, prompts, responses, self._rated(), count, model, shut)
            return [Question(texts[pick.index], None, pick.reason) for pick in picks]
        # Some more than are wanted: a pair may have been compared, though its texts are open.
        judged = self._stock.judged("pair")
        wanted = count + len(judged)
        pairs = choose_pairs(self._pool, prompts, responses, self._rated(), wanted, model, shut)
        asked = [Question(texts[pair.first], texts[pair.second], pair.reason) for pair in pairs]
        return [question for question in asked if question.key not in judged][:count]

    def lesson(self) -> Lesson:
        """What the ratings have taught; takes a moment with many of them."""
        ratings, evidence = self._stock.ratings, self._evidence
        head = (len(ratings.ratings), len(ratings.pairs), len(ratings.raters))
        if evidence is None:
            return Lesson(*head, problem="Nothing was read yet.")
        if evidence.unread and not evidence.count and not self._usable:
            return Lesson(*head, problem=NO_READINGS)
        if evidence.problem:
            return Lesson(*head, problem=evidence.problem)
        model = self._fit()
        points = tuple(
            Mark(point.count, point.correlation, point.accuracy)
            for point in agreement(evidence, self._spread_of_texts())
        )
        likes, dislikes = self._told(model)
        return Lesson(*head, points=points, likes=likes, dislikes=dislikes)

    # ---- what was read

    def _take_in(self) -> None:
        """Turn candidates and ratings into arrays; readings of another width are left out."""
        if self._stock.version != self._version:
            self._version = self._stock.version
            self._take_candidates()
        self._evidence = evidence_of(self._readable(self._stock.ratings))
        self._model, self._fitted = None, False

    def _take_candidates(self) -> None:
        candidates = self._stock.candidates
        readings = [self._reading(candidate) for candidate in candidates]
        widths = Counter(len(reading) for reading in readings if reading is not None)
        width = widths.most_common(1)[0][0] if widths else 0
        usable = [
            (candidate, reading)
            for candidate, reading in zip(candidates, readings, strict=True)
            if reading is not None and len(reading) == width
        ]
        self._usable = [candidate for candidate, _ in usable]
        rows = [reading for _, reading in usable]
        self._pool = np.stack(rows) if rows else np.empty((0, width), dtype=np.float32)
        self._views = None

    def _reading(self, text: Candidate | About) -> Array | None:
        """The reading of a text, decoded once."""
        if not text.reading:
            return None
        if text.reading not in self._read:
            self._read[text.reading] = decode(text.reading)
        return self._read[text.reading]

    def _readable(self, ratings: Ratings) -> Ratings:
        """The ratings, without the readings that are not as wide as those of the candidates."""
        width = self._pool.shape[1]
        if not width:
            return ratings

        def fitting(text: About) -> About:
            reading = self._reading(text)
            fits = reading is not None and len(reading) == width
            return text if fits else replace(text, reading="")

        return replace(
            ratings,
            ratings=tuple(replace(one, about=fitting(one.about)) for one in ratings.ratings),
            pairs=tuple(
                replace(one, first=fitting(one.first), second=fitting(one.second))
                for one in ratings.pairs
            ),
        )

    # ---- what it is used for

    def _fit(self) -> TasteModel | None:
        """The model of what was rated; None where the ratings teach nothing."""
        evidence = self._evidence
        if not self._fitted and evidence is not None and not evidence.problem:
            pool = self._spread_of_texts()
            self._views = self._views or Views.of(pool)
            self._model = TasteModel.fit(evidence, pool, self._views)
        self._fitted = True
        return self._model

    def _spread_of_texts(self) -> Array:
        """The candidates' readings, evenly thinned; those of the rated texts if there are none."""
        pool = self._pool
        if not len(pool) and self._evidence is not None:
            evidence = self._evidence
            parts = [part for part in (evidence.x, evidence.first, evidence.second) if len(part)]
            return np.concatenate(parts)
        if len(pool) <= MOST_FITTED:
            return pool
        return pool[np.linspace(0, len(pool) - 1, MOST_FITTED).astype(np.intp)]

    def _rated(self) -> Array:
        """Readings of all that was judged, ``[R, D]``: there is little to learn beside them."""
        ratings = self._stock.ratings
        texts = [text for one in ratings.given for text in one.texts]
        width = self._pool.shape[1]
        rows = [row for row in map(self._reading, texts) if row is not None and len(row) == width]
        return np.stack(rows) if rows else np.empty((0, width), dtype=np.float32)

    def _shut(self, kind: Kind, besides: Sequence[str]) -> set[int]:
        """Indices of candidates that must not be asked about."""
        judged = self._stock.judged(kind)
        singles = {next(iter(key)) for key in judged if len(key) == 1}
        return {
            index
            for index, text in enumerate(self._usable)
            if text.id in besides or key_of(text) in singles
        }

    def _simply(self, kind: Kind, count: int, besides: Sequence[str]) -> list[Question]:
        asked = self._stock.spread(kind, count + 1 + len(besides))
        return [one for one in asked if not {text.id for text in one.texts} & set(besides)][:count]

    def _told(self, model: TasteModel | None) -> tuple[tuple[Told, ...], tuple[Told, ...]]:
        """The texts that it now takes to be liked most and least."""
        if model is None or not self._usable:
            return (), ()
        opinion = model.predict(self._pool)
        # What it is sure of: the mean alone would tell of texts that it knows nothing about.
        liked = np.argsort(opinion.std - opinion.mean, kind="stable")
        disliked = np.argsort(opinion.mean + opinion.std, kind="stable")

        def told(index: int) -> Told:
            text = self._usable[index]
            mean, std = float(opinion.mean[index]), float(opinion.std[index])
            return Told(text.prompt, text.response, mean, std)

        most = min(MOST_TOLD, len(self._usable) // 2)
        return tuple(map(told, liked[:most])), tuple(map(told, disliked[:most]))
