"""Presets: named configurations, shipped with ppo-tui or put into the user's own folder.

A preset holds only what differs from the defaults. One of the user's own hides a shipped one of the
same name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui.config.yaml_io import load_yaml, read_yaml
from ppo_tui.errors import ConfigError, did_you_mean
from ppo_tui.runs.paths import presets_root, shown

if TYPE_CHECKING:
    from ppo_tui.config.resolve import ResolvedConfig

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Preset:
    """A named configuration.

    Attributes:
        name: What a user calls it.
        path: The file, or None for one that is shipped inside the package.
        text: The YAML as written, comments included.
        values: The parsed mapping; not yet validated.
    """

    name: str
    path: Path | None
    text: str
    values: dict[str, Any]

    @property
    def shipped(self) -> bool:
        """Whether it comes with ppo-tui."""
        return self.path is None

    @property
    def description(self) -> str:
        """Its description, or an empty text."""
        value = self.values.get("description", "")
        return value if isinstance(value, str) else ""


def _shipped_texts() -> dict[str, str]:
    return {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in files("ppo_tui.presets").iterdir()
        if entry.name.endswith(".yaml")
    }


def _own_paths() -> dict[str, Path]:
    root = presets_root()
    if not root.is_dir():
        return {}
    return {path.stem: path for path in root.glob("*.yaml")}


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(_shipped_texts().keys() | _own_paths().keys())


def as_mapping(data: Any, source: str) -> dict[str, Any]:
    """`data` if it is a mapping (or nothing at all), else an error that says what it is."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            f"{source} must hold a mapping of settings, not a {type(data).__name__}.",
            code="config.not_a_mapping",
        )
    return data


def load_preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        ConfigError: There is none of that name (the nearest is offered), or it is not YAML.
    """
    own = _own_paths().get(name)
    if own is not None:
        values = as_mapping(read_yaml(own), str(own))
        return Preset(name, own, own.read_text(encoding="utf-8-sig"), values)
    shipped = _shipped_texts()
    if name not in shipped:
        short = name if len(name) <= 80 else f"{name[:79]}…"
        raise ConfigError(
            f"There is no preset {short!r}: {did_you_mean(short, preset_names())}",
            hint="`ppo-tui presets list` shows them all.",
            code="config.unknown_preset",
        )
    values = as_mapping(load_yaml(shipped[name], f"preset {name}"), f"preset {name}")
    return Preset(name, None, shipped[name], values)


def looks_like_a_file(source: str) -> bool:
    """Whether PRESET|FILE on a command line means a file."""
    return os.sep in source or source.endswith((".yaml", ".yml", ".json")) or source in (".", "..")


def check_preset_name(name: str) -> str:
    """Why a preset cannot be called `name`, in a sentence; empty if it can."""
    if not _NAME.fullmatch(name):
        return (
            f"{shown(name[:80])} cannot name a preset: letters, digits, -, _ and . can, "
            "at most 64 of them, the first a letter or a digit."
        )
    if name.endswith((".yaml", ".yml", ".json")):
        return f"{name} would be taken for a file; leave out the ending."
    return ""


def save_preset(
    name: str,
    resolved: ResolvedConfig,
    *,
    description: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Keep a configuration as a preset of the user's own; only what is not the default is written.

    Args:
        name: What it is to be called.
        resolved: The configuration; its paths are made absolute.
        description: What stands in its place; the configuration's own if left out.
        overwrite: Replace a preset of that name, or hide a shipped one.

    Returns:
        The file.

    Raises:
        ConfigError: The name cannot be one (``config.preset_name``), or is taken
            (``config.preset_exists``).
        StorageError: It cannot be written; a preset that was there is untouched.
    """
    from ppo_tui.config.draft import differences, nested
    from ppo_tui.config.paths import with_absolute_paths
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.config.yaml_io import dump_yaml
    from ppo_tui.runs.atomic import storage_error, write_atomic

    problem = check_preset_name(name)
    if problem:
        raise ConfigError(problem, code="config.preset_name")
    if not overwrite and name in preset_names():
        whose = "of your own" if name in _own_paths() else "that comes with ppo-tui"
        raise ConfigError(
            f"There is a preset {name!r} {whose} already: choose another name, or replace it.",
            code="config.preset_exists",
        )
    config = with_absolute_paths(resolved).config
    if description is not None:
        config = config.model_copy(update={"description": description})
    values = nested(differences(config, RunConfig()))
    folder = presets_root()
    path = folder / f"{name}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    write_atomic(path, dump_yaml(values) if values else "# all settings are at their default\n")
    return path
