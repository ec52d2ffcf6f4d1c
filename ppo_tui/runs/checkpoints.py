"""The checkpoints in a run directory: which there are, and whether one is whole.

For everyone who reads them. They are written, and read back into a trainer, by
`ppo_tui.training.checkpoint`, which says what lies in them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_tui.config.migrate import NewerVersion
from ppo_tui.errors import CheckpointError
from ppo_tui.runs.atomic import read_small
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.migrate import CHECKPOINT_VERSION, migrated_checkpoint
from ppo_tui.runs.paths import shown

SCHEMA_VERSION = CHECKPOINT_VERSION

MANIFEST = "manifest.json"

_NAME = re.compile(r"step-(\d{6,})")

_LARGEST = 1 << 26
"""Bytes of a record beyond which nobody wrote it."""

_UNREADABLE = (OSError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was found whole.

    Attributes:
        step: The step after which it was saved.
        path: Its folder.
    """

    step: int
    path: Path

    @property
    def adapter(self) -> Path:
        """The policy's adapter, a folder that peft loads."""
        return self.path / "policy"


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Steps and paths of the checkpoints in a run's folder, the newest first."""
    if not folder.is_dir() or folder.is_symlink():
        return []
    found = [
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, reverse=True)


def good_checkpoints(run: RunDirectory, step: int | None = None) -> Iterator[Checkpoint]:
    """The checkpoints that are whole, the newest first; each is verified when it is asked for.

    Args:
        run: The run; it may go on meanwhile, and remove old ones.
        step: Only the one after this step.

    Raises:
        CheckpointError: There is none at all (`checkpoint.none`), none of that step
            (`checkpoint.missing`), or every one is damaged; at the first item.
    """
    present = list_checkpoints(run.checkpoints_path)
    if not present:
        raise CheckpointError(
            f"{shown(run.name)} has no checkpoint yet, so there is no tuned model",
            hint=f"While it runs, `ppo-tui checkpoint {shown(run.name)}` saves one.",
            code="checkpoint.none",
        )
    wanted = [(at, path) for at, path in present if step in (None, at)]
    if not wanted:
        steps = ", ".join(str(at) for at, _ in reversed(present))
        raise CheckpointError(
            f"{shown(run.name)} has no checkpoint of step {step}; there are those of step {steps}",
            code="checkpoint.missing",
        )
    problems: list[CheckpointError] = []
    for at, path in wanted:
        try:
            verify_checkpoint(path)
        except CheckpointError as error:
            problems.append(error)
            continue
        yield Checkpoint(at, path)
    if len(problems) == len(wanted):
        raise problems[0]


def verify_checkpoint(path: Path) -> Mapping[str, Any]:
    """Compare every file with the manifest.

    Returns:
        The content of its `state.json`.

    Raises:
        CheckpointError: Something is missing or differs.
    """
    try:
        hashes = read_manifest(path)
        if link := next((file for file in path.rglob("*") if file.is_symlink()), None):
            raise CheckpointError(
                f"The checkpoint {path.name} is damaged: {link.relative_to(path)} is a symbolic "
                "link, which could lead anywhere.",
                code="checkpoint.damaged",
            )
        present = {str(file.relative_to(path)) for file in files_of(path)} - {MANIFEST}
        if present != hashes.keys():
            odd = sorted(present ^ hashes.keys())[0]
            raise CheckpointError(
                f"The checkpoint {path.name} is damaged: {odd} is "
                f"{'not in its manifest' if odd in present else 'missing'}.",
                code="checkpoint.damaged",
            )
        for name, expected in hashes.items():
            if sha256_of(path / name) != expected:
                raise CheckpointError(
                    f"The checkpoint {path.name} is damaged: {name} has changed since it was "
                    "written.",
                    code="checkpoint.damaged",
                )
        state: Mapping[str, Any] = json.loads(read_small(path / "state.json", _LARGEST))
        state.keys()
    except (*_UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    return state


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Verify a checkpoint; its `state.json` in the form of today, whatever version wrote it.

    Raises:
        CheckpointError: It is damaged, or of a newer version.
    """
    state = verify_checkpoint(path)
    try:
        return migrated_checkpoint(state)
    except NewerVersion as error:
        raise _newer(path) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def read_manifest(path: Path) -> Mapping[str, str]:
    """SHA-256 of every other file of a checkpoint, by its path in it.

    Raises:
        CheckpointError: There is none that can be read, or it is of a newer version.
    """
    try:
        manifest = json.loads(read_small(path / MANIFEST, _LARGEST))
        if manifest["v"] > SCHEMA_VERSION:
            raise _newer(path)
        hashes: Mapping[str, str] = manifest["sha256"]
        hashes.keys()
    except (*_UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    return hashes


def _newer(path: Path) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {path.name} was written by a newer ppo-tui: use that one.",
        code="checkpoint.newer_schema",
    )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return CheckpointError(
        f"The checkpoint {path.name} is damaged: {reason}.", code="checkpoint.damaged"
    )


def files_of(folder: Path) -> Iterator[Path]:
    """The files of a checkpoint, in an order that is always the same."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as the manifest has it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
