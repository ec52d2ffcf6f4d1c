"""The app's keys as data: which there are, what a person made of them, and where two clash.

For the settings screen, the palette and the app. Everything is read from the `BINDINGS` of the
classes, so that a new binding is in all of them without being listed anywhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _character_to_key, format_key
from textual.screen import ModalScreen

from ppo_tui.errors import did_you_mean

EATEN: Final[Mapping[str, str]] = {
    "ctrl+a": "screen and many shells keep it for themselves",
    "ctrl+b": "tmux keeps it for itself",
    "ctrl+c": "it is the way out of every program",
    "ctrl+d": "it ends the input of many terminals",
    "ctrl+h": "terminals send it for Backspace",
    "ctrl+i": "terminals send it for Tab",
    "ctrl+j": "terminals send it for Enter",
    "ctrl+m": "terminals send it for Enter",
    "ctrl+q": "it is the way out of the app, and it unfreezes a terminal",
    "ctrl+s": "it freezes many terminals",
    "ctrl+z": "terminals send programs to the background with it",
}
"""Keys that do not reach the app everywhere, and why."""

TAKEN: Final[Mapping[str, str]] = {
    "tab": "it goes from one part of the screen to the next",
    "shift+tab": "it goes from one part of the screen to the one before",
    "enter": "lists, fields and buttons need it",
    "escape": "it is the way back everywhere",
    "up": "lists need it",
    "down": "lists need it",
    "left": "fields need it",
    "right": "fields need it",
    "backspace": "fields need it",
}
"""Keys that widgets need, and what for."""

AREAS: Final[Mapping[str, str]] = {
    "app": "Everywhere",
    "dialog": "Questions",
    "find": "Search field",
    "findings": "Health",
    "form": "Settings of a new run",
    "model": "Base models",
    "new": "New run",
    "panel_choice": "Choice of charts",
    "panels": "Charts",
    "preset": "Presets",
    "prompt": "Prompt of the playground",
    "text": "New run as text",
}
"""What the areas of the ids are called where the word itself will not do."""


@dataclass(frozen=True)
class Command:
    """Something that a key does.

    Attributes:
        ids: Of the bindings; several where a key does one thing now and its opposite then.
        keys: The app's own keys.
        name: A word or two.
        words: What it does, in a sentence.
        module: Where the class is that has it.
        beside: Modules whose widgets may stand on the same screen.
        modal: It is of a dialog, which takes all keys while it stands.
    """

    ids: tuple[str, ...]
    keys: tuple[str, ...]
    name: str
    words: str
    module: str = ""
    beside: frozenset[str] = frozenset()
    modal: bool = False

    @property
    def id(self) -> str:
        """The first of its ids."""
        return self.ids[0]

    @property
    def area(self) -> str:
        """The part of the app it belongs to, for people."""
        word = self.id.partition(".")[0]
        return AREAS.get(word, word.replace("_", " ").capitalize())

    def effective(self, keymap: Mapping[str, str]) -> tuple[str, ...]:
        """The keys that it has under a keymap."""
        chosen = keymap.get(self.id)
        return normal(chosen) if chosen else self.keys


@dataclass(frozen=True)
class Clash:
    """One key for two things that are there at the same time."""

    key: str
    one: Command
    other: Command

    @property
    def sentence(self) -> str:
        """The clash in words."""
        return (
            f"{shown(self.key)} stands for both {self.one.name} ({self.one.id}) "
            f"and {self.other.name} ({self.other.id})."
        )


def normal(keys: str) -> tuple[str, ...]:
    """Keys as Textual names them: `?` is `question_mark`."""
    parts = (key.strip() for key in keys.split(","))
    return tuple(_character_to_key(key) if len(key) == 1 else key for key in parts if key)


def shown(key: str) -> str:
    """A key as it stands in a sentence or the footer."""
    *modifiers, last = key.split("+")
    return "+".join([*modifiers, format_key(last)])


def refusal(key: str, command: Command) -> str:
    """Why a key cannot be given to a command, in a sentence; empty if it can.

    A key that the command has by default is never refused.
    """
    if key in command.keys:
        return ""
    reason = EATEN.get(key) or TAKEN.get(key)
    if reason:
        return f"{shown(key)} cannot be used: {reason}."
    if "alt+" in key or key.startswith("shift+"):
        return f"{shown(key)} cannot be used: tmux and many terminals do not pass it on."
    if key.startswith(("super+", "hyper+", "meta+")):
        return f"{shown(key)} cannot be used: most terminals do not pass it on."
    return ""


def commands_of(owner: type[DOMNode], beside: frozenset[str] = frozenset()) -> list[Command]:
    """What the keys of one class do, without those that it inherits.

    Bindings that share their keys in a class are alternatives, such as pause and continue: they are
    one command with several ids, and are given another key together.
    """
    by_id: dict[str, list[Binding]] = {}
    for binding in Binding.make_bindings(owner.__dict__.get("BINDINGS", ())):
        if binding.id:
            by_id.setdefault(binding.id, []).append(binding)
    by_keys: dict[tuple[str, ...], list[str]] = {}
    for id_, bindings in by_id.items():
        by_keys.setdefault(tuple(binding.key for binding in bindings), []).append(id_)
    commands = []
    for keys, ids in by_keys.items():
        first = [by_id[id_][0] for id_ in ids]
        names = dict.fromkeys(binding.description or binding.id or "" for binding in first)
        words = dict.fromkeys(binding.tooltip for binding in first if binding.tooltip)
        commands.append(
            Command(
                tuple(ids),
                keys,
                name=" / ".join(names),
                words="; ".join(words),
                module=owner.__module__,
                beside=beside,
                modal=issubclass(owner, ModalScreen),
            )
        )
    return commands


def all_commands() -> tuple[Command, ...]:
    """What the keys of all screens, dialogs and widgets do; imports every screen.

    Takes as long as those imports do: call it in a thread.
    """
    package = importlib.import_module(__package__)
    modules = list(_modules(package.__name__, package.__path__))
    uses = {module.__name__: _classes_in(module) for module in modules}
    found: dict[tuple[str, ...], Command] = {}
    for module in modules:
        name = module.__name__
        beside = _reachable(name, uses)
        for owner in uses[name]:
            if owner.__module__ == name:
                for command in commands_of(owner, beside):
                    found.setdefault(command.ids, command)
    return tuple(sorted(found.values(), key=_order))


def _modules(name: str, path: Iterable[str]) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(path, f"{name}."):
        module = importlib.import_module(info.name)
        yield module
        if info.ispkg:
            yield from _modules(info.name, module.__path__)


def _classes_in(module: ModuleType) -> list[type[DOMNode]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DOMNode)
    ]


def _reachable(name: str, uses: Mapping[str, Sequence[type[DOMNode]]]) -> frozenset[str]:
    """The modules whose classes a module uses, by itself or by what it uses."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        now = waiting.pop()
        if now not in seen:
            seen.add(now)
            waiting += [owner.__module__ for owner in uses.get(now, ())]
    return frozenset(seen)


