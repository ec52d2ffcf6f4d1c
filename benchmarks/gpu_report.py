"""The report of `make bench-gpu`: what was asked for, and the tables. Pure.

A row that is missing leaves a line out or a dash in its place; nothing else depends on it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu_contract import (
    GIB,
    DecodeRow,
    FailedRow,
    FlatRow,
    LimitsRow,
    Row,
    StepRow,
)
from benchmarks.gpu_shapes import MODELS
from benchmarks.results_sheet import markdown_table
from benchmarks.speed_report import SAME_LENGTH

Measured = dict[str, list[Row]]
"""Rows by the group of their part."""

STEP_HEADS = (
    "engine",
    "model",
    "batch",
    "tokens",
    "episodes/s",
    "s/step",
    "rollout s",
    "score s",
    "update s",
    "score, of peak",
    "update, of peak",
    "peak GiB",
    "reserved",
    "planned",
    "optimiser steps",
    "response",
)


def report(measured: Measured, about: dict[str, Any]) -> Iterator[str]:
    """The Markdown report, line by line.

    Args:
        measured: All rows.
        about: `date`, `machine`, `seconds` taken, `tiny`, and `trl`: why TRL was left out, or
            empty.
    """
    limits = _first(measured, "limits", LimitsRow)
    yield f"# PPO on a GPU: ppo-tui, TRL and the limits, {about['date']}"
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in about["machine"].items()) + "."
    models = "**Tiny models under the names of the real ones**" if about["tiny"] else "Real shapes"
    yield f"All in {about['seconds']:.0f} s. {models}, random weights, bfloat16."
    yield from _table("What was asked for", [("what", "wanted", "measured", "")], asked(measured))
    yield from _limits(limits)
    yield from _steps("The same PPO step: ppo-tui and TRL", measured.get("trl", []), limits)
    if about["trl"]:
        yield ""
        yield f"TRL was left out: {about['trl']}"
    yield from _decoding(measured, limits)
    yield from _steps("8B in NF4 within 12 GiB", measured.get("nf4", []), limits)
    grown = [row for row in measured.get("growth", []) if isinstance(row, StepRow)]
    same = grown[0].work if grown else None
    other = [row for row in measured.get("models", []) if isinstance(row, StepRow)]
    growth: dict[str, list[StepRow]] = {
        "response": [row for row in grown if same and row.work.batch == same.batch],
        "batch": [
            row for row in grown if same and row.work.response_tokens == same.response_tokens
        ],
        "model": [*(row for row in grown if row.work == same), *other],
    }
    for what, rows in growth.items():
        rows.sort(key=_size)
        yield from _steps(f"How cost grows with the {what}", rows, limits)
    yield from _steps("Responses of mixed length", measured.get("mixed", []), limits)
    yield from _flat(_first(measured, "flat", FlatRow))
    failed = [row for rows in measured.values() for row in rows if isinstance(row, FailedRow)]
    yield from _table("Not measured", [("what", "why")], [(row.what, row.reason) for row in failed])
    yield from _versions(measured)


def asked(measured: Measured) -> list[tuple[str, str, str, str]]:
    """What the benchmark is there to show: what, wanted, measured, whether it is so."""
    lines: list[tuple[str, str, str, str]] = []

    def line(what: str, wanted: str, said: str, good: bool) -> None:
        lines.append((what, wanted, said, "yes" if good else "no"))

    ours, theirs = _sides(measured.get("trl", []))
    if ours and theirs:
        best = max(episodes_per_second(row) for row in theirs)
        ratio = episodes_per_second(ours) / best
        line("episodes/s over TRL's faster form", ">= 5x", f"{ratio:.1f}x", ratio >= 5)
        peaks = [row.allocated_gib for row in theirs if row.allocated_gib is not None]
        if ours.allocated_gib is not None and peaks:
            share = ours.allocated_gib / min(peaks)
            line("peak memory over TRL's smaller form", "<= 0.33x", f"{share:.2f}x", share <= 1 / 3)
    limits = _first(measured, "limits", LimitsRow)
    decode = next((r for r in _decode_rows(measured) if r.how.startswith("ppo-tui")), None)
    if limits and decode:
        share = step_share(decode, limits)
        line(
            f"decoding, batch {decode.work.batch}: of the measured bandwidth",
            ">= 70 %",
            f"{share:.0%}",
            share >= 0.7,
        )
    nf4 = next((r for r in measured.get("nf4", []) if isinstance(r, StepRow)), None)
    if nf4 and nf4.allocated_gib is not None and nf4.reserved_gib is not None:
        peak = nf4.allocated_gib * GIB / 1e9
        line(
            f"8B in NF4, {nf4.work.prompt_tokens} + {nf4.work.response_tokens} tokens: peak",
            "<= 12 GB",
            f"{peak:.1f} GB (reserved {nf4.reserved_gib * GIB / 1e9:.1f})",
            peak <= 12,
        )
    flat = _first(measured, "flat", FlatRow)
    if flat and flat.allocated_early is not None and flat.allocated_late is not None:
        more = flat.allocated_late - flat.allocated_early
        line(f"memory over {flat.steps} steps", "flat", f"{more:+.1f} MiB", more <= 1)
    return lines


def episodes_per_second(row: StepRow) -> float:
    """Episodes a second over the median step."""
    return row.work.batch / statistics.median(row.step_seconds)


def unequal_work(steps: Sequence[StepRow]) -> list[str]:
    """Why rows say less than they seem to; empty where all did what they were asked."""
    reasons = []
    for row in steps:
        planned = row.work.epochs * row.work.minibatches
        if row.optimiser_steps != planned:
            made = f"{row.engine} made {row.optimiser_steps:g} optimiser steps"
            reasons.append(f"{made}, not {planned}")
        full = row.work.response_tokens
        if not row.work.mixed and row.response_length != full:
            length = f"{row.response_length:.1f} tokens long"
            reasons.append(f"{row.engine}'s responses were {length}, not {full}")
    # Only the rows of one table that differ in nothing but the engine are held to each other.
    lengths = {row.engine: row.response_length for row in steps if row.work.mixed}
    if lengths and max(lengths.values()) > min(lengths.values()) * (1 + SAME_LENGTH):
        said = ", ".join(f"{engine} {length:.1f}" for engine, length in lengths.items())
        reasons.append(f"mean response lengths differ: {said}")
    return reasons


def step_share(row: DecodeRow, limits: LimitsRow) -> float:
    """Share of the measured bandwidth that a token step reaches."""
    return row.token_step_bytes / row.token_step_seconds / (limits.copy_gb_s * 1e9)


def rollout_share(row: DecodeRow, limits: LimitsRow) -> float:
    """Least seconds of a whole rollout, prompts included, over those it took."""
    reading = row.prefill_flop / (limits.matmul_tflop_s * 1e12)
    return (row.rollout_bytes / (limits.copy_gb_s * 1e9) + reading) / row.seconds


def _limits(limits: LimitsRow | None) -> Iterator[str]:
    if limits is None:
        return
    memory = "" if limits.memory_gib is None else f", {limits.memory_gib:.0f} GiB"
    yield from _table(
        f"Limits of the device: {limits.device}{memory}",
        [("limit", "measured", "data sheet")],
        [
            (
                "memory bandwidth (copy), GB/s",
                f"{limits.copy_gb_s:.0f}",
                _number(limits.sheet_gb_s, ".0f"),
            ),
            (
                "matrix product, TFLOP/s",
                f"{limits.matmul_tflop_s:.3g}",
                _number(limits.sheet_tflop_s, ".0f"),
            ),
        ],
    )


def _steps(title: str, rows: Sequence[Row], limits: LimitsRow | None) -> Iterator[str]:
    steps = [row for row in rows if isinstance(row, StepRow)]
    if not steps:
        return
    lines = [_step_line(row, limits) for row in steps]
    ours, theirs = _sides(rows)
    lines += [_ratio_line(ours, trl) for trl in theirs if ours]
    yield from _table(title, [STEP_HEADS], lines)
    for reason in unequal_work(steps):
        yield ""
        yield f"**Not equal work**: {reason}."
    yield from _chosen(steps)


def _chosen(rows: Sequence[StepRow | DecodeRow]) -> Iterator[str]:
    """How ours was carried out, and what did not go as it should have."""
    chosen: dict[str, list[str]] = {}
    for row in rows:
        name = f"{_model(row)}, batch {row.work.batch}, {_tokens(row)}"
        if row.choices:
            words = ", ".join(f"{key} {value}" for key, value in row.choices.items())
            if name not in chosen.setdefault(words, []):
                chosen[words].append(name)
    if chosen:
        yield ""
        yield "Chosen by the memory plan:"
        yield ""
    for words, names in chosen.items():
        yield f"- {words}: for {'; '.join(names)}"
    for row in rows:
        for note in row.notes:
            yield ""
            yield f"**{_model(row)}, batch {row.work.batch}, {_tokens(row)}**: {note}"


def _step_line(row: StepRow, limits: LimitsRow | None) -> tuple[str, ...]:
    phases = row.phases
    return (
        row.engine,
        _model(row),
        str(row.work.batch),
        _tokens(row),
        f"{episodes_per_second(row):.2f}",
        f"{statistics.median(row.step_seconds):.3f}",
        *(_number(phases.get(name), ".3f") for name in ("rollout", "score", "update")),
        _share(row.score_flop, phases.get("score"), limits),
        _share(row.update_flop, phases.get("update"), limits),
        *(_number(gib, ".2f") for gib in (row.allocated_gib, row.reserved_gib, row.planned_gib)),
        f"{row.optimiser_steps:g}",
        f"{row.response_length:.1f}",
    )


def _ratio_line(ours: StepRow, trl: StepRow) -> tuple[str, ...]:
    speed = f"{episodes_per_second(ours) / episodes_per_second(trl):.2f}x"
    memory, reserved = (
        "-" if not (one and other) else f"{one / other:.2f}x"
        for one, other in (
            (ours.allocated_gib, trl.allocated_gib),
            (ours.reserved_gib, trl.reserved_gib),
        )
    )
    line = {"engine": f"ours / {trl.engine}", "episodes/s": speed}
    line |= {"peak GiB": memory, "reserved": reserved}
    return tuple(line.get(head, "") for head in STEP_HEADS)


def _decoding(measured: Measured, limits: LimitsRow | None) -> Iterator[str]:
    heads = ("how", "model", "batch", "tokens", "tokens/s", "ms/token step")
    shares = ("token step, of bandwidth", "of data sheet", "rollout, of its limit", "peak GiB")
    lines = []
    for row in _decode_rows(measured):
        reached = row.token_step_bytes / row.token_step_seconds / 1e9
        sheet = limits.sheet_gb_s if limits else None
        lines.append(
            (
                row.how,
                row.model,
                str(row.work.batch),
                _tokens(row),
                f"{row.tokens / row.seconds:.0f}",
                f"{row.token_step_seconds * 1e3:.2f}",
                "-" if limits is None else f"{step_share(row, limits):.0%}",
                "-" if sheet is None else f"{reached / sheet:.0%}",
                "-" if limits is None else f"{rollout_share(row, limits):.0%}",
                _number(row.allocated_gib, ".2f"),
            )
        )
    yield from _table("Decoding against the memory's bandwidth", [heads + shares], lines)
    yield from _chosen(_decode_rows(measured))


def _flat(flat: FlatRow | None) -> Iterator[str]:
    if flat is None:
        return
    heads = ("MiB held after a step", "second tenth of the steps", "last tenth")
    lines = [
        ("allocated", _number(flat.allocated_early, ".1f"), _number(flat.allocated_late, ".1f")),
        ("reserved", _number(flat.reserved_early, ".1f"), _number(flat.reserved_late, ".1f")),
        ("resident (host)", f"{flat.resident_early:.1f}", f"{flat.resident_late:.1f}"),
    ]
    title = f"Memory over {flat.steps} of {flat.wanted} steps of a small model"
    yield from _table(f"{title}, {flat.seconds:.0f} s", [heads], lines)


def _versions(measured: Measured) -> Iterator[str]:
    seen: dict[str, dict[str, str]] = {}
    for rows in measured.values():
        for row in rows:
            if isinstance(row, StepRow) and row.versions:
                seen.setdefault(row.engine, row.versions)
    yield from _table(
        "Versions",
        [("engine", "versions")],
        [(name, ", ".join(f"{k} {v}" for k, v in found.items())) for name, found in seen.items()],
    )


def _table(
    title: str, heads: Sequence[tuple[str, ...]], lines: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    if lines:
        yield ""
        yield f"## {title}"
        yield ""
        yield from markdown_table([*heads, *lines])


def _sides(rows: Sequence[Row]) -> tuple[StepRow | None, list[StepRow]]:
    steps = [row for row in rows if isinstance(row, StepRow)]
    ours = next((row for row in steps if row.engine == "ppo-tui"), None)
    return ours, [row for row in steps if row.engine != "ppo-tui"]


def _decode_rows(measured: Measured) -> list[DecodeRow]:
    return [row for row in measured.get("decode", []) if isinstance(row, DecodeRow)]


def _size(row: StepRow) -> tuple[int, int, int]:
    return list(MODELS).index(row.model), row.work.batch, row.work.response_tokens


def _first(measured: Measured, group: str, kind: type[Any]) -> Any:
    return next((row for row in measured.get(group, []) if isinstance(row, kind)), None)


def _share(flop: float, seconds: float | None, limits: LimitsRow | None) -> str:
    if limits is None or not seconds:
        return "-"
    return f"{flop / seconds / (limits.matmul_tflop_s * 1e12):.0%}"


def _model(row: StepRow | DecodeRow) -> str:
    return row.model if row.quantization == "none" else f"{row.model} {row.quantization}"


def _tokens(row: StepRow | DecodeRow) -> str:
    return f"{row.work.prompt_tokens} + {row.work.response_tokens}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
