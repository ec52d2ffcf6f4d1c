"""Real workers at speed: forked from one process that has imported torch already.

As a program, it reads `start RUN`, `poll PID` and `wait PID`, a line each, and answers with a line:
the worker's number, its exit code (negative: the signal that ended it), or `-` while it works.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ppo_tui.runs.directory import RunDirectory


class Worker:
    """A worker that the nursery has started; as much of `Popen` as tests ask for."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it works."""
        return self._asked("poll")

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; the test's own time limit is the only one."""
        code = self._asked("wait")
        assert code is not None
        return code

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    send_signal = signal

    def _asked(self, what: str) -> int | None:
        if self.returncode is None:
            answer = self._nursery.ask(f"{what} {self.pid}")
            self.returncode = None if answer == "-" else int(answer)
        return self.returncode


class Nursery:
    """The process that forks workers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._started: list[Worker] = []

    def ask(self, line: str) -> str:
        """Its answer to a line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def start(self, run: RunDirectory) -> Worker:
        """A worker on the run."""
        worker = Worker(self, int(self.ask(f"start {run.path}")))
        self._started.append(worker)
        return worker

    def work(self, run: RunDirectory) -> int:
        """A worker's exit code, once it has ended."""
        return self.start(run).wait()

    def clear(self) -> None:
        """End every worker that is still there."""
        for worker in self._started:
            if worker.poll() is None:
                worker.signal(9)
                worker.wait()
        self._started.clear()


@contextlib.contextmanager
def opened(**environment: str) -> Iterator[Nursery]:
    """A nursery whose workers have this in their environment."""
    env: Mapping[str, str] = {**os.environ, **environment}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    nursery = Nursery(process)
    try:
        yield nursery
        nursery.clear()
    finally:
        process.communicate()


def _serve() -> None:
    # What takes seconds: once here, instead of in every worker.
    for name in ("accelerate", "bitsandbytes", "peft.tuners.lora", "ppo_tui.training.session"):
        importlib.import_module(name)
    for name in ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "GenerationConfig"):
        getattr(importlib.import_module("transformers"), name)

    for line in sys.stdin:
        what, _, rest = line.rstrip("\n").partition(" ")
        if what == "start":
            answer = str(_fork(rest))
        else:
            pid, status = os.waitpid(int(rest), os.WNOHANG if what == "poll" else 0)
            answer = str(os.waitstatus_to_exitcode(status)) if pid else "-"
        print(answer, flush=True)


def _fork(path: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        from ppo_tui import worker

        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            log = os.open(f"{path}/log.txt", flags, 0o600)
        except OSError:  # a disk that is full, or a link
            log = nothing
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = worker.main([path])
        with contextlib.suppress(OSError):
            sys.stdout.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
