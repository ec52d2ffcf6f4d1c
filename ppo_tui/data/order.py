"""Permutations that are the same on every machine and with every version of every library."""

from __future__ import annotations

import random


def permutation(count: int, *key: object) -> list[int]:
    """A uniform permutation of ``range(count)`` that depends on the key alone.

    Fisher-Yates over `random.Random.random`, the one method whose sequence Python promises to keep
    for a seed; `random.shuffle` and NumPy's generators promise no such thing.
    """
    generator = random.Random(":".join(map(str, key)))
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        chosen = int(generator.random() * (last + 1))
        order[last], order[chosen] = order[chosen], order[last]
    return order
