"""Which process is meant: a process number alone can be recycled, by time or by a reboot."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

LATEST = 1e12
"""Unix seconds that no clock shows."""

_HALTED = ("T", "t", "stopped", "tracing-stop")
"""How Linux and psutil call a process that a signal or a debugger has halted."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, told from every other that had or will have its number.

    Attributes:
        pid: Its number.
        start: When it started, in unix seconds, as psutil's `create_time()`; moves with the clock.
        ticks: When it started in kernel ticks since boot, which no clock moves; Linux only.
        boot_id: The boot it belongs to; empty where the system has none.
    """

    pid: int
    start: float
    ticks: int | None = None
    boot_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as they stand in `state.json`, the lock and `launch.json`."""
        return {
            "pid": self.pid,
            "process_start": self.start,
            "process_ticks": self.ticks,
            "boot_id": self.boot_id,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ProcessIdentity | None:
        """The identity in a record, or None if it names no process."""
        pid, start = record.get("pid"), record.get("process_start")
        ticks, boot = record.get("process_ticks"), record.get("boot_id")
        if type(pid) is not int or pid <= 0 or type(start) not in (int, float):
            return None
        if abs(start or 0.0) > LATEST:  # from a file that is not ours; float() would not take it
            return None
        return cls(
            pid=pid,
            start=float(start or 0.0),
            ticks=ticks if type(ticks) is int else None,
            boot_id=boot if isinstance(boot, str) else "",
        )

    def is_same_as(self, other: ProcessIdentity) -> bool:
        """Whether both mean one process."""
        if self.pid != other.pid:
            return False
        if self.boot_id and other.boot_id and self.boot_id != other.boot_id:
            return False
        if self.ticks is not None and other.ticks is not None:
            return self.ticks == other.ticks
        return abs(self.start - other.start) <= 1.0

    def is_running(self) -> bool:
        """Whether this very process is alive; a zombie is not."""
        now = identify(self.pid)
        return now is not None and self.is_same_as(now)

    def is_suspended(self) -> bool:
        """Whether this very process is there and halted, as by SIGSTOP."""
        return self.is_running() and _state_of(self.pid) in _HALTED

    def age(self) -> float | None:
        """Seconds since this process started, by a clock that nobody sets; None if it has ended.

        Only where the system has no such clock is the one on the wall taken, and never below 0.
        """
        if not self.is_running():
            return None
        if self.ticks is not None and sys.platform == "linux":
            began = self.ticks / os.sysconf("SC_CLK_TCK")
            return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
        return max(0.0, time.time() - self.start)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a process of its own.

    By `-P` nothing is imported from the folder that the user happens to stand in: a `torch.py` that
    lies beside somebody's preset would run else.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def current_process() -> ProcessIdentity:
    """The identity of the process that asks."""
    found = identify(os.getpid())
    return found or ProcessIdentity(os.getpid(), 0.0, None, boot_id())


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of the live process with this number, or None if there is none."""
    return _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)


@functools.cache
def boot_id() -> str:
    """What tells this boot of the machine from every other, or nothing where that is not known."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _state_of(pid: int) -> str:
    """What the system says a process is doing, in its own word; empty if there is none."""
    if sys.platform == "linux":
        fields = _proc_fields(pid)
        return fields[0].decode("ascii") if fields else ""
    import psutil

    try:
        return str(psutil.Process(pid).status())
    except psutil.Error:
        return ""


def _proc_fields(pid: int) -> list[bytes]:
    """What /proc says of a process, from its state on; nothing if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    # The command's name stands in parentheses and may hold spaces and parentheses itself.
    return stat[stat.rindex(b")") + 2 :].split()


def _from_proc(pid: int) -> ProcessIdentity | None:
    fields = _proc_fields(pid)
    if not fields or fields[0] in (b"Z", b"X", b"x"):
        return None
    ticks = int(fields[19])
    start = _boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    return ProcessIdentity(pid, start, ticks, boot_id())


def _boot_time() -> float:
    for line in Path("/proc/stat").read_bytes().splitlines():
        if line.startswith(b"btime "):
            return float(line.split()[1])
    return 0.0


def _from_psutil(pid: int) -> ProcessIdentity | None:
    import psutil  # here, because Linux does without and it is slow to import

    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return ProcessIdentity(pid, process.create_time(), None, boot_id())
    except psutil.Error:
        return None
