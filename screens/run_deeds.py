"""What can be done with runs, from whichever screen: start, resume, stop, delete, copy settings.

Base of home, of the form for a new run and of a run's own screen, which say which run is meant.
Whatever takes time is done in a thread; how it ended is told by the app, since the screen may be
gone by then. Code that a run names and that is not confirmed yet is asked about before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import work
from textual.worker import get_current_worker

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown

from .base import PpoScreen
from .dialogs import Choose, Confirm
from .widgets.preset_picker import DEMO, TASTE

if TYPE_CHECKING:
    from ppo_tui.config.resolve import ResolvedConfig
    from ppo_tui.trust import Code


class RunDeeds(PpoScreen[None]):
    """A screen that does things with runs.

    Attributes:
        busy: What is being begun, in words; empty if nothing is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.busy = ""

    @property
    def standing(self) -> bool:
        """Whether this screen is still there, in front or behind others."""
        return self in self.app.screen_stack

    def show_busy(self) -> None:
        """Show what is being begun, or that nothing is any more."""

    def did(self, words: str) -> None:
        """Something that was asked for is done."""
        self.app.tell(words)

    def refused(self, error: PpoTuiError) -> None:
        """Something that was asked for cannot be done."""
        self.app.show_error(error)

    # ---- a new run

    def copy_settings(
        self, run: RunDirectory, changes: Mapping[str, Any] | None = None, note: str = ""
    ) -> None:
        """Open the form for a new run with the settings of this one.

        Args:
            run: The run.
            changes: What is to be otherwise, dotted key to value.
            note: What is said above the form; whose settings they are if left out.
        """
        self._copy_in_thread(run, changes or {}, note or f"With the settings of {shown(run.name)}.")

    @work(thread=True, exclusive=True, group="copy", exit_on_error=False)
    def _copy_in_thread(self, run: RunDirectory, changes: Mapping[str, Any], note: str) -> None:
        from .copying import settings_of

        try:
            start = settings_of(run, changes)
        except PpoTuiError as error:
            self.app.call_later(self.refused, error)
        else:
            self.app.call_later(self.app.open_new_run, start, note)

    def start_demo(self) -> None:
        """Make and start the demo's run, then open it."""
        self.start_run(None, DEMO, "starting the demo …")

    def start_taste(self) -> None:
        """Make and start a run that learns from ratings, then open it."""
        self.start_run(None, TASTE, "starting a run that waits for your ratings …")

    def start_run(
        self,
        resolved: ResolvedConfig | None,
        source: str | None,
        words: str,
        agreed: Sequence[Code] = (),
    ) -> None:
        """Make a run and start its worker, then open it.

        Args:
            resolved: Its configuration; that of the preset `source` if left out.
            source: The preset that it is made from, if it is.
            words: What is said meanwhile.
            agreed: Code that the user has just said may run.
        """
        if not self.busy:
            self._set_busy(words)
            self._start_in_thread(resolved, source, words, agreed)

    @work(thread=True, group="start", exit_on_error=False)
    def _start_in_thread(
        self,
        resolved: ResolvedConfig | None,
        source: str | None,
        words: str,
        agreed: Sequence[Code],
    ) -> None:
        from ppo_tui.config.paths import with_absolute_paths
        from ppo_tui.config.resolve import resolve
        from ppo_tui.prepare.new_run import make_run, start
        from ppo_tui.runs.launch import let_go
        from ppo_tui.trust import confirm, named_code, unconfirmed

        worker = get_current_worker()
        try:
            confirm(agreed)
            settings = resolved or with_absolute_paths(resolve(source or DEMO))
            codes = unconfirmed(named_code(settings.config))
            if codes:
                again = partial(self.start_run, settings, source, words)
                self.app.call_later(self._ask_about_code, codes, again)
                return
            new = make_run(settings, source, None)
            if worker.is_cancelled:  # the screen was left while the settings were checked
                new.unmake()
                return
            let_go(start(new))
        except PpoTuiError as error:
            if not worker.is_cancelled:
                self.app.call_later(self._refused, error)
        else:
            self.app.call_later(self._started, new.run)

    def _started(self, run: RunDirectory) -> None:
        self._set_busy("")
        if self.standing:
            self.opens(run)
        else:
            self.app.tell(f"{shown(run.name)} was started.")

    def opens(self, run: RunDirectory) -> None:
        """Open the run that was started."""
        self.app.open_run(run)

    # ---- one that is there

    def resume(self, run: RunDirectory, agreed: Sequence[Code] = ()) -> None:
        """Go on with a run from its last checkpoint.

        Args:
            run: The run.
            agreed: Code that the user has just said may run.
        """
        if not self.busy:
            self._set_busy(f"resuming {shown(run.name)} …")
            self._resume_in_thread(run, agreed)

    @work(thread=True, group="start", exit_on_error=False)
    def _resume_in_thread(self, run: RunDirectory, agreed: Sequence[Code]) -> None:
        from ppo_tui.prepare.resume import code_to_confirm, resume_run
        from ppo_tui.runs.launch import let_go
        from ppo_tui.trust import confirm

        try:
            confirm(agreed)
            codes = code_to_confirm(run)
            if codes:
                self.app.call_later(self._ask_about_code, codes, partial(self.resume, run))
                return
            let_go(resume_run(run))
        except PpoTuiError as error:
            self.app.call_later(self._refused, error)
        else:
            self.app.call_later(self._resumed, run)

    def ask_to_stop(
        self, run: RunDirectory, stop: Callable[[RunDirectory, str], None] | None = None
    ) -> None:
        """Ask how to stop a run, then ask the run to.

        Args:
            run: The run.
            stop: Asks the run, given `save` or `now`; it is asked and told about if left out.
        """

        def answered(mode: str | None) -> None:
            if mode == "end":
                self._end_in_thread(run)
            elif mode:
                (stop or self._stop_in_thread)(run, mode)

        answers = [
            ("save", "Finish the step, save a checkpoint, and stop"),
            ("now", "Stop at once, without a checkpoint"),
            ("end", "End its process, if it does not answer"),
            ("", "Let it go on"),
        ]
        detail = "It can be resumed from its last checkpoint."
        self.app.push_screen(Choose(f"Stop {shown(run.name)}?", answers, detail), answered)

    @work(thread=True, group="stop", exit_on_error=False)
    def _stop_in_thread(self, run: RunDirectory, mode: str) -> None:
        from ppo_tui.runs.control import post
        from ppo_tui.runs.state import observe

        ends = "saves and stops after its step" if mode == "save" else "stops, without a checkpoint"
        try:
            post(run, "stop", mode=mode)
            halted = observe(run).suspended_words
        except PpoTuiError as error:
            self.app.call_later(self.refused, error)
        else:
            words = f"{ends} once it goes on: {halted}" if halted else ends
            self.app.call_later(self.did, f"{shown(run.name)} {words}.")

    @work(thread=True, group="stop", exit_on_error=False)
    def _end_in_thread(self, run: RunDirectory) -> None:
        from ppo_tui.runs.launch import end_worker

        try:
            end_worker(run)
        except PpoTuiError as error:
            self.app.call_later(self.refused, error)
        else:
            self.app.call_later(self.did, f"The process of {shown(run.name)} is ended.")

    def ask_to_delete(self, run: RunDirectory) -> None:
        """Delete a run, if that is really meant."""

        def delete(yes: bool | None) -> None:
            if yes:
                self._delete_in_thread(run)

        question = Confirm(
            f"Delete {shown(run.name)}?",
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
        except PpoTuiError as error:
            self.app.call_later(self.refused, error)
        else:
            self.app.call_later(self.did, f"{shown(run.name)} is deleted.")

    # ---- code of somebody's

    def _ask_about_code(
        self, codes: Sequence[Code], again: Callable[[Sequence[Code]], None]
    ) -> None:
        """Ask whether it may run; only a yes is remembered, and goes on with what was begun."""
        from .code_question import CodeQuestion

        self._set_busy("")
        if self.standing:
            self.app.push_screen(CodeQuestion(codes), lambda yes: again(codes) if yes else None)
        else:
            self.app.tell("Not started: it names code that you have not confirmed.")

    # ---- how a start ended

    def _resumed(self, run: RunDirectory) -> None:
        self._set_busy("")
        self.did(f"{shown(run.name)} goes on.")

    def _refused(self, error: PpoTuiError) -> None:
        self._set_busy("")
        self.refused(error)

    def _set_busy(self, words: str) -> None:
        self.busy = words
        if self.standing:
            self.show_busy()
