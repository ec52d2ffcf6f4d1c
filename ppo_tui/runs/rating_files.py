"""Where ratings lie that a configuration or a command names: in a run, or in a file."""

from __future__ import annotations

from pathlib import Path

from ppo_tui.errors import RunError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown


def ratings_at(path: Path) -> Path:
    """The file of ratings behind a run's folder or a file's name.

    Raises:
        RunError: There is none (`ratings.missing`).
    """
    place = path.expanduser()
    file = RunDirectory(place).ratings_path if place.is_dir() else place
    if not file.is_file():
        raise RunError(
            f"there are no ratings at {shown(place)}",
            hint="Name a run that has been rated, or a file made by `ppo-tui ratings export`.",
            code="ratings.missing",
        )
    return file
