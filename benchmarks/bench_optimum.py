"""`make bench-optimum`: the share of the optimum that a run reaches, over seeds.

Two variants of the demo, each run as a user runs it (`ppo-tui train demo --json`, a worker of its
own): `demo` as it is shipped, and `harder`, where the response must also come to a length and the
penalty is weaker, so that the optimum lies further from the base model. The seed changes the
adapters' initialisation, the samples, the shuffles and the order of the prompts; the bundled model
stays the same.

Prints a table and writes `benchmarks/results/bench-optimum-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import versions

RESULTS = Path(__file__).resolve().parent / "results"

VARIANTS: dict[str, tuple[str, ...]] = {
    "demo": (),
    "harder": (
        "reward.terms=[{kind: sentiment}, {kind: length, target: 14, tolerance: 10, weight: 0.5}]",
        "ppo.kl_coef=0.04",
    ),
}


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    variant: str
    seed: int
    share: float
    low: float
    high: float
    score_base: float
    score_tuned: float
    kl: float
    seconds: float


def run(variant: str, seed: int, folder: Path, extra: Sequence[str]) -> Outcome:
    """Train one variant with one seed.

    Raises:
        SystemExit: The run failed; its message is printed.
    """
    run_dir = folder / f"{variant}-{seed}"
    settings = (*VARIANTS[variant], f"seed={seed}", f"data.seed={seed}", *extra)
    command = [
        sys.executable,
        "-m",
        "ppo_tui",
        "train",
        "demo",
        "--json",
        "--run-dir",
        str(run_dir),
    ]
    for setting in settings:
        command += ["--set", setting]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{variant}, seed {seed}, failed:\n{done.stderr[-2000:]}")
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    metrics = next(e["metrics"] for e in reversed(events) if e["kind"] == "eval")
    return Outcome(
        variant=variant,
        seed=seed,
        share=metrics["eval/share_of_optimum"],
        low=metrics["eval/share_low"],
        high=metrics["eval/share_high"],
        score_base=metrics["eval/score_base"],
        score_tuned=metrics["eval/score_tuned"],
        kl=metrics["eval/kl"],
        seconds=seconds,
    )


def report(outcomes: Sequence[Outcome], about: dict[str, str], date: str) -> list[str]:
    """The result as lines of Markdown."""
    lines = [f"# Share of the optimum over seeds, {date}", ""]
    lines += [", ".join(f"{name} {value}" for name, value in about.items()) + ".", ""]
    for variant in dict.fromkeys(o.variant for o in outcomes):
        of = [o for o in outcomes if o.variant == variant]
        shares = [o.share for o in of]
        changes = ", ".join(VARIANTS[variant]) or "the preset as it is shipped"
        lines += [f"## {variant}", "", f"Settings: {changes}.", ""]
        rows = [("seed", "share", "95 % interval", "score base", "score tuned", "KL", "seconds")]
        rows += [
            (
                str(o.seed),
                f"{o.share:.3f}",
                f"{o.low:.3f} to {o.high:.3f}",
                f"{o.score_base:+.3f}",
                f"{o.score_tuned:+.3f}",
                f"{o.kl:.2f}",
                f"{o.seconds:.0f}",
            )
            for o in of
        ]
        lines += markdown_table(rows)
        lines += [
            "",
            f"Median {statistics.median(shares):.3f}, worst {min(shares):.3f}, "
            f"best {max(shares):.3f} over {len(of)} seeds.",
            "",
        ]
    return lines


def main() -> None:
    """Run every variant with every seed, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--set", action="append", default=[], help="a setting for every run")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="bench-optimum-") as folder:
        for variant in arguments.variants:
            for seed in range(arguments.seeds):
                outcome = run(variant, seed, Path(folder), arguments.set)
                outcomes.append(outcome)
                print(
                    f"{variant} seed {seed}: share {outcome.share:.3f} "
                    f"[{outcome.low:.3f}, {outcome.high:.3f}], score {outcome.score_tuned:.3f}, "
                    f"{outcome.seconds:.0f} s",
                    flush=True,
                )
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    about: dict[str, Any] = machine() | versions("ppo-tui", "torch", "transformers", "peft")
    lines = report(outcomes, about, date)
    print("\n".join(["", *lines]))
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"bench-optimum-{date}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    measured = {"date": date, "about": about, "variants": VARIANTS, "set": arguments.set}
    path.with_suffix(".json").write_text(
        json.dumps({**measured, "runs": [asdict(o) for o in outcomes]}, indent=2) + "\n",
        encoding="utf-8",
    )
    print(f"Written to {path}.md and .json")


if __name__ == "__main__":
    main()
