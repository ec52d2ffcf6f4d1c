"""A run under fire: its worker started as the program starts it, killed, and started again."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ppo_tui.config.resolve import ResolvedConfig
from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state
from tools.chaos.compare import differences
from tools.chaos.invariants import broken
from tools.chaos.moments import Moment, Moments

INJECTED = Path(__file__).resolve().parent / "injected"
"""To stand on PYTHONPATH, so that Python loads its sitecustomize in every worker."""

PATIENCE = 1800.0
"""Seconds after which a worker counts as hanging."""

_LOOK = 0.001
_LOOK_WHILE_WAITING = 0.02


@dataclass(frozen=True)
class Reference:
    """A run that nobody disturbed.

    Attributes:
        seconds: How long its worker took from its first step on.
        loading: And up to there.
        counts: How many file operations of each kind the worker did.
    """

    run: RunDirectory
    seconds: float
    loading: float
    counts: dict[str, int]


@dataclass(frozen=True)
class Kill:
    """A kill that met its worker.

    Attributes:
        moment: When it was meant to come.
        phase: What the run's state said then.
        step: And after which step.
        twice: It came to a worker that was started after another kill, before its first step.
    """

    moment: Moment
    phase: str
    step: int
    twice: bool


@dataclass
class Outcome:
    """A run that was killed and resumed to its end.

    Attributes:
        kills: In their order.
        problems: What did not hold on the way or at the end; empty if all did.
    """

    run: RunDirectory
    kills: list[Kill] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def undisturbed(path: Path, resolved: ResolvedConfig) -> Reference:
    """Train the reference.

    Raises:
        SystemExit: It failed.
    """
    run = RunDirectory.create(path, resolved.to_yaml(), total=resolved.config.steps)
    counts = path.with_name(f"{path.name}.counts.json")
    began = time.monotonic()
    with _worker(run, {"count": str(counts)}) as worker:
        while worker.poll() is None and read_state(run).state in (Phase.CREATED, Phase.LOADING):
            time.sleep(_LOOK_WHILE_WAITING)
        loaded = time.monotonic()
        code = worker.wait(PATIENCE)
    if code != 0:
        raise SystemExit(f"The reference failed:\n{run.log_path.read_text()[-2000:]}")
    found: dict[str, int] = json.loads(counts.read_text())
    return Reference(run, time.monotonic() - loaded, loaded - began, found)


def under_fire(
    path: Path, resolved: ResolvedConfig, reference: Reference, moments: Moments, most: int
) -> Outcome:
    """Make a run, kill its workers up to `most` times, and let the last one finish."""
    run = RunDirectory.create(path, resolved.to_yaml(), total=resolved.config.steps)
    outcome = Outcome(run)
    again = False
    while len(outcome.kills) < most:
        moment = _moment(run, moments, again=again, resuming=bool(outcome.kills))
        killed, code = strike(run, moment, reference)
        if not killed:
            if code != 0:
                outcome.problems.append(f"a worker ended with {code} before {moment}")
            break
        state = read_state(run)
        outcome.kills.append(Kill(moment, state.state.value, state.step, again))
        outcome.problems += [f"after {moment}: {words}" for words in broken(run)]
        if outcome.problems or state.state is Phase.FINISHED:
            break
        again = not again and moments.twice()
    if not outcome.problems:
        outcome.problems += _finish(run) or differences(run, reference.run)
    return outcome


def _moment(run: RunDirectory, moments: Moments, *, again: bool, resuming: bool) -> Moment:
    if again:
        return moments.while_resuming()
    state = read_state(run)
    left = 1.0 - state.step / state.total if resuming else 1.0
    return moments.next(left, resuming=resuming)


def strike(run: RunDirectory, moment: Moment, reference: Reference) -> tuple[bool, int]:
    """Start a worker and kill it at a moment.

    Returns:
        Whether it was killed, else the run ended before; and the worker's exit code.
    """
    with _worker(run, moment.order) as worker:
        if moment.order is None:
            if moment.kind == "phase":
                _await_phase(run, worker, moment)
            else:
                seconds = moment.share * reference.loading
                if moment.kind == "time":
                    seconds = reference.loading + moment.share * reference.seconds
                _await_end(worker, seconds)
            if worker.poll() is None:
                worker.kill()
        code = worker.wait(PATIENCE)
    return code == -signal.SIGKILL, code


@contextlib.contextmanager
def _worker(
    run: RunDirectory, order: dict[str, object] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with an order, started as the program does it; never left to itself."""
    path = run.path.with_name(f"{run.name}.order.json")
    if order is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(json.dumps(order))
    worker = start_worker(run)
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _finish(run: RunDirectory) -> list[str]:
    """Resume a run without a disturbance; what went wrong."""
    if read_state(run).state is Phase.FINISHED:
        return []
    with _worker(run, None) as worker:
        code = worker.wait(PATIENCE)
    return [f"the last worker ended with {code}"] if code else []


def _await_phase(run: RunDirectory, worker: subprocess.Popen[bytes], moment: Moment) -> None:
    """Wait until the run is in the phase, after some more steps, the last ones left over."""
    begun = read_state(run)
    wanted = begun.step + int(0.7 * moment.share * (begun.total - begun.step))
    while worker.poll() is None:
        try:
            state = read_state(run)
        except PpoTuiError:
            continue
        if state.pid == worker.pid and state.step >= wanted and state.state == moment.target:
            return
        time.sleep(_LOOK)


def _await_end(worker: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        worker.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def first_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """What went wrong, and in which run directories it can be seen."""
    return [f"{o.run.path}: {words}" for o in outcomes for words in o.problems]
