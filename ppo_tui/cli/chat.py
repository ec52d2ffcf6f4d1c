"""`ppo-tui chat`: talk to the tuned model of a run, and to its base.

The model lives in a process of its own (`ppo_tui.conversation`), so that nothing here loads torch.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import IO, TYPE_CHECKING, Annotated, Self

import typer

from ppo_tui.cli.answer import Json, answer_json, say, tell
from ppo_tui.cli.failures import INTERRUPTED, exit_code_of, report
from ppo_tui.cli.trust import Trust, settle
from ppo_tui.text.plain import plain

if TYPE_CHECKING:
    from ppo_tui.conversation import Ask, Cancel, Done, Ready, Reply
    from ppo_tui.runs.directory import RunDirectory

POLL_SECONDS = 0.1
ENDING_SECONDS = 10.0
_WIDTH = 8
_WHOM = ("both", "base", "tuned")

NO_PROMPT = "There is no prompt on the standard input; pipe a text in, or give --prompt."


def add_to(app: typer.Typer) -> None:
    """Put the command of this module into the program."""
    app.command("chat", epilog="Ctrl-C stops an answer, Ctrl-D leaves.")(chat)


def chat(
    name: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's name, its beginning, its path, or `last`."),
    ],
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Answer this one, and end.")
    ] = None,
    who: Annotated[str, typer.Option(help="Who answers: both, base or tuned.")] = "both",
    temperature: Annotated[
        float | None, typer.Option(help="Divides the logits; the run's if left out.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer; the run's if left out.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of every answer; another each time if left out.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="STEP|best", help="That checkpoint, or the best evaluated; else the newest."
        ),
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Talk to a run's tuned model and to its base.

    A copy of the model is loaded beside the run, which may go on training. With `--json` the one
    prompt is that of `--prompt`, or all of stdin.
    """
    from ppo_tui.conversation import (
        HIGHEST_TEMPERATURE,
        LOWEST_TEMPERATURE,
        MOST_SEED,
        MOST_TOKENS,
        Ask,
    )
    from ppo_tui.errors import PpoTuiError, UsageError
    from ppo_tui.prepare.resume import stored_config
    from ppo_tui.runs.best import chosen_step
    from ppo_tui.runs.catalog import find_run
    from ppo_tui.trust import model_code

    if who not in _WHOM:
        raise UsageError(f"--who is {plain(who)!r}; it must be one of {', '.join(_WHOM)}.")
    for option, number, least, most in (
        ("--temperature", temperature, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
        ("--max-tokens", max_tokens, 1, MOST_TOKENS),
        ("--seed", seed, 0, MOST_SEED),
    ):
        if number is not None and not least <= number <= most:
            raise UsageError(f"{option} is {number:g}; it must be from {least:g} to {most:g}.")
    if prompt is not None and not prompt.strip():
        raise UsageError("--prompt is empty; give a text that is to be answered.")
    ask = Ask("", "", who, temperature, max_tokens, seed)  # type: ignore[arg-type]
    run = find_run(name)
    step = chosen_step(run, checkpoint)
    settle(model_code(stored_config(run).model), trust, as_json=as_json)
    try:
        if as_json:
            text = sys.stdin.read() if prompt is None else prompt
            if not text.strip():
                raise UsageError(NO_PROMPT)
            code = _answer_once(run, step, replace(ask, prompt=text.removesuffix("\n")))
        else:
            code = _converse(run, step, ask, prompt)
    except PpoTuiError as error:
        # It comes from another process, which knew its class.
        report(error.code, error.message, error.hint, as_json=as_json)
        code = int(exit_code_of(error.code))
    raise typer.Exit(code)


class Conversation:
    """The process that holds the model, as the command line speaks to it.

    Raises:
        PpoTuiError: It ended, or could not load the model.
    """

    def __init__(self, run: RunDirectory, step: int | None) -> None:
        from ppo_tui.conversation import start_command

        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            start_command(run, step),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def wait_until_ready(self) -> Ready:
        """Wait for the model, and tell what is being done."""
        from ppo_tui.conversation import Failure, Ready, Status

        while True:
            match self._next():
                case Status(message):
                    say(message)
                case Ready() as ready:
                    return ready
                case Failure() as failure:
                    raise failure.to_error()

    def replies(self, ask: Ask, interrupts: _Interrupts) -> Iterator[Reply]:
        """Ask, and yield the replies to the end; an interrupt cancels the answer.

        Raises:
            PpoTuiError: The question cannot be answered.
            KeyboardInterrupt: Interrupted a second time.
        """
        from ppo_tui.conversation import Cancel, Done, Failure

        self._asked += 1
        ask = replace(ask, id=str(self._asked))
        self._send(ask)
        left, cancelled = 2 if ask.who == "both" else 1, False
        while left:
            if interrupts.count > 1:
                raise KeyboardInterrupt
            if interrupts.count and not cancelled:
                self._send(Cancel(ask.id))
                cancelled = True
            reply = self._next(POLL_SECONDS)
            if reply is None:
                continue
            if isinstance(reply, Failure):
                raise reply.to_error()
            left -= isinstance(reply, Done)
            yield reply

    def _send(self, message: Ask | Cancel) -> None:
        from ppo_tui.conversation import encode

        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is noticed where it is read
            self._process.stdin.write(encode(message))
            self._process.stdin.flush()

    def _next(self, seconds: float | None = None) -> Reply | None:
        from ppo_tui.conversation import read_reply

        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if not line:
            raise self._ended()
        return read_reply(line)

    def _ended(self) -> Exception:
        from ppo_tui.conversation import how_it_ended, last_words
        from ppo_tui.errors import PpoTuiError

        how = how_it_ended(self._process.wait())
        said = last_words(self._log)
        return PpoTuiError(
            f"The process with the model is gone: {how}.",
            hint=f"It last said: {' | '.join(said)}" if said else "",
            code="playground.ended",
        )

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as replies:
            for line in replies:
                self._lines.put(line)
        self._lines.put(b"")


class _Interrupts:
    """Counts Ctrl-C while an answer is written."""

    def __init__(self) -> None:
        self.count = 0
        self._before: object = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def _converse(run: RunDirectory, step: int | None, ask: Ask, prompt: str | None) -> int:
    """Answer the one prompt, or those that are typed or piped in; the exit code."""
    from ppo_tui.errors import UsageError

    typed = prompt is None and sys.stdin.isatty()
    with Conversation(run, step) as conversation:
        ready = conversation.wait_until_ready()
        say(f"{plain(ready.model)} on {ready.device}; tuned: after step {ready.step}.")
        if prompt is not None:
            prompts: Iterator[str] = iter([prompt])
        elif typed:
            say("Ctrl-C stops an answer, Ctrl-D leaves.")
            prompts = _typed()
        else:
            prompts = (line.rstrip("\r\n") for line in sys.stdin)
        answered = [
            _talk(conversation, replace(ask, prompt=text)) for text in prompts if text.strip()
        ]
    if not (typed or answered):
        raise UsageError(NO_PROMPT)
    return 0 if typed or all(answered) else 1


def _typed() -> Iterator[str]:
    """What is typed, line by line, to the end of the input."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - lets the arrow keys edit the line
    while True:
        try:
            yield input("> ")
        except EOFError:
            print(file=sys.stderr)  # noqa: T201
            return
        except KeyboardInterrupt:
            say("\nCtrl-D leaves.")


def _talk(conversation: Conversation, ask: Ask) -> bool:
    """Print both answers, one under the other, as they are written; whether there were any."""
    from ppo_tui.conversation import Done, Piece, Who, new_seed
    from ppo_tui.errors import PpoTuiError

    whom: tuple[Who, ...] = ("base", "tuned") if ask.who == "both" else (ask.who,)
    seed = new_seed() if ask.seed is None else ask.seed
    try:
        with _Interrupts() as interrupts:
            for who in whom:
                sys.stdout.write(f"{who:<{_WIDTH}}")
                sys.stdout.flush()
                for reply in conversation.replies(replace(ask, who=who, seed=seed), interrupts):
                    if isinstance(reply, Piece):
                        shown = plain(reply.text, lines=True).replace("\n", "\n" + " " * _WIDTH)
                        sys.stdout.write(shown)
                        sys.stdout.flush()
                    elif isinstance(reply, Done):
                        tell(_remark(reply))
                if interrupts.count:
                    break
    except PpoTuiError as error:
        if error.code == "playground.ended":
            raise
        tell()
        report(error.code, error.message, error.hint, as_json=False)
        return False
    return True


def _remark(done: Done) -> str:
    """What is good to know of how an answer ended."""
    if done.cancelled:
        return " [stopped]"
    return "" if done.finished else f" … [{done.tokens} tokens]"


def _answer_once(run: RunDirectory, step: int | None, ask: Ask) -> int:
    """Answer one prompt as JSON; the exit code."""
    from ppo_tui.conversation import Done

    with Conversation(run, step) as conversation:
        ready = conversation.wait_until_ready()
        with _Interrupts() as interrupts:
            replies = list(conversation.replies(ask, interrupts))
    answers = [reply for reply in replies if isinstance(reply, Done)]
    answer_json(
        {
            "run_dir": str(run.path),
            "model": ready.model,
            "device": ready.device,
            "step": ready.step,
            "prompt": ask.prompt,
            "seed": answers[0].seed,
            "temperature": ask.temperature or ready.temperature,
            "max_tokens": ask.max_tokens or ready.max_tokens,
            "answers": {
                done.who: {"text": done.text, "tokens": done.tokens, "finished": done.finished}
                for done in answers
            },
        }
    )
    return INTERRUPTED if any(done.cancelled for done in answers) else 0
