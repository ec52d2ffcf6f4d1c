"""What the lines of `ratings.jsonl` hold: ratings, pairs, skips, and what takes one back.

A line carries all that it is about, the base model's reading of the text included, so that the file
alone is enough to learn from, in this run or in another. Reading is strict where a wrong value
would teach something wrong, and lenient elsewhere.

No line is ever changed or cut. What is in force is worked out from all of them: each id once,
nothing that was taken back, and of one person's several judgements of the same text the newest.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar
from uuid import uuid4

from ppo_tui.errors import RunError
from ppo_tui.runs.pool import Candidate, number_in, text_in, whole_in
from ppo_tui.runs.records import SCHEMA_VERSION, Json

SCALE = (1, 5)
"""The worst and the best rating."""

CHOICES = (1.0, 0.5, 0.0)
"""Of a pair: the first is better, a tie, the second is better."""


@dataclass(frozen=True, slots=True)
class About:
    """One text that was judged.

    Attributes:
        sample: Id of the candidate or the sample.
        step: Steps that the policy which wrote it had done.
        reading: What the base model says of it, as in `pool.jsonl`; empty if there is none.
    """

    prompt: str
    response: str
    sample: str
    step: int
    reading: str = ""

    @property
    def text(self) -> tuple[str, str]:
        """By what the same text is known, whatever its id."""
        return self.prompt, self.response

    @classmethod
    def of(cls, candidate: Candidate) -> About:
        """The text of a candidate."""
        c = candidate
        return cls(c.prompt, c.response, c.id, c.step, c.reading)

    @classmethod
    def from_json(cls, record: Any) -> About:
        """The text in an object.

        Raises:
            ValueError: It names no prompt and response.
        """
        if not isinstance(record, Mapping):
            raise ValueError("it is about nothing")
        prompt, response = record.get("prompt"), record.get("response")
        if not isinstance(prompt, str) or not isinstance(response, str):
            raise ValueError("it is about no text")
        sample, reading = text_in(record, "sample"), text_in(record, "reading")
        return cls(prompt, response, sample, whole_in(record, "step"), reading)


@dataclass(frozen=True, slots=True)
class Rating:
    """One text on the scale from 1 to 5.

    Attributes:
        base: `base_identity` of the model; empty if it was not known.
        run: Name of the run.
    """

    kind: ClassVar[str] = "rating"
    id: str
    time: float
    rater: str
    model: str
    base: str
    run: str
    about: About
    rating: int
    note: str = ""

    @property
    def texts(self) -> tuple[About, ...]:
        """What was judged."""
        return (self.about,)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Rating:
        """The rating in a line's object.

        Raises:
            ValueError: It is none.
        """
        value = _number(record.get("rating"))
        if value is None or value not in range(SCALE[0], SCALE[1] + 1):
            raise ValueError("the rating is not on the scale")
        about = About.from_json(record.get("about"))
        return cls(**_head(record), about=about, rating=int(value), note=text_in(record, "note"))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to the same prompt; `choice` is 1.0 if the first is better, 0.5 for a tie."""

    kind: ClassVar[str] = "pair"
    id: str
    time: float
    rater: str
    model: str
    base: str
    run: str
    first: About
    second: About
    choice: float
    note: str = ""

    @property
    def texts(self) -> tuple[About, ...]:
        """What was judged."""
        return (self.first, self.second)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Pair:
        """The pair in a line's object.

        Raises:
            ValueError: It is none.
        """
        choice = _number(record.get("choice"))
        if choice is None or choice not in CHOICES:
            raise ValueError("the choice is none of the three")
        first, second = (About.from_json(record.get(key)) for key in ("first", "second"))
        note = text_in(record, "note")
        return cls(**_head(record), first=first, second=second, choice=float(choice), note=note)


