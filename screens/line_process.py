"""A process that a screen speaks with, a line a message: requests out, replies in.

What is said is a matter of whoever makes one. The process ends with the task that runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ppo_tui.conversation import how_it_ended, last_words

PATIENCE_SECONDS = 5.0
"""How long a process may take to end before it is killed."""

RequestType = TypeVar("RequestType")
ReplyType = TypeVar("ReplyType")


class LineProcess(ABC, Generic[RequestType, ReplyType]):
    """One process, from its start to its end.

    A subclass says how its messages are written and read, and makes the reply that tells of an end.

    Args:
        command: Starts it.
        hear: Called with every reply.
        longest_line: Bytes of the longest reply.
    """

    def __init__(
        self, command: Sequence[str], hear: Callable[[ReplyType], None], longest_line: int
    ) -> None:
        self._command = command
        self._hear = hear
        self._longest_line = longest_line
        self._unsent: list[RequestType] = []
        self._stdin: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._said_why = False

    # ---- what a subclass says

    @abstractmethod
    def encode(self, request: RequestType) -> bytes:
        """The request as its line."""

    @abstractmethod
    def decode(self, line: bytes) -> ReplyType:
        """The reply in a line.

        Raises:
            ValueError: It is none that is known.
        """

    @abstractmethod
    def is_fatal(self, reply: ReplyType) -> bool:
        """Whether the reply says why the process ends."""

    @abstractmethod
    def not_started(self, reason: str) -> ReplyType:
        """The reply for a process that cannot be started."""

    @abstractmethod
    def gone(self, how: str, hint: str) -> ReplyType:
        """The reply for an end that the process did not explain."""

    # ---- what it does

    @property
    def pid(self) -> int | None:
        """The process's number; None before it has started."""
        return None if self._process is None else self._process.pid

    def say(self, request: RequestType) -> None:
        """Send a request; one that comes before the process has started is sent then."""
        if self._stdin is None:
            self._unsent.append(request)
        elif not self._stdin.is_closing():
            self._stdin.write(self.encode(request))

    async def run(self) -> None:
        """Start it and hear it out; cancel the task to end it.

        An end that nobody asked for and that the process did not explain is heard as `gone`, with
        its last words as the hint.
        """
        with tempfile.TemporaryFile() as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=self._longest_line,
                    start_new_session=True,
                )
            except OSError as error:
                self._hear(self.not_started(error.strerror or type(error).__name__))
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
                    self._hear(self.gone(how, hint))
            finally:
                await self.end()

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            try:
                reply = self.decode(line)
            except ValueError:
                continue  # of a newer version; what matters is in the kinds that are known
            self._said_why |= self.is_fatal(reply)
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
