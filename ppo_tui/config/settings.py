"""Settings of the app itself: theme, refresh rate, keys; read from `settings.yaml` in the home.

For the screens. A setting's own documentation, bounds and choices stand beside its default, and the
settings screen is made from them. What a run is stands in `schema.py`, not here. No pydantic: the
settings are read before the first paint, and its import would take longer than all the rest.

The file holds only what differs from the defaults, because some of them depend on the terminal.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ppo_tui.config.migrate import SETTINGS_STEPS, NewerVersion, migrated
from ppo_tui.errors import ConfigError, did_you_mean
from ppo_tui.runs.paths import home, shown

SETTINGS_VERSION: Final = 1

DARK, LIGHT = "ppo-dark", "ppo-light"
COLOUR_BLIND, HIGH_CONTRAST = "ppo-colour-blind", "ppo-high-contrast"
THEMES: Final = (DARK, LIGHT, COLOUR_BLIND, HIGH_CONTRAST)
"""The names of the app's themes, in the order in which they are offered."""

_BINDING = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_KEYS = re.compile(r"[^\s,]+(,[^\s,]+)*")


@dataclass(frozen=True)
class Documentation:
    """What a setting is, for the form and for the sentence that refuses a value.

    Attributes:
        title: Its name on the screen.
        words: What it does.
        choices: The values there are, if they can be counted.
        low: Smallest number.
        high: Largest number.
        step: By how much a key changes it.
    """

    title: str
    words: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None


def over_ssh() -> bool:
    """Whether the terminal is at the other end of a line, where every repaint costs."""
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


def theme_of_terminal() -> str:
    """The dark theme, or the light one if `$COLORFGBG` says that the background is light.

    The terminal itself is not asked: one that does not answer would hold up the start.
    """
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in ("7", "15") else DARK


def _about(title: str, words: str, **more: Any) -> dict[str, Documentation]:
    return {"about": Documentation(title, words, **more)}


@dataclass(frozen=True)
class AppSettings:
    """How the app looks and behaves; every value has been checked.

    Attributes are documented by their `Documentation`; see `documentation`.

    Raises:
        ConfigError: A value is not one that the setting can have (`settings.value`).
    """

    schema_version: int = SETTINGS_VERSION
    theme: str = dataclasses.field(
        default_factory=theme_of_terminal,
        metadata=_about(
            "theme",
            "Colours. Without a choice: dark, or light where the terminal says it is light.",
            choices=THEMES,
        ),
    )
    refresh_hz: float = dataclasses.field(
        default_factory=lambda: 2.0 if over_ssh() else 4.0,
        metadata=_about(
            "refresh rate",
            "Looks at a run, and repaints, at most this often a second. "
            "Without a choice: 4, and 2 over SSH.",
            low=0.5,
            high=4.0,
            step=0.5,
        ),
    )
    smoothing: float = dataclasses.field(
        default=0.6,
        metadata=_about(
            "smoothing",
            "Weight of the past in a chart's line: 0 draws the values as they are, 0.9 a trend. "
            "The values themselves stay visible behind the line.",
            low=0.0,
            high=0.99,
            step=0.05,
        ),
    )
    bell: bool = dataclasses.field(
        default=True,
        metadata=_about(
            "bell",
            "Ring the terminal's bell once when a run ends, fails, or waits for you.",
        ),
    )
    title: bool = dataclasses.field(
        default=True,
        metadata=_about(
            "window title",
            "Tell state, percentage and reward of the run in the terminal's title.",
        ),
    )
    animations: bool = dataclasses.field(
        default_factory=lambda: not over_ssh(),
        metadata=_about(
            "animations",
            "Let scrolling glide. Off saves repaints; without a choice it is off over SSH.",
        ),
    )
    keymap: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        metadata=_about("keys", "Keys that differ from the app's own, by the id of what they do."),
    )

    def __post_init__(self) -> None:
        _of_today({}, self.schema_version)
        for name in DOCUMENTATION:
            object.__setattr__(self, name, checked(name, getattr(self, name)))

    def changed(self) -> dict[str, Any]:
        """The values that differ from the defaults, as plain data."""
        defaults = AppSettings()
        values = ((name, getattr(self, name)) for name in DOCUMENTATION)
        return {
            name: dict(value) if isinstance(value, Mapping) else value
            for name, value in values
            if value != getattr(defaults, name)
        }


DOCUMENTATION: Final[Mapping[str, Documentation]] = MappingProxyType(
    {
        field.name: field.metadata["about"]
        for field in dataclasses.fields(AppSettings)
        if "about" in field.metadata
    }
)
"""Every setting that a person can change, in the order of the form."""

