"""The words of the review grammar: topics, their openings, and what may be said about them.

Only tables and their types, for `grammar`, which holds the rules and the odds. Facts, openings and
closings that judge nothing must be words that the sentiment scorer does not know (it knows "warm",
"lobby" and "comedy"); the tests listen for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Tone(Enum):
    """How a clause judges, from strong praise to strong complaint."""

    GLAD = 2
    GOOD = 1
    PLAIN = 0
    POOR = -1
    SAD = -2

    @property
    def sign(self) -> int:
        """-1, 0 or 1."""
        return (self.value > 0) - (self.value < 0)


class Join(Enum):
    """Where an opening stops, and so how it goes on; the value is an example."""

    ADJECTIVE = "The film was"
    SUBJECT = "The film"
    CONJUNCTION = "We ordered the soup and"
    CLAUSE = "We watched the film on Sunday"
    DURATION = "I read this book in"
    POSSESSION = "The film had"


@dataclass(frozen=True)
class Aspect:
    """A part of the thing reviewed, with facts about it that judge nothing."""

    name: str
    facts: tuple[str, ...]

    @property
    def plural(self) -> bool:
        """Whether it takes "were" instead of "was"."""
        return self.name.endswith("s")

    @property
    def countable(self) -> bool:
        """Whether it takes an article after "had"."""
        return not self.plural and self.name not in ("music", "weather")


@dataclass(frozen=True)
class Topic:
    """One kind of thing that people review, and the words they use for it.

    Attributes:
        things: what is reviewed; all singular and countable.
        openings: templates over {thing}, {aspect}, {day} and {person}, each with its join.
        durations: what follows an opening that ends in "in" or "for".
        aspects: its parts; an opening that names one takes a singular one.
        facts: adjectives for the thing that judge nothing.
        words: adjectives that judge, by tone.
        closings: closing sentences of this topic, by tone, beside those that suit any topic.
    """

    things: tuple[str, ...]
    openings: tuple[tuple[str, Join], ...]
    durations: tuple[str, ...]
    aspects: tuple[Aspect, ...]
    facts: tuple[str, ...]
    words: Mapping[Tone, tuple[str, ...]]
    closings: Mapping[Tone, tuple[str, ...]]


def _words(glad: str, good: str, poor: str, sad: str) -> dict[Tone, tuple[str, ...]]:
    return {
        Tone.GLAD: tuple(glad.split()),
        Tone.GOOD: tuple(good.split()),
        Tone.POOR: tuple(poor.split()),
        Tone.SAD: tuple(sad.split()),
    }


def _aspects(**facts: str) -> tuple[Aspect, ...]:
    return tuple(Aspect(name, tuple(words.split())) for name, words in facts.items())


DAYS = ("Monday", "Friday", "Saturday", "Sunday")
PERSONS = ("sister", "brother", "mother", "cousin")

# Every clause takes any word of its topic, so the words must suit the thing and all its aspects.
TOPICS: dict[str, Topic] = {
    "film": Topic(
        things=("film", "movie", "sequel", "documentary"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("The {aspect} of the {thing} was", Join.ADJECTIVE),
            ("I thought the {thing} was", Join.ADJECTIVE),
            ("This {thing}", Join.SUBJECT),
            ("The {aspect} of this {thing}", Join.SUBJECT),
            ("We watched the {thing} on {day}", Join.CLAUSE),
            ("My {person} watched this {thing} and", Join.CONJUNCTION),
            ("The {thing} had", Join.POSSESSION),
        ),
        durations=(),
        aspects=_aspects(
            plot="simple long", ending="quiet short", music="loud slow", characters="young old"
        ),
        facts=("long", "short", "slow", "quiet"),
        words=_words(
            "great wonderful superb brilliant beautiful amazing",
            "good interesting funny clever",
            "dull boring weak",
            "terrible horrible awful lousy pathetic",
        ),
        closings={
            Tone.GLAD: ("It was the best evening of the year", "I loved every minute"),
            Tone.GOOD: ("It made us laugh", "It was worth the ticket"),
            Tone.PLAIN: ("It took two hours", "We sat in the last row", "It was in French"),
            Tone.POOR: ("I got bored", "It was not worth the ticket"),
            Tone.SAD: ("It was the worst evening of the year", "I hated every minute"),
        },
    ),
    "book": Topic(
        things=("book", "story"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("The {aspect} of this {thing} was", Join.ADJECTIVE),
            ("I found this {thing}", Join.ADJECTIVE),
            ("This {thing}", Join.SUBJECT),
            ("I read this {thing} in", Join.DURATION),
            ("My {person} read the {thing} and", Join.CONJUNCTION),
            ("I read the {thing} on {day}", Join.CLAUSE),
            ("The {thing} has", Join.POSSESSION),
        ),
        durations=("two days", "one evening", "a week"),
        aspects=_aspects(
            plot="simple long", ending="quiet short", style="plain simple", chapters="long short"
        ),
        facts=("long", "short", "slow", "simple"),
        words=_words(
            "great wonderful excellent brilliant beautiful charming",
            "good interesting funny clever",
            "dull boring confusing",
            "terrible horrible dreadful lousy stupid",
        ),
        closings={
            Tone.GLAD: ("It was my best read of the year", "I loved every page"),
            Tone.GOOD: ("It made me smile", "It was worth the time"),
            Tone.PLAIN: (
                "It has ten chapters",
                "I read it on the train",
                "My {person} lent it to me",
            ),
            Tone.POOR: ("I got bored", "It was not worth the time"),
            Tone.SAD: ("It was my worst read of the year", "I hated every page"),
        },
    ),
    "food": Topic(
        things=("soup", "pizza", "curry", "fish", "cake"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("I thought the {thing} was", Join.ADJECTIVE),
            ("We ordered the {thing} and", Join.CONJUNCTION),
            ("My {person} ordered the {thing}", Join.CLAUSE),
            ("We had the {thing} on {day}", Join.CLAUSE),
            ("The {thing} here", Join.SUBJECT),
            ("I tried the {thing} and", Join.CONJUNCTION),
        ),
        durations=(),
        aspects=_aspects(
            sauce="mild thick", bread="dark plain", coffee="black mild", drinks="cold small"
        ),
        facts=("plain", "spicy", "salty", "hot"),
        words=_words(
            "great delicious excellent wonderful perfect lovely",
            "good nice fresh fine",
            "nasty bad poor",
            "terrible horrible disgusting awful lousy",
        ),
        closings={
            Tone.GLAD: ("It was the best meal in town", "We loved every bite"),
            Tone.GOOD: ("The staff were friendly", "It was worth the price"),
            Tone.PLAIN: ("We sat by the window", "They close at nine", "We had a table outside"),
            Tone.POOR: ("The staff were rude", "It was not worth the price"),
            Tone.SAD: ("It was the worst meal in town", "We hated every bite"),
        },
    ),
    "hotel": Topic(
        things=("hotel", "hostel", "cabin"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("The {aspect} at the {thing} was", Join.ADJECTIVE),
            ("We found the {thing}", Join.ADJECTIVE),
            ("Our {thing}", Join.SUBJECT),
            ("We stayed at this {thing} for", Join.DURATION),
            ("My {person} booked the {thing} and", Join.CONJUNCTION),
            ("The {thing} had", Join.POSSESSION),
            ("I booked this {thing} for {day}", Join.CLAUSE),
        ),
        durations=("two nights", "one night", "a week"),
        aspects=_aspects(
            bed="wide narrow", breakfast="simple early", shower="small old", views="wide usual"
        ),
        facts=("small", "large", "plain", "old"),
        words=_words(
            "great lovely excellent wonderful perfect charming",
            "good nice clean pleasant",
            "dirty bad poor",
            "terrible horrible nasty dreadful lousy",
        ),
        closings={
            Tone.GLAD: ("It was the best stay of the year", "We loved our stay"),
            Tone.GOOD: ("The staff were friendly", "It was worth the price"),
            Tone.PLAIN: (
                "We came by train",
                "The station is next door",
                "Our window faced the street",
            ),
            Tone.POOR: ("The staff were rude", "It was not worth the price"),
            Tone.SAD: ("It was the worst stay of the year", "We hated our stay"),
        },
    ),
    "gadget": Topic(
        things=("phone", "camera", "laptop", "watch"),
        openings=(
            ("The {aspect} of this {thing} was", Join.ADJECTIVE),
            ("I find this {thing}", Join.ADJECTIVE),
            ("This {thing}", Join.SUBJECT),
            ("I used this {thing} for", Join.DURATION),
            ("My {person} bought this {thing} and", Join.CONJUNCTION),
            ("I bought the {thing} on {day}", Join.CLAUSE),
            ("The new {thing} has", Join.POSSESSION),
        ),
        durations=("two weeks", "one month", "a year"),
        aspects=_aspects(
            screen="small wide", battery="heavy standard", sound="loud quiet", buttons="small round"
        ),
        facts=("small", "large", "heavy", "light"),
        words=_words(
            "great amazing excellent superb perfect brilliant",
            "good nice useful fine",
            "weak bad poor",
            "terrible horrible useless awful pathetic",
        ),
        closings={
            Tone.GLAD: ("It is the best one I know", "I love using it"),
            Tone.GOOD: ("It is easy to use", "It was worth the price"),
            Tone.PLAIN: ("I ordered it online", "It came in a box", "It needs a cable"),
            Tone.POOR: ("It broke and I was annoyed", "It was not worth the price"),
            Tone.SAD: ("It is the worst one I know", "I hate using it"),
        },
    ),
    "concert": Topic(
        things=("concert", "band", "show", "opera"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("I thought the {thing} was", Join.ADJECTIVE),
            ("The {aspect} at the {thing} was", Join.ADJECTIVE),
            ("The {thing} on {day}", Join.SUBJECT),
            ("We saw the {thing} on {day}", Join.CLAUSE),
            ("My {person} saw the {thing} and", Join.CONJUNCTION),
            ("The {thing} had", Join.POSSESSION),
        ),
        durations=(),
        aspects=_aspects(
            sound="loud quiet", stage="small dark", music="slow loud", songs="new old"
        ),
        facts=("loud", "quiet", "late", "short"),
        words=_words(
            "great amazing superb brilliant beautiful lovely",
            "good nice exciting fun",
            "dull boring weak",
            "terrible horrible awful lousy pathetic",
        ),
        closings={
            Tone.GLAD: ("It was the best night of the year", "We loved every song"),
            Tone.GOOD: ("It made us smile", "It was worth the ticket"),
            Tone.PLAIN: ("It started at nine", "We came by train", "We stood at the back"),
            Tone.POOR: ("I got bored", "It was not worth the ticket"),
            Tone.SAD: ("It was the worst night of the year", "We hated every song"),
        },
    ),
    "trip": Topic(
        things=("castle", "museum", "garden", "beach"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("We found the {thing}", Join.ADJECTIVE),
            ("The {thing} in the old town", Join.SUBJECT),
            ("We visited the {thing} on {day}", Join.CLAUSE),
            ("My {person} visited this {thing} and", Join.CONJUNCTION),
            ("The {thing} had", Join.POSSESSION),
        ),
        durations=(),
        aspects=_aspects(
            guide="young quiet", weather="cold windy", map="small simple", paths="long narrow"
        ),
        facts=("small", "large", "quiet", "old"),
        words=_words(
            "great lovely amazing wonderful beautiful charming",
            "good nice interesting pleasant",
            "dull boring poor",
            "terrible horrible awful nasty lousy",
        ),
        closings={
            Tone.GLAD: ("It was the best day of our trip", "We loved every minute"),
            Tone.GOOD: ("The staff were friendly", "It was worth the ticket"),
            Tone.PLAIN: ("It rained all day", "We came by train", "We took the last bus"),
            Tone.POOR: ("We got bored", "It was not worth the ticket"),
            Tone.SAD: ("It was the worst day of our trip", "We hated every minute"),
        },
    ),
    "game": Topic(
        things=("game", "puzzle", "app"),
        openings=(
            ("The {thing} was", Join.ADJECTIVE),
            ("The {aspect} of this {thing} was", Join.ADJECTIVE),
            ("I thought this {thing} was", Join.ADJECTIVE),
            ("The new {thing}", Join.SUBJECT),
            ("I tried the {thing} for", Join.DURATION),
            ("I tried the {thing} on {day}", Join.CLAUSE),
            ("My {person} tried this {thing} and", Join.CONJUNCTION),
            ("This {thing} has", Join.POSSESSION),
        ),
        durations=("two hours", "one evening", "a week"),
        aspects=_aspects(
            story="simple long", design="plain dark", levels="short small", sound="loud quiet"
        ),
        facts=("simple", "short", "slow", "small"),
        words=_words(
            "great amazing fantastic brilliant beautiful superb",
            "good fun clever exciting",
            "boring confusing weak",
            "terrible horrible awful stupid lousy",
        ),
        closings={
            Tone.GLAD: ("It is the best one I know", "I loved every level"),
            Tone.GOOD: ("It made me laugh", "It was worth the price"),
            Tone.PLAIN: ("It has ten levels", "I sat on the sofa", "It needs two people"),
            Tone.POOR: ("I got bored", "It was not worth the price"),
            Tone.SAD: ("It is the worst one I know", "I hated every level"),
        },
    ),
}

# The words of this table hold for every topic.
CLOSINGS: dict[Tone, tuple[str, ...]] = {
    Tone.GLAD: ("I loved it", "It made me so happy", "We had a great time"),
    Tone.GOOD: ("I liked it", "I enjoyed it", "I can recommend it"),
    Tone.PLAIN: ("My {person} came too", "We paid by card", "It was a {day}"),
    Tone.POOR: ("I did not like it", "I did not enjoy it", "I would not recommend it"),
    Tone.SAD: ("I hated it", "It made me so angry", "We had a terrible time"),
}
EFFECTS: dict[Tone, tuple[str, ...]] = {
    Tone.GLAD: ("so happy", "very happy"),
    Tone.GOOD: ("smile", "laugh"),
    Tone.PLAIN: ("think", "wait", "hungry"),
    Tone.POOR: ("sad", "feel bored"),
    Tone.SAD: ("so angry", "feel awful"),
}
VERBS: dict[Tone, tuple[str, ...]] = {
    Tone.GLAD: ("loved",),
    Tone.GOOD: ("liked", "enjoyed"),
    Tone.POOR: ("did not like", "did not enjoy"),
    Tone.SAD: ("hated",),
}
INTENSIFIERS: dict[Tone, tuple[str, ...]] = {
    Tone.GLAD: ("really", "simply", "absolutely"),
    Tone.GOOD: ("really", "very", "quite"),
    Tone.PLAIN: ("rather", "very", "a bit"),
    Tone.POOR: ("really", "very", "a bit"),
    Tone.SAD: ("really", "simply", "absolutely"),
}
