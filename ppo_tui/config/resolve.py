"""From a preset or file and the command line's settings to one valid configuration.

Later wins: default, preset or file, `--set`. Every value remembers where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ppo_tui.config.migrate import CONFIG_STEPS, NewerVersion, migrated
from ppo_tui.config.presets import as_mapping, load_preset, looks_like_a_file
from ppo_tui.config.rewards import BUILT_IN_TERMS, PLUGIN, PluginTerm, option_names
from ppo_tui.config.schema import SCHEMA_VERSION, RunConfig
from ppo_tui.config.secrets import refuse_secrets
from ppo_tui.config.yaml_io import dump_yaml, load_yaml, read_yaml
from ppo_tui.errors import ConfigError, UsageError, did_you_mean

DEFAULT = "default"
COMMAND_LINE = "--set"


@dataclass(frozen=True)
class ResolvedConfig:
    """A valid configuration and the origin of each value.

    Attributes:
        config: The configuration.
        name: What the run is called after: the preset's or the file's name.
        origins: Dotted key to ``default``, ``preset NAME``, the file's path, or ``--set``.
    """

    config: RunConfig
    name: str
    origins: Mapping[str, str]

    def to_yaml(self) -> str:
        """The whole configuration as YAML; a comment says where each value came from.

        Values that are the default carry no comment.
        """
        return config_to_yaml(self.config, self.origins)


def config_to_yaml(config: RunConfig, origins: Mapping[str, str] | None = None) -> str:
    """`config` as YAML that `parse_config` reads back to an equal one."""
    origins = origins or {}
    lines: list[str] = []
    for key, value in config.model_dump(mode="json").items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            for inner, inner_value in value.items():
                lines += _entry(inner, inner_value, origins.get(f"{key}.{inner}", DEFAULT), "  ")
        else:
            lines += _entry(key, value, origins.get(key, DEFAULT), "")
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, origin: str, indent: str) -> list[str]:
    lines = dump_yaml({key: value}).rstrip("\n").split("\n")
    # Only a finished first line can carry a comment: a folded text would swallow it.
    if origin != DEFAULT and (len(lines) == 1 or lines[0] == f"{key}:"):
        # A file name may hold a line end, or what YAML does not allow even in a comment.
        shown = "".join(c if c.isprintable() else "?" for c in " ".join(origin.split()))
        lines[0] += f"  # {shown}"
    return [indent + line for line in lines]


def resolve(source: str, settings: Sequence[str] = ()) -> ResolvedConfig:
    """Read PRESET|FILE, apply `key=value` settings, validate.

    Args:
        source: The name of a preset, or a path to a YAML file.
        settings: ``section.key=value`` texts; values are read as YAML.

    Raises:
        ConfigError: The source is not there or not valid, or a setting is not.
        UsageError: A setting has no ``=``.
    """
    if looks_like_a_file(source):
        path = Path(source).expanduser()
        values = as_mapping(read_yaml(path), str(path))
        name, origin = path.stem, str(path)
    else:
        preset = load_preset(source)
        values, name, origin = preset.values, preset.name, f"preset {preset.name}"
    values = _copy(values)
    origins = dict.fromkeys(_keys(values), origin)
    for setting in settings:
        key, value = parse_setting(setting)
        _put(values, key, value)
        origins = {k: o for k, o in origins.items() if not k.startswith(f"{key}.")}
        origins.update(dict.fromkeys(_keys(value, f"{key}."), COMMAND_LINE))
        origins[key] = COMMAND_LINE
    return ResolvedConfig(validate(values, origin), name, origins)


def parse_config(text: str, source: str) -> RunConfig:
    """A configuration from YAML text, such as a run directory's `config.yaml`."""
    return validate(as_mapping(load_yaml(text, source), source), source)


