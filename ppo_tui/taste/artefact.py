"""A reward that people taught, as a folder that other runs can use.

    reward.json        what it is: kind, base model, how many ratings, how well it foretells, when
    taste.safetensors  the fitted model of taste (kind human)
    …                  what `write_more` puts there (kind adapter)

Written aside, put onto the disk and renamed, so that it is wholly there or not at all. A reward may
come from a stranger: reading checks sizes, names, numbers and shapes, follows no link for its own
files, and runs nothing; there is no pickle.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ppo_tui.errors import ResourceError, RewardError, StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import (
    open_regular,
    read_small,
    storage_error,
    sync_directory,
    write_atomic,
)
from ppo_tui.runs.paths import shown
from ppo_tui.taste.agreement import Point
from ppo_tui.taste.model import TasteModel

SCHEMA_VERSION = 1

RECORD = "reward.json"
TENSORS = "taste.safetensors"

KINDS = ("human", "adapter")

_LARGEST_RECORD = 1 << 18
_LARGEST_TENSORS = 1 << 28
_MOST_POINTS = 1000
_LONGEST_NAME = 1000


@dataclass(frozen=True)
class RewardArtefact:
    """What is known of a saved reward.

    Attributes:
        kind: ``human``: a model of taste; ``adapter``: a LoRA with a head.
        base: `base_identity` of the model that it belongs on.
        model: That model's name.
        ratings: Ratings it was made from.
        pairs: Pairs.
        raters: People who gave them.
        agreement: Held-out agreement by number of judgements, the last with all.
        date: When it was made, ISO 8601 in UTC; empty until it is saved.
        version: Of the folder's layout.
        more: What else is told of it, JSON; such as how an adapter compares.
        taste: The model of taste; None for an adapter.
    """

    kind: str
    base: str
    model: str
    ratings: int
    pairs: int
    raters: int
    agreement: tuple[Point, ...] = ()
    date: str = ""
    version: int = SCHEMA_VERSION
    more: Mapping[str, Any] = field(default_factory=dict)
    taste: TasteModel | None = None

    def to_json(self) -> dict[str, Any]:
        """What stands in `reward.json`; NaN becomes null there."""
        return {
            "v": self.version,
            "kind": self.kind,
            "base": self.base,
            "model": self.model,
            "ratings": self.ratings,
            "pairs": self.pairs,
            "raters": self.raters,
            "agreement": [
                {"count": p.count, "correlation": p.correlation, "accuracy": p.accuracy}
                for p in self.agreement
            ],
            "date": self.date,
            "more": dict(self.more),
        }

    @classmethod
    def from_json(cls, record: Any) -> RewardArtefact:
        """What `to_json` made, without the taste.

        Raises:
            ValueError: It is none.
        """
        if not isinstance(record, Mapping):
            raise ValueError("it holds no record")
        kind, base, more = record.get("kind"), record.get("base"), record.get("more", {})
        if kind not in KINDS:
            raise ValueError("its kind is none that is known")
        if not isinstance(base, str) or not 0 < len(base) <= _LONGEST_NAME:
            raise ValueError("it does not say on which base it was made")
        points = record.get("agreement", [])
        if not isinstance(points, list) or len(points) > _MOST_POINTS:
            raise ValueError("its agreement is no list")
        if not isinstance(more, Mapping):
            raise ValueError("what else it tells is no record")
        return cls(
            kind,
            base,
            _text(record, "model"),
            _count(record, "ratings"),
            _count(record, "pairs"),
            _count(record, "raters"),
            tuple(_point(point) for point in points),
            _text(record, "date"),
            _count(record, "v"),
            more,
        )


def save_artefact(
    path: Path,
    record: RewardArtefact,
    taste: TasteModel | None = None,
    write_more: Callable[[Path], None] | None = None,
    *,
    overwrite: bool = False,
) -> RewardArtefact:
    """Save a reward as a folder.

    Args:
        path: The folder; its parents are made.
        record: What is known of it; without a date it gets that of now.
        taste: The model of taste; that of the record if None.
        write_more: Writes further files into the folder it is called with.
        overwrite: Replace a reward that is there; nothing else is ever replaced.

    Returns:
        The record as it was saved.

    Raises:
        StorageError: Something is there (`reward.exists`), or it cannot be written; nothing of it
            is left then, and what was there is still there.
    """
    folder = Path(os.path.abspath(os.path.expanduser(path)))
    taste = record.taste if taste is None else taste
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = replace(record, date=record.date or now, taste=taste)
    try:
        _refuse(folder, overwrite)
        with _aside(folder, overwrite) as aside:
            if taste is not None:
                from safetensors.numpy import save

                write_atomic(aside / TENSORS, save(taste.to_tensors()))
            if write_more is not None:
                write_more(aside)
            write_atomic(aside / RECORD, strict_json.dumps(record.to_json(), indent=2) + "\n")
            _settle(aside)
    except OSError as error:
        raise storage_error(folder, error) from error
    return record


def load_artefact(path: Path) -> RewardArtefact:
    """Read a saved reward, with its model of taste; an adapter's own files are left alone.

    Raises:
        ResourceError: There is none (`reward.artefact_missing`).
        RewardError: It is damaged (`reward.artefact_damaged`), or written by a newer ppo-tui
            (`reward.artefact_newer`).
    """
    folder = Path(os.path.expanduser(path))
    if not os.path.lexists(folder / RECORD):
        raise ResourceError(
            f"there is no reward at {shown(folder)}: it would hold {RECORD}",
            hint="`ppo-tui reward fit RUN --to PATH` makes one from ratings.",
            code="reward.artefact_missing",
        )
    try:
        _no_link(folder / RECORD)
        record = strict_json.loads(read_small(folder / RECORD, _LARGEST_RECORD))
        _check_version(folder, record)
        artefact = RewardArtefact.from_json(record)
        if artefact.kind != "human":
            return artefact
        return replace(artefact, taste=_read_taste(folder / TENSORS))
    except (OSError, ValueError, OverflowError) as error:
        raise _damaged(folder, getattr(error, "strerror", None) or str(error)) from error


def check_base(artefact: RewardArtefact, base: str, name: str = "this model") -> None:
    """Refuse a reward that belongs on another base.

    Args:
        artefact: The reward.
        base: `base_identity` of the model it is to be used on.
        name: That model's name.

    Raises:
        RewardError: It was made on another one (`reward.other_base`).
    """
    if artefact.base == base:
        return
    same = artefact.model == name
    what = "other weights of the same name" if same else shown(artefact.model or "another model")
    raise RewardError(
        f"The reward was learnt on {what} and says nothing of texts as {shown(name)} reads them; "
        "fit one on this base with `ppo-tui reward fit`.",
        code="reward.other_base",
    )


def _refuse(folder: Path, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    where = shown(folder)
    if not overwrite:
        raise StorageError(
            f"{where} is there already; name another folder, or say --force to replace it",
            code="reward.exists",
        )
    if folder.is_symlink() or not folder.is_dir() or not (folder / RECORD).is_file():
        raise StorageError(
            f"{where} is no reward, and nothing else is replaced; name another folder",
            code="reward.exists",
        )


@contextlib.contextmanager
def _aside(folder: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside the wanted one that takes its place if all goes well, and else is gone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    aside = folder.with_name(f".{folder.name}.{mark}.partial")
    old = folder.with_name(f".{folder.name}.{mark}.old")
    try:
        aside.mkdir(mode=0o700)
        yield aside
        moved = overwrite and os.path.lexists(folder)
        if moved:
            folder.rename(old)
        try:
            # A folder that came there meanwhile is not replaced: if it is not empty, this fails.
            aside.rename(folder)
        except BaseException:
            if moved:
                old.rename(folder)
            raise
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_directory(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Put everything in a folder onto the disk, readable by its owner alone."""
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = os.path.join(where, name)
            os.chmod(path, 0o600)
            fd = os.open(path, os.O_RDWR)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        os.chmod(where, 0o700)
        sync_directory(Path(where))


