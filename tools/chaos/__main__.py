"""`python -m tools.chaos`: kill, resume, compare, and say how it went; ends with 1 if it did not.

Makes at least `--kills` kills, spread over as many runs as they take. The seed chooses the moments;
which phase a moment of the clock falls into is the machine's affair.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.results_sheet import machine
from benchmarks.speed_contract import versions
from ppo_tui.config.resolve import resolve
from tools.chaos.moments import Moments
from tools.chaos.sheet import report, write
from tools.chaos.workers import INJECTED, Outcome, first_lines, under_fire, undisturbed

SETTINGS = (
    "eval.every=9",
    "eval.samples=32",
    "eval.reference_samples=64",
    "checkpoint.every=3",
    "ratings.pool=8",
    "device=cpu",
)
"""The demo preset with checkpoints and evaluations often enough to be met, and these shorter."""

SHORT = (
    "steps=6",
    "rollout.batch_size=16",
    "rollout.response_tokens=8",
    "ppo.minibatches=2",
    "eval.prompts=4",
    "eval.samples=8",
    "eval.reference_samples=8",
    "eval.every=3",
    "eval.watch_every=2",
    "checkpoint.every=2",
    "ratings.pool=4",
    "device=cpu",
)
"""A run that takes a second or two beside the start of its worker."""


def chaos(
    folder: Path, settings: Sequence[str], kills: int, seed: int, jobs: int = 1
) -> list[Outcome]:
    """Train a reference in `folder`, then runs under fire until there were so many kills."""
    os.environ["OMP_NUM_THREADS"] = "1"
    _inject()
    resolved = resolve("demo", settings)
    reference = undisturbed(folder / "reference", resolved)
    tell(f"The reference loaded for {reference.loading:.1f} s, ran for {reference.seconds:.1f} s.")
    moments = Moments(seed, reference.counts)
    outcomes: list[Outcome] = []

    def one(number: int) -> Outcome:
        began = time.monotonic()
        left = kills - sum(len(outcome.kills) for outcome in outcomes)
        path = folder / f"run-{number:03d}"
        outcome = under_fire(path, resolved, reference, moments, min(moments.kills(), left))
        words = "; ".join(str(kill.moment) for kill in outcome.kills)
        tell(f"{path.name}: {words} -> {time.monotonic() - began:.0f} s")
        for problem in outcome.problems:
            tell(f"{path.name}: PROBLEM: {problem}")
        return outcome

    number = 0
    with ThreadPoolExecutor(jobs) as pool:
        # One at a time it is this thread's own work, which a signal ends at once.
        each = pool.map if jobs > 1 else map
        while (done := sum(len(o.kills) for o in outcomes)) < kills and number < 3 * kills:
            at_once = min(jobs, kills - done)
            for outcome in each(one, range(number, number + at_once)):
                outcomes.append(outcome)
                if not outcome.problems:
                    shutil.rmtree(outcome.run.path)
            number += at_once
    return outcomes


def _inject() -> None:
    before = os.environ.get("PYTHONPATH")
    if str(INJECTED) not in (before or "").split(os.pathsep):
        os.environ["PYTHONPATH"] = f"{INJECTED}{os.pathsep}{before}" if before else str(INJECTED)


def tell(words: str) -> None:
    """A line for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def main() -> int:
    """Run from the command line; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--short", action="store_true", help="a small run, as in `make test`")
    parser.add_argument("--steps", type=int, help="of each run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--write", action="store_true", help="write the sheet of results")
    arguments = parser.parse_args()
    settings = list(SHORT if arguments.short else SETTINGS)
    if arguments.steps:
        settings.append(f"steps={arguments.steps}")
    about = machine() | versions("ppo-tui", "torch", "transformers", "peft")
    about["seed"] = str(arguments.seed)
    tell(f"Seed {arguments.seed}.")
    # So that a worker which is just being waited for is ended with this process.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="ppo-tui-chaos-"))
    outcomes = chaos(folder, settings, arguments.kills, arguments.seed, arguments.jobs)
    about["duration"] = f"{(time.monotonic() - began) / 60:.1f} min"
    text = report(outcomes, settings, about)
    print(text)
    if arguments.write:
        print(write(text, outcomes, about))
    problems = first_lines(outcomes)
    if problems:
        tell("The runs and the reference are kept:\n" + "\n".join(problems))
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
