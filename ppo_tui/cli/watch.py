"""`ppo-tui watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from ppo_tui.cli.answer import Json


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("watch", epilog="Ctrl-C only stops watching; the run goes on.")(watch)


def watch(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`."),
    ],
    as_json: Json = False,
) -> None:
    """Follow a run until it ends; the exit code says how it did."""
    from ppo_tui.cli.follow import follow
    from ppo_tui.cli.outcome import conclude
    from ppo_tui.errors import RunError
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.state import observe

    run = find_run(name)
    seen = observe(run)
    if seen.phase is Phase.CREATED and not seen.alive:
        raise RunError(
            f"{shown(run.name)} was made but never started",
            hint=f"`ppo-tui resume {shown(run.name)}` starts it.",
            code="run.not_running",
        )
    followed = follow(run, stops=False)
    raise typer.Exit(conclude(run, followed, stops=False, as_json=as_json))
