"""`make bench-ui`: what the app costs: lag, CPU, memory, start, bytes, and the training beside it.

Everything is measured on a real pseudo-terminal, with the app as a user starts it, over run
directories made here:

* replay: 20,000 steps with samples, played in a minute on 140 columns, six charts and samples in
  sight; lag of the event loop, share of one core, memory at the beginning and at the end;
* long: a run of 100,000 steps is opened, from the list of runs and as the first screen of the
  process; seconds until its course is there to be drawn;
* start: seconds from the start of the process to the first picture, with 20 runs in the list;
* quiet: bytes that reach the terminal in 20 s while nothing changes;
* beside (`--beside N`): the demo trained N times with the app open on it and N times alone, in
  turn; the ratio of the median step times, pair by pair.

Prints a table and writes `benchmarks/results/bench-ui-DATE.json` and `.md`.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import math
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

from benchmarks.results_sheet import machine, markdown_table

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parents[1]

TARGETS = {
    "replay: lag p95": "at most 16 ms",
    "replay: share of a core": "at most 15 %",
    "long: open": "at most 1 s",
    "start: first picture": "at most 0.7 s",
    "beside: step time": "at most 4 % more",
}


class Terminal:
    """A program on a pseudo-terminal; what it writes is counted and searched."""

    def __init__(self, command: list[str], width: int, height: int, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.began = time.time()
        self.written = 0
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "PROBE_BEGAN": repr(self.began),
                **environment,
            },
        )
        os.close(theirs)

    def read(self, seconds: float, until: bytes = b"") -> float | None:
        """Read for so long, or until a text was written; after how many seconds it was."""
        seen, deadline = b"", time.time() + seconds
        while time.time() < deadline:
            if not select.select([self._ours], [], [], 0.02)[0]:
                continue
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # the program has ended
                return None
            self.written += len(piece)
            seen = (seen + piece)[-100_000:]
            if until and until in seen:
                return time.time() - self.began
        return None

    def end(self) -> None:
        """End the program, if it has not ended itself."""
        if self.process.poll() is None:
            self.process.terminate()
        while self.process.poll() is None:
            self.read(0.1)
        os.close(self._ours)


def metrics(step: int, total: int, noise: random.Random) -> dict[str, float]:
    """Numbers such as a run has, with noise."""
    share = 1 - math.exp(-5 * step / total)

    def about(value: float, spread: float = 0.05) -> float:
        return value + noise.gauss(0, spread)

    return {
        "reward/score": about(0.85 * share),
        "reward/total": about(0.7 * share),
        "reward/sentiment": about(0.85 * share),
        "kl/ref": about(3.3 * share, 0.2),
        "kl/ref_k3": about(3.5 * share, 0.2),
        "kl/coef": 0.05,
        "policy/loss": about(0.0, 0.01),
        "policy/approx_kl": abs(about(4e-4, 1e-4)),
        "policy/clip_fraction": abs(about(0.03, 0.01)),
        "policy/entropy": about(1.6 - 0.6 * share),
        "policy/ratio_first": 1.0,
        "value/loss": abs(about(0.01, 0.003)),
        "value/explained_variance": about(0.5 * share),
        "value/clip_fraction": 0.0,
        "response/length": about(14.0, 0.4),
        "response/eos_rate": 1.0,
        "response/distinct_2": about(0.28, 0.01),
        "optim/lr": 2e-3 * (1 - step / (total + 1)),
        "optim/grad_norm": abs(about(0.4, 0.1)),
        "time/rollout": 0.2,
        "time/score": 0.4,
        "time/reward": 0.01,
        "time/update": 0.8,
        "throughput/tokens_per_s": about(2500, 60),
        "throughput/episodes_per_s": about(180, 5),
        "memory/peak_gib": 0.53,
        "memory/planned_gib": 0.5,
    }


def make_run(path: Path, steps: int, samples: int, *, seconds: float = 1.0) -> None:
    """A finished run of so many steps, with so many samples a step."""
    from ppo_tui.config.resolve import resolve
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.journal import encode
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.records import RunState, Sample, state_event, step_event
    from ppo_tui.runs.state import write_state

    noise = random.Random(0)
    text = "# preset: demo\n" + resolve("demo").to_yaml()
    run = RunDirectory.create(path, text, total=steps)
    words = "the soup was warm and the room quite bright though a little loud".split()  # noqa: SIM905
    with run.events_path.open("wb") as events, run.samples_path.open("wb") as book:
        for step in range(1, steps + 1):
            record = {**step_event(step, metrics(step, steps, noise)).to_json()}
            events.write(encode({**record, "time": 1.7e9 + seconds * step}))
            for index in range(samples):
                sample = Sample(
                    f"{step}-{index}",
                    step,
                    f"The {noise.choice(words)} was",
                    " " + " ".join(noise.choices(words, k=14)),
                    noise.gauss(0.5, 0.3),
                    {"sentiment": noise.gauss(0.5, 0.3)},
                    noise.gauss(3, 1),
                    14,
                    True,
                )
                book.write(encode(sample.to_json()))
        end = state_event(Phase.FINISHED, step=steps).to_json()
        events.write(encode({**end, "time": 1.7e9 + seconds * steps}))
    write_state(run, RunState(Phase.FINISHED, steps, steps))


def probe(
    folder: Path,
    seconds: float,
    *arguments: str,
    size: tuple[int, int] = (140, 45),
    **environment: str,
) -> dict[str, Any]:
    """Run the app with the probe inside; what the probe wrote down, and the bytes written."""
    out = folder / "probe.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.ui_probe", str(out), str(seconds), *arguments]
    terminal = Terminal(command, *size, PPO_TUI_HOME=str(folder / "home"), **environment)
    terminal.read(seconds + 60)
    terminal.end()
    answer: dict[str, Any] = json.loads(out.read_text())
    if answer["broken_by"]:
        raise SystemExit(f"the app broke: {answer['broken_by']}")
    answer["bytes_per_s"] = terminal.written / (seconds + 3)
    return answer


def first_picture(folder: Path, repeats: int) -> list[float]:
    """Seconds from the start of the process until the list of runs is on the terminal."""
    found = []
    for _ in range(repeats):
        terminal = Terminal(
            [sys.executable, "-m", "ppo_tui"], 120, 40, PPO_TUI_HOME=str(folder / "home")
        )
        seconds = terminal.read(20, b"listed-19")
        terminal.end()
        if seconds is None:
            raise SystemExit("the app showed no list of runs within 20 s")
        found.append(seconds)
    return found


def quiet_bytes(folder: Path, run: Path, seconds: float) -> int:
    """Bytes that reach the terminal while a finished run is looked at and nothing happens."""
    command = [sys.executable, "-m", "ppo_tui", "watch", str(run)]
    terminal = Terminal(command, 120, 40, PPO_TUI_HOME=str(folder / "home"))
    terminal.read(6)
    before = terminal.written
    terminal.read(seconds)
    written = terminal.written - before
    terminal.end()
    return written


def step_times(folder: Path, name: str, steps: int, *, watched: bool) -> float:
    """Train the demo, with the app open on it or alone; the median seconds between two steps."""
    from ppo_tui.runs.history import HistoryReader

    run = folder / name
    environment = {**os.environ, "PPO_TUI_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "ppo_tui", "train", "demo", "--run-dir", str(run)]
    command += ["--set", f"steps={steps}", "--set", "eval.at_end=false", "--json", "--detach"]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    terminal = None
    if watched:
        look = [sys.executable, "-m", "ppo_tui", "watch", str(run)]
        terminal = Terminal(look, 140, 45, PPO_TUI_HOME=str(folder / "home"))
    while json.loads((run / "state.json").read_text())["state"] != "finished":
        if terminal is not None:
            terminal.read(0.5)
        else:
            time.sleep(0.5)
        if json.loads((run / "state.json").read_text())["state"] == "failed":
            raise SystemExit("the demo failed")
    if terminal is not None:
        terminal.end()
    times = HistoryReader(run / "events.jsonl").poll().block.times
    # The first steps run while the app is starting; that is not what is asked.
    return statistics.median((times[5:] - times[4:-1]).tolist())


def main() -> None:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the replay")
    parser.add_argument("--repeats", type=int, default=5, help="of starts and openings")
    parser.add_argument("--beside", type=int, default=4, help="pairs of demo runs; 0 leaves it out")
    parser.add_argument("--beside-steps", type=int, default=24)
    parser.add_argument("--no-write", action="store_true", help="write no result sheet")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "targets": TARGETS}
    with tempfile.TemporaryDirectory(prefix="bench-ui-") as name:
        folder = Path(name)
        for index in range(20):
            make_run(folder / "home" / "runs" / f"listed-{index}", 200, 2)
        make_run(folder / "replayed", 20_000, 8)
        make_run(folder / "long", 100_000, 0)
        speed = 20_000 / (options.seconds + 4)
        replayed = str(folder / "replayed")
        # The first run compiles the screens' byte code, as the first start after installing does.
        first_picture(folder, 1)
        result["start_s"] = first_picture(folder, options.repeats)
        long = str(folder / "long")
        result["long"] = [probe(folder, 3, long) for _ in range(options.repeats)]
        result["long_from_list"] = [
            probe(folder, 3, long, PROBE_FROM_LIST="1") for _ in range(options.repeats)
        ]
        result["replay"] = [probe(folder, options.seconds, replayed, str(speed)) for _ in range(2)]
        result["slow_replay"] = probe(folder, 30, replayed, "20")
        result["quiet_bytes_in_20_s"] = quiet_bytes(folder, folder / "replayed", 20)
        result["beside"] = [
            {
                "alone": step_times(folder, f"alone-{pair}", options.beside_steps, watched=False),
                "watched": step_times(folder, f"seen-{pair}", options.beside_steps, watched=True),
            }
            for pair in range(options.beside)
        ]
    lines = report(result)
    print("\n".join(lines))
    if not options.no_write:
        stem = f"bench-ui-{datetime.date.today().isoformat()}"
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=2) + "\n")
        (RESULTS / f"{stem}.md").write_text("\n".join(lines) + "\n")


def report(result: dict[str, Any]) -> list[str]:
    """The sheet: the machine, then each figure beside what was asked."""
    replay, slow = result["replay"], result["slow_replay"]
    opened = [entry["opened_s"] for entry in result["long"]]
    from_list = [entry["opened_s"] for entry in result["long_from_list"]]
    ratios = [pair["watched"] / pair["alone"] for pair in result["beside"]]

    def each(values: list[float], form: str) -> str:
        return ", ".join(format(value, form) for value in values)

    rows = [
        ["figure", "median", "each", "asked"],
        [
            "replay of 20,000 steps: event loop lag, p95",
            f"{statistics.median(entry['lag_p95_ms'] for entry in replay):.1f} ms",
            each([entry["lag_p95_ms"] for entry in replay], ".1f"),
            "≤ 16 ms",
        ],
        [
            "  its share of one core",
            f"{100 * statistics.median(entry['cpu_share'] for entry in replay):.1f} %",
            each([100 * entry["cpu_share"] for entry in replay], ".1f"),
            "≤ 15 %",
        ],
        [
            "  its memory, first and last quarter",
            " → ".join(
                f"{statistics.median(entry[key] for entry in replay):.0f}"
                for key in ("memory_first_mib", "memory_last_mib")
            )
            + " MiB",
            "",
            "flat",
        ],
        [
            "replay at 20 steps a second: lag p95, share of a core",
            f"{slow['lag_p95_ms']:.1f} ms, {100 * slow['cpu_share']:.1f} %",
            "",
            "",
        ],
        [
            "run of 100,000 steps, from its key in the list: course on the screen after",
            f"{statistics.median(from_list):.2f} s",
            each(from_list, ".2f"),
            "≤ 1 s",
        ],
        [
            "  the same from the start of the process (`ppo-tui RUN`)",
            f"{statistics.median(opened):.2f} s",
            each(opened, ".2f"),
            "≤ 1 s",
        ],
        [
            "first picture after",
            f"{statistics.median(result['start_s']):.2f} s",
            each(result["start_s"], ".2f"),
            "≤ 0.7 s",
        ],
        [
            "bytes to the terminal in 20 s while nothing changes",
            str(result["quiet_bytes_in_20_s"]),
            "",
            "few",
        ],
    ]
    if ratios:
        rows.append(
            [
                "step time of the demo with the app open, over alone",
                f"{statistics.median(ratios):.3f}",
                each(ratios, ".3f"),
                "≤ 1.04",
            ]
        )
    about = ", ".join(f"{key}: {value}" for key, value in result["machine"].items())
    return ["# The app", "", about, "", *markdown_table(rows)]


if __name__ == "__main__":
    main()
