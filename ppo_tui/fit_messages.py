"""Fitting a reward in a process of its own: what it says to whoever started it.

For the command line on one side, `ppo_tui.fitting` on the other, which alone loads torch. Each
message is one line of JSON on the process's stdout; what else it has to say goes to stderr. Closing
its stdin ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs import strict_json
from ppo_tui.runs.process import module_command


@dataclass(frozen=True, slots=True)
class Status:
    """What is being done, in words."""

    message: str


@dataclass(frozen=True, slots=True)
class Read:
    """What the base model reads in a text that came without a reading."""

    prompt: str
    response: str
    reading: str


@dataclass(frozen=True, slots=True)
class Trained:
    """A reward adapter is saved.

    Attributes:
        epochs: How many did good; with 0 the head reads the base as it is.
        seconds: How long the training took.
        adapter: Its agreement with held-out judgements: `correlation` and `accuracy`.
        taste: That of the taste model, with the same ones.
        better: ``adapter``, ``taste``, or empty where they do not differ by more than chance.
    """

    epochs: int
    seconds: float
    adapter: dict[str, float | None]
    taste: dict[str, float | None]
    better: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the process ends."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: PpoTuiError) -> Failure:
        """The error as a message."""
        return cls(error.code, error.message, error.hint)

    def to_error(self) -> PpoTuiError:
        """The message as an error."""
        return PpoTuiError(self.message, hint=self.hint, code=self.code)


Reply = Status | Read | Trained | Failure

_KINDS: dict[str, type[Any]] = {
    "status": Status,
    "read": Read,
    "trained": Trained,
    "error": Failure,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def encode(message: Reply) -> bytes:
    """The message as its line, line end included."""
    record = {"kind": _NAMES[type(message)], **asdict(message)}
    return strict_json.dumps(record).encode("utf-8") + b"\n"


def read_reply(line: bytes) -> Reply:
    """The message in a line.

    Raises:
        ValueError: It is none.
    """
    record = strict_json.loads(line)
    kind = _KINDS.get(str(record.get("kind"))) if isinstance(record, dict) else None
    if kind is None:
        raise ValueError("a message is an object of a kind that is known")
    try:
        made = kind(**{name: record[name] for name in kind.__slots__ if name in record})
    except TypeError as error:
        raise ValueError(f"{record['kind']} lacks a field") from error
    assert isinstance(made, Status | Read | Trained | Failure)
    return made


def reading_command(sources: Sequence[str]) -> list[str]:
    """The command that reads the rated texts of runs and files that have no reading yet."""
    return module_command("ppo_tui.fitting", "read", *sources)


def adapter_command(
    sources: Sequence[str], to: Path, *, epochs: int, seed: int, overwrite: bool
) -> list[str]:
    """The command that trains a reward adapter on the ratings of runs and files."""
    options = ["--to", str(to), "--epochs", str(epochs), "--seed", str(seed)]
    options += ["--force"] if overwrite else []
    return module_command("ppo_tui.fitting", "adapter", *options, "--", *sources)
