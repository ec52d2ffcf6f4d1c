"""Which words of two texts differ: for answers to one prompt, shown side by side.

Compares words, never characters, because a reader looks for words; a script that is written without
spaces is compared character by character. Draws nothing and marks nothing up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_WORDS = 4000
"""Words of each text that are compared, besides what they begin and end with in common."""

_MOST_PAIRS = 100_000
"""Pairs of equal words that are looked at: the matcher's time grows with them."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"\s+|[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}]+")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one text; `changed` if the other text has no such piece at its place."""

    text: str
    changed: bool


def word_diff(a: str, b: str) -> tuple[list[Span], list[Span]]:
    """The pieces of both texts, those that differ marked.

    The pieces of each, put together, are that text. Neighbouring pieces never have the same mark.
    Texts of any length take well under a second: what lies beyond the words that are compared
    counts as changed, except for a common beginning and end.

    Args:
        a: One text.
        b: The other.

    Returns:
        The pieces of `a` and those of `b`.
    """
    left, right = _WORDS.findall(a), _WORDS.findall(b)
    head = _common(left, right)
    tail = _common(left[head:][::-1], right[head:][::-1])
    middle_a, middle_b = left[head : len(left) - tail], right[head : len(right) - tail]
    limit = _limit(middle_a, middle_b)
    matcher = SequenceMatcher(str.isspace, middle_a[:limit], middle_b[:limit], autojunk=False)
    same_a, same_b = [False] * len(middle_a), [False] * len(middle_b)
    for block in matcher.get_matching_blocks():
        same_a[block.a : block.a + block.size] = [True] * block.size
        same_b[block.b : block.b + block.size] = [True] * block.size
    ends = [True] * head, [True] * tail
    return _spans(left, ends[0] + same_a + ends[1]), _spans(right, ends[0] + same_b + ends[1])


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words both begin with."""
    count = 0
    for one, other in zip(a, b, strict=False):
        if one != other:
            break
        count += 1
    return count


def _limit(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words of each can be compared within the bounds."""
    limit = MOST_WORDS
    while limit:
        there = Counter(word for word in b[:limit] if not word.isspace())
        pairs = sum(there[word] for word in a[:limit])
        if pairs <= _MOST_PAIRS:
            break
        limit //= 2
    return limit


def _spans(words: Sequence[str], same: Sequence[bool]) -> list[Span]:
    spans: list[Span] = []
    start = 0
    for end in range(1, len(words) + 1):
        if end == len(words) or same[end] != same[start]:
            spans.append(Span("".join(words[start:end]), changed=not same[start]))
            start = end
    return spans
