"""Every key of the app has a name, a word, an explanation, and something that it does."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

import ppo_tui.screens
from ppo_tui.screens.app import PpoTuiApp


def classes() -> Iterator[type[DOMNode]]:
    for found in pkgutil.walk_packages(ppo_tui.screens.__path__, "ppo_tui.screens."):
        module = importlib.import_module(found.name)
        for item in vars(module).values():
            ours = isinstance(item, type) and item.__module__ == module.__name__
            if ours and issubclass(item, DOMNode) and "BINDINGS" in vars(item):
                yield item


BINDINGS = [
    pytest.param(owner, binding, id=f"{owner.__name__}-{binding.id}-{binding.key}")
    for owner in classes()
    for binding in owner.BINDINGS
    if isinstance(binding, Binding)
]

TAKEN_BY_TERMINALS = {f"ctrl+{letter}" for letter in "abhimsz"}


def test_there_are_many() -> None:
    assert len(BINDINGS) > 100


def test_none_is_written_in_short_form() -> None:
    short = [
        (owner.__name__, binding)
        for owner in classes()
        for binding in owner.BINDINGS
        if not isinstance(binding, Binding)
    ]
    assert short == []


@pytest.mark.parametrize(("owner", "binding"), BINDINGS)
def test_a_key_is_explained_and_can_be_remapped(owner: type[DOMNode], binding: Binding) -> None:
    assert binding.id, "it has no id to remap it by"
    assert "." in binding.id
    assert binding.description
    assert len(binding.description.split()) <= 3
    assert binding.tooltip


@pytest.mark.parametrize(("owner", "binding"), BINDINGS)
def test_a_key_does_something(owner: type[DOMNode], binding: Binding) -> None:
    action = binding.action.partition("(")[0]
    target, _, name = action.rpartition(".")
    beside = vars(importlib.import_module(owner.__module__)).values()
    screens = tuple(item for item in beside if isinstance(item, type) and issubclass(item, Screen))
    holders = {"": (owner, PpoTuiApp), "app": (PpoTuiApp,), "screen": screens}[target]
    assert any(
        hasattr(holder, f"{kind}{name}") for holder in holders for kind in ("action_", "_action_")
    )


@pytest.mark.parametrize(("owner", "binding"), BINDINGS)
def test_a_key_is_not_one_that_terminals_keep(owner: type[DOMNode], binding: Binding) -> None:
    keys = {key.strip() for key in binding.key.split(",")}
    assert not keys & TAKEN_BY_TERMINALS
    assert not any(key.startswith(("alt+", "shift+")) for key in keys)


def test_an_id_means_one_thing() -> None:
    meanings: dict[str, set[str]] = {}
    for parameter in BINDINGS:
        _, binding = parameter.values
        assert isinstance(binding, Binding)
        meanings.setdefault(str(binding.id), set()).add(binding.action)
    several = {name: found for name, found in meanings.items() if len(found) > 1}
    assert several == {}
