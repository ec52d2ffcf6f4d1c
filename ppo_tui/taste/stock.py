"""What there is to be rated in a run, what has been judged of it, and a first choice of questions.

For whoever asks a person: the app, which may load neither numpy nor scikit-learn, and `Adviser`,
which chooses better with both. Reads the run directory and never writes; the files are the truth,
so that a reader that starts anew sees the same. Every `refresh` reads the disk: it belongs into a
thread.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate, read_pool
from ppo_tui.runs.ratings import About, Pair, Rating, Ratings, RatingsFile, Skip
from ppo_tui.runs.records import Sample
from ppo_tui.runs.samples import SampleBook

Kind = Literal["single", "pair"]
Judgement = Rating | Pair | Skip

MOST_CANDIDATES = 5000
"""More are not kept in mind; the newest are what a person should be asked about."""

SAMPLED_STEPS = 24
"""Steps whose samples are taken where no candidates were written."""

MOST_SAMPLES = 2000

SPREAD = "spread over prompts and steps; nothing better known yet"
FROM_SAMPLES = "one of the run's samples, spread over prompts: the run keeps no candidates"

JUDGED_BEFORE = "you took back what you said of it"

TextKey = tuple[str, str]
"""A prompt, and a response without what a person would not see as a difference."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked.

    Attributes:
        first: The text, or the first of two answers to one prompt.
        second: The other answer of a pair.
        reason: Why this one, in half a sentence.
    """

    first: Candidate
    second: Candidate | None
    reason: str

    @property
    def kind(self) -> Kind:
        """Whether it is one text or a pair."""
        return "single" if self.second is None else "pair"

    @property
    def texts(self) -> tuple[Candidate, ...]:
        """The text, or both of them."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def key(self) -> frozenset[TextKey]:
        """Two questions with the same key ask the same."""
        return frozenset(key_of(text) for text in self.texts)


def key_of(text: Candidate | About) -> TextKey:
    """What makes two texts the same for a person: the words, not spaces and capitals."""
    return text.prompt, " ".join(text.response.casefold().split())


def question_of(judgement: Judgement) -> Question:
    """The question that a judgement answered."""
    texts = [
        Candidate(text.sample, text.step, text.prompt, text.response, 0, True, text.reading)
        for text in judgement.texts
    ]
    return Question(texts[0], texts[1] if len(texts) > 1 else None, JUDGED_BEFORE)


