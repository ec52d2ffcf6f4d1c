"""The question what a preset is to be called, and whether one of that name is to be replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textual.app import App

from .dialogs import Ask, Confirm


def ask_for_preset_name(
    app: App[Any], shipped: Mapping[str, bool], save: Callable[[str, bool], None]
) -> None:
    """Ask for the name of a preset.

    Args:
        app: The app, for its dialogs.
        shipped: The presets that there are, and whether each comes with ppo-tui.
        save: Called with the name and whether a preset of that name is to be replaced.
    """
    from ppo_tui.config.presets import check_preset_name

    def named(name: str | None) -> None:
        if name is None:
            return
        if name not in shipped:
            save(name, False)
            return
        own = not shipped[name]
        question = Confirm(
            f"There is a preset {name} {'of your own' if own else 'that comes with ppo-tui'}.",
            "Replace it?" if own else "Yours will stand in its place.",
            yes="Replace",
            no="Leave it",
            danger=True,
        )
        app.push_screen(question, lambda yes: save(name, True) if yes else None)

    app.push_screen(Ask("What is the preset called?", check=check_preset_name), named)
