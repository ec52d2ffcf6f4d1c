"""Presets: named configurations, shipped with ppo-tui or put into the user's own folder.

A preset holds only what differs from the defaults. One of the user's own hides a shipped one of the
same name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ppo_tui.config.yaml_io import load_yaml, read_yaml
from ppo_tui.errors import ConfigError, did_you_mean
from ppo_tui.runs.paths import presets_root


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
        raise ConfigError(
            f"There is no preset {name!r}: {did_you_mean(name, preset_names())}",
            hint="`ppo-tui presets list` shows them all.",
            code="config.unknown_preset",
        )
    values = as_mapping(load_yaml(shipped[name], f"preset {name}"), f"preset {name}")
    return Preset(name, None, shipped[name], values)


def looks_like_a_file(source: str) -> bool:
    """Whether PRESET|FILE on a command line means a file."""
    return os.sep in source or source.endswith((".yaml", ".yml", ".json")) or source in (".", "..")
