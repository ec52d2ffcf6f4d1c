"""The process that holds a run's model, as the playground speaks to it.

What is said stands in `ppo_tui.conversation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppo_tui.conversation import LONGEST_LINE, Failure, Reply, Request, encode, read_reply

from .line_process import LineProcess


class ModelProcess(LineProcess[Request, Reply]):
    """The process with the model; an end that it did not explain is a fatal `Failure`.

    Args:
        command: Starts it.
        hear: Called with every reply.
    """

    def __init__(self, command: Sequence[str], hear: Callable[[Reply], None]) -> None:
        super().__init__(command, hear, LONGEST_LINE)

    def encode(self, request: Request) -> bytes:
        """The request as its line."""
        return encode(request)

    def decode(self, line: bytes) -> Reply:
        """The reply in a line."""
        return read_reply(line)

    def is_fatal(self, reply: Reply) -> bool:
        """Whether it says that the process ends."""
        return isinstance(reply, Failure) and reply.fatal

    def not_started(self, reason: str) -> Reply:
        """That there is no process."""
        message = f"The process with the model cannot be started: {reason}."
        return Failure("playground.start", message, fatal=True)

    def gone(self, how: str, hint: str) -> Reply:
        """That the process is gone."""
        message = f"The process with the model is gone: {how}."
        return Failure("playground.ended", message, hint, fatal=True)
