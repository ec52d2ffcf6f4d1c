"""What people ask of a running worker, as the worker takes and answers it."""

from __future__ import annotations

from ppo_tui.runs.control import Inbox, Request
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.records import Event, log_event
from ppo_tui.training.recorder import Recorder


class Requests:
    """The requests in a run's directory; each is answered by an event.

    Args:
        run: The run.
        recorder: Where the answers go.
    """

    def __init__(self, run: RunDirectory, recorder: Recorder) -> None:
        self._inbox = Inbox(run)
        self._recorder = recorder

    def take(self) -> list[Request]:
        """Those that wait, oldest first; what is no request is set aside and told."""
        requests = self._inbox.take()
        for odd in self._inbox.set_aside:
            self._recorder.event(
                log_event(f"A request was set aside: {odd.name}: {odd.problem}.", level="warning")
            )
        return requests

    def answer(self, request: Request, event: Event) -> None:
        """Write the answer, and take the request off the pile."""
        self._recorder.event(event.answering(request.id))
        self._inbox.answer(request)

    def dismiss(self) -> None:
        """Answer what came too late to be acted on, so that nobody waits for it."""
        for request in self.take():
            self.answer(request, log_event(f"The run has ended; {request.kind} came too late."))
