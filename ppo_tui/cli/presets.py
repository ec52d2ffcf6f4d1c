"""`ppo-tui presets`: the named configurations."""

from __future__ import annotations

from typing import Annotated

import typer

from ppo_tui.cli.answer import Json, answer_json, say, show, tell

app = typer.Typer(
    help="List, show and validate presets.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all presets."""
    from ppo_tui.config.presets import load_preset, preset_names
    from ppo_tui.errors import ConfigError

    rows = []
    for name in preset_names():
        try:
            preset = load_preset(name)
        except ConfigError as error:
            rows.append({"name": name, "shipped": False, "description": "", "problem": str(error)})
            continue
        rows.append(
            {
                "name": name,
                "shipped": preset.shipped,
                "description": preset.description,
                "problem": "",
            }
        )
    if as_json:
        answer_json({"presets": rows})
        return
    from rich.table import Table
    from rich.text import Text

    from ppo_tui.text.plain import plain

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        own = "" if row["shipped"] else " (your own)"
        text = str(row["problem"] or row["description"])
        table.add_row(Text(plain(f"{row['name']}{own}"), style="bold"), Text(plain(text)))
    show(table)


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(metavar="PRESET", help="The preset's name.")],
    as_json: Json = False,
) -> None:
    """Show a preset as it is written, comments included."""
    from ppo_tui.config.presets import load_preset

    preset = load_preset(name)
    if as_json:
        answer_json(
            {
                "name": preset.name,
                "shipped": preset.shipped,
                "path": str(preset.path) if preset.path else None,
                "description": preset.description,
                "values": preset.values,
            }
        )
        return
    tell(preset.text.rstrip("\n"))


@app.command("validate")
def validate(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[PRESET|FILE]", help="One preset or file; all presets if left out."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check one preset or file, or all presets."""
    from ppo_tui.config.presets import preset_names
    from ppo_tui.config.resolve import resolve
    from ppo_tui.errors import ConfigError, ExitCode

    results = []
    for name in [source] if source is not None else preset_names():
        try:
            resolve(name)
            results.append({"name": name, "valid": True, "problem": ""})
        except ConfigError as error:
            results.append({"name": name, "valid": False, "problem": error.message})
    if as_json:
        answer_json({"presets": results})
    else:
        for result in results:
            if result["valid"]:
                tell(f"{result['name']}: valid")
            else:
                say(f"{result['name']}: {result['problem']}")
    if not all(result["valid"] for result in results):
        raise typer.Exit(int(ExitCode.CONFIG))
