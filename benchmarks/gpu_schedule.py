"""Which parts `make bench-gpu` runs, in which order: the most important first. Pure.

The order is what remains if the time runs out: the comparison with TRL, decoding against its
limits, the 8B model in 12 GiB, then how cost grows, and memory over many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from benchmarks.gpu_contract import Part, Work

Device = Literal["cpu", "cuda"]

GROUPS = ("trl", "decode", "nf4", "growth", "flat", "models", "mixed")
"""What `--parts` chooses from."""

COMPARED = Work(batch=64, prompt_tokens=64, response_tokens=128, steps=3)
IN_12_GB = Work(
    batch=32,
    prompt_tokens=512,
    response_tokens=256,
    epochs=1,
    steps=1,
    warmup=0,
    memory_gib=12.0,
)
GROWTH = Work(batch=64, prompt_tokens=64, response_tokens=128, epochs=1, steps=1)
RESPONSES = (64, 256, 512, 1024)
BATCHES = (8, 16, 32, 128, 256)
MODELS = (("qwen-0.5b", "none"), ("qwen-3b", "none"), ("llama-8b", "nf4"))
"""What else `GROWTH` is done on: the 1B model of all other parts stands between them."""

FLAT = Work(
    batch=16,
    prompt_tokens=16,
    response_tokens=16,
    epochs=1,
    minibatches=1,
    steps=1000,
    warmup=0,
    mixed=True,
)


def parts(
    groups: tuple[str, ...], folder: Path, *, device: Device, tiny: bool, trl_python: str
) -> list[Part]:
    """The parts of the chosen groups.

    Args:
        groups: Some of `GROUPS`; the device's limits are always measured.
        folder: Where models for TRL are written.
        device: `cuda` or `cpu`.
        tiny: Small models and little work, to try the script.
        trl_python: Interpreter that has TRL; empty leaves TRL out.
    """
    chosen = [part for part in _all(folder, trl_python) if part.group in (*groups, "limits")]
    return [_on(part, device, tiny) for part in chosen]


def _all(folder: Path, trl_python: str) -> Iterator[Part]:
    yield Part("limits", "limits", "limits", 45)
    yield from _compared("trl", COMPARED, str(folder / "full"), trl_python, ("shared", "separate"))
    yield Part("decode", "decode", "decode", 60, works=(COMPARED,))
    yield Part(
        "8B in NF4, 12 GiB",
        "nf4",
        "steps",
        110,
        model="llama-8b",
        quantization="nf4",
        works=(IN_12_GB,),
    )
    yield Part(
        "growth",
        "growth",
        "steps",
        100,
        works=(
            GROWTH,
            *(replace(GROWTH, response_tokens=tokens) for tokens in RESPONSES),
            *(replace(GROWTH, batch=batch) for batch in BATCHES),
        ),
    )
    yield Part("memory over steps", "flat", "flat", 80, model="tiny", works=(FLAT,))
    for model, quantization in MODELS:
        yield Part(
            f"model {model}",
            "models",
            "steps",
            60,
            model=model,
            quantization=quantization,
            works=(GROWTH,),
        )
    mixed = replace(COMPARED, mixed=True)
    yield from _compared("mixed", mixed, str(folder / "mixed"), trl_python, ("shared",))


def _compared(
    group: str,
    work: Work,
    folder: str,
    trl_python: str,
    values: tuple[Literal["shared", "separate"], ...],
) -> Iterator[Part]:
    """One model written once, and both engines on it."""
    words = ", mixed lengths" if work.mixed else ""
    yield Part(f"write the model{words}", group, "folder", 60, works=(work,), folder=folder)
    yield Part(f"ppo-tui{words}", group, "steps", 75, works=(work,), folder=folder)
    for value in values:
        if trl_python:
            yield Part(
                f"trl {value}{words}",
                group,
                "trl",
                120,
                works=(replace(work, steps=2),),
                folder=folder,
                value=value,
                trl_python=trl_python,
            )


def _on(part: Part, device: Device, tiny: bool) -> Part:
    part = replace(part, device=device, tiny=tiny)
    return replace(part, works=tuple(map(_small, part.works))) if tiny else part


def _small(work: Work) -> Work:
    """An eighth of the rows, a sixteenth of the tokens, and no more steps than one."""
    return replace(
        work,
        batch=max(work.minibatches, work.batch // 8),
        prompt_tokens=max(4, work.prompt_tokens // 16),
        response_tokens=max(4, work.response_tokens // 16),
        steps=20 if work.steps > 100 else 1,
        warmup=min(work.warmup, 1),
    )
