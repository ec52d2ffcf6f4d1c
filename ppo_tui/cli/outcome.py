"""How a run ended: the summary for people, the object for scripts, the exit code."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from ppo_tui.cli.answer import answer_json, say, tell
from ppo_tui.cli.failures import INTERRUPTED, exit_code_of, report
from ppo_tui.cli.follow import Followed
from ppo_tui.errors import ExitCode
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.progress import Progress
from ppo_tui.text.figures import ABSENT, duration, number, percent
from ppo_tui.text.plain import plain

_CHECKPOINT = re.compile(r"step-\d+")


def adapter_path(run: RunDirectory, progress: Progress | None = None) -> Path | None:
    """The newest adapter of the run, a folder that peft loads; None before the first checkpoint."""
    places = [run.path / progress.checkpoint] if progress and progress.checkpoint else []
    try:
        found = [p for p in run.checkpoints_path.iterdir() if _CHECKPOINT.fullmatch(p.name)]
    except OSError:
        found = []
    for place in (*places, *sorted(found, key=lambda p: int(p.name[5:]), reverse=True)):
        if (place / "policy").is_dir():
            return place / "policy"
    return None


def share_of_optimum(progress: Progress) -> float | None:
    """The last evaluation's share of the optimum; None if there was none."""
    if progress.evaluation is None:
        return None
    return progress.evaluation.metrics.get("eval/share_of_optimum")


def as_object(run: RunDirectory, followed: Followed) -> dict[str, Any]:
    """What `--json` prints at the end of train, demo, resume and watch."""
    progress = followed.progress
    adapter = adapter_path(run, progress)
    result: dict[str, Any] = {
        "run_dir": str(run.path),
        "state": followed.phase.value,
        "step": followed.step,
        "metrics": dict(progress.metrics),
    }
    if progress.evaluation is not None:
        result["share_of_optimum"] = share_of_optimum(progress)
        result["evaluation"] = progress.evaluation.metrics
    result["adapter"] = str(adapter) if adapter else None
    if followed.error is not None:
        result["error"] = followed.error.to_json()
    return result


def exit_code(followed: Followed, *, stops: bool) -> int:
    """The exit code for how a run ended; `stops` as for `follow`."""
    if followed.signal:
        return 128 + followed.signal
    if followed.left:
        return INTERRUPTED if stops else int(ExitCode.DONE)
    if followed.error is not None:
        return int(exit_code_of(followed.error.code))
    if followed.phase is Phase.STOPPED:
        return int(ExitCode.STOPPED)
    return int(ExitCode.DONE if followed.phase is Phase.FINISHED else ExitCode.FAILED)


def conclude(run: RunDirectory, followed: Followed, *, stops: bool, as_json: bool) -> int:
    """Print how the run ended; the exit code.

    To a terminal that was closed meanwhile nothing can be told, and that is no error.
    """
    with contextlib.suppress(OSError) if followed.signal else contextlib.nullcontext():
        _tell(run, followed, as_json=as_json)
    return exit_code(followed, stops=stops)


def _tell(run: RunDirectory, followed: Followed, *, as_json: bool) -> None:
    if as_json:
        answer_json(as_object(run, followed))
        return
    name = shown(run.name)
    if followed.left:
        say(f"{name} goes on by itself (step {followed.step} of {followed.total}).")
        say(f"`ppo-tui watch {name}` follows it, `ppo-tui stop {name}` ends it.")
        return
    if followed.step:
        _summarise(run, followed)
    elif followed.error is None:
        tell(f"{followed.phase.value} before its first step")
    if followed.error is not None:
        report(followed.error.code, followed.error.message, followed.error.hint, as_json=False)
    elif followed.phase is Phase.STOPPED:
        say(f"`ppo-tui resume {name}` goes on where it stopped.")


def _summarise(run: RunDirectory, followed: Followed) -> None:
    progress = followed.progress
    first, last = progress.first, progress.metrics
    time_taken = f" in {duration(progress.took)}" if progress.took else ""
    tell(f"{followed.phase.value} after step {followed.step} of {followed.total}{time_taken}")
    for title, name in (
        ("reward", "reward/score"),
        ("KL to the base", "kl/ref"),
        ("response tokens", "response/length"),
    ):
        if name in last:
            tell(f"  {title:<16}{number(first.get(name)):>7} → {number(last[name])}")
    if (share := share_of_optimum(progress)) is not None:
        interval = share_interval(progress)
        tell(f"  {'of the optimum':<16}{percent(share):>7}{f' ({interval})' if interval else ''}")
    adapter = adapter_path(run, progress)
    tell(f"  {'run':<16}{shown(run.path)}")
    tell(f"  {'adapter':<16}{shown(adapter) if adapter else ABSENT}")


def share_interval(progress: Progress) -> str:
    """The interval of the share of the optimum in words, where the evaluation has one."""
    metrics = progress.evaluation.metrics if progress.evaluation else {}
    low, high = metrics.get("eval/share_low"), metrics.get("eval/share_high")
    if low is None or high is None or low != low or high != high:
        return ""
    return plain(f"{percent(low)} to {percent(high)}")
