"""A process that behaves as a worker towards its run directory, at speed and without torch.

`python worker_stand_in.py RUN_DIR STEPS END [WAIT_AT]`: holds the lock, writes STEPS steps, then
ends as END says: finished, failed:CODE, crash, mute (dies before it writes a word), or stays. At
step WAIT_AT it waits for requests, as a real worker does between two steps of a slow model.
"""

import os
import sys
import time
from pathlib import Path

from ppo_tui.runs.control import Inbox
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import (
    ErrorInfo,
    Event,
    RunState,
    Sample,
    checkpoint_event,
    eval_event,
    health_event,
    log_event,
    state_event,
    step_event,
)
from ppo_tui.runs.state import write_state

HOSTILE = "glad [bold]red[/] \x1b[31m\x1b]0;title\x07 \u202egnirts\x9b2J\rover\nnext"


def main() -> None:
    run, steps, end = RunDirectory(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    wait_at = int(sys.argv[4]) if len(sys.argv) > 4 else None
    if end == "mute":
        sys.exit(7)
    with RunLock(run), JournalWriter(run.events_path) as events:
        samples = JournalWriter(run.samples_path)
        total = max(steps, 4)

        def enter(phase: Phase, step: int, error: ErrorInfo | None = None) -> None:
            write_state(
                run, RunState(phase, step, total, current_process(), time.time(), error=error)
            )

        def write(event: Event) -> None:
            events.append(event.to_json())

        def save(step: int) -> None:
            (run.checkpoints_path / f"step-{step:06d}" / "policy").mkdir(parents=True)
            write(checkpoint_event(step, f"checkpoints/step-{step:06d}"))

        def obey(step: int, *, wait: bool) -> None:
            while True:
                for request in Inbox(run).take():
                    Inbox(run).answer(request)
                    if request.kind == "stop":
                        write(state_event(Phase.STOPPING, step=step).answering(request.id))
                        if request.args["mode"] == "save":
                            save(step)
                        write(state_event(Phase.STOPPED, step=step, message="Stopped."))
                        enter(Phase.STOPPED, step)
                        sys.exit(5)
                    if request.kind == "pause":
                        enter(Phase.PAUSED, step)
                        write(state_event(Phase.PAUSED, step=step).answering(request.id))
                        continue
                    message = f"Done: {request.kind}."
                    write(log_event(message, step=step).answering(request.id))
                    wait = wait and request.kind != "continue"
                if not wait:
                    return
                time.sleep(0.01)

        enter(Phase.ROLLOUT, 0)
        for step in range(1, steps + 1):
            enter(Phase.UPDATE, step)
            metrics = {
                "reward/score": step / 10,
                "reward/sentiment": step / 10,
                "kl/ref": step / 5,
                "kl/coef": 0.05,
                "response/length": 20.5,
                "optim/lr": 3e-4,
                "policy/entropy": float("nan"),
            }
            sample = Sample(
                f"{step}-0", step, HOSTILE, HOSTILE, 0.5, {"sentiment": 0.5}, 1.0, 20, True
            )
            samples.append(sample.to_json())
            write(step_event(step, metrics))
            if step == 1:
                write(
                    health_event(1, "kl.high", f"The KL is high {HOSTILE}", hint="Raise kl_coef.")
                )
            obey(step, wait=step == wait_at)
        if end == "stays":
            obey(steps, wait=True)
        if end == "crash":
            os._exit(9)
        if end.startswith("failed:"):
            code = end.removeprefix("failed:")
            write(state_event(Phase.FAILED, step=steps, message="It broke."))
            enter(Phase.FAILED, steps, ErrorInfo(code, "It broke.", "Mend it."))
            sys.exit(1)
        save(steps)
        pair = {"prompt": HOSTILE, "base": "sad", "tuned": HOSTILE, "base_score": -0.5}
        evaluation = {
            "eval/score_base": 0.0,
            "eval/score_tuned": 0.9,
            "eval/share_of_optimum": 0.96,
            "eval/share_low": 0.93,
            "eval/share_high": 0.98,
        }
        write(eval_event(steps, evaluation, pairs=[{**pair, "tuned_score": 0.9}]))
        write(state_event(Phase.FINISHED, step=steps))
        enter(Phase.FINISHED, steps)


main()
