"""Talk with a run's model: what is said between the process that holds it and whoever asks.

For the command line and the screens on one side, `ppo_tui.playground` on the other. Each message is
one line of JSON: requests on the process's stdin, replies on its stdout; what else it has to say
goes to stderr. Closing its stdin ends it. Knows neither torch nor a screen.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Literal, get_args

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs import strict_json
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.process import module_command
from ppo_tui.text.plain import plain

Who = Literal["base", "tuned"]
Whom = Literal["both", "base", "tuned"]

MOST_SEED = 2**63 - 1
MOST_TOKENS = 1_000_000
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-6, 1e3

LONGEST_LINE = 1 << 24
"""Bytes of the longest message; an `asyncio` reader has to be told."""

_LOG_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt to be answered.

    Attributes:
        id: Comes back with every reply to it.
        prompt: As a person types it; the process puts the run's template around it.
        who: Who answers; both draw from the same random numbers, in turns.
        temperature: Divides the logits; the run's if None.
        max_tokens: Longest response; the run's if None.
        seed: Of the random numbers; any if None.
    """

    id: str
    prompt: str
    who: Whom = "both"
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop answering; what is written by then stands."""

    id: str


@dataclass(frozen=True, slots=True)
class Quit:
    """End the process, as closing its stdin does."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is being done before the model is ready, in words."""

    message: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded.

    Attributes:
        model: `model.name` of the run.
        device: Where it lies, such as ``cuda``.
        step: The step of the checkpoint whose adapter is the tuned model.
        temperature: The run's.
        max_tokens: The run's longest response.
    """

    model: str
    device: str
    step: int
    temperature: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of an answer; the pieces together are the answer."""

    id: str
    who: Who
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An answer is over.

    Attributes:
        text: The whole answer.
        tokens: How many tokens it has.
        finished: It ended by itself, and not at the longest length or by a cancel.
        cancelled: It was stopped by a cancel.
        seed: What it was drawn with.
    """

    id: str
    who: Who
    text: str
    tokens: int
    finished: bool
    cancelled: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Something went wrong.

    Attributes:
        id: The question that cannot be answered; None if it is about none.
        fatal: The process ends: the model could not be loaded.
    """

    code: str
    message: str
    hint: str = ""
    id: str | None = None
    fatal: bool = False

    @classmethod
    def of(cls, error: PpoTuiError, ask: str | None = None, *, fatal: bool = False) -> Failure:
        """The error as a message."""
        return cls(error.code, error.message, error.hint, ask, fatal)

    def to_error(self) -> PpoTuiError:
        """The message as an error."""
        return PpoTuiError(self.message, hint=self.hint, code=self.code)


Request = Ask | Cancel | Quit
Reply = Status | Ready | Piece | Done | Failure

_NAMES: dict[type[Any], str] = {
    Ask: "ask",
    Cancel: "cancel",
    Quit: "quit",
    Status: "status",
    Ready: "ready",
    Piece: "piece",
    Done: "done",
    Failure: "error",
}
_REQUESTS = {_NAMES[kind]: kind for kind in get_args(Request)}
_REPLIES = {_NAMES[kind]: kind for kind in get_args(Reply)}


def encode(message: Request | Reply) -> bytes:
    """The message as its line, line end included."""
    record = {"kind": _NAMES[type(message)], **asdict(message)}
    return strict_json.dumps(record).encode("utf-8") + b"\n"


def read_request(line: bytes) -> Request:
    """The request in a line.

    Raises:
        ValueError: It is none; the text says why.
    """
    record = _record(line)
    if record["kind"] == "ask":
        return _ask(record)
    made = _made(_REQUESTS, record)
    assert isinstance(made, Cancel | Quit)
    return made


def read_reply(line: bytes) -> Reply:
    """The reply in a line.

    Raises:
        ValueError: It is none.
    """
    made = _made(_REPLIES, _record(line))
    assert isinstance(made, Status | Ready | Piece | Done | Failure)
    return made


def new_seed() -> int:
    """A seed that nobody has used before."""
    # Short, because people copy it.
    return secrets.randbelow(10**6)


def start_command(run: RunDirectory, step: int | None = None) -> list[str]:
    """The command of the process that holds a run's model.

    To be started with pipes as stdin and stdout, and in a session of its own, so that Ctrl-C in the
    terminal is left to whoever asks.

    Args:
        run: The run; it is only read, and may go on meanwhile.
        step: The checkpoint whose adapter is meant; the newest whole one if left out.
    """
    command = module_command("ppo_tui.playground", str(run.path))
    return command if step is None else [*command, "--checkpoint", str(step)]


def last_words(log: IO[bytes], count: int = 4) -> list[str]:
    """The last lines that the process wrote to stderr, harmless for a terminal."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_BYTES))
    lines = log.read().decode("utf-8", "replace").splitlines()
    return [plain(line)[:300] for line in lines if line.strip()][-count:]


def how_it_ended(exit_code: int) -> str:
    """What an unexpected end of the process says of its cause."""
    if exit_code == -9:
        return "it was killed, as the system does when memory runs out"
    if exit_code < 0:
        return f"it was killed by signal {-exit_code}"
    return f"it ended with exit code {exit_code}"


def _record(line: bytes) -> Mapping[str, Any]:
    record = strict_json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise ValueError("a message is an object with a kind")
    return record


def _made(kinds: Mapping[str, type[Any]], record: Mapping[str, Any]) -> Any:
    kind = kinds.get(record["kind"])
    if kind is None:
        raise ValueError(f"there is no kind {record['kind'][:40]!r}; known: {', '.join(kinds)}")
    values = {name: record[name] for name in kind.__slots__ if name in record}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{record['kind']} lacks a field") from error


def _ask(record: Mapping[str, Any]) -> Ask:
    ask = _made(_REQUESTS, record)
    assert isinstance(ask, Ask)
    if not isinstance(ask.id, str) or not isinstance(ask.prompt, str):
        raise ValueError("ask needs an id and a prompt, both of them texts")
    if ask.who not in get_args(Whom):
        raise ValueError(f"who is {ask.who!r}; it must be one of {', '.join(get_args(Whom))}")
    for name, value, least, most in (
        ("temperature", ask.temperature, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE),
        ("max_tokens", ask.max_tokens, 1, MOST_TOKENS),
        ("seed", ask.seed, 0, MOST_SEED),
    ):
        if value is None:
            continue
        whole = name != "temperature"
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most:
            raise ValueError(f"{name} is {value!r}; it must be from {least:g} to {most:g}")
    return ask
