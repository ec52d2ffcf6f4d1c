"""`ppo-tui watch`, and `ppo-tui RUN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ppo_tui.cli.answer import Json

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

OPEN = "open"
"""The hidden command behind `ppo-tui RUN`."""

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`.")
]


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module into the program."""
    app.command(
        "watch",
        epilog="Leaving the app, or Ctrl-C, only stops watching; the run goes on.",
    )(watch)
    app.command(OPEN, hidden=True)(open_)


def open_(name: Run) -> None:
    """Open the app on a run."""
    from ppo_tui.cli.open_app import open_app
    from ppo_tui.runs.catalog import find_run

    raise typer.Exit(open_app(find_run(name)))


def watch(
    name: Run,
    replay: Annotated[
        float | None,
        typer.Option(
            "--replay",
            metavar="SPEED",
            help="Play the run again from its start, so many times as fast as it was.",
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="In plain sight of the terminal instead of in the app."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Open the app on a run; without a terminal, follow it until it ends.

    The exit code says how the run did, where it is followed.
    """
    from ppo_tui.cli.open_app import has_terminal, open_app
    from ppo_tui.errors import UsageError
    from ppo_tui.runs.catalog import find_run

    run = find_run(name)
    if replay is not None:
        if not 0 < replay <= 1e6:
            raise UsageError(
                f"--replay takes a speed above 0, such as 20, not {replay:g}.",
                code="usage.replay",
            )
        if plain or as_json:
            raise UsageError("--replay needs the app: leave out --plain and --json.")
    if replay is not None or (has_terminal() and not plain and not as_json):
        raise typer.Exit(open_app(run, replay))
    raise typer.Exit(_follow(run, as_json=as_json))


def _follow(run: RunDirectory, *, as_json: bool) -> int:
    from ppo_tui.cli.follow import follow
    from ppo_tui.cli.outcome import conclude
    from ppo_tui.errors import RunError
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.state import observe

    seen = observe(run)
    if seen.phase is Phase.CREATED and not seen.alive:
        raise RunError(
            f"{shown(run.name)} was made but never started",
            hint=f"`ppo-tui resume {shown(run.name)}` starts it.",
            code="run.not_running",
        )
    followed = follow(run, stops=False)
    return conclude(run, followed, stops=False, as_json=as_json)
