"""All runs: list them, find one by what a person types, delete one.

For `ppo-tui runs` and the app's first screen. Reads a little of each run, never a whole journal;
`Catalog` remembers what it read, for who looks again and again.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_tui.errors import PpoTuiError, RunBusy, RunError, did_you_mean
from ppo_tui.runs.atomic import open_regular, storage_error
from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_last
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.paths import runs_root, shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo, Event
from ppo_tui.runs.state import observe

_CONFIG_BYTES = 1 << 16
_BLOCK_CHARS = 1 << 10
_TAIL_BYTES = (1 << 14, 1 << 20)
_CURVE_BYTES = (1 << 16, 1 << 20)
_WATCHED = ("state.json", "events.jsonl", "config.yaml", "checkpoints", "launch.json", "lock")

Stamp = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of the list of runs.

    Attributes:
        phase: As observed; None if the directory is broken.
        suspended: Its worker's process is halted, as by SIGSTOP: how it goes on, in words.
        model: `model.name` of its configuration.
        preset: From the line `# preset: NAME` at the head of config.yaml.
        reward: `reward/score` of the last step.
        rewards: `reward/score` of the last steps, as many as the end of the journal holds; NaN
            where it was not finite.
        saved: The step of its newest checkpoint; None if there is none.
        message: What the run is doing, in words, where it says so.
        error: Why it failed or crashed.
        problem: Why the directory is no use; empty if it is fine.
    """

    name: str
    path: Path
    phase: Phase | None = None
    alive: bool = False
    step: int = 0
    total: int = 0
    model: str = ""
    preset: str = ""
    description: str = ""
    reward: float | None = None
    rewards: tuple[float, ...] = ()
    saved: int | None = None
    started: float = 0.0
    updated: float = 0.0
    message: str = ""
    error: ErrorInfo | None = None
    problem: str = ""
    suspended: str = ""


class Catalog:
    """All runs of a folder, for a viewer that looks again and again.

    What did not change since the last look costs a few `stat` calls. A run that was alive is
    observed at every look: a worker that dies changes no file. Not for several threads at a time.

    Args:
        root: The folder; where runs are made by default if left out.
    """

    def __init__(self, root: Path | None = None) -> None:
        self._root = root
        self._known: dict[str, WatchedRun] = {}

    @property
    def root(self) -> Path:
        """The folder that is looked at."""
        return runs_root() if self._root is None else self._root

    def look(self) -> list[RunSummary]:
        """Every run in the folder, the newest first; broken ones last, each with its problem.

        Raises:
            RunError: The folder is there and cannot be read (`run.root`).
        """
        root = self.root
        before = self._known
        self._known = {name: before.get(name) or WatchedRun(root / name) for name in _names(root)}
        runs = [known.look() for known in self._known.values()]
        return sorted(runs, key=lambda run: (run.started, run.name), reverse=True)


def list_runs(root: Path | None = None) -> list[RunSummary]:
    """Every run in a folder, the newest first; broken ones last, each with its problem.

    Raises:
        RunError: The folder is there and cannot be read (`run.root`).
    """
    return Catalog(root).look()


def summarise(path: Path) -> RunSummary:
    """One run in short; a broken one is described, not raised."""
    return WatchedRun(path).look()


class WatchedRun:
    """One run for a viewer that looks again and again; what did not change is not read again.

    Args:
        path: Its directory; it need not be there, or be a run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps: dict[str, Stamp] = {}
        self._read: dict[str, Stamp] = {}
        self._head: dict[str, str] = {}
        self._rewards: tuple[float, ...] = ()
        self._saved: int | None = None
        self._summary: RunSummary | None = None

    def look(self) -> RunSummary:
        """The run in short, as it is now."""
        # Before the files are read: what is written meanwhile is read again at the next look.
        stamps = {name: stamp_of(f"{self._path}{os.sep}{name}") for name in _WATCHED}
        known = self._summary
        if known is None or known.alive or stamps != self._stamps:
            self._stamps = stamps
            self._summary = known = self._summarise()
        return known

    def _summarise(self) -> RunSummary:
        try:
            run = RunDirectory.open(self._path)
            seen = observe(run)
        except PpoTuiError as error:
            return RunSummary(self._path.name, self._path, problem=error.message)
        except OSError as error:  # a folder that may not be entered
            reason = error.strerror or type(error).__name__
            problem = f"{shown(self._path)} cannot be read: {reason}"
            return RunSummary(self._path.name, self._path, problem=problem)
        if self._changed("config.yaml"):
            self._head = _config_head(run.config_path)
        if self._changed("events.jsonl"):
            self._rewards = last_rewards(run)
        if self._changed("checkpoints"):
            self._saved = _last_saved(run)
        reward = self._rewards[-1] if self._rewards else math.nan
        return RunSummary(
            name=run.name,
            path=run.path,
            phase=seen.phase,
            alive=seen.alive,
            step=seen.state.step,
            total=seen.state.total,
            model=self._head.get("model", ""),
            preset=self._head.get("preset", ""),
            description=self._head.get("description", ""),
            reward=None if math.isnan(reward) else reward,
            rewards=self._rewards,
            saved=self._saved,
            started=seen.state.started,
            updated=seen.state.updated,
            message=seen.state.message,
            error=seen.error,
            suspended=seen.suspended_words,
        )

    def _changed(self, name: str) -> bool:
        """Whether a file must be read; the caller reads it then."""
        stamp = self._stamps[name]
        if name in self._read and self._read[name] == stamp:
            return False
        self._read[name] = stamp
        return True


def stamp_of(path: str) -> Stamp:
    """What tells one content of a file from another, unread; None if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def last_step(run: RunDirectory) -> Event | None:
    """The last step event, from the end of the journal."""
    for size in _TAIL_BYTES:
        try:
            records = read_last(run.events_path, size)
        except OSError:
            return None
        for record in reversed(records):
            if record.get("kind") == "step":
                return Event.from_json(record)
    return None


