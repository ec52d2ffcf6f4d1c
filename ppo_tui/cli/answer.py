"""What is printed where: the answer on stdout, talk on stderr, and JSON alone with `--json`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.text.plain import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_WITHOUT_TERMINAL = 160
"""Columns of a table that goes into a pipe or a file."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a setting, such as ppo.kl_coef=0.1; repeatable."
    ),
]


def answer_json(value: Any) -> None:
    """Print one JSON value on stdout; what a terminal would obey stands there as an escape."""
    from ppo_tui.runs import strict_json

    text = _visible(strict_json.dumps(value, indent=2))
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    if encoding != "utf8":
        import json

        text = json.dumps(strict_json.plain(value), indent=2)
    sys.stdout.write(text + "\n")


def _visible(text: str) -> str:
    """JSON with all that is not meant to be seen as escapes, which mean the same."""
    if text.replace("\n", "").isprintable():
        return text
    import json

    # Line ends within a text are escapes already; the others are the layout.
    return "".join(
        char if char.isprintable() or char in "\n\u200d\ufe0e\ufe0f" else json.dumps(char)[1:-1]
        for char in text
    )


def say(text: str = "") -> None:
    """Print lines of talk on stderr."""
    print(plain(text, lines=True), file=sys.stderr, flush=True)  # noqa: T201


def tell(text: str = "") -> None:
    """Print lines of an answer on stdout; never wrapped, so that paths can be copied."""
    print(plain(text, lines=True))  # noqa: T201


def show(renderable: RenderableType) -> None:
    """Print a table or a styled text on stdout."""
    console().print(renderable)


def console(*, stderr: bool = False) -> Console:
    """A console that takes no text for markup and respects NO_COLOR, pipes and files."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made = Console(
            stderr=stderr, markup=False, highlight=False, emoji=False, width=WIDTH_WITHOUT_TERMINAL
        )
    return made
