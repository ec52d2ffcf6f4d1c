"""`ppo-tui runs`: the runs there are."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, answer_json, say, show, tell

if TYPE_CHECKING:
    from ppo_tui.runs.catalog import RunSummary

app = typer.Typer(help="List, show and delete runs.", no_args_is_help=True, rich_markup_mode=None)

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`.")
]

_GREETED = 8


def greet() -> None:
    """What `ppo-tui` shows without a command: the newest runs, or how to make the first."""
    from ppo_tui.runs.catalog import list_runs
    from ppo_tui.runs.paths import runs_root, shown

    runs = list_runs()
    if not runs:
        tell("There are no runs yet. See PPO at work, on any computer, in about a minute:")
        tell("  ppo-tui demo\n")
        return
    _print_table(runs[:_GREETED])
    if len(runs) > _GREETED:
        tell(f"and {len(runs) - _GREETED} more in {shown(runs_root())}")
    tell()


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all runs, the newest first."""
    from ppo_tui.runs.catalog import list_runs
    from ppo_tui.runs.paths import runs_root, shown

    runs = list_runs()
    if as_json:
        answer_json({"root": str(runs_root()), "runs": [_as_object(run) for run in runs]})
    elif runs:
        _print_table(runs)
    else:
        say(f"There are no runs in {shown(runs_root())}. `ppo-tui demo` makes one in a minute.")


@app.command("show")
def show_(name: Run, as_json: Json = False) -> None:
    """Show how a run is doing, or how it ended."""
    from ppo_tui.cli.outcome import adapter_path, share_of_optimum
    from ppo_tui.runs.catalog import find_run, summarise
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.progress import Progress
    from ppo_tui.runs.state import observe
    from ppo_tui.text.figures import ABSENT, ago, number, percent

    run = find_run(name)
    summary, seen = summarise(run.path), observe(run)
    progress = Progress(run)
    progress.poll()
    adapter, share = adapter_path(run, progress), share_of_optimum(progress)
    if as_json:
        answer_json(
            {
                **_as_object(summary),
                "metrics": dict(progress.metrics),
                "evaluation": progress.evaluation.metrics if progress.evaluation else None,
                "adapter": str(adapter) if adapter else None,
                "error": seen.error.to_json() if seen.error else None,
            }
        )
        return
    tell(f"{summary.name}: {seen.phase.value}, step {seen.state.step} of {seen.state.total}")
    if seen.error is not None:
        tell(f"  {'error':<16}{seen.error.message}")
        if seen.error.hint:
            tell(f"  {'':<16}{seen.error.hint}")
    rows = [
        ("model", summary.model),
        ("preset", summary.preset),
        ("for", summary.description),
        ("changed", ago(time.time() - seen.state.updated) if seen.state.updated else ""),
    ]
    rows += [(metric, number(value)) for metric, value in sorted(progress.metrics.items())]
    if share is not None:
        rows.append(("of the optimum", percent(share)))
    rows += [("adapter", shown(adapter) if adapter else ABSENT), ("run", shown(run.path))]
    widest = max(16, *(len(key) + 2 for key, _ in rows))
    for key, value in rows:
        if value:
            tell(f"  {key:<{widest}}{' '.join(value.split())}")


@app.command("delete")
def delete(
    name: Run,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a run and all it made, its adapter included."""
    from ppo_tui.errors import UsageError
    from ppo_tui.runs.catalog import delete_run, find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.text.plain import plain

    run = find_run(name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                f"Nothing was deleted: there is no terminal to ask whether {shown(run.name)} is to "
                "go.",
                hint="Say --yes to delete without a question.",
            )
        question = f"Delete {plain(str(run.path))} with its checkpoints and adapter?"
        if not typer.confirm(question, default=False, err=True):
            say("Nothing was deleted.")
            raise typer.Exit(1)
    delete_run(run)
    if as_json:
        answer_json({"deleted": str(run.path)})
    else:
        tell(f"{shown(run.name)} is deleted.")


def _as_object(run: RunSummary) -> dict[str, Any]:
    return {
        "name": run.name,
        "run_dir": str(run.path),
        "state": run.phase.value if run.phase else None,
        "alive": run.alive,
        "step": run.step,
        "total": run.total,
        "model": run.model,
        "preset": run.preset,
        "description": run.description,
        "reward": run.reward,
        "started": run.started,
        "updated": run.updated,
        "problem": run.problem,
    }


def _print_table(runs: list[RunSummary]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ppo_tui.text.figures import ago, number
    from ppo_tui.text.plain import plain, shortened

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold", min_width=20)
    table.add_column("state", no_wrap=True)
    table.add_column("step", no_wrap=True, justify="right")
    table.add_column("reward", no_wrap=True, justify="right")
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    table.add_column("changed", no_wrap=True)
    now = time.time()
    for run in runs:
        changed = ago(now - run.updated) if run.updated else ""
        state = run.phase.value if run.phase else "unusable"
        step = f"{run.step}/{run.total}" if run.phase else ""
        reward = number(run.reward if run.reward is not None else math.nan) if run.phase else ""
        what = run.problem or run.model
        cells = (plain(run.name), state, step, reward, shortened(what, 48), changed)
        table.add_row(*(Text(cell) for cell in cells))
    show(table)
