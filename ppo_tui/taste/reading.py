"""What the base model reads in a text, as one flat vector: the layout, and how it is written down.

A reading is made from the reference's last hidden states over a response: their mean, their last
and their largest values, the mean of the input embeddings, the mean over the prompt, and the
logarithm of the length in tokens. States wider than `SKETCH` are projected by a fixed Gaussian
matrix, which keeps distances to a few percent (Johnson and Lindenstrauss, 1984), so that a reading
stays a few kilobytes and a fit stays quick, whatever the model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BLOCKS = ("mean", "last", "max", "embedding", "prompt")
"""The parts of a reading in their order; the logarithm of the length follows them."""

SKETCH = 256
"""The widest a part is."""

_SEED = 20_261_125
_LARGEST = 60_000.0
"""float16 ends at 65,504."""


def sketch(blocks: Mapping[str, NDArray[Any]], lengths: NDArray[Any]) -> Array:
    """Readings of N texts.

    Args:
        blocks: ``[N, H]`` each, by the names in `BLOCKS`.
        lengths: ``[N]``, tokens of the responses.

    Returns:
        ``[N, D]`` float32 with D = 5 * min(H, SKETCH) + 1.
    """
    parts = [_narrowed(np.asarray(blocks[name], np.float32), at) for at, name in enumerate(BLOCKS)]
    length = np.log(np.maximum(np.asarray(lengths, np.float32), 1.0))
    whole = np.concatenate([*parts, length[:, None]], axis=1)
    readings: Array = np.clip(whole, -_LARGEST, _LARGEST).astype(np.float32)
    return readings


def _narrowed(block: Array, at: int) -> Array:
    width = block.shape[1]
    return block if width <= SKETCH else block @ _projection(width, at)


@cache
def _projection(width: int, at: int) -> Array:
    generator = np.random.default_rng([_SEED, at, width])
    matrix: Array = generator.standard_normal((width, SKETCH)).astype(np.float32)
    return matrix / np.float32(np.sqrt(SKETCH))


def encode(reading: NDArray[Any]) -> str:
    """A reading as text: base64 of little-endian float16."""
    return base64.b64encode(np.asarray(reading, "<f2").tobytes()).decode("ascii")


def decode(text: str) -> Array | None:
    """The reading in a text; None if it holds none, or a number that is not finite."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data or len(data) % 2:
        return None
    reading = np.frombuffer(data, "<f2").astype(np.float32)
    return reading if np.isfinite(reading).all() else None
