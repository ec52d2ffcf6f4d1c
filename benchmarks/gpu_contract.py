"""What the parts of `make bench-gpu` are asked and what they answer: standard library only.

`bench_gpu.py` gives each part to a process of its own as one line of JSON on its stdin; the part
prints one row a line on its stdout as soon as it is measured, so that what was measured before a
part failed or ran out of time is kept. GiB are 2**30 bytes; rates (GB/s, TFLOP/s) are decimal, as
data sheets give them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["limits", "folder", "steps", "trl", "decode", "flat"]
GIB = 2**30


@dataclass(frozen=True)
class Work:
    """One amount of work, the same for every engine that does it.

    Attributes:
        batch: Episodes a PPO step.
        prompt_tokens: Tokens of every prompt.
        response_tokens: Most tokens a response may have.
        mixed: Responses may end by themselves; else every one is full.
        memory_gib: `engine.memory_gib` of ours; None is all of the device.
    """

    batch: int
    prompt_tokens: int
    response_tokens: int
    epochs: int = 4
    minibatches: int = 4
    steps: int = 2
    warmup: int = 1
    mixed: bool = False
    memory_gib: float | None = None


@dataclass(frozen=True)
class Part:
    """One process of the benchmark.

    Attributes:
        name: What the report calls it.
        group: The table that its rows belong to.
        seconds: Its time limit; the deadline of the whole may cut it shorter.
        model: A key of `gpu_shapes.MODELS`.
        quantization: How ours holds the weights.
        works: Rows to measure, one after the other on one loaded model.
        value: `trl`: its value model (see `trl_side.py`).
        folder: Where the model is written to or read from; empty is one made on the device.
        device: `cuda` or `cpu`.
        dtype: Of weights and computation.
        tiny: Small models in place of the named ones.
        trl_python: `trl`: the interpreter that has TRL.
    """

    name: str
    group: str
    kind: Kind
    seconds: float
    model: str = "llama-1b"
    quantization: str = "none"
    works: tuple[Work, ...] = ()
    value: Literal["shared", "separate"] = "shared"
    folder: str = ""
    device: Literal["cpu", "cuda"] = "cuda"
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    tiny: bool = False
    trl_python: str = ""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Part:
        """What `to_json` wrote."""
        raw = json.loads(text)
        raw["works"] = tuple(Work(**work) for work in raw["works"])
        return cls(**raw)


@dataclass(frozen=True)
class LimitsRow:
    """What the device can do, measured here and as its data sheet says (None: not known).

    Attributes:
        copy_gb_s: Bytes read and written a second by a copy of a large tensor.
        matmul_tflop_s: Rate of a large matrix product in the benchmark's dtype.
    """

    device: str
    memory_gib: float | None
    copy_gb_s: float
    matmul_tflop_s: float
    sheet_gb_s: float | None
    sheet_tflop_s: float | None


@dataclass(frozen=True)
class StepRow:
    """PPO steps of one engine.

    Attributes:
        step_seconds: Wall time of each timed step.
        phases: Seconds of `rollout`, `score`, `reward` and `update` in the median step, each with
            the device waited for; empty where the engine does not tell them apart. `reward` is what
            the step waited for it after `score`; the rest of the step makes metrics.
        allocated_gib: Most that torch's allocator had handed out; None on a CPU.
        reserved_gib: Most that it had taken from the device.
        planned_gib: What our memory plan foretold of `allocated_gib`.
        choices: What our memory plan chose.
        optimiser_steps: Real ones of a PPO step, counted at the optimiser (mean).
        response_length: Mean tokens of a response.
        score_flop: Floating point operations that scoring needs (see `gpu_limits.py`).
        update_flop: The same of the update.
        versions: Of the packages that ran.
        notes: What did not go as it should have.
    """

    engine: str
    model: str
    quantization: str
    work: Work
    step_seconds: list[float]
    phases: dict[str, float]
    allocated_gib: float | None
    reserved_gib: float | None
    planned_gib: float | None
    choices: dict[str, Any] | None
    optimiser_steps: float
    response_length: float
    score_flop: float
    update_flop: float
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class DecodeRow:
    """Sampling alone.

    Attributes:
        seconds: A whole rollout: prompts read, responses sampled.
        tokens: Response tokens of it.
        token_step_seconds: One token for every row, late in the response: the difference of a
            whole and a half response, over the tokens between them.
        rollout_bytes: What has to be read for all token steps of the rollout.
        token_step_bytes: What has to be read for a token step, mean of those `token_step_seconds`
            is taken from.
        prefill_flop: Floating point operations that reading the prompts needs.
        choices: What our memory plan chose; None for others.
        notes: What did not go as it should have.
    """

    how: str
    model: str
    quantization: str
    work: Work
    seconds: float
    tokens: int
    token_step_seconds: float
    rollout_bytes: float
    token_step_bytes: float
    prefill_flop: float
    allocated_gib: float | None
    choices: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FlatRow:
    """Memory over many steps of a small model, in MiB held after a step.

    Attributes:
        steps: How many were made before the time was over.
        wanted: How many were to be made.
        allocated_early: Most after any step of the second tenth.
        allocated_late: Most after any step of the last tenth.
        reserved_early: The same, of what was taken from the device.
        reserved_late: The same.
        resident_early: The same, of the process's resident memory.
        resident_late: The same.
    """

    steps: int
    wanted: int
    seconds: float
    allocated_early: float | None
    allocated_late: float | None
    reserved_early: float | None
    reserved_late: float | None
    resident_early: float
    resident_late: float


@dataclass(frozen=True)
class FolderRow:
    """A model was written, for engines that load one from a folder."""

    model: str
    size_gib: float
    seconds: float


@dataclass(frozen=True)
class FailedRow:
    """Something was not measured, and why."""

    what: str
    reason: str


Row = LimitsRow | StepRow | DecodeRow | FlatRow | FolderRow | FailedRow
ROWS: dict[str, type[Any]] = {
    row.__name__: row for row in (LimitsRow, StepRow, DecodeRow, FlatRow, FolderRow, FailedRow)
}


def row_to_dict(row: Row) -> dict[str, Any]:
    """A row as plain data that says of which class it is."""
    return {"row": type(row).__name__, **asdict(row)}


def row_from_dict(raw: dict[str, Any]) -> Row:
    """What `row_to_dict` made."""
    fields = {key: value for key, value in raw.items() if key != "row"}
    if "work" in fields:
        fields["work"] = Work(**fields["work"])
    row: Row = ROWS[raw["row"]](**fields)
    return row
