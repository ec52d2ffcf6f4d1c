"""The result of a chaos run as Markdown and JSON."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.results_sheet import markdown_table
from tools.chaos.moments import KINDS
from tools.chaos.workers import Outcome

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def report(outcomes: Sequence[Outcome], settings: Sequence[str], about: Mapping[str, str]) -> str:
    """The result as Markdown."""
    kills = [kill for outcome in outcomes for kill in outcome.kills]
    table = Counter((kill.phase, kill.moment.kind) for kill in kills)
    phases = sorted({kill.phase for kill in kills})
    rows: list[tuple[str, ...]] = [("the run was", *KINDS, "together")]
    for phase in phases:
        each = [table[phase, kind] for kind in KINDS]
        rows.append((phase, *map(str, each), str(sum(each))))
    sums = [sum(table[phase, kind] for phase in phases) for kind in KINDS]
    rows.append(("together", *map(str, sums), str(sum(sums))))
    targets = Counter(f"{k.moment.when} {k.moment.target}" for k in kills if k.moment.nth)
    differing = sum(bool(outcome.problems) for outcome in outcomes)
    lines = [
        f"# {len(kills)} kills, {len(outcomes)} runs, {differing} of them different at the end",
        "",
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        f"The demo preset with {', '.join(settings)}; one thread a worker. Every kill is a "
        "SIGKILL, followed by a new worker; every run goes to its end, and is compared bit for bit "
        f"with one that nobody disturbed. {sum(kill.twice for kill in kills)} kills came to a "
        "worker that had been started after another kill, before its first step.",
        "",
        *markdown_table(rows),
        "",
        "At file operations: "
        + ", ".join(f"{words} ({count})" for words, count in sorted(targets.items()))
        + ".",
    ]
    lines += [f"- PROBLEM in {o.run.path.name}: {words}" for o in outcomes for words in o.problems]
    return "\n".join(lines)


def write(text: str, outcomes: Sequence[Outcome], about: Mapping[str, str]) -> Path:
    """Put the result under `benchmarks/results/`; returns the Markdown file."""
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"chaos-{date}.md"
    path.write_text(text + "\n", encoding="utf-8")
    runs = [
        {
            "kills": [
                {
                    "moment": str(kill.moment),
                    "phase": kill.phase,
                    "step": kill.step,
                    "twice": kill.twice,
                }
                for kill in outcome.kills
            ],
            "problems": outcome.problems,
        }
        for outcome in outcomes
    ]
    measured = {"date": date, "about": dict(about), "runs": runs}
    path.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return path
