"""`ppo-tui demo`: the bundled model, end to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, Settings, console, say, show, tell
from ppo_tui.cli.train import CTRL_C, Detach, RunDir

if TYPE_CHECKING:
    from ppo_tui.cli.follow import Followed
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.runs.directory import RunDirectory

PRESET = "demo"

_MOST_PAIRS = 5
_WIDEST = 120


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("demo", epilog=CTRL_C)(demo)


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="Without the app, in plain sight of the terminal.")
    ] = False,
    run_dir: RunDir = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Seed of the run; the preset's if left out."),
    ] = None,
    settings: Settings = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Train the bundled model in about a minute, on any computer; in the app on a terminal.

    At the end the same prompts are answered by the base and by the tuned model, side by side.
    """
    from ppo_tui.cli import session
    from ppo_tui.cli.open_app import has_terminal, open_app
    from ppo_tui.config.paths import with_absolute_paths
    from ppo_tui.config.resolve import resolve
    from ppo_tui.prepare.new_run import make_run, start

    changes = [*(settings or ()), *([f"seed={seed}"] if seed is not None else [])]
    resolved = with_absolute_paths(resolve(PRESET, changes))
    new = make_run(resolved, PRESET, run_dir)
    if not (headless or detach or as_json) and has_terminal():
        from ppo_tui.runs.launch import let_go

        let_go(start(new))
        raise typer.Exit(open_app(new.run))
    if not detach:
        _introduce(resolved.config)
    worker = start(new)
    if detach:
        session.detach(new.run, worker, as_json=as_json)
        return

    def epilogue(followed: Followed) -> None:
        _compare(followed, resolved.config)
        _what_next(new.run)

    raise typer.Exit(session.attend(new.run, worker, as_json=as_json, new=new, epilogue=epilogue))


def _introduce(config: RunConfig) -> None:
    say("A small language model writes short reviews, as often sad as glad. PPO now")
    say("teaches it to write glad ones: it writes, a sentiment score rewards what it")
    say("wrote, and it moves towards what was rewarded, held back by a penalty on its")
    say(f"distance (KL) from the model it was. {config.steps} steps, then a comparison.")
    say()


def _compare(followed: Followed, config: RunConfig) -> None:
    event = followed.progress.evaluation
    if event is None:
        return
    metrics = event.metrics
    pairs = event.payload.get("pairs")
    tell()
    if isinstance(pairs, list) and pairs:
        tell("The same prompts, answered by the base and by the tuned model:")
        _show_pairs([pair for pair in pairs if isinstance(pair, dict)][:_MOST_PAIRS])
    for line in _verdict(metrics, config.ppo.kl_coef):
        tell(line)


def _show_pairs(pairs: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ppo_tui.text.figures import ABSENT
    from ppo_tui.text.plain import plain

    def text(pair: dict[str, Any], key: str) -> str:
        return plain(str(pair.get(key) or "")).strip(" ⏎")

    def score(pair: dict[str, Any], key: str) -> str:
        value = pair.get(key)
        return f"{value:+.2f}" if isinstance(value, float | int) else ABSENT

    width = min(console().width, _WIDEST)
    table = Table(show_lines=True, header_style="bold", width=width)
    table.add_column("prompt", ratio=2, overflow="fold", style="dim")
    table.add_column("base", ratio=4, overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("tuned", ratio=4, overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    for pair in pairs:
        table.add_row(
            Text(text(pair, "prompt")),
            Text(text(pair, "base")),
            Text(score(pair, "base_score")),
            Text(text(pair, "tuned")),
            Text(score(pair, "tuned_score")),
        )
    show(table)


def _verdict(metrics: Mapping[str, float], kl_coef: float) -> list[str]:
    from ppo_tui.text.figures import number, percent

    lines = [
        f"Mean score on prompts it was not trained on: {number(metrics.get('eval/score_base'))} "
        f"before, {number(metrics.get('eval/score_tuned'))} after."
    ]
    share = metrics.get("eval/share_of_optimum")
    if share is None or share != share:
        return lines
    low, high = metrics.get("eval/share_low"), metrics.get("eval/share_high")
    samples = metrics.get("eval/reference_samples")
    interval = f" ({percent(low)} to {percent(high)})" if low is not None else ""
    lines.append(f"Share of the optimum: {percent(share)}{interval}.")
    if samples:
        lines.append(f"  Estimated from {samples:.0f} responses of the base to each prompt.")
    lines += [
        f"  The gain in score, less {kl_coef:g} times the KL it cost, against the most that any",
        "  model can gain: 0 % is the untouched base, 100 % cannot be passed.",
    ]
    return lines


def _what_next(run: RunDirectory) -> None:
    from ppo_tui.runs.paths import shown

    tell()
    tell("What next")
    for command, purpose in (
        (f"ppo-tui runs show {shown(run.name)}", "all numbers of this run"),
        ("ppo-tui presets list", "other models, for every card"),
        ("ppo-tui plan PRESET", "whether one fits here"),
        ("ppo-tui train PRESET --set data.prompts=FILE", "your own prompts"),
    ):
        tell(f"  {command:<46}{purpose}")
