"""`ppo-tui trust`: whose code may run on this computer; and `--trust` of the commands that run it.

What is printed here of a file or a name is text of somebody's: `say` and `tell` make it harmless.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, answer_json, say, tell

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.confirmations import Confirmed
    from ppo_tui.trust import Code

app = typer.Typer(
    help="Whose code may run here: reward files and models that you have confirmed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="NAME",
        help="Confirm code that the run executes, by its path, SHA-256 or model's name; "
        "repeatable.",
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List what is confirmed."""
    from ppo_tui.confirmations import read_store, store_path

    store = read_store()
    if as_json:
        entries = [_as_json(entry) for entry in store.entries]
        answer_json({"path": str(store_path()), "confirmed": entries, "problem": store.problem})
        return
    for entry in store.entries:
        tell(_told(entry))
    if store.problem:
        say(store.problem)
    elif not store.entries:
        say("Nothing is confirmed.")


@app.command("add")
def add(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODEL", help="A reward file, a model's folder, or its name on the hub."
        ),
    ],
    revision: Annotated[
        str | None, typer.Option(help="Of a model of the hub, as in model.revision.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Confirm a reward file as it is now, or the code that comes with a model."""
    from ppo_tui.trust import confirm

    codes = _named(name, revision)
    confirm(codes)
    if as_json:
        answer_json({"confirmed": [_as_json(code.confirmed()) for code in codes]})
        return
    _say_confirmed(codes)


@app.command("remove")
def remove(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A path, a SHA-256's first 12 digits, or a model."),
    ],
    as_json: Json = False,
) -> None:
    """Take a confirmation back."""
    from ppo_tui import confirmations
    from ppo_tui.errors import UsageError
    from ppo_tui.runs.paths import shown
    from ppo_tui.trust import names

    gone = [entry for entry in confirmations.read_store().entries if names(entry, name)]
    if not gone:
        raise UsageError(
            f"Nothing of the name {shown(name)} is confirmed; `ppo-tui trust list` lists what is."
        )
    confirmations.remove(gone)
    if as_json:
        answer_json({"removed": [_as_json(entry) for entry in gone]})
        return
    for entry in gone:
        say(f"No longer confirmed: {_told(entry)}")


def settle(codes: Sequence[Code], names: Sequence[str] | None, *, as_json: bool) -> None:
    """Confirm what `--trust` names, and ask about the rest where somebody can be asked.

    What is still not confirmed afterwards is refused by whoever executes it.

    Args:
        codes: The code that is about to be executed.
        names: What `--trust` was given.
        as_json: Whether the command talks to a program; then nothing is asked.

    Raises:
        UsageError: None of it is of that name.
        PpoTuiError: See `trust.confirm`.
    """
    from ppo_tui.trust import confirm, unconfirmed

    meant = [code for name in names or () for code in _meant(codes, name)]
    confirm(meant)
    _say_confirmed(dict.fromkeys(meant))
    if as_json or not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        return
    for code in unconfirmed(codes):
        _show(code)
        if not typer.confirm("Run this code here, now and from now on?", err=True):
            return
        confirm([code])


def tell_unconfirmed(config: RunConfig) -> None:
    """Say which code a run would execute, as far as it is not confirmed yet."""
    from ppo_tui.runs.paths import shown
    from ppo_tui.trust import named_code, unconfirmed

    for code in unconfirmed(named_code(config)):
        what = "" if code.kind == "reward_file" else "Python code that comes with the model "
        say(f"The run would execute {what}{shown(code.name)}, which you have not confirmed.")


def _meant(codes: Iterable[Code], name: str) -> list[Code]:
    from ppo_tui.errors import UsageError
    from ppo_tui.runs.paths import shown

    meant = [code for code in codes if code.answers_to(name)]
    if not meant:
        theirs = ", ".join(shown(code.name) for code in codes) or "none but ppo-tui's own"
        raise UsageError(f"--trust {shown(name)}: the run executes no such code; it is {theirs}.")
    return meant


def _named(name: str, revision: str | None) -> tuple[Code, ...]:
    """What a person means to confirm: whatever lies at the path, or a model of the hub."""
    import os

    from ppo_tui.errors import ModelError, UsageError
    from ppo_tui.runs.paths import shown
    from ppo_tui.trust import folder_of, looks_like_a_hub_model, named_model, reward_file

    if not name:
        raise UsageError("Name a reward file, a model's folder, or a model of the hub.")
    is_path = os.path.exists(os.path.expanduser(name)) if "\0" not in name else True
    folder = folder_of(name)
    is_hub_model = not is_path and looks_like_a_hub_model(name) and not name.endswith(".py")
    if revision is not None and not is_hub_model:
        raise UsageError(f"--revision is for a model of the hub, and {shown(name)} is none.")
    if folder is not None and not (folder / "config.json").is_file():
        raise ModelError(
            f"{shown(name)} is no model folder: it has no config.json.",
            hint="A reward file is confirmed by its own name.",
            code="model.not_a_model",
        )
    if folder is not None or is_hub_model:
        return named_model(name, revision)
    return (reward_file(name),)


def _show(code: Code) -> None:
    """Show what is to be decided about."""
    from ppo_tui.text.plain import plain
    from ppo_tui.trust import facts

    say("This run would execute code that you have not confirmed:")
    say()
    for line in facts(code):
        say(f"  {plain(line)}")
    say()
    for line in code.head:
        say(f"  | {plain(line)}")
    say()


def _say_confirmed(codes: Iterable[Code]) -> None:
    for code in codes:
        say(f"Confirmed: {_told(code.confirmed())}")


def _told(entry: Confirmed) -> str:
    """An entry in a line."""
    from ppo_tui.runs.paths import shown

    what = "reward file" if entry.kind == "reward_file" else "model"
    revision = f" at {shown(entry.revision)}" if entry.revision else ""
    digest = f"SHA-256 {entry.sha256}" if entry.sha256 else "by its name"
    return f"{what}  {shown(entry.name)}{revision}  {digest}"


def _as_json(entry: Confirmed) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "sha256": entry.sha256 or None,
        "revision": entry.revision,
        "time": entry.time or None,
    }


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # closed, or none at all
        return False
