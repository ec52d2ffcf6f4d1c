"""`make bench-paths`: whether the fast ways of computing learn what the plain ones learn.

The demo preset as a user runs it (`ppo-tui train demo --json`, a worker of its own), with the same
seeds twice: `fast` as it is shipped, `plain` with every choice of the engine set to the textbook's
way (transformers' growing cache, padded passes, the adapter beside the weights). The two differ by
rounding, and rounding soon makes other texts; so they are compared over seeds: the share of the
optimum seed by seed, and the reward at each step against its spread over the seeds.

Prints a table and writes `benchmarks/results/bench-paths-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import versions

RESULTS = Path(__file__).resolve().parent / "results"

PATHS: dict[str, tuple[str, ...]] = {
    "fast": (),
    "plain": (
        "engine.rollout=plain",
        "engine.packing=never",
        "engine.rollout_weights=adapters",
    ),
}


@dataclass(frozen=True)
class Run:
    """What one run came to.

    Attributes:
        rewards: `reward/score` of each step.
        share: Of the optimum.
        seconds: Sum of the steps' own times.
        gap: Largest mean difference between a token's log-probability to sampler and policy.
    """

    path: str
    seed: int
    rewards: tuple[float, ...]
    share: float
    seconds: float
    gap: float


def run(path: str, seed: int, folder: Path, extra: Sequence[str]) -> Run:
    """Train the demo once.

    Raises:
        SystemExit: The run failed; its message is printed.
    """
    run_dir = folder / f"{path}-{seed}"
    command = [sys.executable, "-m", "ppo_tui", "train", "demo", "--json", "--run-dir"]
    command.append(str(run_dir))
    for setting in (*PATHS[path], f"seed={seed}", f"data.seed={seed}", *extra):
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}, seed {seed}, failed:\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    steps = [event["metrics"] for event in events if event["kind"] == "step"]
    evaluated = next(e["metrics"] for e in reversed(events) if e["kind"] == "eval")
    phases = ("time/rollout", "time/score", "time/reward", "time/update")
    return Run(
        path=path,
        seed=seed,
        rewards=tuple(metrics["reward/score"] for metrics in steps),
        share=evaluated["eval/share_of_optimum"],
        seconds=sum(metrics[phase] for metrics in steps for phase in phases),
        gap=max(metrics["rollout/logprob_gap"] for metrics in steps),
    )


def report(runs: Sequence[Run], about: dict[str, str], date: str) -> list[str]:
    """The result as lines of Markdown."""
    fast, plain = ([r for r in runs if r.path == path] for path in PATHS)
    lines = [f"# Fast and plain ways of computing, {date}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    rows = [
        ("seed", "share, fast", "share, plain", "difference", "seconds, fast", "plain", "ratio")
    ]
    rows += [
        (
            str(one.seed),
            f"{one.share:.3f}",
            f"{other.share:.3f}",
            f"{one.share - other.share:+.3f}",
            f"{one.seconds:.1f}",
            f"{other.seconds:.1f}",
            f"{other.seconds / one.seconds:.2f}x",
        )
        for one, other in zip(fast, plain, strict=True)
    ]
    lines += [*markdown_table(rows), ""]
    differences = [one.share - other.share for one, other in zip(fast, plain, strict=True)]
    lines.append(f"Share of the optimum, fast less plain: {_mean_and_error(differences)}.")
    ratio = statistics.median(o.seconds / f.seconds for f, o in zip(fast, plain, strict=True))
    lines.append(f"Seconds of all steps, plain over fast: median {ratio:.2f}.")
    gaps = max(run.gap for run in fast), max(run.gap for run in plain)
    lines.append(f"Largest mean gap of the sampler: {gaps[0]:.1e} fast, {gaps[1]:.1e} plain.")
    lines += ["", "## Reward of a step, mean over the seeds", ""]
    count = len(fast[0].rewards)
    rows = [("step", "fast", "plain", "difference", "standard error of it")]
    within = 0
    for step in range(count):
        one, other = ([r.rewards[step] for r in of] for of in (fast, plain))
        error = math.hypot(*(statistics.stdev(v) / math.sqrt(len(v)) for v in (one, other)))
        difference = statistics.fmean(one) - statistics.fmean(other)
        within += abs(difference) <= 2 * error
        if step in (0, count - 1) or (step + 1) % 4 == 0:
            means = (f"{statistics.fmean(v):+.3f}" for v in (one, other))
            rows.append((str(step + 1), *means, f"{difference:+.3f}", f"{error:.3f}"))
    lines += [*markdown_table(rows), ""]
    lines.append(f"{within} of {count} steps differ by less than two standard errors.")
    return lines


def _mean_and_error(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.fmean(values):+.4f} with a standard error of {error:.4f}"


def main() -> None:
    """Run both ways with every seed, in turn, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0; at least 2")
    parser.add_argument("--set", action="append", default=[], help="a setting for every run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be at least 2: a difference needs a spread to be compared with")
    runs = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-paths-") as folder:
        for seed in range(arguments.seeds):
            for path in PATHS:
                runs.append(run(path, seed, Path(folder), arguments.set))
                print(
                    f"{path} seed {seed}: share {runs[-1].share:.3f}, {runs[-1].seconds:.1f} s in "
                    f"steps, {time.perf_counter() - began:.0f} s so far",
                    file=sys.stderr,
                    flush=True,
                )
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    about = machine() | versions("ppo-tui", "torch", "transformers", "peft")
    lines = report(runs, about, date)
    print("\n".join(lines))
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"bench-paths-{date}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    measured = {"date": date, "about": about, "paths": PATHS, "set": arguments.set}
    path.with_suffix(".json").write_text(
        json.dumps({**measured, "runs": [asdict(r) for r in runs]}, indent=1) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