def _read_taste(path: Path) -> TasteModel:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _no_link(path)
    with open_regular(path) as file:
        data = file.read(_LARGEST_TENSORS + 1)
    if len(data) > _LARGEST_TENSORS:
        raise ValueError(f"{TENSORS} is too long")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"{TENSORS} cannot be read: {error}") from error
    return TasteModel.from_tensors(tensors)


def _no_link(path: Path) -> None:
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise ValueError(f"{path.name} is a link")


def _check_version(folder: Path, record: Any) -> None:
    version = record.get("v") if isinstance(record, Mapping) else None
    if type(version) is not int or version < 1:
        raise ValueError("it does not say of which version it is")
    if version > SCHEMA_VERSION:
        raise RewardError(
            f"The reward at {shown(folder)} was written by a newer ppo-tui; update this one.",
            code="reward.artefact_newer",
        )


def _damaged(folder: Path, reason: str) -> RewardError:
    reason = " ".join(reason.split())[:200]
    return RewardError(
        f"The reward at {shown(folder)} is damaged: {reason or 'it cannot be read'}.",
        hint="Make it again with `ppo-tui reward fit`.",
        code="reward.artefact_damaged",
    )


def _point(record: Any) -> Point:
    if not isinstance(record, Mapping):
        raise ValueError("its agreement holds no records")
    return Point(_count(record, "count"), _share(record, "correlation"), _share(record, "accuracy"))


def _share(record: Mapping[str, Any], key: str) -> float:
    value = record.get(key)
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not -1.0 <= value <= 1.0:
        raise ValueError(f"its {key} is no share")
    return float(value)


def _count(record: Mapping[str, Any], key: str) -> int:
    value = record.get(key)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise ValueError(f"its {key} is no count")
    return value


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key, "")
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ValueError(f"its {key} is no text")
    return value