@dataclass(frozen=True, slots=True)
class Skip:
    """Texts that this person is not to be asked about again."""

    kind: ClassVar[str] = "skip"
    id: str
    time: float
    rater: str
    samples: tuple[About, ...]

    @property
    def texts(self) -> tuple[About, ...]:
        """What was passed over."""
        return self.samples

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Skip:
        """The skip in a line's object.

        Raises:
            ValueError: It is none.
        """
        texts = record.get("samples")
        if not isinstance(texts, list) or not texts:
            raise ValueError("it skips nothing")
        samples = tuple(About.from_json(text) for text in texts)
        return cls(_id(record), number_in(record, "time"), text_in(record, "rater"), samples)


@dataclass(frozen=True, slots=True)
class Undo:
    """Takes back the judgement, the skip or the undo whose id is `of`."""

    kind: ClassVar[str] = "undo"
    id: str
    time: float
    rater: str
    of: str

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Undo:
        """The undo in a line's object.

        Raises:
            ValueError: It is none.
        """
        of = text_in(record, "of")
        if not of:
            raise ValueError("it takes nothing back")
        return cls(_id(record), number_in(record, "time"), text_in(record, "rater"), of)


Judgement = Rating | Pair | Skip | Undo

_KINDS: dict[str, type[Rating] | type[Pair] | type[Skip] | type[Undo]] = {
    each.kind: each for each in (Rating, Pair, Skip, Undo)
}


def to_json(judgement: Judgement) -> Json:
    """The object of a judgement's line."""
    return {"v": SCHEMA_VERSION, "kind": judgement.kind, **asdict(judgement)}


def from_json(record: Mapping[str, Any]) -> Judgement | None:
    """The judgement in a line's object; None if a newer ppo-tui wrote it.

    A newer one may mean something else by the same words, and what is misread here is learnt.

    Raises:
        ValueError: It is none.
    """
    if whole_in(record, "v", SCHEMA_VERSION) > SCHEMA_VERSION:
        return None
    made = _KINDS.get(text_in(record, "kind"))
    if made is None:
        raise ValueError("it is of no kind that is known")
    return made.from_json(record)


def new_rating(
    rater: str, model: str, base: str, run: str, about: About, rating: int, note: str = ""
) -> Rating:
    """A rating that is given now.

    Raises:
        RunError: It is not on the scale (`ratings.range`).
    """
    if type(rating) is not int or not SCALE[0] <= rating <= SCALE[1]:
        raise RunError(
            f"the rating is {rating!r}; it must be a whole number from {SCALE[0]} to {SCALE[1]}",
            code="ratings.range",
        )
    return Rating(uuid4().hex, time.time(), rater, model, base, run, about, rating, note)


def new_pair(
    rater: str,
    model: str,
    base: str,
    run: str,
    first: About,
    second: About,
    choice: float,
    note: str = "",
) -> Pair:
    """A comparison that is made now.

    Raises:
        RunError: The choice is not 1.0, 0.5 or 0.0 (`ratings.range`).
    """
    if choice not in CHOICES:
        raise RunError(
            f"the choice is {choice!r}; it must be 1.0 (first better), 0.5 (tie) or 0.0",
            code="ratings.range",
        )
    pair = Pair(uuid4().hex, time.time(), rater, model, base, run, first, second, 0.5, note)
    return replace(pair, choice=float(choice))


def new_skip(rater: str, samples: Iterable[About]) -> Skip:
    """Passing over some texts now."""
    return Skip(uuid4().hex, time.time(), rater, tuple(samples))


def new_undo(rater: str, of: str) -> Undo:
    """Taking back now what has the id `of`."""
    return Undo(uuid4().hex, time.time(), rater, of)