def _order(command: Command) -> tuple[bool, bool, str, str]:
    area = command.id.partition(".")[0]
    return (area == "dialog", area != "app", area, command.id)


def clashes(
    commands: Sequence[Command], keymap: Mapping[str, str], *, together: bool = False
) -> tuple[Clash, ...]:
    """Where a keymap makes one key stand for two things at the same time.

    Only what the keymap did is reported: that a list takes a key from its screen may be meant.

    Args:
        commands: What keys do.
        keymap: What a person made of them.
        together: All of them are there at the same time; otherwise that is found out.
    """
    found = []
    for index, one in enumerate(commands):
        for other in commands[index + 1 :]:
            if one.id not in keymap and other.id not in keymap:
                continue
            both = set(one.effective(keymap)) & set(other.effective(keymap))
            meant = set(one.keys) & set(other.keys)
            if both - meant and (together or _meet(one, other)):
                found += [Clash(key, one, other) for key in sorted(both - meant)]
    return tuple(found)


def _meet(one: Command, other: Command) -> bool:
    if one.module == other.module:
        return True
    if one.modal or other.modal:  # it stands in front of everything else and takes its keys
        return False
    everywhere = "app" in (one.id.partition(".")[0], other.id.partition(".")[0])
    return everywhere or one.module in other.beside or other.module in one.beside


def with_key(
    keymap: Mapping[str, str], command: Command, keys: Sequence[str] | None
) -> dict[str, str]:
    """The keymap with other keys for a command; None gives it the app's own again."""
    changed = {id_: value for id_, value in keymap.items() if id_ not in command.ids}
    if keys is not None and tuple(keys) != command.keys:
        changed |= dict.fromkeys(command.ids, ",".join(keys))
    return changed


def complaints(commands: Sequence[Command], keymap: Mapping[str, str]) -> list[str]:
    """What is wrong with a keymap, a sentence each: keys for two things, ids of nothing."""
    ids = {id_ for command in commands for id_ in command.ids}
    unknown = [
        f"The keymap of the settings names {id_!r}, which is nothing here; {did_you_mean(id_, ids)}"
        for id_ in keymap
        if id_ not in ids
    ]
    return [*(clash.sentence for clash in clashes(commands, keymap)), *unknown]


def lost(node: DOMNode, keymap: Mapping[str, str]) -> list[Clash]:
    """The clashes within one node, which `App.handle_bindings_clash` is called for.

    Textual reports a binding with two keys of its own as a clash with itself when it is given one
    other key; that is none.
    """
    commands = [
        command
        for owner in type(node).__mro__
        if issubclass(owner, DOMNode)
        for command in commands_of(owner)
    ]
    return list(clashes(commands, keymap, together=True))
