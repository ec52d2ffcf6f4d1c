"""Disks that are really small, full, or read-only, and what a run looks like to its viewers."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal

PAGE = 4096
BALLAST = "ballast"


def mount(*arguments: str) -> None:
    """Mount, or skip the test where that is not allowed."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system is not allowed here")


def unmount(place: Path) -> None:
    """Take a file system away, whatever is open in it."""
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


@contextlib.contextmanager
def disk(place: Path, options: str) -> Iterator[Path]:
    """A file system of its own, such as with `size=300k`."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield place
    finally:
        unmount(place)


def fill(place: Path, leave: int = 0) -> None:
    """Fill a disk to its last `leave` pages."""
    fd = os.open(place / BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        size = os.fstat(fd).st_size
        os.lseek(fd, size, os.SEEK_SET)
        with contextlib.suppress(OSError):
            while True:
                size += os.write(fd, b"x" * PAGE)
        os.ftruncate(fd, max(0, size - leave * PAGE))
    finally:
        os.close(fd)


def free(place: Path) -> None:
    """Make the room again that `fill` took."""
    (place / BALLAST).unlink()


def spare_inodes(place: Path, count: int) -> None:
    """Let a disk take only so many more files and folders."""
    used = os.statvfs(place).f_files - os.statvfs(place).f_ffree
    mount("-o", f"remount,nr_inodes={used + count}", str(place))


def can_be_frozen(path: Path) -> bool:
    """Whether a folder's file system knows `chattr +i`."""
    done = subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True)
    if done.returncode == 0:
        subprocess.run(["chattr", "-i", str(path)], check=True, capture_output=True)
    return done.returncode == 0


CLOCKED = ("time/", "throughput/", "memory/")


def course(run: RunDirectory) -> tuple[list[Any], list[Any]]:
    """Steps and samples of a run, without what differs from one process to another."""
    steps = [
        {name: value for name, value in event["metrics"].items() if not name.startswith(CLOCKED)}
        for event in read_journal(run.events_path).records
        if event["kind"] == "step"
    ]
    samples = [
        {key: value for key, value in sample.items() if key != "time"}
        for sample in read_journal(run.samples_path).records
    ]
    return steps, samples


def weights(run: RunDirectory, step: int) -> dict[str, bytes]:
    """The files of a checkpoint in which the tuned model lies."""
    folder = run.checkpoints_path / f"step-{step:06d}"
    names = ("policy/adapter_model.safetensors", "heads.safetensors", "optimizer.pt")
    return {name: (folder / name).read_bytes() for name in names}


def torn_files(run: RunDirectory) -> list[str]:
    """What lies in a run that is half of something: none, if all is well."""
    torn = [
        path.name
        for path in run.path.rglob("*")
        if path.name.endswith((".tmp", ".partial")) and path.name.startswith(".")
    ]
    journals = (run.events_path, run.samples_path, run.pool_path)
    there = {path.name: path.read_bytes() for path in journals if path.is_file()}
    return torn + [name for name, data in there.items() if data and not data.endswith(b"\n")]
