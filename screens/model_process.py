"""The process that holds a run's model, as a screen speaks to it: requests out, replies in.

What is said stands in `ppo_tui.conversation`. The process ends with the task that runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Sequence

from ppo_tui.conversation import (
    LONGEST_LINE,
    Failure,
    Reply,
    Request,
    encode,
    how_it_ended,
    last_words,
    read_reply,
)

PATIENCE_SECONDS = 5.0
"""How long a process may take to end before it is killed."""


class ModelProcess:
    """One process, from its start to its end.

    Args:
        command: Starts it.
        hear: Called with every reply.
    """

    def __init__(self, command: Sequence[str], hear: Callable[[Reply], None]) -> None:
        self._command = command
        self._hear = hear
        self._unsent: list[Request] = []
        self._stdin: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._said_why = False

    @property
    def pid(self) -> int | None:
        """The process's number; None before it has started."""
        return None if self._process is None else self._process.pid

    def say(self, request: Request) -> None:
        """Send a request; one that comes before the process has started is sent then."""
        if self._stdin is None:
            self._unsent.append(request)
        elif not self._stdin.is_closing():
            self._stdin.write(encode(request))

    async def run(self) -> None:
        """Start it and hear it out; cancel the task to end it.

        An end that nobody asked for and that the process did not explain is heard as a fatal
        `Failure`, with its last words as the hint.
        """
        with tempfile.TemporaryFile() as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=LONGEST_LINE,
                    start_new_session=True,
                )
            except OSError as error:
                reason = error.strerror or type(error).__name__
                message = f"The process with the model cannot be started: {reason}."
                self._hear(Failure("playground.start", message, fatal=True))
                return
            self._process = process
            assert process.stdin is not None
            assert process.stdout is not None
            self._stdin = process.stdin
            try:
                for request in self._unsent:
                    self.say(request)
                await self._listen(process.stdout)
                how = how_it_ended(await process.wait())
                if not self._said_why:
                    hint = "\n".join(["It last said:", *said] if (said := last_words(log)) else [])
                    message = f"The process with the model is gone: {how}."
                    self._hear(Failure("playground.ended", message, hint, fatal=True))
            finally:
                await self.end()

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            try:
                reply = read_reply(line)
            except ValueError:
                continue  # of a newer version; what matters is in the kinds that are known
            self._said_why |= isinstance(reply, Failure) and reply.fatal
            self._hear(reply)

    async def end(self) -> None:
        """End the process, whatever it is doing, and wait until it is gone; more calls are fine."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        for end in (process.terminate, process.kill):
            if process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
