"""What can be done with a run from a list of runs: start, resume, stop, delete, copy its settings.

Base of the home screen, which says which run is meant. Whatever takes time is done in a thread, and
comes back as a message; what went wrong is shown in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown

from .base import PpoScreen
from .dialogs import Choose, Confirm
from .widgets.run_rows import one_line

if TYPE_CHECKING:
    from subprocess import Popen

    from ppo_tui.config.resolve import ResolvedConfig

DEMO = "demo"


class RunDeeds(PpoScreen[None]):
    """A screen that does things with runs.

    Attributes:
        busy: What is being begun, in words; empty if nothing is.
    """

    class Done(Message):
        """Something that was done in a thread has worked; told in words."""

        def __init__(self, words: str, opens: RunDirectory | None = None) -> None:
            super().__init__()
            self.words = words
            self.opens = opens

    class Copied(Message):
        """The settings of a run, for a new one."""

        def __init__(self, start: ResolvedConfig, name: str) -> None:
            super().__init__()
            self.start = start
            self.name = name

    class Refused(Message):
        """Something that was done in a thread has not worked."""

        def __init__(self, error: PpoTuiError) -> None:
            super().__init__()
            self.error = error

    def __init__(self) -> None:
        super().__init__()
        self.busy = ""

    def look(self) -> None:
        """Look at the runs: something was done with one."""
        raise NotImplementedError

    def show_busy(self) -> None:
        """Show what is being begun, or that nothing is any more."""
        raise NotImplementedError

    def copy_settings(self, run: RunDirectory) -> None:
        """Begin a new run with the settings of this one."""
        self._copy_in_thread(run)

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def _copy_in_thread(self, run: RunDirectory) -> None:
        from ppo_tui.prepare.resume import copied_settings

        try:
            self.post_message(self.Copied(copied_settings(run), run.name))
        except PpoTuiError as error:
            self.post_message(self.Refused(error))

    @on(Copied)
    def _copied(self, message: Copied) -> None:
        note = f"With the settings of {shown(message.name)}."
        self.app.open_new_run(message.start, note)

    def start_demo(self) -> None:
        """Make and start the demo's run, then open it."""
        if not self.busy:
            self._set_busy("starting the demo …")
            self._demo_in_thread()

    @work(thread=True, group="start", exit_on_error=False)
    def _demo_in_thread(self) -> None:
        from ppo_tui.config.paths import with_absolute_paths
        from ppo_tui.config.resolve import resolve
        from ppo_tui.prepare.new_run import make_run, start

        try:
            new = make_run(with_absolute_paths(resolve(DEMO)), DEMO, None)
            self._started(start(new), new.run, "The demo runs.", opens=True)
        except PpoTuiError as error:
            self.post_message(self.Refused(error))

    def resume(self, run: RunDirectory) -> None:
        """Go on with a run from its last checkpoint."""
        if not self.busy:
            self._set_busy(f"resuming {shown(run.name)} …")
            self._resume_in_thread(run)

    @work(thread=True, group="start", exit_on_error=False)
    def _resume_in_thread(self, run: RunDirectory) -> None:
        from ppo_tui.prepare.resume import resume_run

        try:
            self._started(resume_run(run), run, f"{shown(run.name)} goes on.", opens=False)
        except PpoTuiError as error:
            self.post_message(self.Refused(error))

    def _started(self, worker: Popen[bytes], run: RunDirectory, words: str, *, opens: bool) -> None:
        from ppo_tui.runs.launch import let_go

        let_go(worker)
        self.post_message(self.Done(words, run if opens else None))

    def ask_to_stop(self, run: RunDirectory) -> None:
        """Ask how to stop a run, then ask the run to."""

        def stop(mode: str | None) -> None:
            if mode in ("save", "now"):
                self._stop_in_thread(run, mode)

        answers = [
            ("save", "Finish the step, save a checkpoint, and stop"),
            ("now", "Stop at once, without a checkpoint"),
            ("no", "Let it go on"),
        ]
        self.app.push_screen(Choose(f"Stop {one_line(run.name)}?", answers), stop)

    @work(thread=True, group="stop", exit_on_error=False)
    def _stop_in_thread(self, run: RunDirectory, mode: str) -> None:
        from ppo_tui.runs.control import post

        ends = "saves and stops after its step" if mode == "save" else "stops, without a checkpoint"
        try:
            post(run, "stop", mode=mode)
            self.post_message(self.Done(f"{shown(run.name)} {ends}."))
        except PpoTuiError as error:
            self.post_message(self.Refused(error))

    def ask_to_delete(self, run: RunDirectory) -> None:
        """Delete a run, if that is really meant."""

        def delete(yes: bool | None) -> None:
            if yes:
                self._delete_in_thread(run)

        question = Confirm(
            f"Delete {one_line(run.name)}?",
            f"Its checkpoints, its adapter and its samples go with it, for good.\n{run.path}",
            yes="Delete",
            no="Keep",
            danger=True,
        )
        self.app.push_screen(question, delete)

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete_in_thread(self, run: RunDirectory) -> None:
        from ppo_tui.runs.catalog import delete_run

        try:
            delete_run(run)
            self.post_message(self.Done(f"{shown(run.name)} is deleted."))
        except PpoTuiError as error:
            self.post_message(self.Refused(error))

    @on(Done)
    def _done(self, message: Done) -> None:
        self._set_busy("")
        if message.opens is not None:
            self.app.open_run(message.opens)
            return
        self.app.tell(message.words)
        self.look()

    @on(Refused)
    def _refused(self, message: Refused) -> None:
        self._set_busy("")
        self.app.show_error(message.error)
        self.look()

    def _set_busy(self, words: str) -> None:
        self.busy = words
        self.show_busy()
