"""By what a base model is known again: a digest of its weights, without reading them all.

What people's ratings teach is said in terms of one base model's hidden states, and means nothing
on another. A name or a path does not tell: a folder may be moved, and a fine-tuned copy may lie
where the original was. So the digest is over the tensors themselves, by name: their types and
shapes, and parts of their numbers, a few from each, since a training may change some layers only.
How the tensors are spread over files, and what else lies in the folder, does not enter.

No safeguard against somebody who wants to deceive: the numbers between the parts may differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ModelError
from ppo_tui.plan.model_files import find_config, read_config
from ppo_tui.plan.weights import read_header, weight_files

PART_BYTES = 4096
"""Bytes of each tensor that are read at its beginning, in its middle and at its end."""

_VERSION = "ppo-tui base 1"
_FROM_CONFIG = ("model_type", "hidden_size", "vocab_size")


def base_identity(model: ModelConfig) -> str:
    """The identity of a base model's weights: "sha256:" and 64 digits.

    The same for a renamed or moved folder, for a copy that is split into other files, and however
    the weights are quantised when they are loaded; another for a fine-tuned copy or another type.

    Raises:
        ModelError: The model is not there (`model.missing` and as `find_config` says), its weights
            are not (`model.no_safetensors`), or a file is damaged (`model.corrupt`).
    """
    path = find_config(model)
    config = read_config(path, model.name)
    digest = hashlib.sha256()
    _add(digest, _VERSION, [config.get(key) for key in _FROM_CONFIG])
    for name, file, tensor in sorted(_tensors(path.parent, model.name), key=lambda each: each[0]):
        _add(digest, name, tensor.get("dtype"), tensor["shape"])
        try:
            with file.open("rb") as opened:
                for part in _parts(opened, *tensor["data_offsets"]):
                    digest.update(part)
        except OSError as error:
            raise ModelError(
                f"{file} cannot be read: {error.strerror}.", code="model.unreadable"
            ) from error
    return f"sha256:{digest.hexdigest()}"


def _add(digest: Any, *values: Any) -> None:
    # As JSON, so that no two lists of values make the same bytes.
    digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")


def _tensors(folder: Path, name: str) -> list[tuple[str, Path, Mapping[str, Any]]]:
    """Name, file, and entry of the header, with offsets from the file's beginning, of each."""
    files = weight_files(folder)
    if not files or not all(file.is_file() for file in files):
        raise ModelError(
            f"The weights of {name} are not here: {folder} has not all of its .safetensors files.",
            hint=f"Download or copy them again; from the hub: `hf download {name}`.",
            code="model.no_safetensors",
        )
    found: list[tuple[str, Path, Mapping[str, Any]]] = []
    for file in files:
        read_header(file)  # refuses what is damaged, so that the rest may trust it
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
        for tensor_name, tensor in header.items():
            if tensor_name == "__metadata__":
                continue
            begin, end = tensor["data_offsets"]
            if type(begin) is not int or not 0 <= begin <= end:
                raise ModelError(
                    f"{file} is damaged: {tensor_name!r} begins nowhere.", code="model.corrupt"
                )
            offsets = (8 + length + begin, 8 + length + end)
            found.append((tensor_name, file, {**tensor, "data_offsets": offsets}))
    return found


def _parts(file: BinaryIO, begin: int, end: int) -> list[bytes]:
    """All of a small tensor; beginning, middle and end of a large one."""
    size = end - begin
    if size <= 3 * PART_BYTES:
        places, length = [begin], max(0, size)
    else:
        places, length = [begin, begin + (size - PART_BYTES) // 2, end - PART_BYTES], PART_BYTES
    parts = []
    for place in places:
        file.seek(place)
        parts.append(file.read(length))
    return parts
