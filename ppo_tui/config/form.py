"""The settings of a run as a flat list for a form, made from the pydantic models.

Also how a value is written into a line of text, and read back from what was typed. What is being
changed, and whether it is valid, is the matter of `ppo_tui.config.draft`. Knows no screen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ppo_tui.config.rewards import BUILT_IN_TERMS, RewardTerm, option_names, plugin_kinds
from ppo_tui.config.schema import RunConfig
from ppo_tui.config.yaml_io import dump_yaml, line_of_yaml, load_yaml

Kind = Literal["text", "whole", "number", "choice", "switch", "list", "terms"]

RUN: Final = "run"
"""Name of the group that holds what stands outside of all groups."""
TERMS: Final = "reward.terms"

_HUGE = 2**53
"""A bound from here on is one of the representation, of no use to a person."""


@dataclass(frozen=True)
class FormField:
    """One setting.

    Attributes:
        key: Its dotted key, as after `--set`.
        group: The group that it is in; `run` for what is in none.
        name: Its name within the group.
        kind: How it is edited.
        documentation: What it does.
        default: Its default, as plain data.
        choices: What may be chosen; for a list, words that may stand in its place.
        bounds: Its limits in words, or an empty text.
        optional: Whether it may be left empty (null).
    """

    key: str
    group: str
    name: str
    kind: Kind
    documentation: str
    default: Any
    choices: tuple[str, ...] = ()
    bounds: str = ""
    optional: bool = False


@dataclass(frozen=True)
class FormGroup:
    """Settings that belong together.

    Attributes:
        name: Its name.
        documentation: What it is about.
        fields: The settings, in the order of the models.
    """

    name: str
    documentation: str
    fields: tuple[FormField, ...]


@cache
def form_groups() -> tuple[FormGroup, ...]:
    """All settings of a run that leave a choice, by group."""
    own: list[FormField] = []
    groups: list[FormGroup] = []
    for name, info in RunConfig.model_fields.items():
        model = info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = tuple(_fields(model, name))
            groups.append(FormGroup(name, _first_line(model.__doc__), fields))
        else:
            own += _field(RUN, name, name, info)
    return FormGroup(RUN, "How long, from which seed, and on what.", tuple(own)), *groups


@cache
def form_fields() -> Mapping[str, FormField]:
    """All settings by their dotted key."""
    return MappingProxyType({field.key: field for group in form_groups() for field in group.fields})


def read_text(field: FormField, text: str) -> Any:
    """The value that a text means for a setting, as plain data; not checked yet.

    Texts and choices are taken as they stand, unless they begin with a double quote; those, and all
    others, are YAML.

    Raises:
        ConfigError: It is not YAML.
    """
    stripped = text.strip()
    if field.optional and stripped in ("", "null", "~"):
        return None
    if field.kind in ("text", "choice"):
        return load_yaml(stripped, field.key) if stripped[:1] == '"' else text
    value = load_yaml(stripped, field.key)
    if field.kind == "list" and not isinstance(value, list) and stripped not in field.choices:
        return [load_yaml(part, field.key) for part in stripped.split(",")] if stripped else []
    return value


def text_of(field: FormField, value: Any) -> str:
    """A value as `read_text` reads it back; in one line, but for reward terms."""
    if value is None:
        return ""
    if field.kind == "terms":
        return dump_yaml([bare_term(term) for term in value])
    if isinstance(value, str) and field.kind in ("text", "choice"):
        safe = value.isprintable() and value == value.strip() and value[:1] != '"'
        taken = field.optional and value in ("", "null", "~")
        # The style with double quotes escapes whatever cannot be seen.
        return value if safe and not taken else _quoted(value)
    if field.kind == "list" and isinstance(value, list):
        return ", ".join(line_of_yaml(item) for item in value)
    return line_of_yaml(value)


def bare_term(term: Mapping[str, Any]) -> dict[str, Any]:
    """A reward term without the options that are at their default."""
    model = BUILT_IN_TERMS.get(str(term.get("kind")), RewardTerm)
    fields, names = model.model_fields, option_names(model)
    return {
        key: value
        for key, value in term.items()
        if key == "kind" or key not in names or value != _plain(fields[names[key]].get_default())
    }


def bare_value(key: str, value: Any) -> Any:
    """A setting's value as it is best written down."""
    return [bare_term(term) for term in value] if key == TERMS else value


@dataclass(frozen=True)
class TermKind:
    """A kind of reward term.

    Attributes:
        name: What `kind` is set to.
        documentation: What it scores.
        options: Name of each option of its own, and what it does.
    """

    name: str
    documentation: str
    options: tuple[tuple[str, str], ...]


@cache
def term_kinds() -> Mapping[str, TermKind]:
    """The kinds of reward terms by name; slow at first, since it asks the installed packages."""
    kinds = {}
    for name, model in BUILT_IN_TERMS.items():
        options = tuple(
            (option, model.model_fields[attribute].description or "")
            for option, attribute in option_names(model).items()
            if attribute not in RewardTerm.model_fields
        )
        kinds[name] = TermKind(name, _first_line(model.__doc__), options)
    for name in sorted(plugin_kinds()):
        told = (("options", "Passed to the package's reward as keyword arguments."),)
        kinds[name] = TermKind(name, "A reward that an installed package provides.", told)
    return MappingProxyType(kinds)


def _fields(model: type[BaseModel], group: str) -> Iterator[FormField]:
    for name, info in model.model_fields.items():
        yield from _field(group, f"{group}.{name}", name, info)


def _field(group: str, key: str, name: str, info: FieldInfo) -> Iterator[FormField]:
    branches = [_bare(branch) for branch in _branches(info.annotation)]
    optional = NoneType in branches
    types = [branch for branch in branches if branch is not NoneType]
    choices = tuple(
        str(choice) for t in types if get_origin(t) is Literal for choice in get_args(t)
    )
    kind = _kind(key, types)
    if kind == "choice" and len(choices) < 2 and not optional:
        return  # it leaves no choice
    yield FormField(
        key=key,
        group=group,
        name=name,
        kind=kind,
        documentation=" ".join((info.description or "").split()),
        default=_plain(info.get_default()),
        choices=choices,
        bounds=_bounds(info, kind),
        optional=optional,
    )


def _kind(key: str, types: Sequence[Any]) -> Kind:
    if key == TERMS:
        return "terms"
    if any(get_origin(t) is tuple for t in types):
        return "list"
    if any(get_origin(t) is Literal for t in types):
        return "choice"
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number"}
    return kinds.get(types[0], "text")


def _branches(annotation: Any) -> tuple[Any, ...]:
    annotation = _bare(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _bounds(info: FieldInfo, kind: Kind) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = []
    for name, word in words.items():
        for limit in info.metadata:
            bound = getattr(limit, name, None)
            if isinstance(bound, int | float) and bound < _HUGE:
                found.append(f"{word} {bound:g}")
    if kind == "whole":
        return ", ".join(["a whole number", *found])
    return ", ".join(["a number", *found]) if kind == "number" else ""


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _first_line(text: str | None) -> str:
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def _quoted(text: str) -> str:
    import json

    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escape(c) for c in escaped)


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"
