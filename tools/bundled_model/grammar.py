"""A grammar of short English reviews: the text that the bundled base model learns.

A review is an *opening* that says nothing about quality ("We ordered the soup and") and a
*completion* of one to three short sentences that may. The completion is made by three fairly
independent choices of tone, one after the other: the judgement of the first clause, that of a
second clause, and a closing sentence. Each tone depends only on what can already be read in the
text, so there is no hidden mood that a model would have to guess at the start: a policy can move
towards glad reviews a little at every choice, and many different glad reviews exist.

Tones are balanced, so that the sentiment score of a completion is 0 on average and spread widely.
Every choice is drawn through `Draw`, which adds up its log-probability: that bounds the entropy of
the text and says how well a model could possibly do.

For `tools.bundled_model.build` and the tests. It knows no tokenizer, no model and no scorer.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tools.bundled_model.topics import (
    CLOSINGS,
    DAYS,
    EFFECTS,
    INTENSIFIERS,
    PERSONS,
    TOPICS,
    VERBS,
    Join,
    Tone,
    Topic,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Review:
    """One review of the grammar.

    Attributes:
        topic: name of its topic.
        opening: the part before the first judgement, without a trailing space.
        completion: all that follows, with its leading space or punctuation.
        tones: the tones chosen, in order.
        log_prob: natural logarithm of the probability of the choices made. A text may have
            several derivations, so this is a lower bound of the text's own log-probability.
    """

    topic: str
    opening: str
    completion: str
    tones: tuple[Tone, ...]
    log_prob: float

    @property
    def text(self) -> str:
        """The whole review."""
        return self.opening + self.completion


class Draw:
    """A source of choices that keeps count of their probability."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.log_prob = 0.0

    def one_of(self, options: Sequence[T]) -> T:
        """Pick uniformly."""
        self.log_prob -= math.log(len(options))
        return options[int(self.rng.random() * len(options))]

    def weighted(self, options: Mapping[T, float]) -> T:
        """Pick in proportion to the weights."""
        (option,) = self.rng.choices(list(options), weights=list(options.values()))
        self.log_prob += math.log(options[option] / sum(options.values()))
        return option

    def chance(self, probability: float) -> bool:
        """Toss a coin that shows True with this probability."""
        return self.weighted({True: probability, False: 1.0 - probability})


_BALANCED = {1: 0.285, 0: 0.42, -1: 0.295}
# Sign of a clause after "and" or a full stop, and after "but", by what was said before: a review is
# coherent enough to read well, and never settled by its first word. Where the scorer's strongest
# words are glad ones, sad tones are a little likelier, so that the mean score is 0.
_AGREEING = {
    1: {1: 0.67, 0: 0.23, -1: 0.10},
    0: {1: 0.20, 0: 0.60, -1: 0.20},
    -1: {1: 0.08, 0: 0.23, -1: 0.69},
}
_OPPOSING = {
    1: {1: 0.11, 0: 0.23, -1: 0.66},
    0: {1: 0.20, 0: 0.60, -1: 0.20},
    -1: {1: 0.65, 0: 0.23, -1: 0.12},
}
_STRONG = 0.31


def _tone(draw: Draw, signs: Mapping[int, float]) -> Tone:
    sign = draw.weighted(signs)
    if sign == 0:
        return Tone.PLAIN
    return Tone(sign * (2 if draw.chance(_STRONG) else 1))


def _mood(tones: Sequence[Tone]) -> int:
    """Return the sign of all that was said so far."""
    total = sum(tone.sign for tone in tones)
    return (total > 0) - (total < 0)


def _judgement(draw: Draw, topic: Topic, tone: Tone, facts: Sequence[str]) -> str:
    """Return an adjective phrase: "really good", "not very clean", "a bit long"."""
    if tone is Tone.GOOD and draw.chance(0.15):
        return "not bad"
    if tone is Tone.POOR and draw.chance(0.35):
        degree = "very " if draw.chance(0.4) else ""
        return f"not {degree}{draw.one_of(topic.words[Tone.GOOD])}"
    adjective = draw.one_of(facts if tone is Tone.PLAIN else topic.words[tone])
    if draw.chance(0.35):
        return f"{draw.one_of(INTENSIFIERS[tone])} {adjective}"
    return adjective


def _copula(draw: Draw, *, plural: bool) -> str:
    return draw.weighted({"were" if plural else "was": 0.75, "seemed": 0.25})


def _opening(draw: Draw, topic: Topic) -> tuple[str, Join, str | None]:
    """Return an opening, its join, and the aspect (if any) that it names."""
    template, join = draw.one_of(topic.openings)
    thing = draw.one_of(topic.things)
    aspect = None
    if "{aspect}" in template:
        aspect = draw.one_of([a.name for a in topic.aspects if not a.plural])
    text = template.format(
        thing=thing,
        aspect=aspect,
        day=draw.one_of(DAYS) if "{day}" in template else "",
        person=draw.one_of(PERSONS) if "{person}" in template else "",
    )
    return text, join, aspect


