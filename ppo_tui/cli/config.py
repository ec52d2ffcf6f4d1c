"""`ppo-tui config`: the form of a configuration, and whether one has it."""

from __future__ import annotations

from typing import Annotated

import typer

from ppo_tui.cli.answer import Json, Settings, answer_json, tell

app = typer.Typer(
    help="The schema of a configuration, and whether one is valid.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("schema")
def schema(_as_json: Json = False) -> None:
    """Print the JSON schema of a configuration; editors can complete and check with it."""
    from ppo_tui.config.schema import RunConfig

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    answer_json(document | RunConfig.model_json_schema())


@app.command("validate")
def validate(
    source: Annotated[
        str, typer.Argument(metavar="PRESET|FILE", help="A preset's name, or a YAML file.")
    ],
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Check a configuration, with the changes that `--set` makes."""
    from ppo_tui.config.resolve import resolve

    resolved = resolve(source, settings or ())
    if as_json:
        answer_json({"name": resolved.name, "valid": True})
    else:
        tell(f"{source} is valid.")
