"""What the two sides of `make bench-speed` are asked and what they answer: standard library only.

`make bench-gpu` asks TRL's side the same way, for a GPU.

`bench_speed.py` writes one `SpeedSpec` as JSON; `trl_side.py` and `ours_side.py` each read it in a
process and a venv of their own, run PPO steps, and print one `SpeedResult` as a single JSON line on
stdout (talk goes to stderr). Memory is the resident set of the whole process, because on a CPU that
is what a person runs out of.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Literal

MIB = 1024 * 1024


@dataclass(frozen=True)
class LoraSpec:
    """The policy's adapter: rank, alpha, and the layers it sits on. Dropout is always 0."""

    rank: int = 16
    alpha: float = 32.0
    targets: str = "all-linear"


@dataclass(frozen=True)
class SpeedSpec:
    """One benchmark case, the same for both engines; the defaults are those of the demo preset.

    Attributes:
        model: Folder of a causal language model with its tokenizer.
        prompts: Token ids of each prompt.
        batch_size: Episodes a PPO step.
        response_tokens: Most tokens a response may have.
        lengths: `fixed`: the model never emits eos or pad, so every response has `response_tokens`
            tokens and nobody looks for an end; `mixed`: a response stops at eos.
        epochs: Passes over the batch in the update; each sample goes forward and backward once a
            pass.
        minibatches: Optimiser steps an epoch.
        micro_batch: Samples in one forward and backward pass; None is a whole minibatch.
        steps: PPO steps that are timed.
        warmup: PPO steps before them that are not.
        value: TRL only. `shared` is a scalar head on the policy's own trunk, `separate` a second
            model (see trl_side.py).
        threads: Threads of torch.
        device: `cpu`, or `cuda` for `make bench-gpu`.
        dtype: Of the model's weights; where it is not float32, of the computation too.
    """

    model: str
    prompts: list[list[int]]
    batch_size: int = 64
    response_tokens: int = 32
    lengths: Literal["fixed", "mixed"] = "fixed"
    epochs: int = 4
    minibatches: int = 4
    micro_batch: int | None = None
    lr: float = 3e-4
    kl_coef: float = 0.05
    temperature: float = 1.0
    steps: int = 4
    warmup: int = 1
    seed: int = 0
    lora: LoraSpec | None = field(default_factory=LoraSpec)
    threads: int = 2
    value: Literal["shared", "separate"] = "shared"
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.batch_size % self.minibatches:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of minibatches {self.minibatches}"
            )
        if self.minibatch_size % self.micro_batch_size:
            raise ValueError(
                f"a minibatch of {self.minibatch_size} is not a multiple of "
                f"micro_batch {self.micro_batch_size}"
            )

    @property
    def minibatch_size(self) -> int:
        """Samples in one optimiser step."""
        return self.batch_size // self.minibatches

    @property
    def micro_batch_size(self) -> int:
        """Samples in one forward and backward pass."""
        return self.micro_batch or self.minibatch_size

    @property
    def planned_optimiser_steps(self) -> int:
        """Optimiser steps one PPO step should make."""
        return self.epochs * self.minibatches

    def prompt_stream(self) -> list[list[int]]:
        """Enough prompts for every step: whole shuffled passes over `prompts`.

        Two batches more than are used, because accelerate ends its gradient accumulation early
        on a dataloader's last batch.
        """
        wanted = (self.warmup + self.steps + 2) * self.batch_size
        shuffle = random.Random(self.seed)
        stream: list[list[int]] = []
        while len(stream) < wanted:
            stream += shuffle.sample(self.prompts, len(self.prompts))
        return stream[:wanted]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SpeedSpec:
        """What `to_json` wrote."""
        raw = json.loads(text)
        if raw.get("lora") is not None:
            raw["lora"] = LoraSpec(**raw["lora"])
        return cls(**raw)


@dataclass(frozen=True)
class SpeedResult:
    """What one engine did in one process.

    Attributes:
        step_seconds: Wall time of each timed PPO step, from prompts to the end of the update.
        episodes_per_second: Batch size over the median of `step_seconds`.
        cpu_seconds: Processor time of each timed step, all threads together; with one thread it
            stays nearly the same on a busy machine.
        gc_seconds: Part of each timed step that Python's garbage collector took. TRL collects twice
            a step, a fixed cost that weighs on small models only; so it is told apart.
        optimiser_steps: Real optimiser steps of each timed PPO step, counted at the optimiser.
        response_length_mean: Mean tokens of a response, eos included, over the timed steps.
        rss_after_import_mib: Resident memory when all imports were done and no model was loaded.
        peak_rss_mib: Most that was ever resident, from the kernel (`ru_maxrss`).
        peak_over_import_mib: Most that was resident after the imports, sampled, less
            `rss_after_import_mib`.
        given: In words, what this engine was given and how it was set up.
        device_allocated_gib: Most that torch's allocator had handed out on the device; None on a
            CPU.
        device_reserved_gib: Most that it had taken from the device.
    """

    engine: str
    step_seconds: list[float]
    episodes_per_second: float
    cpu_seconds: list[float]
    gc_seconds: list[float]
    optimiser_steps: list[int]
    planned_optimiser_steps: int
    response_length_mean: float
    rss_after_import_mib: float
    peak_rss_mib: float
    peak_over_import_mib: float
    trainable_parameters: int
    versions: dict[str, str]
    given: dict[str, str]
    device_allocated_gib: float | None = None
    device_reserved_gib: float | None = None

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SpeedResult:
        """What `to_json` wrote."""
        return cls(**json.loads(text))


def episodes_per_second(batch_size: int, step_seconds: Sequence[float]) -> float:
    """Episodes per second at the median step, which one disturbed step does not move."""
    return batch_size / statistics.median(step_seconds)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of Python and of `packages`, without importing them."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        found[package] = metadata.version(package)
    return found


def resident_mib() -> float:
    """Memory of this process that is resident now, in MiB (Linux; elsewhere the peak so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_resident_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def peak_resident_mib() -> float:
    """Most memory that this process ever had resident, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


class CollectorClock:
    """Adds up the time that Python's garbage collector takes, while the context is open."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._started

    def __enter__(self) -> CollectorClock:
        gc.callbacks.append(self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gc.callbacks.remove(self._note)


class ResidentPeak:
    """Samples resident memory in a thread, from entering the context to leaving it.

    `ru_maxrss` also remembers what imports needed for a moment; this peak begins after them.
    """

    def __init__(self, interval: float = 0.005) -> None:
        self.baseline_mib = 0.0
        self.peak_mib = 0.0
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def over_baseline_mib(self) -> float:
        """Peak since the context was entered, less what was resident then."""
        return self.peak_mib - self.baseline_mib

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self.peak_mib = max(self.peak_mib, resident_mib())

    def __enter__(self) -> ResidentPeak:
        self.baseline_mib = self.peak_mib = resident_mib()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_mib = max(self.peak_mib, resident_mib())
