"""`ratings.jsonl`: what people thought of the texts; any number of processes append to it.

A judgement is one line, on the disk before it counts as given, and no line is ever changed or cut:
it is taken back by another line. What then is in force is `ppo_tui.runs.judgements`' matter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import (
    NO_FOLLOW,
    open_regular,
    storage_error,
    sync_directory,
    write_all,
    write_atomic,
)
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import CHUNK, LONGEST_LINE, encode
from ppo_tui.runs.judgements import (
    CHOICES,
    SCALE,
    About,
    Judgement,
    Pair,
    Rating,
    Ratings,
    Skip,
    Undo,
    from_json,
    in_force,
    merge,
    new_pair,
    new_rating,
    new_skip,
    new_undo,
    to_json,
)
from ppo_tui.runs.paths import shown
from ppo_tui.runs.rating_files import ratings_at

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "CHOICES",
    "SCALE",
    "About",
    "Imported",
    "Judgement",
    "Pair",
    "Rating",
    "Ratings",
    "RatingsFile",
    "Skip",
    "Undo",
    "export_ratings",
    "import_ratings",
    "in_force",
    "merge",
    "new_pair",
    "new_rating",
    "new_skip",
    "new_undo",
]

LOCK_SECONDS = 10.0
"""How long to wait for another rater's write, which takes milliseconds."""

_PAUSE = 0.005
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_LOCKED_BYTE = 1 << 30  # far behind the end: on Windows nobody could read a locked byte


class RatingsFile:
    """A file of judgements, for any number of writers and readers at a time.

    Nothing is opened before it is needed. A symbolic link, which could lead a write out of the run
    directory, and anything that is no regular file are refused.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *judgements: Judgement) -> None:
        """Write one judgement, or several at once; they are on the disk when this returns.

        Raises:
            StorageError: It failed, or another process holds the file (`ratings.locked`). The
                judgement does not count as given, though its line may be there; given again, it is
                counted once.
            RunError: The path leads to something that is no file of ratings (`ratings.no_file`).
        """
        lines = b"".join(encode(to_json(judgement)) for judgement in judgements)
        if not lines:
            return
        try:
            made = not os.path.lexists(self.path)
            fd = self._open()
            try:
                with _locked(fd, self.path):
                    if os.fstat(fd).st_nlink == 0:
                        raise StorageError(
                            f"{shown(self.path)} was deleted while a rating was written",
                            code="storage.failed",
                        )
                    # A line that a power cut left unfinished must not swallow this one.
                    write_all(fd, b"\n" * _is_torn(fd) + lines)
                    os.fsync(fd)
            finally:
                os.close(fd)
            if made:
                sync_directory(self.path.parent)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def read(self, *, refuse_newer: bool = False) -> Ratings:
        """What the file holds; nothing if it is not there.

        What is damaged, or written by a newer ppo-tui, is counted and left out.

        Args:
            refuse_newer: A line by a newer ppo-tui is an error, for who would miss it.

        Raises:
            RunError: It cannot be read (`ratings.unreadable`), the path leads to something that
                is no file of ratings (`ratings.no_file`), or it is refused
                (`ratings.newer_schema`).
        """
        found = self._read()
        if refuse_newer and found.newer:
            raise RunError(
                f"{shown(self.path)} holds ratings that were written by a newer ppo-tui",
                hint="Use that one, or a newer one.",
                code="ratings.newer_schema",
            )
        return found

    def _read(self) -> Ratings:
        try:
            self._refuse_other_things()
            with open_regular(self.path) as file:
                return _read(file)
        except FileNotFoundError:
            return Ratings()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RunError(
                f"{shown(self.path)} cannot be read: {reason}", code="ratings.unreadable"
            ) from error

    def _open(self) -> int:
        self._refuse_other_things()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_FOLLOW
        flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        return os.open(self.path, flags, 0o600)

    def _refuse_other_things(self) -> None:
        """Say what is there instead of a file; the flags of `open` guard against a swap since."""
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISREG(mode):
            return
        what = (
            "a symbolic link"
            if stat.S_ISLNK(mode)
            else "a folder"
            if stat.S_ISDIR(mode)
            else "a pipe or a device"
        )
        raise RunError(
            f"{shown(self.path)} is {what}, not a file of ratings",
            hint="Move it away; the next rating makes the file.",
            code="ratings.no_file",
        )


@contextlib.contextmanager
def _locked(fd: int, path: Path) -> Iterator[None]:
    """Hold the file for one write, so that nobody closes a line that another is just writing."""
    deadline = time.monotonic() + LOCK_SECONDS
    while not _try_lock(fd):
        if time.monotonic() >= deadline:
            raise StorageError(
                f"{shown(path)} is held by another process, for {LOCK_SECONDS:g} seconds now",
                hint="Nothing was written. End the other rater's process, and rate again.",
                code="ratings.locked",
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        _unlock(fd)


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        # On a file system without locks a single rater is still as safe as a single write.
        return error.errno in _NO_LOCKS
    return True


def _unlock(fd: int) -> None:
    with contextlib.suppress(OSError):  # closing the file gives the lock back as well
        if sys.platform == "win32":
            os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)


def _is_torn(fd: int) -> bool:
    """Whether the file's last line has no end."""
    if not os.lseek(fd, 0, os.SEEK_END):
        return False
    os.lseek(fd, -1, os.SEEK_END)
    return os.read(fd, 1) != b"\n"


