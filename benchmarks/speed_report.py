"""The numbers of `make bench-speed`: medians, ratios, whether the work was equal, and the report.

Pure: `bench_speed.py` runs the engines and writes what is made here.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.results_sheet import markdown_table
from benchmarks.speed_contract import SpeedResult

Side = Literal["ours", "trl shared", "trl separate"]
SIDES: tuple[Side, ...] = ("ours", "trl shared", "trl separate")
SAME_LENGTH = 0.2
"""Mean response lengths may part by this much: each engine samples with its own random numbers."""


@dataclass(frozen=True)
class Summary:
    """Medians of one engine over the repeats of a case."""

    side: Side
    episodes_per_second: float
    episodes_per_second_without_gc: float
    spread: tuple[float, float]
    step_seconds: float
    cpu_seconds: float
    peak_over_import_mib: float
    peak_rss_mib: float
    optimiser_steps: float
    planned_optimiser_steps: int
    response_length: float


def summarise(side: Side, batch_size: int, results: list[SpeedResult]) -> Summary:
    """Medians over the repeats; the spread is the slowest and the fastest repeat."""
    median = statistics.median
    speeds = [r.episodes_per_second for r in results]
    pure = [
        batch_size / median(s - g for s, g in zip(r.step_seconds, r.gc_seconds, strict=True))
        for r in results
    ]
    return Summary(
        side=side,
        episodes_per_second=median(speeds),
        episodes_per_second_without_gc=median(pure),
        spread=(min(speeds), max(speeds)),
        step_seconds=batch_size / median(speeds),
        cpu_seconds=median(c for r in results for c in r.cpu_seconds),
        peak_over_import_mib=median(r.peak_over_import_mib for r in results),
        peak_rss_mib=median(r.peak_rss_mib for r in results),
        optimiser_steps=statistics.fmean(n for r in results for n in r.optimiser_steps),
        planned_optimiser_steps=results[0].planned_optimiser_steps,
        response_length=statistics.fmean(r.response_length_mean for r in results),
    )


def unequal_work(summaries: list[Summary]) -> list[str]:
    """Why the engines' work cannot be compared; empty when it can."""
    reasons = [
        f"{s.side} made {s.optimiser_steps:g} optimiser steps, not {s.planned_optimiser_steps}"
        for s in summaries
        if s.optimiser_steps != s.planned_optimiser_steps
    ]
    lengths = [s.response_length for s in summaries]
    if max(lengths) > min(lengths) * (1 + SAME_LENGTH):
        said = ", ".join(f"{s.side} {s.response_length:.1f}" for s in summaries)
        reasons.append(f"mean response lengths differ: {said}")
    return reasons


def ratios(summaries: list[Summary]) -> dict[str, dict[str, float]]:
    """Ours over TRL's, for each form of TRL, and over the better of them in each number."""
    ours = next((s for s in summaries if s.side == "ours"), None)
    forms = [s for s in summaries if s.side != "ours"]
    if ours is None or not forms:
        return {}
    found: dict[str, dict[str, float]] = {
        trl.side: {
            "episodes_per_second": ours.episodes_per_second / trl.episodes_per_second,
            "episodes_per_second_without_gc": ours.episodes_per_second_without_gc
            / trl.episodes_per_second_without_gc,
            "cpu_seconds": ours.cpu_seconds / trl.cpu_seconds,
            "peak_over_import": ours.peak_over_import_mib / trl.peak_over_import_mib,
            "peak_rss": ours.peak_rss_mib / trl.peak_rss_mib,
        }
        for trl in forms
    }
    # Speed: the smaller ratio is the better TRL. What costs: the larger one.
    better = {
        name: (min if name.startswith("episodes") else max)(ratio[name] for ratio in found.values())
        for name in found[forms[0].side]
    }
    return {**found, "better trl": better}


def table(case: dict[str, Any]) -> list[str]:
    """The case as lines of a Markdown table, which reads as plain text too."""
    rows = [
        (
            "engine",
            "episodes/s",
            "slowest-fastest",
            "s/step",
            "without gc",
            "cpu s/step",
            "peak over imports",
            "peak",
            "optimiser steps",
            "response",
        ),
    ]
    for s in case["summaries"]:
        low, high = s["spread"]
        rows.append(
            (
                s["side"],
                f"{s['episodes_per_second']:.1f}",
                f"{low:.1f}-{high:.1f}",
                f"{s['step_seconds']:.2f}",
                f"{s['episodes_per_second_without_gc']:.1f}",
                f"{s['cpu_seconds']:.2f}",
                f"{s['peak_over_import_mib']:.0f} MiB",
                f"{s['peak_rss_mib']:.0f} MiB",
                f"{s['optimiser_steps']:g}/{s['planned_optimiser_steps']}",
                f"{s['response_length']:.1f}",
            )
        )
    for side, ratio in case["ratios"].items():
        rows.append(
            (
                f"ours / {side}",
                f"{ratio['episodes_per_second']:.2f}x",
                "",
                "",
                f"{ratio['episodes_per_second_without_gc']:.2f}x",
                f"{ratio['cpu_seconds']:.2f}x",
                f"{ratio['peak_over_import']:.2f}x",
                f"{ratio['peak_rss']:.2f}x",
                "",
                "",
            )
        )
    return markdown_table(rows)


def report(measured: dict[str, Any]) -> Iterator[str]:
    """The Markdown report, line by line."""
    yield f"# PPO steps on the CPU: ppo-tui and TRL, {measured['date']}"
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in measured["machine"].items()) + "."
    yield f"{measured['repeats']} repeats of each engine in turn, medians."
    yield ""
    yield "Episodes per second: higher is better; resident memory: lower is better. `without gc`"
    yield "leaves out the time of Python's garbage collector, which TRL calls twice a step. `cpu`"
    yield "is processor time of all threads. `better trl` is TRL's better form, number by number."
    for case in measured["cases"]:
        settings = {k: v for k, v in case["settings"].items() if v is not None}
        yield ""
        yield f"## {case['name']}"
        yield ""
        yield f"{case['about'][0].upper()}{case['about'][1:]}."
        yield "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items()) + "."
        yield ""
        yield from table(case)
        for reason in case["unequal_work"]:
            yield ""
            yield f"**Not equal work**: {reason}."
    last = measured["cases"][-1]
    for side, found in last["versions"].items():
        yield ""
        yield f"## {side}"
        yield ""
        yield "Versions: " + ", ".join(f"{k} {v}" for k, v in found.items()) + "."
        yield ""
        for what, how in last["given"][side].items():
            yield f"- {what}: {how}"


def differing_versions(case: dict[str, Any]) -> list[str]:
    """Packages that the two sides have in different versions."""
    sides = list(case["versions"].values())
    shared = set.intersection(*(set(v) for v in sides))
    return sorted(name for name in shared if len({v[name] for v in sides}) > 1)
