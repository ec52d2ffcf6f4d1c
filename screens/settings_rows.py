"""The rows of the settings screen, as data: settings, keys, folders; made, changed and described.

Settings come from the documented fields of `AppSettings`, keys from the bindings of the classes.
Pure: nothing is drawn or written here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ppo_tui.config.settings import (
    DOCUMENTATION,
    AppSettings,
    Documentation,
    checked,
    settings_path,
)
from ppo_tui.errors import ConfigError
from ppo_tui.runs.paths import HOME_VARIABLE, home, presets_root, runs_root, shown

from .keys import Clash, Command, clashes
from .keys import shown as key_shown
from .themes import WORDS

LOOKS: Final = "Looks and sounds"
KEYS: Final = "Keys"
FOLDERS: Final = "Folders"
NO_KEY: Final = "no key"


@dataclass(frozen=True)
class Row:
    """One line of the list.

    Attributes:
        id: Unique: the setting's name, the command's id, or the folder's word.
        section: The heading it stands under.
        title: What it is.
        value: How it is now.
        details: What is good to know, in sentences; may hold text of the user's.
        changed: It is not as it is by default.
        clash: A key of it stands for something else as well.
    """

    id: str
    section: str
    title: str
    value: str
    details: str
    changed: bool = False
    clash: bool = False

    def holds(self, wanted: str) -> bool:
        """Whether what is searched for, in lower case, is somewhere in it."""
        text = f"{self.section} {self.title} {self.value} {self.details} {self.id}"
        return wanted in text.casefold()


def rows_of(settings: AppSettings, commands: Sequence[Command]) -> tuple[Row, ...]:
    """All rows, section by section."""
    return (*_setting_rows(settings), *_key_rows(settings, commands), *_folder_rows())


def _setting_rows(settings: AppSettings) -> list[Row]:
    defaults = AppSettings()
    rows = []
    for name, about in DOCUMENTATION.items():
        if name == "keymap":
            continue  # its entries are the rows of keys
        value, default = getattr(settings, name), getattr(defaults, name)
        details = [about.words]
        if about.low is not None and about.high is not None:
            details.append(f"From {about.low:g} to {about.high:g}.")
        details.append(f"Default here: {in_words(name, default)}.")
        changed = value != default
        rows.append(
            Row(name, LOOKS, about.title, in_words(name, value), " ".join(details), changed)
        )
    return rows


def _key_rows(settings: AppSettings, commands: Sequence[Command]) -> list[Row]:
    told = clashes(commands, settings.keymap)
    rows = []
    for command in commands:
        keys = command.effective(settings.keymap)
        mine = [clash for clash in told if command in (clash.one, clash.other)]
        details = [f"{command.words}." if command.words else f"{command.name}."]
        details.append(f"Its own: {_listed(command.keys)}. Id: {', '.join(command.ids)}.")
        details += [clash.sentence for clash in mine]
        rows.append(
            Row(
                command.id,
                f"{KEYS}: {command.area}",
                command.name,
                _listed(keys),
                " ".join(details),
                changed=keys != command.keys,
                clash=bool(mine),
            )
        )
    return rows


def _folder_rows() -> list[Row]:
    moved = (
        f"${HOME_VARIABLE} moves it, with all of ppo-tui's files, when it is set before the start."
    )
    places = {
        "runs": (runs_root(), "Where runs are made."),
        "presets": (presets_root(), "Your own presets."),
        "settings": (settings_path(), "What this screen writes: only what differs from defaults."),
        "home": (home(), "All of ppo-tui's files."),
    }
    return [
        Row(f"folder.{name}", FOLDERS, name, shown(path), f"{words} {moved}")
        for name, (path, words) in places.items()
    ]


def _listed(keys: Sequence[str]) -> str:
    return " or ".join(key_shown(key) for key in keys) or NO_KEY


def in_words(name: str, value: Any) -> str:
    """A setting's value as a person says it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    match name:
        case "theme":
            return f"{value} ({WORDS.get(value, value)})"
        case "refresh_hz":
            return "once a second" if value == 1 else f"{value:g} times a second"
        case "smoothing":
            return f"{value:.2f}" if value else "0 (none)"
    return str(value)


def stepped(settings: AppSettings, name: str, direction: int) -> AppSettings:
    """The settings with one of them a step further; choices and switches go round.

    Args:
        settings: As they are.
        name: The setting.
        direction: 1 or -1.
    """
    about, value = DOCUMENTATION[name], getattr(settings, name)
    new: Any
    if isinstance(value, bool):
        new = not value
    elif about.choices:
        new = about.choices[(about.choices.index(value) + direction) % len(about.choices)]
    else:
        new = _next_number(about, value, direction)
    return dataclasses.replace(settings, **{name: new})


def _next_number(about: Documentation, value: float, direction: int) -> float:
    assert about.low is not None
    assert about.high is not None
    assert about.step is not None
    # Onto the grid of steps, whatever was typed; rounded, because 0.1 is no binary number.
    number = round(value / about.step + direction * 0.500001) * about.step
    return min(about.high, max(about.low, round(number, 6)))


def typed(settings: AppSettings, name: str, text: str) -> AppSettings:
    """The settings with a number as it was typed.

    Raises:
        ConfigError: It is no number, or out of bounds.
    """
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        raise ConfigError(f"{text.strip()!r} is no number.", code="settings.value") from None
    return dataclasses.replace(settings, **{name: checked(name, number)})


def without_change(settings: AppSettings, name: str) -> AppSettings:
    """The settings with one of them as it is by default."""
    return dataclasses.replace(settings, **{name: getattr(AppSettings(), name)})


def with_keymap(settings: AppSettings, keymap: Mapping[str, str]) -> AppSettings:
    """The settings with other keys."""
    return dataclasses.replace(settings, keymap=keymap)


def new_clashes(
    commands: Sequence[Command], before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[Clash, ...]:
    """The clashes that a change of keys brings."""
    known = set(clashes(commands, before))
    return tuple(clash for clash in clashes(commands, after) if clash not in known)
