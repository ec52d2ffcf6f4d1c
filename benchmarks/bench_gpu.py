"""`make bench-gpu`: PPO on a GPU against TRL, plain `generate`, and what the device can do at most.

Every part runs in a process of its own with its own time limit, and the whole has a deadline; a
part that fails or does not get done is a line of the report. The report and its data are written
anew after every row, so that they hold what was measured whenever the script ends.

The numbers go to stdout as tables and to `benchmarks/results/bench-gpu-DATE.json` and `.md`. What
is measured, and how, is said in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.bench_speed import RESULTS, ROOT, BenchmarkError, ensure_trl_venv, say, tail
from benchmarks.gpu_contract import (
    FailedRow,
    Part,
    Row,
    StepRow,
    row_from_dict,
    row_to_dict,
)
from benchmarks.gpu_report import Measured, report
from benchmarks.gpu_schedule import GROUPS, parts
from benchmarks.gpu_shapes import model_config
from benchmarks.random_models import ModelShape, random_prompts
from benchmarks.results_sheet import machine
from benchmarks.speed_contract import SpeedResult, SpeedSpec
from ppo_tui.errors import ExitCode

TRL = "1.12.0"
"""The last release with a PPOTrainer."""

TOO_SHORT = 15.0
"""A part that has fewer seconds left than this is not started: importing alone takes so long."""


TO_END = 5.0
"""Seconds before the deadline at which the last part is ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts and writes the report; the exit codes are those of ppo-tui."""
    args = parse(arguments)
    started = time.monotonic()
    if args.device == "cuda" and not has_cuda():
        say(
            "bench-gpu: torch sees no CUDA device here; run it on a machine with one, or try the "
            "script itself with --device cpu --tiny."
        )
        return ExitCode.MISSING
    before = time.monotonic()
    trl_python, no_trl = find_trl(args.trl)
    started += time.monotonic() - before  # making a venv is no part of the benchmark
    measured: Measured = {}
    date = datetime.date.today().isoformat()
    # A trial must not stand in the place of a result.
    name = f"bench-gpu-{'tiny-' if args.tiny else ''}{date}"
    args.results.mkdir(parents=True, exist_ok=True)
    about = {"date": date, "machine": machine(), "tiny": args.tiny, "trl": no_trl}

    def take(part: Part, row: Row) -> None:
        measured.setdefault(part.group, []).append(row)
        say(f"{part.name}: {said(row)}")
        about["seconds"] = time.monotonic() - started
        write(args.results / name, measured, about)

    with tempfile.TemporaryDirectory() as folder:
        todo = parts(
            tuple(args.parts),
            Path(folder),
            device=args.device,
            tiny=args.tiny,
            trl_python=trl_python,
        )
        for part in todo:
            left = 60 * args.minutes - TO_END - (time.monotonic() - started)
            if left < min(TOO_SHORT, part.seconds):
                take(part, FailedRow(part.name, f"the {args.minutes:g} minutes were over"))
                continue
            run_part(part, min(left, part.seconds), partial(take, part))
    print("\n".join(report(measured, about)))
    rows = [row for group in measured.values() for row in group]
    return ExitCode.FAILED if all(isinstance(row, FailedRow) for row in rows) else ExitCode.DONE


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench_gpu", description="PPO on a GPU: ppo-tui, TRL, and the limits of the device."
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models: to try the script")
    parser.add_argument("--minutes", type=float, default=8.0, help="deadline of the whole")
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=GROUPS,
        default=list(GROUPS),
        help="groups of parts; the device's limits are always measured, with no group they alone",
    )
    parser.add_argument(
        "--trl",
        default="auto",
        metavar="PYTHON",
        help=f"interpreter that has trl {TRL}; none leaves TRL out; auto takes this one if it has "
        "TRL, else a venv that is made on the first run",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args(arguments)


def has_cuda() -> bool:
    """Whether torch sees a CUDA device; asked in a process of its own, which then lets it go."""
    question = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", question], capture_output=True).returncode == 0


def find_trl(asked: str) -> tuple[str, str]:
    """The interpreter that has TRL, and why there is none; one of the two is empty."""
    if asked == "none":
        return "", "as asked."
    if asked != "auto":
        return asked, ""
    with contextlib.suppress(metadata.PackageNotFoundError):
        if metadata.version("trl") == TRL:
            return sys.executable, ""
    try:
        return str(ensure_trl_venv()), ""
    except BenchmarkError as error:
        say(f"bench-gpu: {error}")
        return "", "its venv could not be made."


def run_part(part: Part, seconds: float, take: Callable[[Row], None]) -> None:
    """Run a part in a process of its own; hands over its rows, the last of which may be a failure.

    Args:
        part: What to run.
        seconds: When to end it.
        take: Called with each row as it comes.
    """
    python, module, asked = sys.executable, "benchmarks.gpu_parts", part.to_json()
    if part.kind == "trl":
        python, module, asked = part.trl_python, "benchmarks.trl_side", trl_spec(part).to_json()
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        talk = stack.enter_context(tempfile.TemporaryFile("w+"))
        try:
            process = stack.enter_context(
                subprocess.Popen(
                    [python, "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=talk,
                    text=True,
                    cwd=ROOT,
                    env=environment(part),
                    start_new_session=True,
                )
            )
        except OSError as error:
            take(FailedRow(part.name, f"{python} cannot be run: {error.strerror}"))
            return

        def end() -> None:
            over.set()
            _kill(process)

        clock = threading.Timer(seconds, end)
        clock.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it failed at once; its talk says why
                process.stdin.write(asked)
                process.stdin.close()
            for line in process.stdout:
                if line.startswith("{"):
                    take(_row(part, json.loads(line)))
            code = process.wait()
        finally:
            clock.cancel()
            _kill(process)
        talk.seek(0)
        if over.is_set():
            take(FailedRow(part.name, f"not done within its {seconds:.0f} s"))
        elif code:
            text = talk.read()
            say(tail(text))
            take(FailedRow(part.name, tail(text, 1)[:300] or f"ended with {code}"))


def trl_spec(part: Part) -> SpeedSpec:
    """What TRL's side is asked."""
    work = part.works[0]
    vocab = model_config(part.model, part.tiny)["vocab_size"]
    return SpeedSpec(
        model=part.folder,
        prompts=random_prompts(
            ModelShape(vocab=vocab), 256, work.prompt_tokens, work.prompt_tokens
        ),
        batch_size=work.batch,
        response_tokens=work.response_tokens,
        lengths="mixed" if work.mixed else "fixed",
        epochs=work.epochs,
        minibatches=work.minibatches,
        lr=1e-5,
        steps=work.steps,
        warmup=work.warmup,
        threads=os.cpu_count() or 1,
        value=part.value,
        device=part.device,
        dtype=part.dtype,
    )


