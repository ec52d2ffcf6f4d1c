"""Whether a disk has room for what is about to be written, asked before it is begun."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ppo_tui.errors import StorageError
from ppo_tui.runs.paths import shown


def free_space(folder: Path) -> int | None:
    """Bytes that may still be written to the disk of a folder, which need not be there yet.

    None where the system does not say.
    """
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def check_space(folder: Path, needed: int, what: str, hint: str = "") -> None:
    """Refuse to begin what cannot end well.

    That there is room now is no promise: others write to the disk as well, and every write is still
    checked by itself.

    Args:
        folder: Where it is to be; it need not be there yet.
        needed: Bytes that it takes.
        what: What is to be written, as the subject of a sentence, such as "A checkpoint".
        hint: The way out; the usual one if left out.

    Raises:
        StorageError: The disk has less room than that (`storage.full`).
    """
    free = free_space(folder)
    if free is None or free >= needed:
        return
    raise StorageError(
        f"{what} needs about {_mib(needed)}, and the disk of {shown(folder)} has {_mib(free)} left",
        hint=hint or "Free some space on that disk, or put the run on another with --run-dir.",
        code="storage.full",
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 10 * 2**20 else f"{count / 2**20:,.0f} MiB"
