"""`python -m tools.fuzz`: feed every reader with damaged files; ends with 1 if one stumbles.

What stumbles is made as small as hypothesis can make it, and printed with the seed. The other parts
go on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from benchmarks.results_sheet import machine, markdown_table
from benchmarks.speed_contract import versions
from tools.fuzz.bounds import PATIENCE, ROOM, SECONDS, Hangs, in_room, in_time, peak_mib
from tools.fuzz.parts import Part, parts

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"

MOST_SHOWN = 4000
"""Characters of a failure."""


@dataclass(frozen=True)
class Fed:
    """How a part took its inputs.

    Attributes:
        inputs: How many there were.
        slowest: Seconds of the processor that the slowest took.
        failure: What stumbled and over what; empty if nothing did.
    """

    name: str
    inputs: int
    seconds: float
    slowest: float
    failure: str = ""


def feed(part: Part, count: int, seed: int, folder: Path) -> Fed:
    """Feed one part with `count` inputs."""
    os.environ["PPO_TUI_HOME"] = str(folder)
    fed, slowest, began = 0, 0.0, time.monotonic()

    @seeded(seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(part.inputs)
    def one(value: object) -> None:
        nonlocal fed, slowest
        fed += 1
        spent = time.process_time()
        try:
            with in_time():
                part.read(folder, value)
        except Hangs as error:
            raise AssertionError(f"it hangs: {error}") from error
        slowest = max(slowest, time.process_time() - spent)

    failure = ""
    try:
        with in_room():
            one()
    except Exception:  # whatever stumbles is what is looked for; the caller prints it
        failure = traceback.format_exc(limit=-6)[:MOST_SHOWN]
    return Fed(part.name, fed, time.monotonic() - began, slowest, failure)


def report(fed: Sequence[Fed], about: Mapping[str, str]) -> str:
    """The result as Markdown."""
    rows: list[tuple[str, ...]] = [("part", "inputs", "seconds", "slowest input", "stumbled")]
    rows += [
        (f.name, f"{f.inputs:,}", f"{f.seconds:.0f}", f"{f.slowest:.2f} s", "yes" * bool(f.failure))
        for f in fed
    ]
    return "\n".join(
        [
            f"# {sum(f.inputs for f in fed):,} damaged files",
            "",
            ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
            "",
            f"Every input is taken, or refused with a single sentence, within {SECONDS:g} s of the "
            f"processor, {PATIENCE:g} s of the clock and {ROOM >> 20:,} MiB of memory.",
            "",
            *markdown_table(rows),
            *(f"\n{f.name}:\n{f.failure}" for f in fed if f.failure),
        ]
    )


def _write(text: str, fed: Sequence[Fed], about: Mapping[str, str]) -> None:
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"fuzz-{date}.md"
    path.write_text(text + "\n", encoding="utf-8")
    measured = {"date": date, "about": dict(about), "parts": [asdict(each) for each in fed]}
    path.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Run from the command line; returns an exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--parts", nargs="*", help="some of them; all if left out")
    parser.add_argument("--write", action="store_true", help="write the sheet of results")
    arguments = parser.parse_args()
    about = machine() | versions("ppo-tui", "hypothesis") | {"seed": str(arguments.seed)}
    fed: list[Fed] = []
    for part in parts():
        if arguments.parts and part.name not in arguments.parts:
            continue
        with tempfile.TemporaryDirectory(prefix="ppo-tui-fuzz-") as folder:
            count = -int(-arguments.inputs * part.share // 1)
            fed.append(feed(part, count, arguments.seed, Path(folder)))
        words = f"{part.name}: {fed[-1].inputs:,} inputs {fed[-1].failure}"
        print(words.rstrip(), file=sys.stderr, flush=True)
    about["peak memory"] = f"{peak_mib():.0f} MiB"
    text = report(fed, about)
    print(text)
    if arguments.write:
        _write(text, fed, about)
    return 1 if any(each.failure for each in fed) else 0


if __name__ == "__main__":
    sys.exit(main())
