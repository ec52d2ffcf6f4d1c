"""The last line of a screen: the keys that do something now, as many as have room.

Textual's footer lets what does not fit run out of the screen. Here whole keys are left out, those
that cannot be used first, and help and quit always stay; `?` lists all.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

ALWAYS = ("app.help", "app.quit")
"""Bindings that are never left out."""

_AROUND = 3
"""Cells that a key takes beside its name and its word."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the line."""

    binding: Binding
    shown: str
    enabled: bool
    tooltip: str

    @property
    def width(self) -> int:
        """Cells it takes."""
        return len(self.shown) + len(self.binding.description) + _AROUND


class KeyLine(Footer):
    """A footer that fits."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._composed: tuple[Key, ...] = ()

    def compose(self) -> ComposeResult:
        """The keys that have room."""
        if not self._bindings_ready:
            return
        self._composed = self._fitting()
        self.styles.grid_size_columns = max(1, len(self._composed))
        for key in self._composed:
            yield FooterKey(
                key.binding.key,
                key.shown,
                key.binding.description,
                key.binding.action,
                disabled=not key.enabled,
                tooltip=key.tooltip or key.binding.description,
            ).data_bind(compact=Footer.compact)

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Compose anew, if it would look another way."""
        if not self._bindings_ready or self._fitting() != self._composed:
            super().bindings_changed(screen)

    def on_resize(self, event: Resize) -> None:
        """Another width has room for other keys."""
        if self._bindings_ready and self._fitting() != self._composed:
            self.call_after_refresh(self.recompose)

    def _fitting(self) -> tuple[Key, ...]:
        active = self.screen.active_bindings.values()
        seen: set[str] = set()
        own: list[Key] = []
        last: list[Key] = []
        inner: list[Key] = []
        for node, binding, enabled, tooltip in active:
            if not binding.show or binding.action in seen:
                continue
            seen.add(binding.action)
            key = Key(binding, self.app.get_key_display(binding), enabled, tooltip)
            if binding.id in ALWAYS:
                last.append(key)
            elif node is self.screen:
                own.append(key)
            else:
                inner.append(key)
        room = self.size.width - sum(key.width for key in last)
        return (*_that_fit([*own, *inner], room), *last)


def _that_fit(keys: list[Key], room: int) -> list[Key]:
    """The keys that have room, in their order; those that cannot be used go first."""
    if sum(key.width for key in keys) > room:
        keys = [key for key in keys if key.enabled]
    kept = []
    for key in keys:
        if key.width <= room:
            kept.append(key)
            room -= key.width
        else:
            break
    return kept
