"""The presets with their descriptions; one is chosen as what a run is made from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..literal import literal

if TYPE_CHECKING:
    from ppo_tui.config.resolve import ResolvedConfig

CHOSEN = "●"
DEMO = "demo"
TASTE = "taste"

_FIRST = (DEMO, TASTE)
"""What runs on any computer."""
_DESCRIPTION = 400


@dataclass(frozen=True)
class Base:
    """Something that a run can be made from.

    Attributes:
        name: What it is called on the screen.
        source: The preset's name, as on a command line; None for one that is no preset.
        description: What it is for.
        resolved: Its configuration, or None if it is not valid.
        problem: Why it is not valid.
        own: Whether it is a preset of the user's own.
    """

    name: str
    source: str | None
    description: str
    resolved: ResolvedConfig | None
    problem: str = ""
    own: bool = False


class PresetPicker(OptionList):
    """The presets; enter or space takes one."""

    HELP = """\
## Presets

A preset is a whole configuration to begin with. **enter** takes one: all settings become the
preset's, but those that you have changed stay as you set them. Save your own with **s**.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "select", "Take", id="preset.take", tooltip="Begin from it", show=False),
    ]

    class Chosen(Message):
        """A preset was taken."""

        def __init__(self, base: Base) -> None:
            super().__init__()
            self.base = base

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(
            Option(Content("reading the presets …"), disabled=True),
            id=id,
            markup=False,
            compact=True,
        )
        self._bases: list[Base] = []
        self._chosen = ""

    def show(self, bases: Sequence[Base], chosen: str) -> None:
        """Show what there is, and which one is taken."""
        if list(bases) == self._bases and chosen == self._chosen:
            return
        self._bases, self._chosen = list(bases), chosen
        highlighted = self.highlighted
        self.set_options(Option(self._row(base)) for base in bases)
        names = [base.name for base in bases]
        if highlighted is None and chosen in names:
            highlighted = names.index(chosen)
        self.highlighted = highlighted

    def _row(self, base: Base) -> Content:
        mark = CHOSEN if base.name == self._chosen else " "
        name = literal(base.name, "bold" if base.name == self._chosen else "")
        words = f"✗ {base.problem}" if base.problem else base.description
        return Content.assemble(
            f"{mark} ",
            name,
            (" (your own)" if base.own else "", "$foreground-muted"),
            "\n  ",
            literal(words[:_DESCRIPTION], "$foreground-muted"),
        )

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self._bases:
            self.post_message(self.Chosen(self._bases[event.option_index]))


def read_bases(start: ResolvedConfig | None) -> list[Base]:
    """Everything that a run can be made from; `start` first. Reads files: not for the UI thread."""
    from ppo_tui.config.form import form_fields, term_kinds
    from ppo_tui.config.presets import load_preset, preset_names
    from ppo_tui.config.resolve import resolve
    from ppo_tui.errors import ConfigError

    form_fields(), term_kinds()  # made once; the form asks for them with every key
    bases = []
    if start is not None:
        bases.append(Base(_name_of(start), None, start.config.description, start))
    for name in sorted(preset_names(), key=_order):
        try:
            preset = load_preset(name)
            resolved = resolve(name)
            bases.append(Base(name, name, preset.description, resolved, own=not preset.shipped))
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            bases.append(Base(name, name, "", None, problem=str(error), own=True))
    return bases


def _order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """What runs anywhere first; then by name, with 8 before 12."""
    pieces = re.split(r"(\d{1,9})", name)
    place = _FIRST.index(name) if name in _FIRST else len(_FIRST)
    return place, [(int(p), "") if p.isdecimal() else (-1, p) for p in pieces]


def _name_of(start: ResolvedConfig) -> str:
    """What settings that were handed in are called: after the run they are of, if it is known."""
    runs = {origin for origin in start.origins.values() if origin.startswith("run ")}
    return f"copy of {sorted(runs)[0]}" if runs else f"copy of {start.name}"
