"""Plain-text goldens: what a screen shows, character by character, without its colours.

`make goldens` writes them anew; the diff is the review.
"""

import difflib
import os
from pathlib import Path

import pytest
from textual.app import App

FOLDER = Path(__file__).with_name("golden")


def screen_text(app: App[object]) -> str:
    """What is on the screen, one line a row, without trailing spaces."""
    # Textual has no public way to read the screen as text.
    strips = app.screen._compositor.render_strips()
    lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
    return "\n".join(lines) + "\n"


def all_text(app: App[object]) -> str:
    """The text of the screen and of what shows through beneath a dialog."""
    return "\n".join(
        "\n".join(
            "".join(segment.text for segment in strip).rstrip()
            for strip in screen._compositor.render_strips()
        )
        for screen in app.screen_stack
    )


def check_golden(app: App[object], name: str) -> None:
    """Compare the screen with `golden/NAME-WIDTHxHEIGHT.txt`."""
    width, height = app.size
    path = FOLDER / f"{name}-{width}x{height}.txt"
    shown = screen_text(app)
    if os.environ.get("UPDATE_GOLDENS"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
        return
    if not path.exists():
        pytest.fail(f"there is no golden {path.name}; write it with UPDATE_GOLDENS=1")
    golden = path.read_text(encoding="utf-8")
    if shown != golden:
        lines = difflib.unified_diff(golden.split("\n"), shown.split("\n"), "golden", "shown", n=1)
        pytest.fail(f"{path.name} looks another way now:\n" + "\n".join(lines))
