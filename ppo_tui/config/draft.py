"""A configuration that is being written: what was changed, from what, and whether it is valid.

For the form of the app. What is typed is read and checked here, on its own and in the whole; the
same run is told as YAML and as a command line. Knows no screen.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from ppo_tui.config.form import RUN, bare_value, form_fields, read_text
from ppo_tui.config.paths import with_absolute_paths
from ppo_tui.config.resolve import COMMAND_LINE, ResolvedConfig, validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.config.yaml_io import line_of_yaml
from ppo_tui.errors import ConfigError

_SOURCE = "form"


@dataclass(frozen=True)
class Checked:
    """What became of a typed text.

    Attributes:
        value: The value it means, as plain data; None as well where it means nothing.
        error: Why the setting cannot have it, in a sentence; empty if it can.
        conflict: What it collides with elsewhere in the configuration, in a sentence.
    """

    value: Any = None
    error: str = ""
    conflict: str = ""


@dataclass(frozen=True)
class Draft:
    """A configuration that is being written.

    Attributes:
        base: What it is made from; its paths are absolute.
        source: What stands for the base on a command line: a preset's name or a file; None for
            one that has no such name.
        changes: What was changed, by dotted key, as plain data; equal to the base it is no change.
    """

    base: ResolvedConfig
    source: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def base_values(self) -> Mapping[str, Any]:
        """The base's values by dotted key, as plain data."""
        return flat(self.base.config)

    def value(self, key: str) -> Any:
        """The setting's value, as plain data."""
        return self.changes.get(key, self.base_values[key])

    def with_value(self, key: str, value: Any) -> Draft:
        """The draft with a setting changed."""
        changes = {k: v for k, v in self.changes.items() if k != key}
        if value != self.base_values[key]:
            changes[key] = value
        return replace(self, changes=changes)

    def on(self, base: ResolvedConfig, source: str | None) -> Draft:
        """The same changes, made to another base."""
        draft = Draft(with_absolute_paths(base), source)
        for key, value in self.changes.items():
            draft = draft.with_value(key, value)
        return draft

    def values(self) -> dict[str, Any]:
        """The whole configuration as plain data, whether it is valid or not."""
        values = self.base.config.model_dump(mode="json")
        for key, value in self.changes.items():
            group, _, name = key.rpartition(".")
            (values[group] if group else values)[name] = value
        return values

    def resolved(self) -> ResolvedConfig:
        """The configuration, with typed paths made absolute.

        Raises:
            ConfigError: It is not valid; the sentence names the keys.
        """
        try:
            config = validate(self.values(), _SOURCE)
        except ConfigError as error:
            raise ConfigError(
                _sentence(error.message), hint=error.hint, code=error.code
            ) from error.__cause__
        origins = {k: v for k, v in self.base.origins.items() if not _inside(k, self.changes)}
        origins |= dict.fromkeys(self.changes, COMMAND_LINE)
        return with_absolute_paths(ResolvedConfig(config, self.base.name, origins))

    def problem(self) -> tuple[str, str]:
        """What is wrong with the whole: a sentence, and the key to look at; both may be empty."""
        try:
            self.resolved()
        except ConfigError as error:
            return error.message, _key_in(error, self.changes)
        return "", ""


def draft_of(base: ResolvedConfig, source: str | None = None) -> Draft:
    """A draft that is its base still."""
    return Draft(with_absolute_paths(base), source)


def check(draft: Draft, key: str, text: str) -> Checked:
    """Read a typed text as the value of a setting, and check it in the whole configuration.

    A text that breaks the setting's own rules is an error. One that only does not go with another
    setting is a value with a conflict: the other may be changed next.
    """
    try:
        value = read_text(form_fields()[key], text)
    except ConfigError as error:
        return Checked(error=_sentence(error.message))
    try:
        validate(draft.with_value(key, value).values(), _SOURCE)
    except ConfigError as error:
        own = _own_problem(error, key)
        if own:
            return Checked(value, error=own)
        return Checked(value, conflict=_sentence(error.message))
    return Checked(value)


def flat(config: RunConfig) -> dict[str, Any]:
    """The values of all settings by dotted key, as plain data."""
    values = config.model_dump(mode="json")
    return {
        one.key: values[one.name] if one.group == RUN else values[one.group][one.name]
        for one in form_fields().values()
    }


def differences(config: RunConfig, base: RunConfig) -> dict[str, Any]:
    """The settings by dotted key that `config` has otherwise than `base`, as plain data."""
    there = flat(base)
    return {key: value for key, value in flat(config).items() if value != there[key]}


def command_line(config: RunConfig, base: RunConfig, source: str) -> str:
    """The run as a command for a shell: `source`, and what `config` has otherwise than `base`."""
    words = ["ppo-tui", "train", source]
    for key, value in differences(config, base).items():
        words += ["--set", f"{key}={line_of_yaml(bare_value(key, value))}"]
    return shlex.join(words)


def nearest_command(
    config: RunConfig, bases: Mapping[str, RunConfig], source: str | None = None
) -> str:
    """The run as a command, from the base called `source` or else from the one that is nearest."""
    if source is None or source not in bases:
        source = min(bases, key=lambda name: len(differences(config, bases[name])))
    return command_line(config, bases[source], source)


def nested(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key as the nested mapping of a YAML file."""
    values: dict[str, Any] = {}
    for key, value in changes.items():
        group, _, name = key.rpartition(".")
        (values.setdefault(group, {}) if group else values)[name] = bare_value(key, value)
    return values


def _own_problem(error: ConfigError, key: str) -> str:
    """The sentence about the setting itself, or an empty text if another one is at fault."""
    if isinstance(error.__cause__, ValidationError):
        place = tuple(key.split("."))
        problems = error.__cause__.errors(include_url=False)
        if any(problem["loc"][: len(place)] == place for problem in problems):
            return _sentence(error.message, key)
        group, _, name = key.rpartition(".")
        if group and problems[0]["loc"] == (group,):
            # A rule of the whole group that speaks of this setting alone is the setting's own.
            text = error.message.removeprefix(f"{_SOURCE}: {group}: ")
            names = [one.name for one in form_fields().values() if one.group == group]
            if [other for other in names if re.search(rf"\b{other}\b", text)] == [name]:
                return _sentence(text)
    return ""


def _sentence(message: str, key: str = "") -> str:
    for prefix in (f"{_SOURCE}: ", f"{key}: " if key else "", f"{key}."):
        message = message.removeprefix(prefix)
    # A key that a sentence begins with is written as it is.
    first = message.partition(" ")[0]
    return message[:1].upper() + message[1:] if first.isalpha() else message


def _key_in(error: ConfigError, changes: Mapping[str, Any]) -> str:
    """The setting that a sentence is about; one that was changed, if it is about several."""
    fields = form_fields()
    named = [key for key in fields if re.search(rf"\b{re.escape(key)}\b", error.message)]
    if not named and isinstance(error.__cause__, ValidationError):
        place = error.__cause__.errors(include_url=False)[0]["loc"]
        group = str(place[0]) if place else RUN
        named = [
            key
            for key, one in fields.items()
            if one.group == group and re.search(rf"\b{one.name}\b", error.message)
        ]
    # The longest key first: `steps` also stands within `optim.warmup_steps`.
    named.sort(key=lambda key: (key not in changes, -len(key)))
    return named[0] if named else ""


def _inside(key: str, changes: Mapping[str, Any]) -> bool:
    return any(key == changed or key.startswith(f"{changed}.") for changed in changes)
