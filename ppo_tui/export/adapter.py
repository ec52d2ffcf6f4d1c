"""The tuned adapter of a run as a folder of its own, wholly there or not at all.

The newest whole checkpoint's adapter is copied byte by byte, and checked against the checkpoint's
manifest: its two files and nothing else that lies there, and only if peft makes a plain LoRA of
them, because a run may come from somebody else. Beside them come the run's config.yaml and a
README.md of how to load it. The run is only read, and may go on meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ppo_tui import lora_files
from ppo_tui.errors import CheckpointError, StorageError
from ppo_tui.export.readme import loading_code, readme
from ppo_tui.runs.atomic import open_regular, storage_error, sync_directory
from ppo_tui.runs.checkpoints import Checkpoint, good_checkpoints, read_manifest
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.text.figures import size

_BLOCK = 1 << 20
_CONFIG_BYTES = 1 << 20
_TRIES = 2


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has made.

    Attributes:
        folder: Where it lies.
        step: The step after which the adapter was saved.
        base_model: `model.name` of the run: what the adapter belongs on.
        files: Names of the files in the folder.
        bytes: Their size.
        code: Python that loads base and adapter.
    """

    folder: Path
    step: int
    base_model: str
    files: tuple[str, ...]
    bytes: int
    code: str


def suggested_folder(run: RunDirectory, within: Path | None = None) -> Path:
    """A free place for an export, in the current folder unless another is named."""
    base = (within or Path.cwd()) / f"{run.name}-adapter"
    path, count = base, 1
    while os.path.lexists(path):
        count += 1
        path = base.with_name(f"{base.name}-{count}")
    return path


def refusal(run: RunDirectory, folder: Path) -> StorageError | None:
    """Why an export must not go into a folder, or None; nothing is written.

    Codes: `export.not_empty`, `export.is_file`, `export.inside_run`.
    """
    where = shown(folder)
    if folder == run.path or run.path in folder.parents:
        return StorageError(
            f"{where} lies inside the run directory, which belongs to the run's worker; "
            "choose a folder outside of it",
            code="export.inside_run",
        )
    if not os.path.lexists(folder):
        above = next(path for path in folder.parents if os.path.lexists(path))
        if above.is_dir():
            return None
        return StorageError(
            f"{where} cannot be made, because {shown(above)} is a file; name another folder",
            code="export.is_file",
        )
    if not folder.is_dir():
        return StorageError(
            f"{where} is a file; name a folder that does not exist yet, or an empty one",
            code="export.is_file",
        )
    if any(folder.iterdir()):
        return StorageError(
            f"{where} is not empty, and nothing in it is overwritten; name another folder",
            code="export.not_empty",
        )
    return None


def export_adapter(run: RunDirectory, to: Path, step: int | None = None) -> Exported:
    """Copy the run's newest whole adapter into a folder.

    Args:
        run: The run.
        to: The folder; it must not exist, or be empty. Its parents are made.
        step: The checkpoint that is meant; the newest whole one if None.

    Raises:
        CheckpointError: There is no checkpoint, or none that is whole.
        StorageError: The folder is taken, or cannot be written; no half of it is left.
        ConfigError: The run's config.yaml cannot be read.
    """
    folder = Path(os.path.realpath(os.path.expanduser(to)))
    try:
        if (refused := refusal(run, folder)) is not None:
            raise refused
        return _export(run, folder, step)
    except OSError as error:
        failed = storage_error(folder, error)
        hint = "Choose another folder, on a disk with room, that you may write to."
        raise StorageError(failed.message, hint=hint, code=failed.code) from error


def _export(run: RunDirectory, folder: Path, step: int | None, tries: int = _TRIES) -> Exported:
    checkpoint = next(good_checkpoints(run, step))
    try:
        return _from_checkpoint(run, checkpoint, folder)
    except (FileNotFoundError, CheckpointError):
        # A run that goes on removes old checkpoints: then there is a newer one.
        if checkpoint.path.is_dir() or tries == 1:
            raise
    return _export(run, folder, step, tries - 1)


def _from_checkpoint(run: RunDirectory, checkpoint: Checkpoint, folder: Path) -> Exported:
    from ppo_tui.config.resolve import parse_config

    with open_regular(run.config_path) as file:
        text = file.read(_CONFIG_BYTES).decode("utf-8", "replace")
    config = parse_config(text, str(run.config_path))
    adapter = checkpoint.adapter
    files = _files_of(checkpoint)
    _check_space(folder, sum(path.stat().st_size for path in files))
    hashes = read_manifest(checkpoint.path)
    with _aside(folder) as aside:
        for path in files:
            copied = _copy(path, aside / path.name)
            if copied != hashes[f"{adapter.name}/{path.name}"]:
                raise CheckpointError(
                    f"The checkpoint {checkpoint.path.name} changed while it was copied.",
                    code="checkpoint.damaged",
                )
        _write(aside / "config.yaml", text)
        _write(aside / "README.md", readme(run, config, checkpoint.step))
        sync_directory(aside)
        names = tuple(sorted(path.name for path in aside.iterdir()))
        total = sum((aside / name).stat().st_size for name in names)
    return Exported(
        folder, checkpoint.step, config.model.name, names, total, loading_code(config, str(folder))
    )


def _files_of(checkpoint: Checkpoint) -> list[Path]:
    """The files that are the adapter.

    Raises:
        CheckpointError: They are not what a worker of ppo-tui writes (`checkpoint.adapter`).
    """
    try:
        lora_files.read_config(checkpoint.adapter)
    except ValueError as error:
        raise CheckpointError(
            f"The adapter of the checkpoint {checkpoint.path.name} is not exported: {error}.",
            code="checkpoint.adapter",
        ) from error
    return [checkpoint.adapter / name for name in (lora_files.CONFIG, lora_files.WEIGHTS)]


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one, that takes its place if all goes well and else is gone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        aside.mkdir()
        yield aside
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()  # it was found empty; if it no longer is, this fails
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_directory(folder.parent)


def _copy(source: Path, target: Path) -> str:
    """Copy a file; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with open_regular(source) as read, target.open("xb") as write:
        while block := read.read(_BLOCK):
            digest.update(block)
            write.write(block)
        write.flush()
        os.fsync(write.fileno())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _check_space(folder: Path, needed: int) -> None:
    """Refuse before writing what cannot end well."""
    place = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed + _BLOCK:
        raise StorageError(
            f"The adapter takes {size(needed)}, and the disk of {shown(place)} has {size(free)} "
            "left.",
            hint="Choose a folder on another disk.",
            code="storage.full",
        )
