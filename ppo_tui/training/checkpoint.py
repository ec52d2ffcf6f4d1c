"""All that the next step depends on, on disk: complete and verified, or not there.

    step-000120/
      manifest.json            SHA-256 of every other file
      state.json               step, KL controller, schedule, reward statistics, data position,
                               byte offsets of the two journals
      policy/ (value/)         the adapters in peft's format, ready to be loaded elsewhere
      heads.safetensors        the value head
      rng.safetensors          every random number generator
      optimizer.pt             AdamW's moments; read back with weights_only
      taste.safetensors        the reward fitted to the ratings, in a run that has one

Written aside, synced, then renamed, and renamed before it is removed: a folder of that name is a
whole checkpoint at every moment.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file, save

from ppo_tui.errors import CheckpointError
from ppo_tui.runs.atomic import storage_error, sync_directory
from ppo_tui.runs.checkpoints import (
    MANIFEST,
    SCHEMA_VERSION,
    files_of,
    list_checkpoints,
    read_checkpoint,
    sha256_of,
)
from ppo_tui.runs.space import check_space
from ppo_tui.training.taste import Taste
from ppo_tui.training.trainer import Trainer
from ppo_tui.training.undo import draws_of

_TASTE = "taste.safetensors"

_UNFIT = (
    OSError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    ValueError,
    OverflowError,
    RuntimeError,
    SafetensorError,
)
"""What putting a state into a trainer raises where the state is another's."""

_BESIDE = 1 << 18
"""Bytes that a checkpoint holds beside what is trained, at the most: state, generators, readme."""

_PARTIAL, _REPLACED, _REMOVED = ".partial", ".replaced", ".removed"
"""Endings of folders that are no checkpoints: not yet, no longer, and never again."""


def checkpoint_name(step: int) -> str:
    """Name of the folder of the checkpoint after `step` steps."""
    return f"step-{step:06d}"