def _first_clause(
    draw: Draw, topic: Topic, join: Join, tone: Tone, named: str | None
) -> tuple[str, str | None]:
    """Return the rest of the opening's clause, and the aspect that it names."""
    facts = next((a.facts for a in topic.aspects if a.name == named), topic.facts)
    if join is Join.POSSESSION:
        aspect = draw.one_of(topic.aspects)
        adjective = draw.one_of(aspect.facts if tone is Tone.PLAIN else topic.words[tone])
        article = ""
        if aspect.countable:
            vowel = adjective[0] in "aeio"  # "useful" begins with a consonant's sound
            article = "an " if vowel else "a "
        return f" {article}{adjective} {aspect.name}", aspect.name
    if join is Join.ADJECTIVE:
        return f" {_judgement(draw, topic, tone, facts)}", named
    if join is Join.SUBJECT:
        if named is None and draw.chance(0.2):
            return f" made us {draw.one_of(EFFECTS[tone])}", named
        return f" {_copula(draw, plural=False)} {_judgement(draw, topic, tone, facts)}", named
    lead = ""
    if join is Join.DURATION:
        lead = f" {draw.one_of(topic.durations)}"
    if join is not Join.CONJUNCTION:
        lead += " and" if draw.chance(0.7) else "."
    if lead.endswith("."):
        return f"{lead} It was {_judgement(draw, topic, tone, facts)}", named
    verb = draw.weighted({"it was": 0.6, "found it": 0.2, "thought it was": 0.2})
    return f"{lead} {verb} {_judgement(draw, topic, tone, facts)}", named


def _second_clause(
    draw: Draw, topic: Topic, tones: list[Tone], named: str | None, *, new_sentence: bool
) -> str:
    """Return a clause about an aspect not yet named, with the words that link it."""
    link = "." if new_sentence else draw.weighted({" and": 0.6, " but": 0.4})
    signs = _OPPOSING if link == " but" else _AGREEING
    tone = _tone(draw, signs[_mood(tones)])
    tones.append(tone)
    aspect = draw.one_of([a for a in topic.aspects if a.name != named])
    if tone is not Tone.PLAIN and draw.chance(0.3):
        return f"{link} I {draw.one_of(VERBS[tone])} the {aspect.name}"
    subject = f"{'The' if new_sentence else 'the'} {aspect.name}"
    judgement = _judgement(draw, topic, tone, aspect.facts)
    return f"{link} {subject} {_copula(draw, plural=aspect.plural)} {judgement}"


def _closing(draw: Draw, topic: Topic, tones: list[Tone]) -> str:
    """Return a closing sentence with its mark; it speaks of "it", so it need not name the thing."""
    tone = _tone(draw, _AGREEING[_mood(tones)])
    tones.append(tone)
    template = draw.one_of(CLOSINGS[tone] + topic.closings[tone])
    sentence = template.format(
        day=draw.one_of(DAYS) if "{day}" in template else "",
        person=draw.one_of(PERSONS) if "{person}" in template else "",
    )
    mark = "!" if abs(tone.value) == 2 and draw.chance(0.3) else "."
    return f" {sentence}{mark}"


def review(rng: random.Random) -> Review:
    """Draw one review.

    Args:
        rng: the only source of chance; the same state gives the same review on any machine.
    """
    draw = Draw(rng)
    name = draw.one_of(tuple(TOPICS))
    topic = TOPICS[name]
    opening, join, named = _opening(draw, topic)
    tones = [_tone(draw, _BALANCED)]
    completion, named = _first_clause(draw, topic, join, tones[0], named)
    shape = draw.weighted({"linked": 0.44, "sentence": 0.18, "single": 0.38})
    if shape != "single":
        new_sentence = shape == "sentence"
        completion += _second_clause(draw, topic, tones, named, new_sentence=new_sentence)
    completion += "."
    if draw.chance(0.75):
        completion += _closing(draw, topic, tones)
    return Review(name, opening, completion, tuple(tones), draw.log_prob)


def reviews(seed: int, count: int) -> Iterator[Review]:
    """Draw `count` reviews from a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield review(rng)


def openings() -> list[tuple[str, str, Join]]:
    """Return every opening of the grammar once, as (topic, text, join), in a fixed order."""
    found: dict[str, tuple[str, str, Join]] = {}
    for name, topic in TOPICS.items():
        aspects = [a.name for a in topic.aspects if not a.plural]
        for template, join in topic.openings:
            for thing in topic.things:
                for aspect in aspects if "{aspect}" in template else [""]:
                    for day in DAYS if "{day}" in template else [""]:
                        for person in PERSONS if "{person}" in template else [""]:
                            text = template.format(
                                thing=thing, aspect=aspect, day=day, person=person
                            )
                            found.setdefault(text, (name, text, join))
    return list(found.values())
