"""How many weights a model has, counted by kind from the headers of its safetensors files.

A header is a few kilobytes of JSON at the file's beginning; the weights themselves are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from ppo_tui.errors import ModelError

INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format itself."""

_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|wpe|embed_in|word_embeddings|embed_positions)\.")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.")
# Buffers that old checkpoints hold beside the weights: causal masks and rotary frequencies.
_BUFFER = re.compile(r"(attn|attention)\.(masked_)?bias$|inv_freq$")


@dataclass(frozen=True)
class WeightCounts:
    """Numbers of weights by how they are held.

    Attributes:
        linear: Matrices of the linear layers in the blocks; these are quantised.
        embeddings: Token (and position) embeddings.
        head: The output head; 0 where it is the token embeddings themselves.
        other: Norms and biases.
    """

    linear: int
    embeddings: int
    head: int
    other: int

    @property
    def total(self) -> int:
        """All weights, what is shared counted once."""
        return self.linear + self.embeddings + self.head + self.other

    def to_dict(self) -> dict[str, int]:
        """The counts as plain data."""
        return {**asdict(self), "total": self.total}


def count_safetensors(folder: Path, tied: bool) -> WeightCounts | None:
    """Count the weights of a model folder.

    Args:
        folder: Holds ``model.safetensors``, or an index and its shards.
        tied: Whether the output head is the token embeddings; a copy in the file is not counted.

    Returns:
        The counts, or None where there are no safetensors files, or not all of them (a folder of
        the hub's cache may hold the configuration alone).

    Raises:
        ModelError: A file is damaged (``model.corrupt``).
    """
    paths = weight_files(folder)
    if not paths or not all(path.is_file() for path in paths):
        return None
    linear = embeddings = head = other = 0
    for path in paths:
        for name, shape in read_header(path).items():
            size = prod(shape)
            if _BUFFER.search(name) and len(shape) != 1:
                continue
            if name.endswith("inv_freq"):
                continue
            if _HEAD.search(name):
                head += 0 if tied else size
            elif _EMBEDDING.search(name):
                embeddings += size
            elif len(shape) >= 2:
                linear += size
            else:
                other += size
    return WeightCounts(linear, embeddings, head, other)


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor in a safetensors file.

    Raises:
        ModelError: The header is not valid, or the file is cut off (``model.corrupt``).
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
                raise _corrupt(path, "its header is cut off or longer than the file")
            header = json.loads(file.read(length))
        return _shapes(header, size - 8 - length)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}.", code="model.unreadable"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(path, f"its header is not valid ({' '.join(str(error).split())})") from error


def _shapes(header: Any, data_bytes: int) -> dict[str, tuple[int, ...]]:
    if not isinstance(header, Mapping):
        raise TypeError("not a mapping")
    shapes = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        shape = tuple(tensor["shape"])
        _, end = tensor["data_offsets"]
        if any(type(side) is not int or side < 0 for side in (*shape, end)):
            raise ValueError(f"{name!r} has a shape that is none")
        if end > data_bytes:
            raise ValueError(f"{name!r} lies beyond the file's end")
        shapes[name] = shape
    return shapes


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder; those that its index names need not be there.

    Raises:
        ModelError: The index is damaged, or what is there is no file (``model.corrupt``).
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    if single.exists():
        raise _corrupt(single, "it is no regular file")
    index = folder / INDEX
    if not index.is_file():
        return []
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return [folder / name for name in sorted(set(weight_map.values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _corrupt(index, "it is no index of safetensors files") from error


def _corrupt(path: Path, why: str) -> ModelError:
    return ModelError(
        f"{path} is damaged: {why}.",
        hint="Download or copy the .safetensors files again.",
        code="model.corrupt",
    )
