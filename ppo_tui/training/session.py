"""One worker's work on one run: load, resume, train, obey requests, record, end honestly.

Joins the loop with the run directory. Everything a viewer can see is written here.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ppo_tui.config.presets import as_mapping
from ppo_tui.config.resolve import validate
from ppo_tui.config.schema import RunConfig
from ppo_tui.config.yaml_io import read_yaml
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.errors import (
    CheckpointError,
    ModelError,
    OutOfMemory,
    PpoTuiError,
    RunError,
    StoppedByUser,
    TrainingError,
)
from ppo_tui.plan import detect_device, plan_memory, read_architecture
from ppo_tui.policy.devices import choose_device
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.control import Inbox, Request
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import (
    ErrorInfo,
    Event,
    checkpoint_event,
    log_event,
    state_event,
)
from ppo_tui.runs.state import read_state, write_state
from ppo_tui.training.checkpoint import load_checkpoint, save_checkpoint
from ppo_tui.training.recorder import Recorder
from ppo_tui.training.trainer import Trainer

log = logging.getLogger(__name__)

_PAUSE_POLL = 0.1
"""Seconds between two looks at the requests while paused."""


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
        self._inbox = Inbox(run)
        self._state = replace(read_state(run), process=current_process(), error=None, message="")
        launch = last_launch(run)
        self._since = launch.time if launch else 0.0
        self._recorder: Recorder
        self._trainer: Trainer
        self._saved_at: int | None = None

    def execute(self) -> Phase:
        """Run to the end.

        Returns:
            finished or stopped.

        Raises:
            PpoTuiError: The run failed; its state says so already.
        """
        self._recorder = Recorder(self._run)
        try:
            phase = self._execute()
        except BaseException as error:
            ours = _as_ours(error)
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
            self._trainer = _build_trainer(config, self._on_phase)
            self._resume()
            self._enter(Phase.ROLLOUT, announce=True)
            self._recorder.event(self._loaded_event())
            if not self._trainer.step:  # else they stand in the journal already
                self._recorder.health(self._trainer.check_start(), 0)
            self._train(config)
        except StoppedByUser as stopped:
            self._dismiss_requests()
            self._enter(Phase.STOPPED, message=stopped.message, announce=True)
            return Phase.STOPPED
        except _StopNow:
            step = self._saved_at
            kept = f"the checkpoint of step {step} is kept" if step else "there is no checkpoint"
            self._dismiss_requests()
            self._enter(Phase.STOPPED, message=f"Stopped without saving; {kept}.", announce=True)
            return Phase.STOPPED
        self._dismiss_requests()
        self._enter(Phase.FINISHED, announce=True)
        return Phase.FINISHED

    def _loaded_event(self) -> Event:
        base = self._trainer.roles.base
        dtype = str(base.dtype).removeprefix("torch.")
        weights = "" if base.quantization == "none" else f", weights in {base.quantization}"
        return log_event(
            f"Loaded {self._trainer.config.model.name} on {base.device.type} in {dtype}{weights}.",
            device=base.device.type,
        )

    # ---- the run

    def _train(self, config: RunConfig) -> None:
        trainer = self._trainer
        planned = _planned_gib(config, trainer)
        if not self._recorder.base_answered:
            self._recorder.answers(trainer.step, "base", trainer.answers("base"))
        self._obey()
        for record in trainer.steps():
            self._recorder.step(record, {"memory/planned_gib": planned})
            self._state = replace(self._state, step=record.step)
            last = record.step == config.steps
            if last or record.step % config.eval.watch_every == 0:
                self._recorder.answers(record.step, "policy", trainer.answers("policy"))
            due = config.eval.every and record.step % config.eval.every == 0
            if due and not (last and config.eval.at_end):
                self._evaluate()
            if last or (config.checkpoint.every and record.step % config.checkpoint.every == 0):
                self._save(config)
            if not last:
                self._obey()
        # After the last checkpoint: a run that is killed in its evaluation has lost no step.
        if config.eval.at_end:
            self._evaluate()

    def _evaluate(self) -> None:
        self._recorder.evaluation(self._trainer.step, self._trainer.evaluate())

    def _save(self, config: RunConfig) -> str:
        self._enter(Phase.SAVING)
        path = save_checkpoint(
            self._run.checkpoints_path,
            self._trainer,
            self._recorder.state_dict(),
            config.checkpoint.keep,
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
        for step, path in list_checkpoints(self._run.checkpoints_path):
            try:
                recorder.load_state_dict(load_checkpoint(path, self._trainer))
            except RunError as error:
                if error.code not in ("checkpoint.damaged", "run.journal"):
                    raise
                problems.append(error)
                continue
            # The event lies behind the offset that the checkpoint holds, and was cut off.
            self._note_checkpoint(step, path)
            break
        else:
            if problems:
                raise CheckpointError(
                    f"No checkpoint of the run can be used: {problems[0].message}",
                    hint="`ppo-tui train` with the run's config.yaml starts it anew.",
                    code=problems[0].code,
                )
            recorder.restart()
        for problem in problems:
            recorder.event(log_event(problem.message, level="warning"))
        if self._trainer.step:
            recorder.event(
                log_event(f"Resumed after step {self._trainer.step}.", step=self._trainer.step)
            )
        self._state = replace(self._state, step=self._trainer.step)

    # ---- requests

    def _on_phase(self, phase: Phase) -> None:
        self._enter(phase)
        for request in self._requests():
            if request.kind == "stop" and request.args["mode"] == "now":
                self._answer_stop(request)
                raise _StopNow

    def _requests(self) -> list[Request]:
        requests = []
        for request in self._inbox.take():
            if request.time < self._since:
                # Meant for a worker that is no more.
                self._inbox.answer(request)
            else:
                requests.append(request)
        for odd in self._inbox.set_aside:
            self._recorder.event(
                log_event(f"A request was set aside: {odd.name}: {odd.problem}.", level="warning")
            )
        return requests

    def _dismiss_requests(self) -> None:
        """Answer what came too late to be acted on, so that nobody waits for it."""
        for request in self._requests():
            event = log_event(f"The run has ended; {request.kind} came too late.")
            self._recorder.event(event.answering(request.id))
            self._inbox.answer(request)

    def _obey(self) -> None:
        """Act on what was asked for, between two steps; a pause lasts until its end."""
        paused = False
        while True:
            for request in self._requests():
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
        self._recorder.event(event.answering(request.id))
        self._inbox.answer(request)
        return paused

    def _set(self, request: Request) -> None:
        value = float(request.args["value"])
        if request.args["key"] == "kl_coef":
            self._trainer.kl.coef = value
        else:
            self._trainer.learning_rate.scale_to(value, self._trainer.step)

    def _answer_stop(self, request: Request) -> None:
        self._enter(Phase.STOPPING)
        self._recorder.event(
            state_event(Phase.STOPPING, step=self._state.step).answering(request.id)
        )
        self._inbox.answer(request)

    def _stop_and_save(self) -> None:
        step = self._trainer.step
        if step and self._saved_at != step:
            self._save(self._trainer.config)
        raise StoppedByUser(
            f"Stopped after step {step}; `ppo-tui resume` goes on from there."
            if step
            else "Stopped before the first step."
        )

    # ---- state

    def _enter(self, phase: Phase, message: str = "", *, announce: bool = False) -> None:
        self._state = write_state(self._run, replace(self._state, state=phase, message=message))
        if announce:
            self._recorder.event(state_event(phase, step=self._state.step, message=message))

    def _fail(self, error: PpoTuiError) -> None:
        """Write down that and why the run failed, as far as that can be written."""
        info = ErrorInfo.from_error(error)
        try:
            self._state = write_state(
                self._run, replace(self._state, state=Phase.FAILED, error=info)
            )
            self._recorder.event(
                state_event(Phase.FAILED, step=self._state.step, message=error.message)
            )
        except PpoTuiError as second:
            # A full disk, usually the very cause: the log may still take a line.
            log.error("The failure could not be written down: %s", second.message)


def _build_trainer(config: RunConfig, on_phase: Callable[[Phase], None]) -> Trainer:
    """Everything of a run that has to be loaded; what is cheap to check comes first."""
    device = choose_device(config.device)
    reward = WeightedSum(config.reward.terms)
    base = load_base(config.model, device)
    data = PromptDataset.load(
        config.data,
        base.tokenizer,
        response_tokens=config.rollout.response_tokens,
        context_length=base.context_length,
        eos_token_ids=base.vocabulary.eos_ids,
    )
    roles = Roles(base, config.adapter, config.ppo.value, config.rollout.temperature, config.seed)
    # A reward of the user's may draw from any of these. After the loading, which draws from them
    # as it likes.
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    return Trainer(config, roles, data, reward, on_phase)


def _planned_gib(config: RunConfig, trainer: Trainer) -> float:
    """What the memory plan says of this run, to be compared with the measured peak."""
    longest = max(len(prompt.ids) for prompt in trainer.data.train)
    try:
        plan = plan_memory(
            read_architecture(config.model),
            config,
            None,
            detect_device(trainer.roles.base.device.type),
            longest,
        )
    except ModelError as error:
        # The plan knows fewer architectures than transformers does; the run goes on without it.
        log.warning("No memory plan: %s", error.message)
        return float("nan")
    return plan.total / 2**30


def _as_ours(error: BaseException) -> PpoTuiError:
    if isinstance(error, PpoTuiError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemory(
            "The device's memory ran out in a training step.",
            hint="Lower ppo.micro_batch_size, rollout.batch_size or rollout.response_tokens; "
            "`ppo-tui plan` shows what takes how much.",
            code="memory.step",
        )
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return StoppedByUser("The worker was interrupted.")
    text = " ".join(str(error).split())[:300]
    return TrainingError(
        f"Something unforeseen happened: {type(error).__name__}{': ' if text else ''}{text}",
        hint="The traceback stands in the run's log.txt; please report it.",
        code="internal",
    )
