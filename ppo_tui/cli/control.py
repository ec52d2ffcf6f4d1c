"""`ppo-tui pause`, `continue`, `checkpoint` and `stop`: requests to a run's worker."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ppo_tui.cli.answer import Json, answer_json, say, tell

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.records import Event

PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.05

Run = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`.")
]


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module into the program."""
    app.command("pause")(pause)
    app.command("continue")(continue_)
    app.command("checkpoint")(checkpoint)
    app.command("stop")(stop)


def pause(name: Run, as_json: Json = False) -> None:
    """Let a run wait after its current step; its memory stays in use."""
    _ask(name, "pause", "will pause after its current step", as_json=as_json)


def continue_(name: Run, as_json: Json = False) -> None:
    """Let a paused run go on."""
    _ask(name, "continue", "will go on", as_json=as_json)


def checkpoint(name: Run, as_json: Json = False) -> None:
    """Let a run save a checkpoint after its current step."""
    _ask(name, "checkpoint", "will save a checkpoint after its current step", as_json=as_json)


def stop(
    name: Run,
    now: Annotated[bool, typer.Option("--now", help="Stop at once, without a checkpoint.")] = False,
    as_json: Json = False,
) -> None:
    """Stop a run after its current step, with a checkpoint.

    `ppo-tui resume` goes on with it.
    """
    words = "will stop, without a checkpoint" if now else "will save and stop after this step"
    _ask(name, "stop", words, as_json=as_json, mode="now" if now else "save")


def _ask(name: str, kind: str, words: str, *, as_json: bool, **args: Any) -> None:
    from ppo_tui.errors import RunError
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.runs.control import post
    from ppo_tui.runs.paths import shown
    from ppo_tui.runs.phase import Phase
    from ppo_tui.runs.state import observe

    run = find_run(name)
    seen = observe(run)
    if not seen.alive:
        raise RunError(
            f"{shown(run.name)} is not running: it is {seen.phase.value}",
            hint=""
            if seen.phase is Phase.FINISHED
            else f"`ppo-tui resume {shown(run.name)}` goes on with it.",
            code="run.not_running",
        )
    request = post(run, kind, **args)
    answer = _wait_for_answer(run, request)
    seen = observe(run)
    if answer is None and not seen.alive:
        # Nobody is left to take it, and the next worker must not.
        with contextlib.suppress(OSError):
            (run.control_path / f"{request}.json").unlink(missing_ok=True)
        ended = f"{shown(run.name)} ended before it took the request: it is {seen.phase.value}"
        if kind != "stop":
            raise RunError(ended, code="run.not_running")
        words = f"is {seen.phase.value}"
    message = _in_words(answer) if answer is not None else ""
    if as_json:
        answer_json(
            {
                "run_dir": str(run.path),
                "request": kind,
                "answered": answer is not None,
                "state": seen.phase.value,
                "suspended": seen.suspended is not None,
                "message": message,
            }
        )
        return
    tell(f"{shown(run.name)}: {message}" if message else f"{shown(run.name)} {words}.")
    if answer is None and seen.suspended:
        say(f"The run cannot answer: {seen.suspended_words}.")
    elif answer is None and seen.alive:
        say("The run has not answered yet; it takes requests between the parts of a step.")


def _in_words(answer: Event) -> str:
    if answer.kind == "checkpoint" and not answer.message:
        return f"saved {answer.payload.get('path', 'a checkpoint')}"
    state = answer.payload.get("state")
    return answer.message or (f"is {state}" if state else "done")


def _wait_for_answer(run: RunDirectory, request: str) -> Event | None:
    """The event that answers a request.

    None if none came in time, the worker went away, or it is halted and cannot answer.
    """
    from ppo_tui.runs.state import observe

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        seen = observe(run)  # before the journal, so that a last word is not missed
        answer = _answer_in_journal(run, request)
        nobody = not seen.alive or seen.suspended
        if answer is not None or nobody or time.monotonic() >= deadline:
            return answer
        time.sleep(POLL_SECONDS)


def _answer_in_journal(run: RunDirectory, request: str) -> Event | None:
    from ppo_tui.runs.journal import read_last
    from ppo_tui.runs.records import Event

    try:
        records = read_last(run.events_path)
    except FileNotFoundError:
        return None
    found = [record for record in records if record.get("request") == request]
    return Event.from_json(found[-1]) if found else None