@dataclass(frozen=True)
class Ratings:
    """The judgements that are in force, in the order in which they were written.

    Attributes:
        damaged: Lines that are no judgement.
        newer: Lines that a newer ppo-tui wrote; they are left out.
        others: What was read and is not in force (taken back, given again since), and what takes
            back; `merge` needs it.
    """

    ratings: tuple[Rating, ...] = ()
    pairs: tuple[Pair, ...] = ()
    skips: tuple[Skip, ...] = ()
    damaged: int = 0
    others: tuple[Judgement, ...] = ()
    newer: int = 0

    @property
    def count(self) -> int:
        """Number of ratings and pairs."""
        return len(self.ratings) + len(self.pairs)

    @property
    def given(self) -> tuple[Rating | Pair, ...]:
        """Ratings and pairs."""
        return (*self.ratings, *self.pairs)

    @property
    def raters(self) -> dict[str, int]:
        """How many ratings and pairs each person gave, the most first."""
        return dict(Counter(each.rater for each in self.given).most_common())

    @property
    def all(self) -> tuple[Judgement, ...]:
        """Everything that was read, each id once; what is not in force comes first."""
        return (*self.others, *self.ratings, *self.pairs, *self.skips)

    def of_base(self, base: str) -> Ratings:
        """Those about texts as that base model reads them; none if the base is not known."""
        return Ratings(
            ratings=tuple(each for each in self.ratings if _is_of(each, base)),
            pairs=tuple(each for each in self.pairs if _is_of(each, base)),
            skips=self.skips,
            damaged=self.damaged,
            newer=self.newer,
            others=tuple(each for each in self.others if _is_of(each, base)),
        )


def in_force(judgements: Iterable[Judgement], damaged: int = 0, newer: int = 0) -> Ratings:
    """Work out what holds of the judgements that files hold, given in their order."""
    known: dict[str, Judgement] = {}
    for judgement in judgements:
        known.setdefault(judgement.id, judgement)
    undone = _undone(known)
    newest: dict[object, Judgement] = {}
    for judgement in known.values():
        if judgement.id in undone or isinstance(judgement, Undo):
            continue
        question = _question(judgement)
        before = newest.get(question)
        if before is None or judgement.time >= before.time:
            newest[question] = judgement
    stands = {judgement.id for judgement in newest.values()}
    held = [judgement for judgement in known.values() if judgement.id in stands]
    return Ratings(
        ratings=tuple(each for each in held if isinstance(each, Rating)),
        pairs=tuple(each for each in held if isinstance(each, Pair)),
        skips=tuple(each for each in held if isinstance(each, Skip)),
        damaged=damaged,
        newer=newer,
        others=tuple(each for each in known.values() if each.id not in stands),
    )


def merge(parts: Iterable[Ratings]) -> Ratings:
    """What holds of several files taken together: what one takes back is taken back in all."""
    parts = tuple(parts)
    everything = (judgement for part in parts for judgement in part.all)
    damaged, newer = sum(part.damaged for part in parts), sum(part.newer for part in parts)
    return in_force(everything, damaged, newer)


def _undone(known: dict[str, Judgement]) -> set[str]:
    """Ids that are taken back, by an undo that is not taken back itself.

    From the undos that nothing takes back on to what they take back; undos in a circle, which no
    program writes, take back nothing.
    """
    undos = [each for each in known.values() if isinstance(each, Undo)]
    pending = Counter(undo.of for undo in undos)
    settled = deque(undo for undo in undos if not pending[undo.id])
    undone: set[str] = set()
    while settled:
        undo = settled.popleft()
        if undo.id not in undone:
            undone.add(undo.of)
        pending[undo.of] -= 1
        target = known.get(undo.of)
        if isinstance(target, Undo) and not pending[undo.of]:
            settled.append(target)
    return undone


def _is_of(judgement: Judgement, base: str) -> bool:
    """Whether it belongs to a base model; what is about no model's reading belongs to all."""
    return isinstance(judgement, Skip | Undo) or (base != "" and judgement.base == base)


def _question(judgement: Rating | Pair | Skip) -> object:
    """What was asked of whom: a pair's two texts in either order are the same question."""
    base = "" if isinstance(judgement, Skip) else judgement.base
    return judgement.kind, judgement.rater, base, frozenset(each.text for each in judgement.texts)


def _head(record: Mapping[str, Any]) -> dict[str, Any]:
    names = {key: text_in(record, key) for key in ("rater", "model", "base", "run")}
    return {"id": _id(record), "time": number_in(record, "time"), **names}


def _id(record: Mapping[str, Any]) -> str:
    found = text_in(record, "id")
    if not found:
        raise ValueError("it has no id, by which it would be counted once")
    return found


def _number(value: Any) -> float | None:
    """A number as it is; none for what only looks like one, such as true or "3"."""
    return value if type(value) in (int, float) else None
