"""Help for what is in focus: what it is, which keys it has now, and what the numbers mean.

Made from the `HELP` of the widget and the screen, from the live bindings, and from the glossary, so
that it cannot say what is no longer so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import cleandoc
from textwrap import wrap
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, runtime_checkable

from textual import on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, Markdown, Static

from ppo_tui.text.metrics import EXPLANATIONS

from .widgets.key_line import KeyLine
from .widgets.plain_input import PlainInput

if TYPE_CHECKING:
    from textual.dom import DOMNode

WIDEST_KEYS: Final = 14
NARROWEST: Final = 70


@dataclass(frozen=True)
class HelpLine:
    """One thing that keys do.

    Attributes:
        keys: The keys, as they are shown.
        name: A word or two.
        words: A sentence, if there is one.
        active: Whether it can be done now.
    """

    keys: str
    name: str
    words: str
    active: bool


@dataclass(frozen=True)
class KeyGroup:
    """The keys of one part of the screen."""

    title: str
    lines: tuple[HelpLine, ...]


@runtime_checkable
class Explaining(Protocol):
    """A widget whose help depends on what it shows now."""

    def explain(self) -> str:
        """Its help, as Markdown."""


def help_of(screen: Screen[Any], focused: Widget | None) -> tuple[str, ...]:
    """The help of the focused widget, or of the nearest around it that has some; then the screen's.

    Returns:
        Markdown texts, the nearest first.
    """
    texts: list[str] = []
    around = focused.ancestors_with_self if focused is not None else []
    for node in around:
        if node is screen:
            break
        if isinstance(node, Explaining):
            texts.append(cleandoc(node.explain()))
            break
        if isinstance(node, Widget) and node.HELP:
            texts.append(cleandoc(node.HELP))
            break
    if screen.HELP:
        texts.append(cleandoc(screen.HELP))
    return tuple(texts)


def keys_of(screen: Screen[Any]) -> tuple[KeyGroup, ...]:
    """The keys that work on a screen as it stands, by the part that they belong to."""
    parts: dict[str, dict[str, list[ActiveBinding]]] = {}
    for active in screen.active_bindings.values():
        if active.binding.description and not active.binding.system:
            part = parts.setdefault(_title(active.node, screen), {})
            part.setdefault(active.binding.action, []).append(active)
    return tuple(
        KeyGroup(title, tuple(sorted((_line(screen, same) for same in part.values()), key=_own)))
        for title, part in parts.items()
    )


def _line(screen: Screen[Any], same: Sequence[ActiveBinding]) -> HelpLine:
    _, binding, enabled, _ = same[0]
    # Without doubles, in their order.
    keys = dict.fromkeys(screen.app.get_key_display(active.binding) for active in same)
    return HelpLine(" ".join(keys), binding.description, binding.tooltip, enabled)


def _own(line: HelpLine) -> bool:
    """Sorts what Textual's widgets bring, which has no tooltip, behind what is ours."""
    return not line.words


def _title(node: DOMNode, screen: Screen[Any]) -> str:
    if node.BINDING_GROUP_TITLE:
        return node.BINDING_GROUP_TITLE
    if node is screen:
        return "On this screen"
    if node is screen.app:
        return "Everywhere"
    return "In focus"


