"""Every error code in the source, and the exit codes of the classes that carry it.

The source is read, not run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ppo_tui
from ppo_tui import errors, screens

# What makes an error, a note or an answer of a code that stands among its arguments.
_BY_PLACE = {"ErrorInfo": 0, "Failure": 0, "HealthNote": 0, "Rule": 0, "report": 0}

_BY_OTHERS = {"foreign_code": "RewardError"}
"""What raises an error of ours with the code that it is given."""

BUILT = {"trust.{code.kind}": ("trust.model", "trust.reward_file")}
"""Codes that are put together, and what comes of it."""


@dataclass(frozen=True)
class Found:
    """A code in the source; `raised` is the class of ours that it is given to, if that is known."""

    code: str
    raised: str | None
    place: str


@functools.cache
def codes() -> list[Found]:
    """All codes of the program, in the order of its files."""
    folders = (Path(ppo_tui.__file__).parent, Path(screens.__file__).parent)
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [found for path in files for found in _in_file(path)]


def exit_codes(code: str) -> set[int]:
    """The exit codes of the classes that a code is raised with."""
    return {
        int(getattr(errors, found.raised).exit_code)
        for found in codes()
        if found.code == code and found.raised is not None
    }


def _in_file(path: Path) -> Iterator[Found]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        place = f"{path.name}:{getattr(node, 'lineno', 0)}"
        for expression, raised in _expressions(node):
            for code in _texts(expression):
                yield Found(code, raised, place)


def _expressions(node: ast.AST) -> Iterator[tuple[ast.expr, str | None]]:
    """The expressions in a node that are a code, and the class of ours that each goes to."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else _name(node.func)
        raised = name if _is_error(name) else _BY_OTHERS.get(name)
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield keyword.value, raised
        place = _BY_PLACE.get(name)
        if place is not None and len(node.args) > place:
            yield node.args[place], None
    elif isinstance(node, ast.ClassDef):
        # An error of ours, or one that a module derives from it.
        names = (node.name, *(_name(base) for base in node.bases))
        raised = next((name for name in names if _is_error(name)), None)
        for line in node.body:
            if isinstance(line, ast.Assign) and _name(line.targets[0]) == "default_code":
                yield line.value, raised
    elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "code":
        yield node.value, None


def _texts(expression: ast.expr) -> Iterator[str]:
    if isinstance(expression, ast.IfExp):
        yield from _texts(expression.body)
        yield from _texts(expression.orelse)
    elif isinstance(expression, ast.BoolOp):
        for value in expression.values:
            yield from _texts(value)
    elif isinstance(expression, ast.JoinedStr):
        yield from BUILT[ast.unparse(expression)[2:-1]]
    elif isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        yield expression.value


def _is_error(name: str) -> bool:
    found = getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, errors.PpoTuiError)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""