_SWITCHES = frozenset({"bell", "title", "animations"})


def checked(name: str, value: Any) -> Any:
    """The value as the setting holds it.

    Raises:
        ConfigError: It cannot be the value of this setting; the sentence says what can.
    """
    about = DOCUMENTATION[name]
    if about.choices:
        if not isinstance(value, str) or value not in about.choices:
            way_out = did_you_mean(value if isinstance(value, str) else "", about.choices)
            raise _refused(f"{name} is {value!r}; {way_out}")
        return value
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise _refused(f"{name} is {value!r}; it must be true or false.")
        return value
    if name == "keymap":
        return MappingProxyType(dict(_checked_keys(value)))
    assert about.low is not None
    assert about.high is not None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not about.low <= value <= about.high:
        raise _refused(f"{name} is {value!r}; it must be from {about.low:g} to {about.high:g}.")
    return float(value)


def _checked_keys(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise _refused(f"keymap is {value!r}; it must be a list of `what.it_does: key`.")
    for binding, keys in value.items():
        if not isinstance(binding, str) or not _BINDING.fullmatch(binding):
            raise _refused(f"keymap has {binding!r}, which is no id such as runs.delete.")
        # In YAML a digit alone is a number, and it is a key all the same.
        text = str(keys) if isinstance(keys, int) and not isinstance(keys, bool) else keys
        if not isinstance(text, str) or not text.isprintable() or not _KEYS.fullmatch(text):
            raise _refused(
                f"keymap.{binding} is {keys!r}; it must be a key such as f5, or several: f5,r."
            )
        yield binding, text


def _of_today(values: Mapping[str, Any], version: Any) -> dict[str, Any]:
    try:
        return migrated(values, version, SETTINGS_VERSION, SETTINGS_STEPS)
    except NewerVersion as error:
        raise ConfigError(
            f"schema_version of the settings is {version!r}, and this ppo-tui reads version "
            f"{SETTINGS_VERSION}: a newer ppo-tui wrote them.",
            code="settings.version",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"schema_version of the settings is {version!r}; it must be {SETTINGS_VERSION}.",
            code="settings.version",
        ) from error


def _refused(sentence: str) -> ConfigError:
    return ConfigError(f"The setting {sentence}", code="settings.value")


def settings_path() -> Path:
    """Where the settings are kept."""
    return home() / "settings.yaml"


def load_settings() -> AppSettings:
    """The settings of this user, or the defaults if there is no file.

    Raises:
        ConfigError: The file cannot be read, or holds something that is no setting. The app starts
            with the defaults then, and says so.
    """
    path = settings_path()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return AppSettings()
    except OSError as error:
        raise ConfigError(
            f"{shown(path)} cannot be read: {error.strerror}.", code="config.unreadable"
        ) from error
    from ppo_tui.config.yaml_io import read_yaml  # here, because most people have no such file

    values = read_yaml(path)
    if values is None:
        return AppSettings()
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{shown(path)} holds no settings: it must be a list of `name: value`.",
            code="settings.shape",
        )
    try:
        return _from_mapping(values)
    except ConfigError as error:
        raise ConfigError(f"{shown(path)}: {error.message}", code=error.code) from error
    except ValueError as error:  # Python prints no number of more than 4300 digits
        raise ConfigError(
            f"{shown(path)} holds a number that no setting can be.", code="settings.value"
        ) from error


def _from_mapping(values: Mapping[str, Any]) -> AppSettings:
    # A newer version has settings that are not known here; its number says more than their names.
    values = _of_today(values, values.get("schema_version", SETTINGS_VERSION))
    values["schema_version"] = SETTINGS_VERSION
    known = {field.name for field in dataclasses.fields(AppSettings)}
    for name in values:
        if name not in known:
            raise ConfigError(
                f"there is no setting {name!r}; {did_you_mean(name, known)}",
                code="settings.unknown",
            )
    return AppSettings(**values)


def save_settings(settings: AppSettings) -> Path | None:
    """Write the settings, so that a crash leaves the old ones or the new ones.

    A file that could not be read is not overwritten but kept beside the new one.

    Returns:
        Where the unreadable file was put, if there was one.

    Raises:
        StorageError: The settings could not be written; the old ones stand.
    """
    from ppo_tui.config.yaml_io import dump_yaml
    from ppo_tui.runs.atomic import storage_error, write_atomic

    path = settings_path()
    kept: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            load_settings()
        except ConfigError:
            kept = path.with_name("settings.unreadable.yaml")
            os.replace(path, kept)
    except OSError as error:
        raise storage_error(path, error) from error
    write_atomic(path, dump_yaml({"schema_version": SETTINGS_VERSION, **settings.changed()}))
    return kept