def name_of(screen: Screen[Any]) -> str:
    """A screen's name in words, from its class: `NewRunScreen` is New run."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(screen).__name__.removesuffix("Screen"))
    return words.capitalize()


def paragraphs_with(text: str, wanted: str) -> str:
    """The paragraphs of a Markdown text that hold what is searched for."""
    parts = text.split("\n\n")
    return "\n\n".join(part for part in parts if wanted in part.casefold())


class HelpScreen(ModalScreen[None]):
    """The help of what was in focus when it was opened.

    Args:
        screen: The screen in front.
        focused: Its focused widget.
    """

    CSS_PATH = "help.tcss"
    AUTO_FOCUS = "#help-text"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", id="help.close", tooltip="Go back to the screen"),
        Binding(
            "slash", "search", "Search", id="help.search", tooltip="Show only what holds a word"
        ),
    ]

    def __init__(self, screen: Screen[Any], focused: Widget | None) -> None:
        super().__init__()
        self._about = name_of(screen)
        self._texts = help_of(screen, focused)
        self._keys = keys_of(screen)
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """The search, then the texts, the keys, the numbers; one scroll."""
        with Vertical(id="help"):
            yield Static(Content.assemble(("Help: ", "bold"), self._about), id="help-title")
            yield PlainInput(placeholder="/ search in keys, words and numbers", id="help-search")
            with VerticalScroll(id="help-text", can_focus=True):
                yield Markdown("\n\n".join(self._texts), id="help-words", open_links=False)
                yield Static(id="help-keys", markup=False)
                yield Static(id="help-numbers", markup=False)
                yield Static(id="help-nothing", markup=False)
        yield KeyLine()

    def on_resize(self) -> None:
        """Break the lines anew; also when the screen is first laid out."""
        self.call_after_refresh(self._show)

    @on(Input.Changed, "#help-search")
    async def _searched(self, event: Input.Changed) -> None:
        self._wanted = event.value.strip().casefold()
        parts = (paragraphs_with(text, self._wanted) for text in self._texts)
        await self.query_one(Markdown).update("\n\n".join(filter(None, parts)))
        self._show()
        self.query_one("#help-text").scroll_home(animate=False)

    @on(Input.Submitted, "#help-search")
    def _to_the_text(self) -> None:
        self.query_one("#help-text").focus()

    def _show(self) -> None:
        wanted = self._wanted
        words = any(paragraphs_with(text, wanted) for text in self._texts)
        keys, numbers = self._keys_text(wanted), self._numbers_text(wanted)
        nothing = "" if words or keys.plain or numbers.plain else "Nothing here holds that."
        self.query_one(Markdown).display = words
        for id_, content in (
            ("#help-keys", keys),
            ("#help-numbers", numbers),
            ("#help-nothing", Content(nothing)),
        ):
            part = self.query_one(id_, Static)
            part.update(content)
            part.display = bool(content.plain)

    def _keys_text(self, wanted: str) -> Content:
        width = self.query_one("#help-keys").scrollable_content_region.width or NARROWEST
        parts: list[Content] = []
        for group in self._keys:
            lines = [
                line
                for line in group.lines
                if wanted in f"{line.keys} {line.name} {line.words}".casefold()
            ]
            if lines:
                parts.append(Content.styled(f"\nKeys: {group.title}", "bold underline"))
                parts += [_key_line(line, width) for line in lines]
        return Content("\n").join(parts)

    def _numbers_text(self, wanted: str) -> Content:
        parts = [Content.styled("\nWhat the numbers of a run mean", "bold underline")]
        for name, explanation in EXPLANATIONS.items():
            text = f"{name} {explanation.title} {explanation.words} {explanation.healthy}"
            if wanted in text.casefold():
                parts.append(
                    Content.assemble(
                        (explanation.title, "bold"),
                        f" ({name})\n{explanation.words}\nHealthy: {explanation.healthy}\n",
                    )
                )
        return Content("\n").join(parts) if len(parts) > 1 else Content()

    def action_search(self) -> None:
        """Go to the search."""
        self.query_one("#help-search").focus()

    def action_close(self) -> None:
        """Close; from the search, an empty one closes and a filled one is emptied."""
        search = self.query_one("#help-search", Input)
        if search.has_focus and search.value:
            search.value = ""
            self.query_one("#help-text").focus()
        else:
            self.dismiss(None)


def _key_line(line: HelpLine, width: int) -> Content:
    """Keys on the left, what they do on the right, its lines broken within its column."""
    column = WIDEST_KEYS + 2
    later = "" if line.active else " (not now)"
    words = f": {line.words}" if line.words and line.words != line.name else ""
    rows = wrap(f"{line.name}{words}{later}", max(20, width - column))
    text = f"\n{' ' * column}".join(rows)
    return Content.assemble((line.keys.ljust(column), "bold $accent"), text)