class Stock:
    """The candidates and the ratings of a run.

    Args:
        run: The run.
        rater: Who is asked: nothing is asked twice of the same person.

    Attributes:
        candidates: What can be asked about, oldest first, each text once.
        ratings: What is in force.
        version: Another one for other candidates.
        from_samples: The run wrote no candidates; these are its samples.
    """

    def __init__(self, run: RunDirectory, rater: str) -> None:
        self.rater = rater
        self.candidates: list[Candidate] = []
        self.version = 0
        self.ratings = Ratings()
        self.from_samples = False
        self._pool_path = run.pool_path
        self._book = SampleBook(run.samples_path)
        self._file = RatingsFile(run.ratings_path)
        self._ratings_path = run.ratings_path
        self._offset = 0
        self._pool_file: tuple[int, int] | None = None
        self._ratings_seen: tuple[int, ...] | None = None
        self._sampled_to = 0
        self._known: set[TextKey] = set()

    def refresh(self) -> bool:
        """Read what is new; whether anything was.

        Raises:
            OSError: A file is there and cannot be read.
            PpoTuiError: Likewise.
        """
        news = self._read_ratings()
        news |= self._read_pool()
        if not self.candidates or self.from_samples:
            news |= self._read_samples()
        return news

    def judged(self, kind: Kind) -> set[frozenset[TextKey]]:
        """The questions of a kind that this rater has answered or skipped."""
        given: Iterable[Judgement] = (
            self.ratings.ratings if kind == "single" else self.ratings.pairs
        )
        asked = {_question_key(one) for one in given if one.rater == self.rater}
        skipped = {_question_key(one) for one in self.ratings.skips if one.rater == self.rater}
        return asked | skipped

    def given(self) -> list[Judgement]:
        """What this rater has given, skips among it, the newest last."""
        every: tuple[Judgement, ...] = (
            *self.ratings.ratings,
            *self.ratings.pairs,
            *self.ratings.skips,
        )
        return sorted((one for one in every if one.rater == self.rater), key=lambda one: one.time)

    def spread(
        self, kind: Kind, count: int = 1, besides: Container[frozenset[TextKey]] = ()
    ) -> list[Question]:
        """Questions spread over prompts and, within a prompt, from the newest text on.

        Args:
            kind: One text, or two answers to the same prompt.
            count: How many, at most.
            besides: Keys of questions that are not wanted.
        """
        judged = self.judged(kind)
        # How often a prompt has been asked about says whose turn it is.
        asked: Counter[str] = Counter(prompt for key in judged for prompt, _ in key)
        by_prompt: dict[str, list[Candidate]] = {}
        for candidate in reversed(self.candidates):
            by_prompt.setdefault(candidate.prompt, []).append(candidate)
        reason = FROM_SAMPLES if self.from_samples else SPREAD
        questions: dict[str, Iterator[Question]] = {
            prompt: self._of_prompt(kind, texts, reason) for prompt, texts in by_prompt.items()
        }
        found: list[Question] = []
        while questions and len(found) < count:
            prompt = min(questions, key=lambda name: asked[name])
            for question in questions[prompt]:
                if question.key not in judged and question.key not in besides:
                    found.append(question)
                    asked[prompt] += 1
                    break
            else:
                del questions[prompt]
        return found

    @staticmethod
    def _of_prompt(kind: Kind, texts: Sequence[Candidate], reason: str) -> Iterator[Question]:
        if kind == "single":
            yield from (Question(text, None, reason) for text in texts)
            return
        # Neighbours first: each text stands in few pairs before any stands in many.
        for distance in range(1, len(texts)):
            for place in range(0, len(texts) - distance, distance + 1):
                yield Question(texts[place], texts[place + distance], reason)

    # ---- reading

    def _read_ratings(self) -> bool:
        seen = _signature(self._ratings_path)
        if seen == self._ratings_seen:
            return False
        self.ratings = self._file.read()
        # The signature from before the reading: what came meanwhile is read the next time.
        self._ratings_seen = seen
        return True

    def _read_pool(self) -> bool:
        seen = _signature(self._pool_path)
        if seen is None:
            return self._forget() if self._pool_file is not None else False
        file, size = seen[:2], seen[2]
        if file != self._pool_file or size < self._offset:  # another file, or one that was cut
            self._forget()
            self._pool_file = (file[0], file[1])
        if size == self._offset:
            return False
        fresh, self._offset = read_pool(self._pool_path, self._offset)
        if fresh and self.from_samples:
            self._take_away()
            self.from_samples = False
        return self._add(fresh)

    def _read_samples(self) -> bool:
        """The samples of the newest step, or at first of steps all over the run."""
        last = self._book.last_step()
        if last is None or last == self._sampled_to:
            return False
        steps = [last]
        if not self._sampled_to:
            steps = sorted(
                {1 + (last - 1) * part // SAMPLED_STEPS for part in range(SAMPLED_STEPS)}
            )
            steps = [*(step for step in steps if step < last), last]
        self._sampled_to = last
        self.from_samples = True
        samples = [sample for step in steps for sample in self._book.of_step(step)]
        return self._add([_candidate(sample) for sample in samples[-MOST_SAMPLES:]])

    def _add(self, fresh: Iterable[Candidate]) -> bool:
        before = len(self._known)
        for candidate in fresh:
            key = key_of(candidate)
            if key not in self._known:
                self._known.add(key)
                self.candidates.append(candidate)
        if len(self.candidates) > MOST_CANDIDATES:
            # A tenth at a time, so that an index into them changes seldom.
            self.candidates = self.candidates[-(MOST_CANDIDATES - MOST_CANDIDATES // 10) :]
        self.version += 1
        return len(self._known) > before

    def _forget(self) -> bool:
        self._offset, self._pool_file = 0, None
        return self._take_away()

    def _take_away(self) -> bool:
        had = bool(self.candidates)
        self.candidates, self._known, self._sampled_to = [], set(), 0
        self.version += 1
        return had


def _question_key(judgement: Judgement) -> frozenset[TextKey]:
    return frozenset(key_of(text) for text in judgement.texts)


def _candidate(sample: Sample) -> Candidate:
    return Candidate(
        id=sample.id,
        # A sample of a step was written before that step's update.
        step=max(0, sample.step - 1),
        prompt=sample.prompt,
        response=sample.response,
        length=sample.length,
        finished=sample.finished,
        time=sample.time,
    )


def _signature(path: Path) -> tuple[int, ...] | None:
    """What tells one state of a file from another; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
