"""What the ratings of a run have taught so far, as it is told to the person who gives them.

Plain data, without numpy, because it goes from the process that works it out to the screens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """How well the reward foretells ratings that it has not seen, learnt from so many others.

    Attributes:
        count: Judgements learnt from.
        correlation: Spearman's rank correlation with ratings held out; NaN if there is none.
        accuracy: Share of pairs held out that are put in the right order; NaN if there is none.
    """

    count: int
    correlation: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Told:
    """What the person is taken to think of a text, on the scale of the ratings.

    Attributes:
        mean: The rating that is foretold.
        std: How unsure that is.
    """

    prompt: str
    response: str
    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """What has been learnt.

    Attributes:
        ratings: Ratings in force.
        pairs: Comparisons in force.
        raters: People who gave them.
        points: Agreement by number of judgements, the last with all; empty if too few.
        likes: Texts that the person is taken to like most, the best first.
        dislikes: Those liked least, the worst first.
        problem: Why nothing can be learnt yet, in a sentence; empty if it can.
    """

    ratings: int
    pairs: int
    raters: int
    points: tuple[Mark, ...] = ()
    likes: tuple[Told, ...] = ()
    dislikes: tuple[Told, ...] = ()
    problem: str = ""
