"""`ppo-tui models`: the base models that are to be had, and whether one can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ppo_tui.cli.answer import Json, answer_json, say, show, tell

if TYPE_CHECKING:
    from ppo_tui.prepare.models import ModelEntry

app = typer.Typer(
    help="Base models: on this machine, on the hub, and whether one can be used.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the bundled model and those in the local Hugging Face cache."""
    from ppo_tui.prepare.models import bundled_model, cached_models

    cache = cached_models()
    models = (bundled_model(), *cache.models)
    if as_json:
        answer_json(
            {"models": [entry.to_dict() for entry in models], "warnings": list(cache.warnings)}
        )
        return
    _table(models)
    for warning in cache.warnings:
        say(f"cache: {warning}")
    if not cache.models:
        say("The Hugging Face cache is empty; `ppo-tui models search WORDS` asks the hub.")


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="Part of a model's name.")],
    as_json: Json = False,
) -> None:
    """Search the hub for models that generate text, the most used first."""
    from ppo_tui.prepare.hub import search_hub

    models = search_hub(" ".join(words))
    if as_json:
        answer_json({"models": [entry.to_dict() for entry in models]})
        return
    _table(models)
    if not models:
        say("The hub has no model for text generation of that name.")


@app.command("check")
def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="A model in the cache, or a folder.")
    ],
    as_json: Json = False,
) -> None:
    """Say whether a model that is on this machine can be used, and if not, why."""
    from ppo_tui.errors import ExitCode
    from ppo_tui.prepare.models import check_model
    from ppo_tui.runs.paths import shown

    entry = check_model(name)
    if as_json:
        answer_json(entry.to_dict())
    else:
        from ppo_tui.text.figures import size

        facts = {
            "place": entry.place.value,
            "parameters": entry.weights,
            "on disk": size(entry.bytes) if entry.bytes is not None else "",
            "architecture": entry.model_type,
            "licence": entry.licence,
            "folder": shown(entry.path) if entry.path else "",
            "revision": entry.revision or "",
            "note": entry.note,
        }
        verdict = f"cannot be used: {entry.problem}" if entry.problem else "can be used"
        tell(f"{entry.name} {verdict}.")
        for fact, value in facts.items():
            if value:
                tell(f"  {fact:<13}{value}")
    if not entry.usable:
        raise typer.Exit(int(ExitCode.MISSING))


def _table(models: Sequence[ModelEntry]) -> None:
    if not models:
        return
    from rich.table import Table
    from rich.text import Text

    from ppo_tui.text.figures import size
    from ppo_tui.text.plain import plain

    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    for title in ("weights", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("type", "licence", "place", "remark"):
        table.add_column(title, overflow="fold")
    for entry in models:
        remark = f"✗ {entry.problem}" if entry.problem else entry.note
        table.add_row(
            Text(plain(entry.name), style="" if entry.usable else "dim"),
            entry.weights,
            size(entry.bytes) if entry.bytes is not None else "",
            Text(plain(entry.model_type)),
            Text(plain(entry.licence)),
            entry.place.value,
            Text(plain(remark)),
        )
    show(table)
