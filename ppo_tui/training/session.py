"""One worker's work on one run: load, resume, train, obey requests, record, end honestly.

Joins the loop with the run directory. Everything a viewer can see is written here.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ppo_tui.config.presets import as_mapping
from ppo_tui.config.resolve import validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.config.yaml_io import read_yaml
from ppo_tui.errors import CheckpointError, PpoTuiError, RunError, StoppedByUser
from ppo_tui.runs.best import Best, best_of, has_saved
from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.control import Request
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import TERMINAL, Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import (
    ErrorInfo,
    checkpoint_event,
    log_event,
    state_event,
)
from ppo_tui.runs.state import read_state, write_state
from ppo_tui.training.batches import StepRecord
from ppo_tui.training.checkpoint import load_checkpoint, save_checkpoint, tidy
from ppo_tui.training.disk import Disk
from ppo_tui.training.endings import as_ours, loaded_event, memory_event
from ppo_tui.training.recorder import Recorder
from ppo_tui.training.requests import Requests
from ppo_tui.training.setup import build_trainer
from ppo_tui.training.taste import Taste
from ppo_tui.training.trainer import Trainer
from ppo_tui.training.undo import draws_of
from ppo_tui.training.waiting import Wait

log = logging.getLogger(__name__)

_PAUSE_POLL = 0.1
"""Seconds between two looks at the requests while paused."""

_RATINGS_POLL = 0.2
"""Seconds between two looks at the ratings while waiting for them."""


class _StopNow(Exception):
    """Leaves the step at once; carries the request."""


class Session:
    """A worker's hold on a run; the caller has the lock.

    Args:
        run: The run directory.
        stop_signal: Says whether the process was asked to end (SIGTERM, SIGHUP): the step is
            finished, a checkpoint saved, and the run ends as stopped.
    """

    def __init__(self, run: RunDirectory, stop_signal: Callable[[], bool] = lambda: False) -> None:
        self._run = run
        self._stop_signal = stop_signal
        self._state = replace(read_state(run), process=current_process(), error=None, message="")
        self._recorder: Recorder
        self._requests: Requests
        self._trainer: Trainer
        self._disk: Disk
        self._taste: Taste | None = None
        self._told = ""
        self._saved_at: int | None = None
        self._best = Best()
        self._to_look = False

    def execute(self) -> Phase:
        """Run to the end.

        Returns:
            finished or stopped.

        Raises:
            PpoTuiError: The run failed; its state says so already.
        """
        try:
            self._recorder = Recorder(self._run)
        except PpoTuiError as error:
            self._write_failure(error)  # without a journal, the state alone can tell
            raise
        self._requests = Requests(self._run, self._recorder)
        try:
            phase = self._execute()
        except BaseException as error:
            ours = as_ours(error)
            self._fail(ours)
            if isinstance(error, Exception) and ours is not error:
                raise ours from error
            raise
        finally:
            self._recorder.close()
        return phase

    def _execute(self) -> Phase:
        self._enter(Phase.LOADING)
        source = str(self._run.config_path)
        config = validate(as_mapping(read_yaml(self._run.config_path), source), source)
        self._state = replace(self._state, total=config.steps)
        try:
            self._trainer = build_trainer(config, self._on_phase)
            trainer = self._trainer
            self._taste = Taste.of(self._run, config, trainer.reward, trainer)
            self._resume()
            self._disk = Disk(self._run, config, trainer)
            self._disk.check_start(trainer.step)
            self._enter(Phase.ROLLOUT, announce=True)
            self._recorder.event(loaded_event(config.model.name, trainer.roles.base))
            self._recorder.event(log_event(self._trainer.engine_in_words()))
            if not self._trainer.step:  # else they stand in the journal already
                self._recorder.health(self._trainer.check_start(), 0)
            self._train(config)
        except StoppedByUser as stopped:
            self._requests.dismiss()
            self._enter(Phase.STOPPED, message=stopped.message, announce=True)
            return Phase.STOPPED
        except _StopNow:
            step = self._saved_at
            kept = f"the checkpoint of step {step} is kept" if step else "there is no checkpoint"
            self._requests.dismiss()
            self._enter(Phase.STOPPED, message=f"Stopped without saving; {kept}.", announce=True)
            return Phase.STOPPED
        self._requests.dismiss()
        self._enter(Phase.FINISHED, announce=True)
        return Phase.FINISHED

    # ---- the run

    def _train(self, config: RunConfig) -> None:
        trainer = self._trainer
        if self._to_look:
            self._look(config)
        self._obey()
        self._learn()
        if not self._recorder.base_answered:  # once the reward knows what it is to say of them
            self._recorder.answers(trainer.step, "base", trainer.answers("base"))
        for record in self._steps():
            taste = self._taste.metrics() if self._taste else {}
            notes = self._taste.health(record.metrics) if self._taste else []
            notes += self._disk.look(record.step - 1, self._recorder.written)
            record = replace(record, health=(*record.health, *notes))
            self._recorder.step(record, taste)
            self._state = replace(self._state, step=record.step)
            last = record.step == config.steps
            self._look(config)
            every = config.checkpoint.every
            if (last or (every and record.step % every == 0)) and self._saved_at != record.step:
                self._save(config)
            if not last:
                self._obey()
                self._learn()
            if last:
                self._recorder.event(memory_event(record, trainer.roles.base.device.type))
        # After the last checkpoint: a run that is killed in its evaluation has lost no step.
        if config.eval.at_end:
            self._evaluate(config)

    def _look(self, config: RunConfig) -> None:
        """Answers and evaluation after a step; where they fail, the step is kept without them."""
        step, trainer = self._trainer.step, self._trainer
        last = step == config.steps
        due = (
            config.eval.every
            and step % config.eval.every == 0
            and not (last and config.eval.at_end)
        )
        watched = last or step % config.eval.watch_every == 0
        if not (due or watched):
            return
        before, draws = self._recorder.state_dict(), draws_of(trainer)
        try:
            if watched:
                self._recorder.answers(step, "policy", trainer.answers("policy"))
            if due:
                self._evaluate(config)
        except _StopNow:
            raise
        except Exception:
            trainer.at_rest = draws
            with contextlib.suppress(PpoTuiError, RuntimeError):
                if self._saved_at != step:
                    self._save(config, {**before, "looked": False})
            raise

    def _steps(self) -> Iterator[StepRecord]:
        """The trainer's steps; when one fails, what was trained before it is saved."""
        trainer = self._trainer
        steps = trainer.steps()
        while True:
            try:
                record = next(steps, None)
            except _StopNow:
                raise
            except Exception:
                self._keep_what_there_is()
                raise
            if record is None:
                return
            yield record

    def _keep_what_there_is(self) -> None:
        """Save the state before a step that failed; the failure is what will be reported."""
        trainer = self._trainer
        # A disk that is full, or a device that is gone, allows no more than there was.
        with contextlib.suppress(PpoTuiError, RuntimeError):
            if trainer.intact and trainer.step and self._saved_at != trainer.step:
                self._save(trainer.config)
            self._recorder.happened(trainer.take_notes(), trainer.step + 1)

    def _evaluate(self, config: RunConfig) -> None:
        step = self._trainer.step
        evaluation = self._trainer.evaluate()
        self._recorder.evaluation(step, evaluation)
        self._recorder.happened(self._trainer.take_notes(), step)
        better = self._best.look(step, evaluation.metrics)
        if better and config.checkpoint.keep_best and self._saved_at != step:
            self._save(config)

    def _save(self, config: RunConfig, extra: Mapping[str, Any] | None = None) -> str:
        self._enter(Phase.SAVING)
        path = save_checkpoint(
            self._run.checkpoints_path,
            self._trainer,
            self._recorder.state_dict() if extra is None else extra,
            config.checkpoint.keep,
            self._taste,
            best=self._best.step if config.checkpoint.keep_best else None,
        )
        return self._note_checkpoint(self._trainer.step, path)

    def _note_checkpoint(self, step: int, path: Path) -> str:
        self._saved_at = step
        relative = str(path.relative_to(self._run.path))
        self._recorder.event(checkpoint_event(step, relative))
        return relative

    def _resume(self) -> None:
        """Put the trainer where the newest good checkpoint left it, journals included."""
        recorder = self._recorder
        problems: list[RunError] = []
        tidy(self._run.checkpoints_path)
        for step, path in list_checkpoints(self._run.checkpoints_path):
            try:
                extra = load_checkpoint(path, self._trainer, self._taste)
                recorder.load_state_dict(extra)
            except RunError as error:
                if error.code not in ("checkpoint.damaged", "run.journal"):
                    raise
                problems.append(error)
                continue
            # The event lies behind the offset that the checkpoint holds, and was cut off.
            self._note_checkpoint(step, path)
            self._to_look = extra.get("looked") is False
            self._best = best_of(self._run)
            break
        else:
            if problems:
                raise CheckpointError(
                    f"No checkpoint of the run can be used: {problems[0].message}",
                    hint="`ppo-tui train` with the run's config.yaml starts it anew.",
                    code=problems[0].code,
                )
            if has_saved(self._run):
                raise CheckpointError(
                    "The run has saved checkpoints, and none of them is there any more; to begin "
                    "anew would erase its journals.",
                    hint="Put the folder checkpoints back, or start a new run with its settings.",
                    code="checkpoint.missing",
                )
            recorder.restart()
        for problem in problems:
            recorder.event(log_event(problem.message, level="warning"))
        if self._trainer.step:
            recorder.event(
                log_event(f"Resumed after step {self._trainer.step}.", step=self._trainer.step)
            )
        self._state = replace(self._state, step=self._trainer.step)

    # ---- ratings

    def _learn(self) -> None:
        """Fit the reward to the ratings there are; wait for more where the run is to wait."""
        taste = self._taste
        if taste is None:
            return
        step = self._trainer.step
        written = taste.write_candidates()
        self._recorder.candidates(step, written)
        taste.look()
        waits = Wait(taste, self._trainer.config.ratings.timeout_minutes)
        while waits.needed:
            if waits.over:
                self._end_of_waiting(taste)
                break
            if self._state.state is not Phase.AWAITING_RATINGS:
                if step and self._saved_at != step:
                    # People may take hours, and a machine may not last so long.
                    self._save(self._trainer.config)
                self._enter(Phase.AWAITING_RATINGS, waits.words, announce=True)
            elif self._state.message != waits.words:
                self._enter(Phase.AWAITING_RATINGS, waits.words)
            obeyed = time.monotonic()
            self._obey(waits)
            waits.paused(time.monotonic() - obeyed)
            time.sleep(_RATINGS_POLL)
            taste.look()
        else:
            taste.rest_is_over()
        if taste.learn():
            self._recorder.event(log_event(str(taste.lesson), step=step))
        words = taste.trouble or taste.problem
        if (taste.given or taste.trouble) and words and words != self._told:
            self._recorder.event(log_event(words, step=step, level="warning"))
        self._told = words
        if self._state.state is Phase.AWAITING_RATINGS:
            self._enter(Phase.ROLLOUT, announce=True)

    def _end_of_waiting(self, taste: Taste) -> None:
        """The time that the user chose is over: go on if that is possible, else stop."""
        minutes = self._trainer.config.ratings.timeout_minutes
        words = f"Too few ratings came within {minutes:g} minutes"
        if taste.problem and taste.alone:
            self._stop_and_save(
                f"{words}: {taste.problem} Rate some, then `ppo-tui resume` goes on."
            )
        taste.go_on()
        self._recorder.event(
            log_event(f"{words}; the run goes on with {taste.given}.", step=self._trainer.step)
        )

    # ---- requests

    def _on_phase(self, phase: Phase) -> None:
        self._enter(phase)
        for request in self._requests.take():
            if request.kind == "stop" and request.args["mode"] == "now":
                self._answer_stop(request)
                raise _StopNow

    def _obey(self, waits: Wait | None = None) -> None:
        """Act on what was asked for, between two steps; a pause lasts until its end.

        Args:
            waits: The run is waiting for ratings; "continue" then ends the waiting.
        """
        paused = False
        while True:
            for request in self._requests.take():
                if waits is not None and request.kind == "continue" and not paused:
                    event = log_event(waits.give_up(), step=self._trainer.step)
                    self._requests.answer(request, event)
                    continue
                paused = self._act(request, paused)
            if self._stop_signal():
                self._stop_and_save()
            if not paused:
                return
            time.sleep(_PAUSE_POLL)

    def _act(self, request: Request, paused: bool) -> bool:
        step = self._trainer.step
        if request.kind == "stop":
            self._answer_stop(request)
            if request.args["mode"] == "now":
                raise _StopNow
            self._stop_and_save()
        elif request.kind == "pause":
            paused = True
            self._enter(Phase.PAUSED)
            event = state_event(Phase.PAUSED, step=step)
        elif request.kind == "continue":
            if paused:
                self._enter(Phase.ROLLOUT)
                event = state_event(Phase.ROLLOUT, step=step, message="Continued.")
            else:
                event = log_event("The run is not paused.", step=step)
            paused = False
        elif request.kind == "checkpoint":
            path = self._save(self._trainer.config)
            if paused:
                self._enter(Phase.PAUSED)
            event = log_event(f"Saved {path}.", step=step, path=path)
        else:
            self._set(request)
            key, value = request.args["key"], request.args["value"]
            event = log_event(f"{key} is now {value:g}.", step=step)
        self._requests.answer(request, event)
        return paused

    def _set(self, request: Request) -> None:
        value = float(request.args["value"])
        if request.args["key"] == "kl_coef":
            self._trainer.kl.coef = value
        else:
            self._trainer.learning_rate.scale_to(value, self._trainer.step)

    def _answer_stop(self, request: Request) -> None:
        self._enter(Phase.STOPPING)
        self._requests.answer(request, state_event(Phase.STOPPING, step=self._state.step))

    def _stop_and_save(self, why: str = "") -> None:
        step = self._trainer.step
        if step and self._saved_at != step:
            self._save(self._trainer.config)
        after = f"Stopped after step {step}; `ppo-tui resume` goes on from there."
        raise StoppedByUser(why or (after if step else "Stopped before the first step."))

    # ---- state

    def _enter(self, phase: Phase, message: str = "", *, announce: bool = False) -> None:
        state = replace(self._state, state=phase, message=message)
        event = state_event(phase, step=state.step, message=message) if announce else None
        # An end is in the journal before it stands in the state: a worker killed between the two
        # then reads as crashed and is resumed, and no run has ended that does not say so.
        if event is not None and phase in TERMINAL:
            self._recorder.event(event)
        self._state = write_state(self._run, state)
        if event is not None and phase not in TERMINAL:
            self._recorder.event(event)

    def _fail(self, error: PpoTuiError) -> None:
        """Write down that and why the run failed, as far as that can be written."""
        try:
            self._write_failure(error)
            self._recorder.event(
                state_event(Phase.FAILED, step=self._state.step, message=error.message)
            )
        except PpoTuiError as second:
            # A full disk, usually the very cause: the log may still take a line.
            log.warning("The failure could not be written down: %s", second.message)

    def _write_failure(self, error: PpoTuiError) -> None:
        info = ErrorInfo.from_error(error)
        failed = replace(self._state, state=Phase.FAILED, error=info)
        self._state = write_state(self._run, failed)