def last_rewards(run: RunDirectory) -> tuple[float, ...]:
    """`reward/score` of the steps at the end of the journal, oldest first; NaN for a gap."""
    for size in _CURVE_BYTES:
        try:
            records = read_last(run.events_path, size)
        except OSError:
            return ()
        steps = [Event.from_json(record) for record in records if record.get("kind") == "step"]
        if steps:
            return tuple(step.metrics.get("reward/score", math.nan) for step in steps)
    return ()


def _last_saved(run: RunDirectory) -> int | None:
    try:
        found = list_checkpoints(run.checkpoints_path)
    except OSError:
        return None
    return found[0][0] if found else None


def find_run(text: str, *, links: bool = False) -> RunDirectory:
    """The run that a person means: a path, a name, the beginning of one, or `last`.

    Args:
        text: What was typed.
        links: As for `RunDirectory.open`.

    Raises:
        RunError: No run fits (`run.missing`), several do (`run.ambiguous`), or what is meant is no
            run (`run.not_a_run`).
    """
    root = runs_root()
    if text == "last":
        runs = [run for run in list_runs(root) if not run.problem]
        if runs:
            return RunDirectory.open(runs[0].path)
        raise _missing("there is no run yet", "`ppo-tui demo` makes one in a minute.")
    typed = Path(os.path.expanduser(text))
    if "\0" not in text and (len(typed.parts) > 1 or text in (".", "..")):
        return RunDirectory.open(typed, links=links)
    names = _names(root)
    if text in names:
        return RunDirectory.open(root / text, links=links)
    if text and os.path.isfile(typed / "state.json"):
        return RunDirectory.open(typed, links=links)
    begun = [name for name in names if text and name.startswith(text)]
    if len(begun) == 1:
        return RunDirectory.open(root / begun[0], links=links)
    short = text if len(text) <= 80 else f"{text[:79]}…"
    if begun:
        few = ", ".join(begun[:5]) + (", …" if len(begun) > 5 else "")
        raise RunError(f"{short!r} fits {len(begun)} runs: {few}", code="run.ambiguous")
    if not names:
        raise _missing(f"there is no run {short!r}; there are none", "`ppo-tui demo` makes one.")
    raise _missing(f"there is no run {short!r}; {did_you_mean(short, names)}", "")


def delete_run(run: RunDirectory) -> None:
    """Remove a run and all it made. Links inside it are removed, not followed.

    Raises:
        RunBusy: It is running (`run.busy`).
        RunError: It is no run directory, or a link to one.
        StorageError: It cannot be removed.
    """
    run = RunDirectory.open(run.path, links=True)
    if run.path.is_symlink():
        raise RunError(
            f"{shown(run.path)} is a link to {shown(run.path.resolve())}; delete that run itself",
            code="run.not_a_run",
        )
    with contextlib.ExitStack() as hold:
        if not run.lock_path.is_symlink():  # else no worker has ever taken the run
            hold.enter_context(RunLock(run).acquire(timeout=0.1))
        _refuse_if_starting(run)
        # Moved first: no worker and no viewer ever meets half a run.
        grave = run.path.with_name(f".{run.name}.deleted-{secrets.token_hex(4)}")
        try:
            run.path.rename(grave)
        except OSError as error:
            raise storage_error(run.path, error) from error
    try:
        shutil.rmtree(grave)
    except OSError as error:
        raise storage_error(grave, error) from error


def _refuse_if_starting(run: RunDirectory) -> None:
    launched = last_launch(run)
    if launched is not None and launched.process.is_running():
        raise RunBusy(
            f"the run {shown(run.name)} is in the hands of process {launched.process.pid}",
            hint="Stop it first with `ppo-tui stop`.",
        )


def _missing(message: str, hint: str) -> RunError:
    return RunError(message, hint=hint, code="run.missing")


def _names(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(f"{shown(root)} cannot be listed: {reason}", code="run.root") from error


def _config_head(path: Path) -> dict[str, str]:
    """Model, preset and description, from those few lines alone: a list is shown often."""
    try:
        with open_regular(path) as file:
            lines = file.read(_CONFIG_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in lines[:20]:
        if line.startswith("# preset:"):
            found["preset"] = line.removeprefix("# preset:").strip()
    model = _parse_yaml(_block(lines, "model:")).get("model")
    if isinstance(model, dict) and isinstance(model.get("name"), str):
        found["model"] = model["name"]
    description = _parse_yaml(_block(lines, "description:")).get("description")
    if isinstance(description, str):
        found["description"] = description
    return found


def _block(lines: list[str], key: str) -> list[str]:
    """The lines of one key at the top of a YAML file and of what is indented under it."""
    for number, line in enumerate(lines):
        if line.startswith(key):
            block = [line]
            for below in lines[number + 1 :]:
                if below[:1].strip() and not below.startswith("#"):
                    break
                block.append(below)
            return block
    return []


def _parse_yaml(lines: list[str]) -> dict[str, Any]:
    import yaml  # here, because it is slow to import and only a list needs it

    try:
        parsed = yaml.safe_load("\n".join(lines)[:_BLOCK_CHARS])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