def parse_setting(setting: str) -> tuple[str, Any]:
    """Split ``ppo.kl_coef=0.1`` into its key and its value, which is read as YAML."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    if not equals or not key or any(not part for part in key.split(".")):
        raise UsageError(
            f"--set {setting!r} is not of the form key=value, such as ppo.kl_coef=0.1.",
            code="usage.set",
        )
    return key, load_yaml(text, f"--set {key}")


def validate(values: Mapping[str, Any], source: str) -> RunConfig:
    """A `RunConfig` from plain data.

    Raises:
        ConfigError: One sentence about the first thing that is wrong: an unknown key (with the
            nearest known one), or a value that is out of range, of the wrong kind, or a secret.
    """
    values = _of_today(values, source)
    refuse_secrets(values, source)
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise _first_problem(error, source) from error


def _of_today(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    version = values.get("schema_version", SCHEMA_VERSION)
    try:
        today = migrated(values, version, SCHEMA_VERSION, CONFIG_STEPS)
    except NewerVersion as error:
        raise ConfigError(
            f"{source} has schema version {_short(version)}, and this ppo-tui knows up to "
            f"{SCHEMA_VERSION}: use a newer ppo-tui.",
            code="config.newer_schema",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{source}: schema_version: must be a whole number from 1, {SCHEMA_VERSION} at most "
            f"(given: {_short(version)}).",
            code="config.invalid_value",
        ) from error
    return today | {"schema_version": SCHEMA_VERSION}


def _first_problem(error: ValidationError, source: str) -> ConfigError:
    problems = error.errors(include_url=False)
    inner = {problem["loc"][:-1] for problem in problems}
    # A list with a bad entry is also called too short by pydantic: the entry is what is wrong.
    problems = [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(loc[: len(problem["loc"])] == problem["loc"] for loc in inner)
    ]
    # An unknown key first: a misspelt one often brings a second complaint with it.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = _without_branches(problem["loc"])
    key = ".".join(str(part) for part in location)
    more = len(problems) - 1
    hint = f"{more} more problem{'s' if more > 1 else ''} after this one." if more else ""
    if problem["type"] == "extra_forbidden":
        # The key itself may be anything; only what stands before it is a place in the models.
        *parents, unknown = problem["loc"]
        parent = ".".join(str(part) for part in _without_branches(parents))
        known = _known_keys(parents)
        inside = f" in {parent}" if parent else ""
        return ConfigError(
            f"{source}: there is no setting {unknown!r}{inside}; "
            f"{did_you_mean(str(unknown), known)}",
            hint=hint,
            code="config.unknown_key",
        )
    given = problem.get("input")
    message = _in_words(problem)
    where = f"{key}: " if key else ""
    shown = f" (given: {_short(given)})" if key and not isinstance(given, dict) else ""
    return ConfigError(
        f"{source}: {where}{message[:1].lower()}{message[1:]}{shown}.",
        hint=hint,
        code="config.invalid_value",
    )


def _in_words(problem: Mapping[str, Any]) -> str:
    """What is wrong with a value, in the words of the settings instead of pydantic's."""
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    bounds = {
        "greater_than": "must be above {gt:g}",
        "greater_than_equal": "must be {ge:g} or more",
        "less_than": "must be below {lt:g}",
        "less_than_equal": "must be {le:g} or less",
    }
    if kind in bounds:
        return bounds[kind].format(**context)
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "finite_number":
        return "must be a finite number"
    for beginning, words in (
        ("float", "must be a number"),
        ("int", "must be a whole number"),
        ("bool", "must be true or false"),
        ("string_type", "must be a text"),
        ("string_too_short", "must not be empty"),
    ):
        if kind.startswith(beginning):
            return words
    return str(problem["msg"]).removeprefix("Value error, ")


def _without_branches(location: Sequence[int | str]) -> list[int | str]:
    # pydantic names the branch of a union ("literal['all-linear']") and the kind of a term.
    return [
        part
        for index, part in enumerate(location)
        if isinstance(part, int) or not (_is_kind(location, index) or set(part) & set("[]'"))
    ]


def _is_kind(location: Sequence[int | str], index: int) -> bool:
    """Whether a part of a location is the kind of the term whose number stands before it."""
    after_a_number = index > 0 and isinstance(location[index - 1], int)
    return after_a_number and location[index] in (*BUILT_IN_TERMS, PLUGIN)


def _known_keys(location: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for index, part in enumerate(location):
        if isinstance(part, int):
            continue
        if _is_kind(location, index):
            return list(option_names(BUILT_IN_TERMS.get(part, PluginTerm)))
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def _copy(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _copy(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_copy(value) for value in values]
    return values


def _keys(values: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = values
    for depth, part in enumerate(parents):
        if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
            continue
        if not isinstance(node, dict):
            raise ConfigError(
                f"--set {key}: {'.'.join(parents[:depth])} has no settings inside it.",
                code="config.unknown_key",
            )
        node = node.setdefault(part, {})
    if isinstance(node, list) and last.isdecimal() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise ConfigError(
            f"--set {key}: {'.'.join(parents)} has no setting {last!r} inside it.",
            code="config.unknown_key",
        )
