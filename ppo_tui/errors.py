"""Every error that a user can meet, and the exit code it ends a command with.

    PpoTuiError              1  something failed
    ├── UsageError           2  the command was called wrongly
    ├── ConfigError          3  a configuration or preset is not valid
    ├── ResourceError        4  something the run needs is missing
    │   ├── ModelError       4  a base model, tokenizer or adapter cannot be used
    │   ├── DataError        4  prompts cannot be read or do not fit
    │   ├── DeviceError      4  the device asked for is not there
    │   └── OutOfMemory      4  the device's memory is too small
    ├── RewardError          1  a reward function failed or answered nonsense
    ├── RunError             1  a run directory, journal or checkpoint cannot be used
    │   ├── RunExists        1  the run directory is taken
    │   ├── RunBusy          1  another worker holds the run
    │   └── CheckpointError  1  a checkpoint is damaged or missing
    ├── StorageError         1  a write failed: disk full, no permission
    ├── TrainingError        1  the optimisation itself broke (not finite, self-check)
    └── StoppedByUser        5  stopped on request

An error names the thing, the value and the way out in one sentence; `hint` says what to do when the
sentence alone is too short for it. `code` is stable and meant for scripts. Neither ever holds a
token or password: an error is shown, logged and written down.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar

from ppo_tui.text.plain import plain
from ppo_tui.text.secrets import redacted

_LONGEST, _HEAD = 2000, 1400
"""Characters of a message, and how many of a longer one stand before the gap."""

_LONGEST_NAME = 200
"""Characters of a name that are compared with the known ones."""


class ExitCode(IntEnum):
    """How a command ends; a contract with the scripts that call it."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    MISSING = 4
    STOPPED = 5


class PpoTuiError(Exception):
    """Base of all errors that are shown to a user as one sentence.

    Args:
        message: One sentence naming the thing, the value and the way out.
        hint: What to do about it, where the sentence does not say it already.
        code: Stable identifier such as ``data.column_missing``; the class has a default.
    """

    default_code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        # It may quote a file of somebody's: one line, and nothing that a terminal would act on.
        message = _bounded(plain(redacted(message)))
        super().__init__(message)
        self.message = message
        self.hint = _bounded(plain(redacted(hint))) if hint else ""
        self.code = code or self.default_code

    def to_dict(self) -> dict[str, str]:
        """The form in which an error is written to `state.json` and printed by `--json`."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def _bounded(text: str) -> str:
    """The text, without its middle where a file of somebody's made a book of it."""
    return text if len(text) <= _LONGEST else f"{text[:_HEAD]} … {text[_HEAD - _LONGEST :]}"


class UsageError(PpoTuiError):
    """The command was called wrongly."""

    default_code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(PpoTuiError):
    """A configuration, preset or `--set` is not valid."""

    default_code = "config"
    exit_code = ExitCode.CONFIG


class ResourceError(PpoTuiError):
    """Something that the run needs is missing."""

    default_code = "resource"
    exit_code = ExitCode.MISSING


class ModelError(ResourceError):
    """A base model, tokenizer or adapter cannot be used."""

    default_code = "model"


class DataError(ResourceError):
    """Prompts cannot be read, are empty, or do not fit the model."""

    default_code = "data"


class DeviceError(ResourceError):
    """The device that was asked for is not there, or cannot do what was asked."""

    default_code = "device"


class OutOfMemory(ResourceError):
    """The device's memory is too small for the smallest step."""

    default_code = "memory"


class RewardError(PpoTuiError):
    """A reward function raised, or answered with the wrong count or a value that is no number."""

    default_code = "reward"


class RunError(PpoTuiError):
    """A run directory or one of its files cannot be used."""

    default_code = "run"


class RunExists(RunError):
    """The run directory is taken."""

    default_code = "run.exists"


class RunBusy(RunError):
    """Another worker holds the run."""

    default_code = "run.busy"


class CheckpointError(RunError):
    """A checkpoint is damaged, incomplete or missing."""

    default_code = "checkpoint"


class StorageError(PpoTuiError):
    """A write failed: the disk is full, or the place may not be written to."""

    default_code = "storage"


class TrainingError(PpoTuiError):
    """The optimisation itself broke: a value that is not finite, a self-check that failed."""

    default_code = "training"


class StoppedByUser(PpoTuiError):
    """The run was stopped on request."""

    default_code = "stopped"
    exit_code = ExitCode.STOPPED


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A half-sentence naming the nearest known name, or listing the known ones if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1, cutoff=0.55)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none"
