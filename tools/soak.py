"""`make soak`: a day in miniature: thousands of steps of the demo model, and nothing that grows.

Trains the demo preset, with small batches and short responses, in a real worker process of one
thread; checkpoints, watched answers and the pool of texts are on. Every so many steps it notes the
worker's memory, open files and threads and the files in the run directory, and at the end it asks:

- does every journal hold each step and each sample once, in order, whole, and do the last
  checkpoint's offsets fit it?
- does resident memory stay flat (its slope, in MiB a thousand steps)?
- do open files and threads stay as many as they were, and is nothing left lying about?

Ends with 1 if anything does not hold. With --write the sheet goes to
`benchmarks/results/soak-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil

from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import versions
from ppo_tui.config.resolve import resolve
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalTail, read_journal
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"

SETTINGS = (
    "rollout.batch_size=16",
    "rollout.response_tokens=8",
    "ppo.minibatches=2",
    "eval.samples=8",
    "eval.reference_samples=8",
    "eval.watch_every=10",
    "checkpoint.every=100",
    "device=cpu",
)
"""What is smaller than in the demo preset, so that a step takes a tenth of a second or two."""

SETTLED = 500
"""Steps after which a worker has everything that it needs, if the run is long enough."""

MOST_SLOPE = 4.0
"""MiB a thousand steps that resident memory may grow by and be called flat."""

_LOOK = 0.05
"""Seconds between two looks at the journal."""


@dataclass(frozen=True)
class Probe:
    """The worker at one moment.

    Attributes:
        step: Steps it had recorded.
        rss: Resident memory in MiB.
        uss: What of it is its own alone, in MiB.
        fds: Open files.
        threads: Threads.
        files: Files in the run directory, those of its checkpoints included.
    """

    step: int
    rss: float
    uss: float
    fds: int
    threads: int
    files: int


def soak(run: RunDirectory, every: int) -> tuple[list[Probe], int]:
    """Train a run to its end; what the worker was like meanwhile, and its exit code."""
    worker = start_worker(run)
    process, tail = psutil.Process(worker.pid), JournalTail(run.events_path)
    probes: list[Probe] = []
    for step in _steps(worker, tail):
        if step % every == 0:
            try:
                probes.append(_probe(process, run, step))
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                break
            if step % (20 * every) == 0:
                print(probes[-1], file=sys.stderr, flush=True)
    return probes, worker.wait()


def _steps(worker: Popen[bytes], tail: JournalTail) -> Iterator[int]:
    """The newest step in the journal, each time that it has become another, while it lives."""
    while worker.poll() is None:
        steps = [record["step"] for record in tail.poll().records if record["kind"] == "step"]
        yield from steps[-1:]
        time.sleep(_LOOK)


def _probe(process: psutil.Process, run: RunDirectory, step: int) -> Probe:
    memory = process.memory_full_info()
    return Probe(
        step=step,
        rss=round(memory.rss / 2**20, 2),
        uss=round(memory.uss / 2**20, 2),
        fds=process.num_fds(),
        threads=process.num_threads(),
        files=sum(len(names) for _, _, names in os.walk(run.path)),
    )


def slope(probes: Sequence[Probe], settled: int = SETTLED) -> float:
    """MiB of resident memory a thousand steps, by least squares over what was after `settled`."""
    last = probes[-1].step
    points = [(p.step, p.rss) for p in probes if p.step >= min(settled, last // 2)]
    mean_step = sum(step for step, _ in points) / len(points)
    mean_rss = sum(rss for _, rss in points) / len(points)
    spread = sum((step - mean_step) ** 2 for step, _ in points)
    together = sum((step - mean_step) * (rss - mean_rss) for step, rss in points)
    return 1000.0 * together / spread if spread else 0.0


def growing(probes: Sequence[Probe]) -> list[str]:
    """What grew that should not have, a sentence each."""
    problems = []
    if slope(probes) > MOST_SLOPE:
        problems.append(f"resident memory grew by {slope(probes):.1f} MiB in a thousand steps")
    settled = [probe for probe in probes if probe.step >= SETTLED]
    half = len(settled) // 2
    early_ones, late_ones = settled[:half], settled[half:]
    if not early_ones:
        return [*problems, f"{len(probes)} probes are too few to tell what grows"]
    for name in ("fds", "threads"):
        # A probe may meet the worker with a file open for an instant; the floor is what it holds.
        early = min(getattr(probe, name) for probe in early_ones)
        late = min(getattr(probe, name) for probe in late_ones)
        if late > early:
            problems.append(f"{name} grew from {early} to {late}")
    early, late = (max(probe.files for probe in part) for part in (early_ones, late_ones))
    if late > early + 1:  # a state that is just being replaced
        problems.append(f"files in the run directory grew from {early} to {late}")
    return problems


def inconsistent(run: RunDirectory, config: RunConfig) -> list[str]:
    """What a finished run's directory says that cannot be, a sentence each."""
    events, samples, pool = (
        read_journal(path) for path in (run.events_path, run.samples_path, run.pool_path)
    )
    damaged = events.damaged + samples.damaged + pool.damaged
    steps = [record["step"] for record in events.records if record["kind"] == "step"]
    batch, kept = config.rollout.batch_size, min(config.ratings.pool, config.rollout.batch_size)
    wanted = range(1, config.steps + 1)
    ids = [f"{step}-{index}" for step in wanted for index in range(batch)]
    pooled = [int(record["id"].partition("-")[0]) for record in pool.records]
    saved = [step for step, _ in list_checkpoints(run.checkpoints_path)]
    every, keep = config.checkpoint.every, config.checkpoint.keep
    due = sorted({config.steps, *range(every, config.steps + 1, every)}, reverse=True)[:keep]
    checks = {
        f"{damaged} damaged lines": not damaged,
        "the steps are not each there once": steps == list(wanted),
        "the samples are not each there once": [r["id"] for r in samples.records] == ids,
        "the pool does not hold so many of each step": pooled
        == [step for step in wanted for _ in range(kept)],
        "texts of the pool are there twice": len({r["id"] for r in pool.records}) == len(pooled),
        f"the checkpoints are of {saved}, not of {due}": saved == due,
        "control/ is not empty": not any(run.control_path.iterdir()),
        "something hidden is left behind": not any(
            path.name.startswith(".") for path in run.path.rglob("*")
        ),
        f"the run is {observe(run).phase}": observe(run).phase is Phase.FINISHED,
    }
    return [*(words for words, holds in checks.items() if not holds), *_misfits(run)]