def save_checkpoint(
    folder: Path,
    trainer: Trainer,
    extra: Mapping[str, Any],
    keep: int | None = None,
    taste: Taste | None = None,
    best: int | None = None,
) -> Path:
    """Save `trainer` as it is between two steps.

    Args:
        folder: The run's folder of checkpoints.
        trainer: What is saved.
        extra: JSON data of the caller's, such as the journals' offsets.
        keep: Remove all but so many of the newest afterwards.
        taste: The reward that is fitted to ratings, where the run has one.
        best: A step whose checkpoint is kept, however old.

    Returns:
        The checkpoint's folder.

    Raises:
        StorageError: It cannot be written; no half of it is left.
    """
    path = folder / checkpoint_name(trainer.step)
    aside = folder / f".{path.name}{_PARTIAL}"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        check_space(
            folder,
            checkpoint_bytes(trainer),
            "A checkpoint",
            "Make room; then `ppo-tui resume` goes on from the last checkpoint.",
        )
        aside.mkdir(mode=0o700)
        try:
            _write(aside, trainer, extra, taste)
            if path.exists():
                # The same step again: after a resume that fell back behind it, or with a setting
                # changed. `tidy` brings the old one back if the new one does not get its name.
                path.rename(folder / f".{path.name}{_REPLACED}")
            aside.rename(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            tidy(folder)
            raise
        sync_directory(folder)
    except OSError as error:
        raise storage_error(path, error) from error
    if keep is not None:
        # Later ones belong to a future that the run has left: it fell back behind a damaged one.
        present = list_checkpoints(folder)
        future = [old for step, old in present if step > trainer.step]
        past = [(step, old) for step, old in present if step <= trainer.step]
        for old in (*future, *(old for step, old in past[keep:] if step != best)):
            with contextlib.suppress(OSError):  # what is left over costs room and nothing else
                old.rename(folder / f".{old.name}{_REMOVED}")
    tidy(folder)
    return path


def tidy(folder: Path) -> None:
    """Remove what saving left unfinished, and bring back what it had not yet replaced.

    Args:
        folder: The run's folder of checkpoints.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    with contextlib.suppress(OSError):  # it is tried again at the next checkpoint
        for left in folder.glob(f".step-*{_REPLACED}"):
            name = folder / left.name.removeprefix(".").removesuffix(_REPLACED)
            if not name.exists():
                left.rename(name)
        for ending in (_PARTIAL, _REPLACED, _REMOVED):
            for left in folder.glob(f".step-*{ending}"):
                shutil.rmtree(left, ignore_errors=True)


def load_checkpoint(path: Path, trainer: Trainer, taste: Taste | None = None) -> Mapping[str, Any]:
    """Verify a checkpoint and put `trainer` into its state.

    Returns:
        The caller's data that was saved with it.

    Raises:
        CheckpointError: It is damaged, of a newer version, or of another run; verification comes
            before the first change to `trainer`.
    """
    state = read_checkpoint(path)
    try:
        extra: Mapping[str, Any] = state["extra"]
        if path.name != checkpoint_name(int(state["trainer"]["step"])):
            raise ValueError("it is of another step than its name says")
        for name in trainer.roles.adapter_names():
            trainer.roles.load_adapter(name, path / name)
        heads = load_file(str(path / "heads.safetensors"))
        trainer.roles.value_head.load_state_dict(
            {key.removeprefix("value_head."): value for key, value in heads.items()}
        )
        trainer.optimizer.load_state_dict(_read_optimizer(path / "optimizer.pt"))
        trainer.load_state_dict(state["trainer"])
        _load_rng(load_file(str(path / "rng.safetensors")), trainer)
        if state["reward_rng"] is not None:
            _load_reward_rng(state["reward_rng"])
        if taste is not None:
            fitted = load_arrays(str(path / _TASTE)) if (path / _TASTE).is_file() else {}
            taste.load(state["taste"], fitted)
    except _UNFIT as error:
        raise CheckpointError(
            f"The checkpoint {path.name} does not fit this run: {_one_line(error)}.",
            hint="Was the run's config.yaml changed? Start a new run for other settings.",
            code="checkpoint.mismatch",
        ) from error
    return extra


def _read_optimizer(path: Path) -> Any:
    """What an optimizer's file holds, if that is tensors and plain values alone.

    Raises:
        CheckpointError: It is something else, such as a pickle that would run code.
    """
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    # Whatever the reader stumbles over in a file whose hash was right: no worker wrote it.
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {path.parent.name} is damaged: its {path.name} holds something else "
            "than tensors and numbers, and was not read.",
            code="checkpoint.damaged",
        ) from error


def _write(folder: Path, trainer: Trainer, extra: Mapping[str, Any], taste: Taste | None) -> None:
    for name in trainer.roles.adapter_names():
        trainer.roles.save_adapter(name, folder / name)
    heads = trainer.roles.value_head.state_dict()
    # Python writes the bytes, because it alone says why a write failed.
    (folder / "heads.safetensors").write_bytes(
        save({f"value_head.{key}": value.detach().cpu() for key, value in heads.items()})
    )
    (folder / "rng.safetensors").write_bytes(save(_rng(trainer)))
    optimizer = io.BytesIO()
    torch.save(trainer.optimizer.state_dict(), optimizer)
    (folder / "optimizer.pt").write_bytes(optimizer.getbuffer())
    if taste is not None and (fitted := taste.tensors()):
        (folder / _TASTE).write_bytes(save_arrays(fitted))
    state = {
        "v": SCHEMA_VERSION,
        "trainer": trainer.state_dict(),
        "extra": dict(extra),
        "reward_rng": _reward_rng(trainer),
        "taste": taste.state_dict() if taste is not None else None,
    }
    (folder / "state.json").write_text(json.dumps(state, indent=2), encoding="utf-8")
    hashes = {str(file.relative_to(folder)): sha256_of(file) for file in files_of(folder)}
    (folder / MANIFEST).write_text(
        json.dumps({"v": SCHEMA_VERSION, "sha256": hashes}, indent=2), encoding="utf-8"
    )
    for file in files_of(folder):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        file.chmod(0o600)
        sync_directory(file.parent)


def _rng(trainer: Trainer) -> dict[str, torch.Tensor]:
    draws = trainer.at_rest or draws_of(trainer)
    states = {
        "sampling": draws["sampling"],
        "shuffle": draws["shuffle"],
        # A reward of the user's may draw from torch's own generator.
        "torch": draws["torch"],
    }
    if draws["cuda"] is not None:
        states["cuda"] = draws["cuda"]
    return states


def _load_rng(states: Mapping[str, torch.Tensor], trainer: Trainer) -> None:
    trainer.sampling_rng.set_state(states["sampling"])
    trainer.shuffle_rng.set_state(states["shuffle"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states and trainer.roles.base.device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], trainer.roles.base.device)


def _reward_rng(trainer: Trainer) -> dict[str, Any]:
    """Python's and NumPy's global generators, from which a reward of the user's may draw."""
    draws = trainer.at_rest or draws_of(trainer)
    kind, keys, *rest = draws["numpy"]
    return {"python": draws["python"], "numpy": [kind, np.asarray(keys).tolist(), *rest]}


def _load_reward_rng(state: Mapping[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(tuple(state["numpy"]))


def checkpoint_bytes(trainer: Trainer) -> int:
    """About how much a checkpoint takes: weights, two moments, and a little more."""
    parameters = trainer.roles.policy_parameters() + trainer.roles.value_parameters()
    return 3 * sum(p.numel() * p.element_size() for p in parameters) + _BESIDE


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
