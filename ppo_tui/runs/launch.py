"""Start the worker of a run as a process of its own, which outlives whoever started it.

`multiprocessing` is no way to do this: it breaks under a running Textual app. A session of its own
keeps Ctrl-C and a lost SSH connection away from the worker; an empty stdin keeps it from reading
the app's keys.

`launch.json` remembers the process that was started, so that a worker which dies before it can
write its state is not waited for.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from ppo_tui.errors import StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import open_to_append, read_small, storage_error, write_atomic
from ppo_tui.runs.process import LATEST, ProcessIdentity, identify, module_command

if TYPE_CHECKING:
    import subprocess

    from ppo_tui.runs.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Launch:
    """The last time that a worker was started for a run.

    Attributes:
        time: When, in unix seconds; to be shown, never to be compared with what others wrote.
        process: The worker.
        log_offset: Length of the log before it; None where that is not known.
    """

    time: float
    process: ProcessIdentity
    log_offset: int | None = None


def start_worker(run: RunDirectory) -> subprocess.Popen[bytes]:
    """Start `python -m ppo_tui.worker RUN`; its output is appended to `log.txt`.

    Requests that an earlier worker left behind are removed: they were not meant for this one.

    The caller may wait for it or forget it. That it was started does not mean that it got the lock:
    `observe` says what became of it.

    Raises:
        StorageError: The log cannot be written, or the process cannot be started.
    """
    import subprocess  # here, because a viewer that only looks does without

    try:
        log = open_to_append(run.log_path)
    except OSError as error:
        raise storage_error(run.log_path, error) from error
    try:
        log_offset = os.fstat(log).st_size
        _dismiss_requests(run)
        began = time()
        worker = subprocess.Popen(
            module_command("ppo_tui.worker", str(run.path)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise storage_error(sys.executable, error) from error
    finally:
        os.close(log)
    process = identify(worker.pid) or ProcessIdentity(worker.pid, began)
    record = {"v": 1, "time": began, **process.to_json(), "log_offset": log_offset}
    # The worker runs by now, and meets and reports a full disk itself; the note only helps viewers.
    with contextlib.suppress(StorageError):
        write_atomic(run.launch_path, strict_json.dumps(record) + "\n", durable=False)
    return worker


def _dismiss_requests(run: RunDirectory) -> None:
    """Remove the requests that wait, unless a worker is there to take them."""
    from ppo_tui.runs.control import waiting
    from ppo_tui.runs.lock import is_held

    # First what waits, then whether somebody is there: what is asked of a worker that another
    # process starts in between is then either not in the list, or its worker is seen.
    names = waiting(run)
    launched = last_launch(run)
    if is_held(run) or (launched is not None and launched.process.is_running()):
        return
    for name in names:
        # One that stays is obeyed by the new worker, which is no harm to the run.
        with contextlib.suppress(OSError):
            (run.control_path / name).unlink(missing_ok=True)


def let_go(worker: subprocess.Popen[bytes]) -> None:
    """Leave a worker to itself, for a viewer that stays: once it has ended, the system forgets it.

    Without a parent that asks for its end it would stay in the process table as a zombie.
    """
    import threading

    threading.Thread(target=worker.wait, name=f"worker {worker.pid}", daemon=True).start()


def end_worker(run: RunDirectory) -> None:
    """End the process of a worker that does not answer, at once and without a checkpoint.

    A lock file may come from somebody else and name any process: only one that holds the lock's
    run as its worker is ended.

    Raises:
        RunError: No worker is there (`run.not_running`), or it may not be ended (`run.worker`).
    """
    import signal

    import psutil

    from ppo_tui.errors import RunError
    from ppo_tui.runs.lock import holder, is_held
    from ppo_tui.runs.paths import shown

    process = holder(run) if is_held(run) else None
    if process is None or not process.is_running():
        raise RunError(f"no worker holds {shown(run.name)}", code="run.not_running")
    try:
        if not any("ppo_tui.worker" in part for part in psutil.Process(process.pid).cmdline()):
            raise RunError(
                f"process {process.pid}, which the lock of {shown(run.name)} names, is no worker "
                "of ppo-tui and was left alone",
                code="run.worker",
            )
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    except (psutil.Error, OSError) as error:
        raise RunError(
            f"the worker of {shown(run.name)} (process {process.pid}) could not be ended: {error}",
            code="run.worker",
        ) from error


def last_launch(run: RunDirectory) -> Launch | None:
    """What is known of the last start; None if there was none or the note is no use."""
    try:
        record = strict_json.loads(read_small(run.launch_path))
    except (OSError, ValueError):
        return None
    process = ProcessIdentity.from_json(record) if isinstance(record, dict) else None
    when = record.get("time") if process is not None else None
    if process is None or type(when) not in (int, float) or abs(when or 0.0) > LATEST:
        return None
    offset = record.get("log_offset")
    return Launch(float(when or 0.0), process, offset if _is_length(offset) else None)


def _is_length(value: object) -> bool:
    return type(value) is int and value >= 0
