"""One part of `make bench-gpu`, in a process of its own.

    python -m benchmarks.gpu_parts    (a gpu_contract.Part as JSON on stdin)

It prints each row as a line of JSON as soon as it is measured; talk goes to stderr. A row that
cannot be measured is a row that says why, and the next one is tried. The engine is imported by the
parts that need it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.gpu_contract import (
    GIB,
    FailedRow,
    FolderRow,
    LimitsRow,
    Part,
    Row,
    row_to_dict,
)
from benchmarks.gpu_device import (
    copy_rate,
    device_bytes,
    device_name,
    forget_peak,
    matmul_rate,
)
from benchmarks.gpu_limits import data_sheet
from benchmarks.gpu_shapes import architecture

if TYPE_CHECKING:
    from ppo_tui.policy.loading import BaseModel

END_TOKENS = 16
"""Of the small model's 1024 tokens, so that its responses are of mixed length."""

END_PROBABILITY = 1 / 64
"""Of a token in a written model of mixed lengths."""


def rows_of(part: Part) -> Iterator[Row]:
    """Measure a part."""
    if part.kind == "limits":
        yield _limits(part)
    elif part.kind == "folder":
        yield _folder(part)
    elif part.kind == "steps":
        yield from _steps(part)
    elif part.kind == "decode":
        yield from _decode(part)
    elif part.kind == "flat":
        yield _flat(part)
    else:
        raise ValueError(f"a part of kind {part.kind!r} runs elsewhere")


def _limits(part: Part) -> Row:
    device, dtype = _device(part), _dtype(part)
    sheet_bandwidth, sheet_rate = data_sheet(device_name(device))
    memory = device_bytes(device)
    size, width = (2**22, 128) if part.tiny else (2**31, 8192)
    return LimitsRow(
        device=device_name(device),
        memory_gib=None if memory is None else memory / GIB,
        copy_gb_s=copy_rate(device, size) / 1e9,
        matmul_tflop_s=matmul_rate(device, width, dtype) / 1e12,
        sheet_gb_s=sheet_bandwidth,
        sheet_tflop_s=sheet_rate,
    )


def _folder(part: Part) -> Row:
    from benchmarks.gpu_models import save_folder

    started = time.perf_counter()
    size = save_folder(
        Path(part.folder),
        part.model,
        _device(part),
        _dtype(part),
        end_probability=END_PROBABILITY if any(work.mixed for work in part.works) else 0.0,
        tiny=part.tiny,
    )
    return FolderRow(part.model, size / GIB, time.perf_counter() - started)


def _decode(part: Part) -> Iterator[Row]:
    from benchmarks.gpu_ours import measure_decoding

    shape = architecture(part.model, part.tiny)
    yield from measure_decoding(_base(part), part.works[0], shape, part.model)


def _flat(part: Part) -> Row:
    from benchmarks.gpu_ours import measure_flat

    shape = architecture(part.model, part.tiny)
    # The rest of the part's time is for loading, so that what was seen until then is told.
    return measure_flat(part.works[0], _base(part), shape, seconds=0.7 * part.seconds)


def _steps(part: Part) -> Iterator[Row]:
    from benchmarks.gpu_ours import measure_steps

    shape = architecture(part.model, part.tiny)
    for work in part.works:
        # A model for every row, so that none finds anything of another one's.
        forget_peak(_device(part))
        row: Row
        try:
            row = measure_steps(work, _base(part), shape, part.model)
        # Whatever it was, the report says it, and the next row may still be had.
        except Exception as error:
            row = FailedRow(
                f"{part.name}: batch {work.batch}, {work.prompt_tokens} + {work.response_tokens} "
                "tokens",
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            )
        yield row


def _base(part: Part) -> BaseModel:
    from benchmarks.gpu_models import build_base
    from ppo_tui.config.schema import ModelConfig
    from ppo_tui.policy.loading import load_base

    device, dtype = _device(part), _dtype(part)
    if part.folder:
        return load_base(ModelConfig(name=part.folder, dtype=part.dtype), device)
    end_tokens = END_TOKENS if any(work.mixed for work in part.works) else 0
    return build_base(
        part.model,
        device,
        dtype,
        quantization=part.quantization,
        tiny=part.tiny,
        end_tokens=end_tokens,
    )


def _device(part: Part) -> torch.device:
    return torch.device(part.device)


def _dtype(part: Part) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, part.dtype)
    return dtype


def main() -> None:
    """Reads the part, measures it, prints its rows."""
    part = Part.from_json(sys.stdin.read())
    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the rows
        for row in rows_of(part):
            print(json.dumps(row_to_dict(row)), file=answer, flush=True)


if __name__ == "__main__":
    main()
