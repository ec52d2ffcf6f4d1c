"""Where ppo-tui keeps runs, presets of the user's own and settings.

Nothing is created here: whoever writes makes the folder.
"""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "PPO_TUI_HOME"


def home() -> Path:
    """`$PPO_TUI_HOME`, or the platform's data folder for ppo-tui."""
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    import platformdirs  # here, because most callers never need it and it is slow to import

    return Path(platformdirs.user_data_dir("ppo-tui", appauthor=False))


def runs_root() -> Path:
    """The folder in which runs are made unless the user names another."""
    return home() / "runs"


def presets_root() -> Path:
    """The folder of the user's own presets."""
    return home() / "presets"


def shown(path: str | os.PathLike[str]) -> str:
    """A path as it may stand in a sentence on a terminal: quoted and escaped if it must be."""
    text = os.fspath(path)
    text = text if len(text) <= 500 else f"{text[:240]}…{text[-240:]}"
    return text if text.isprintable() else repr(text)