def _read(file: BinaryIO) -> Ratings:
    judgements: list[Judgement] = []
    damaged = newer = 0
    while line := file.readline(LONGEST_LINE):
        whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
        while not whole:  # nobody wrote that; step over it
            piece = file.readline(CHUNK)
            whole = not piece or piece.endswith(b"\n")
            line = b""
        if line.isspace():
            continue
        try:
            record = strict_json.loads(line)
            judgement = from_json(record) if isinstance(record, dict) else None
        except ValueError:
            record, judgement = None, None
        if judgement is not None:
            judgements.append(judgement)
        elif isinstance(record, dict):
            newer += 1
        else:
            damaged += 1
    return in_force(judgements, damaged, newer)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        added: Ratings and pairs that are new here.
        already: Those that were here already, or were taken back here.
        other_base: Those about texts as another base model reads them, which were left out.
        damaged: Lines of the source that are no judgement.
        taken_back: Ratings of an earlier import that were taken back at the source since.
    """

    added: int
    already: int
    other_base: int
    damaged: int
    taken_back: int = 0


def import_ratings(
    source: Path, run: RunDirectory, base: str, model: str = "its model"
) -> Imported:
    """Append to a run's ratings those of another run, or of a file, on the same base.

    Args:
        source: A run directory, or a file of ratings.
        run: The run that is to learn from them.
        base: `base_identity` of that run's model.
        model: Its name, for the sentence that refuses ratings of another.

    Raises:
        RunError: The source is not there (`ratings.missing`), cannot be read
            (`ratings.unreadable`), is of a newer version (`ratings.newer_schema`), holds no rating
            (`ratings.none`), none on this base (`ratings.other_base`), or this base is not known
            (`ratings.base_unknown`).
        StorageError: They cannot be written.
    """
    path = ratings_at(source)
    if not source.is_dir():
        path = path.resolve()  # a link is followed where a person names it, not in a run directory
    found = RatingsFile(path).read(refuse_newer=True)
    if not found.count:
        damaged = f", only {found.damaged} damaged lines" if found.damaged else ""
        raise RunError(f"{shown(path)} holds no rating{damaged}", code="ratings.none")
    fitting = found.of_base(base).given
    if not fitting:
        raise _other_base(path, found, run, model, base)
    target = RatingsFile(run.ratings_path)
    known = {each.id for each in target.read().all}
    new = [each for each in fitting if each.id not in known]
    undos = []
    for each in found.others:
        if isinstance(each, Undo) and each.of in known and each.id not in known:
            undos.append(each)
            known.add(each.id)
    target.append(*new, *undos)
    return Imported(
        added=len(new),
        already=len(fitting) - len(new),
        other_base=found.count - len(fitting),
        damaged=found.damaged,
        taken_back=len(undos),
    )


def _other_base(path: Path, found: Ratings, run: RunDirectory, model: str, base: str) -> RunError:
    theirs = ", ".join(sorted({each.model or "a model without a name" for each in found.given}))
    if not base:
        return RunError(
            f"the weights of {shown(model)} cannot be read, so it cannot be told whether the "
            f"ratings in {shown(path)} fit it",
            hint="Put the model back to where the run found it, and import again.",
            code="ratings.base_unknown",
        )
    return RunError(
        f"the ratings in {shown(path)} are of texts as {shown(theirs)} reads them, and "
        f"{shown(run.name)} trains {shown(model)}, which has other weights",
        hint="Ratings fit only the base model that they were given on; rate texts of this run.",
        code="ratings.other_base",
    )


def export_ratings(run: RunDirectory, target: Path, *, overwrite: bool = False) -> int:
    """Write the ratings and pairs of a run that are in force to a file, one a line.

    Args:
        run: The run.
        target: The file; a folder that it lies in must be there.
        overwrite: Replace a file that is there already.

    Returns:
        How many there are.

    Raises:
        RunError: There are none (`ratings.none`), the file is there already (`ratings.exists`), or
            it is a run's own (`ratings.own`).
        StorageError: It cannot be written.
    """
    found = RatingsFile(run.ratings_path).read()
    if not found.count:
        raise RunError(f"{shown(run.name)} has no ratings yet", code="ratings.none")
    owner = RunDirectory(Path(os.path.realpath(target)).parent)
    if owner.ratings_path.name == target.name and owner.state_path.is_file():
        raise RunError(
            f"{shown(target)} holds the ratings of a run, which are only ever added to",
            hint="Choose another file; `ppo-tui ratings import` adds ratings to a run.",
            code="ratings.own",
        )
    if os.path.lexists(target) and not (overwrite and target.is_file()):
        raise RunError(
            f"{shown(target)} is there already",
            hint="Choose another file, or say --force to replace it.",
            code="ratings.exists",
        )
    write_atomic(target, b"".join(encode(to_json(each)) for each in found.given))
    return found.count
