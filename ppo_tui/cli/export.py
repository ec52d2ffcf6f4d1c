"""`ppo-tui export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ppo_tui.cli.answer import Json, answer_json, say, tell


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("export")(export)


def export(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`."),
    ],
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="A folder that does not exist yet, or is empty."),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="STEP|best", help="That checkpoint, or the best evaluated; else the newest."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a run's tuned adapter into a folder, ready for peft.

    A README.md in it says how to load it, and what the run's numbers were.
    """
    from ppo_tui.export.adapter import export_adapter
    from ppo_tui.runs.best import chosen_step
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.paths import shown
    from ppo_tui.text.figures import size

    run = find_run(name)
    exported = export_adapter(run, to, chosen_step(run, checkpoint))
    if as_json:
        answer_json(
            {
                "folder": str(exported.folder),
                "step": exported.step,
                "base_model": exported.base_model,
                "files": list(exported.files),
                "bytes": exported.bytes,
            }
        )
        return
    tell(shown(exported.folder))
    say(f"The adapter after step {exported.step}, {size(exported.bytes)}. Load it with:\n")
    say(exported.code)
