"""The process that chooses what to ask and works out what ratings teach, as a screen speaks to it.

scikit-learn takes a second to load, and learning takes the processor: neither belongs into the
process that paints. What is said stands in `ppo_tui.rating_talk`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppo_tui.rating_talk import LONGEST_LINE, Failure, Reply, Request, encode, read_reply

from .line_process import LineProcess


class AdviserProcess(LineProcess[Request, Reply]):
    """The adviser; an end that it did not explain is a fatal `Failure`.

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
        """That there is no adviser."""
        return Failure("rating.start", f"The adviser cannot be started: {reason}.", fatal=True)

    def gone(self, how: str, hint: str) -> Reply:
        """That the adviser is gone."""
        return Failure("rating.ended", f"The adviser is gone: {how}.", hint, fatal=True)
