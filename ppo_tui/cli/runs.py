"""`ppo-tui runs`: the runs there are."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, answer_json, say, show, tell

if TYPE_CHECKING:
    from ppo_tui.runs.answers import Answer
    from ppo_tui.runs.catalog import RunSummary
    from ppo_tui.runs.comparison import Comparison

app = typer.Typer(
    help="List, show, compare and delete runs.", no_args_is_help=True, rich_markup_mode=None
)

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`.")
]

_GREETED = 8
_LONGEST_ANSWER = 400


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
    from ppo_tui.runs.best import best_of
    from ppo_tui.runs.catalog import find_run, summarise
    from ppo_tui.runs.checkpoints import list_checkpoints
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.progress import Progress
    from ppo_tui.runs.state import observe
    from ppo_tui.text.figures import ABSENT, ago, number, percent

    run = find_run(name)
    summary, seen = summarise(run.path), observe(run)
    progress = Progress(run)
    progress.poll()
    adapter, share = adapter_path(run, progress), share_of_optimum(progress)
    saved, best = sorted(step for step, _ in list_checkpoints(run.checkpoints_path)), best_of(run)
    if as_json:
        answer_json(
            {
                **_as_object(summary),
                "metrics": dict(progress.metrics),
                "evaluation": progress.evaluation.metrics if progress.evaluation else None,
                "adapter": str(adapter) if adapter else None,
                "checkpoints": saved,
                "best_step": best.step,
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
        ("process", seen.suspended_words),
        ("model", summary.model),
        ("preset", summary.preset),
        ("for", summary.description),
        ("changed", ago(time.time() - seen.state.updated) if seen.state.updated else ""),
    ]
    rows += [(metric, number(value)) for metric, value in sorted(progress.metrics.items())]
    if share is not None:
        rows.append(("of the optimum", percent(share)))
    marked = [f"{step} (best)" if step == best.step else str(step) for step in saved]
    rows.append(("checkpoints", f"after step {', '.join(marked)}" if marked else ""))
    rows += [("adapter", shown(adapter) if adapter else ABSENT), ("run", shown(run.path))]
    widest = max(16, *(len(key) + 2 for key, _ in rows))
    for key, value in rows:
        if value:
            tell(f"  {key:<{widest}}{' '.join(value.split())}")


@app.command("compare")
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN RUN…", help="Two to eight runs, each as for `show`.")
    ],
    as_json: Json = False,
) -> None:
    """Show several runs side by side.

    The settings that differ, the numbers of the last step and of the last evaluation, and the
    answers to the same prompts.
    """
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.comparison import Comparer

    compared = Comparer([find_run(name) for name in names]).look()
    if as_json:
        answer_json(_comparison_as_object(compared))
    else:
        _print_comparison(compared)


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

    run = find_run(name, links=True)
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
        "suspended": bool(run.suspended),
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
        state += " (suspended)" if run.suspended else ""
        step = f"{run.step}/{run.total}" if run.phase else ""
        reward = number(run.reward if run.reward is not None else math.nan) if run.phase else ""
        what = run.problem or run.model
        cells = (plain(run.name), state, step, reward, shortened(what, 48), changed)
        table.add_row(*(Text(cell) for cell in cells))
    show(table)


def _comparison_as_object(compared: Comparison) -> dict[str, Any]:
    return {
        "runs": [
            {**_as_object(run), "name": name, "problem": problem}
            for run, name, problem in zip(
                compared.summaries, compared.names, compared.problems, strict=True
            )
        ],
        "settings": {
            setting.key: [value.text for value in setting.values] for setting in compared.settings
        },
        "metrics": {figures.name: list(figures.values) for figures in compared.figures},
        "prompts": [
            {
                "prompt": same.prompt,
                "base": [_answer_as_object(answer) for answer in same.bases],
                "tuned": [_answer_as_object(answer) for answer in same.tuned],
            }
            for same in compared.prompts
        ],
    }


def _answer_as_object(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"response": answer.response, "score": answer.score, "step": answer.step}


def _print_comparison(compared: Comparison) -> None:
    from rich.table import Table
    from rich.text import Text

    from ppo_tui.text.figures import ABSENT, number
    from ppo_tui.text.plain import plain, shortened

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", *compared.names):
        table.add_column(Text(plain(heading)), overflow="fold")

    def add(title: str, cells: list[str]) -> None:
        table.add_row(*(Text(cell) for cell in (plain(title), *cells)))

    def add_heading(title: str) -> None:
        table.add_row(Text(""))
        table.add_row(Text(title, style="bold"))

    runs = compared.summaries
    add("state", [run.phase.value if run.phase else "unusable" for run in runs])
    add("step", [f"{run.step}/{run.total}" if run.phase else "" for run in runs])
    add("model", [shortened(run.model, 48) for run in runs])
    if any(compared.problems):
        add("problem", [plain(problem) for problem in compared.problems])
    add_heading("settings that differ" if compared.settings else "no setting differs")
    for setting in compared.settings:
        texts = (
            shortened(value.text or ABSENT, 80) + (" (default)" if value.is_default else "")
            for value in setting.values
        )
        add(setting.key, list(texts))
    if compared.figures:
        add_heading("last step and last evaluation")
    for figures in compared.figures:
        add(figures.name, [number(value) for value in figures.values])
    show(table)
    for same in compared.prompts:
        tell(f"\n{shortened(same.prompt, _LONGEST_ANSWER)}")
        given = list(zip(compared.names, same.tuned, strict=True))
        if same.common_base is not None:
            given.insert(0, ("base", same.common_base))
        else:
            bases = zip(compared.names, same.bases, strict=True)
            given = [(f"base of {name}", answer) for name, answer in bases] + given
        for who, answer in given:
            if answer is not None:
                words = shortened(answer.response, _LONGEST_ANSWER).strip()
                tell(f"  {plain(who)} ({number(answer.score)}): {words}")