def _misfits(run: RunDirectory) -> list[str]:
    """What does not fit between the last checkpoint and the journals."""
    _, newest = list_checkpoints(run.checkpoints_path)[0]
    try:
        extra: dict[str, Any] = verify_checkpoint(newest)["extra"]
    except PpoTuiError as error:
        return [error.message]
    problems = []
    for path in (run.events_path, run.samples_path, run.pool_path):
        offset, content = extra[f"{path.stem}_offset"], path.read_bytes()
        whole = 0 < offset <= len(content) and content[offset - 1 : offset] == b"\n"
        # The last checkpoint comes after the last sample; only events follow it.
        if not whole or (path != run.events_path and offset != len(content)):
            problems.append(f"the checkpoint's offset {offset} does not fit {path.name}")
    return problems


def report(probes: Sequence[Probe], problems: Sequence[str], about: dict[str, str]) -> list[str]:
    """The result as lines of Markdown."""
    rows: list[tuple[str, ...]] = [
        ("steps", "resident MiB", "own MiB", "open files", "threads", "files in the run")
    ]
    thinned = [p for i, p in enumerate(probes) if i % max(1, len(probes) // 20) == 0]
    rows += [
        (f"{p.step:,}", f"{p.rss:.1f}", f"{p.uss:.1f}", *map(str, (p.fds, p.threads, p.files)))
        for p in dict.fromkeys((*thinned, probes[-1]))
    ]
    return [
        f"# {probes[-1].step:,} steps of the demo model in one worker",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"The demo preset with {', '.join(SETTINGS)}; one thread.",
        "",
        *markdown_table(rows),
        "",
        f"Resident memory: {slope(probes):+.2f} MiB in a thousand steps from step "
        f"{min(SETTLED, probes[-1].step // 2):,} on ({MOST_SLOPE:g} count as flat).",
        "",
        *([f"- PROBLEM: {words}" for words in problems] or ["Everything held."]),
    ]


def main() -> int:
    """Soak one run; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--every", type=int, default=50, help="steps from one probe to the next")
    parser.add_argument("--run-dir", type=Path, help="keep the run there")
    parser.add_argument("--write", action="store_true", help="write the sheet of results")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    about = machine() | versions("ppo-tui", "torch", "transformers", "peft")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        resolved = resolve("demo", [*SETTINGS, f"steps={arguments.steps}"])
        path = arguments.run_dir or Path(folder) / "soak"
        run = RunDirectory.create(path, resolved.to_yaml(), total=resolved.config.steps)
        probes, code = soak(run, arguments.every)
        problems = [f"the worker ended with {code}"] if code else []
        problems += [*growing(probes), *inconsistent(run, resolved.config)]
        if code:
            print(run.log_path.read_text(errors="replace")[-2000:], file=sys.stderr)
    about["duration"] = f"{(time.monotonic() - began) / 60:.1f} min"
    lines = report(probes, problems, about)
    print("\n".join(lines))
    if arguments.write:
        _write(lines, probes, problems, about)
    return 1 if problems else 0


def _write(
    lines: list[str], probes: list[Probe], problems: list[str], about: dict[str, str]
) -> None:
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"soak-{date}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    measured = {
        "date": date,
        "about": about,
        "slope_mib_per_1000_steps": slope(probes),
        "problems": problems,
        "probes": [asdict(probe) for probe in probes],
    }
    path.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