def environment(part: Part) -> dict[str, str]:
    """The same for every part: no network, and a GPU only where one is asked for."""
    # Named outright, because TRL's side takes no GPU unless one is named.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if part.device == "cuda" else ""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": visible,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def write(path: Path, measured: Measured, about: dict[str, Any]) -> None:
    """The report and its data, beside each other."""
    data = {
        **about,
        "rows": {group: [row_to_dict(row) for row in rows] for group, rows in measured.items()},
    }
    path.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    path.with_suffix(".md").write_text("\n".join(report(measured, about)) + "\n")


def said(row: Row) -> str:
    """A row in a few words, while the script runs."""
    if isinstance(row, FailedRow):
        return f"not measured: {row.reason}"
    if isinstance(row, StepRow):
        speed = row.work.batch / statistics.median(row.step_seconds)
        return f"{row.engine}, batch {row.work.batch}: {speed:.2f} episodes/s"
    return "done"


def _row(part: Part, raw: dict[str, Any]) -> Row:
    if part.kind != "trl":
        return row_from_dict(raw)
    result = SpeedResult(**raw)
    return StepRow(
        engine=f"trl {part.value}",
        model=part.model,
        quantization="none",
        work=part.works[0],
        step_seconds=result.step_seconds,
        phases={},
        allocated_gib=result.device_allocated_gib,
        reserved_gib=result.device_reserved_gib,
        planned_gib=None,
        choices=None,
        optimiser_steps=statistics.fmean(result.optimiser_steps),
        response_length=result.response_length_mean,
        score_flop=0.0,
        update_flop=0.0,
        versions=result.versions,
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """End a part and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
