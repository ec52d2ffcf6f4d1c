"""What the journals' lines and `state.json` hold.

Reading is lenient: unknown fields are ignored and missing ones get their default, so that what an
older version wrote is read as it is. A `state.json` of a newer version is refused, and with it the
whole run; a journal's line is read as far as it can be, because the version of the state decides.
A number that was not finite is null in the file and NaN here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import time as now
from typing import Any

from ppo_tui.errors import PpoTuiError, RunError
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import ProcessIdentity

SCHEMA_VERSION = 1

Json = dict[str, Any]

_MOST = 2**63 - 1

_ENVELOPE = ("v", "time", "kind", "step")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of `events.jsonl`: `{"v":1,"time":…,"kind":"step","step":12,…payload}`.

    Made by `step_event` and its siblings below, one a kind.
    """

    kind: str
    time: float
    step: int | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    v: int = SCHEMA_VERSION

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of a step or an evaluation by name; NaN where the file has null."""
        return _numbers(self.payload.get("metrics"))

    @property
    def message(self) -> str:
        """The event in words, where it has any."""
        return _text(self.payload.get("message"))

    @property
    def request(self) -> str | None:
        """The id of the control request that this event answers."""
        return _text(self.payload.get("request")) or None

    def answering(self, request_id: str) -> Event:
        """The same event as the answer to a control request."""
        return replace(self, payload={**self.payload, "request": request_id})

    def to_json(self) -> Json:
        """The line's object."""
        head: Json = {"v": self.v, "time": self.time, "kind": self.kind}
        if self.step is not None:
            head["step"] = self.step
        return head | {key: item for key, item in self.payload.items() if key not in _ENVELOPE}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Event:
        """The event in a line's object."""
        return cls(
            kind=_text(record.get("kind")),
            time=_number(record.get("time"), 0.0),
            step=_whole_or_none(record.get("step")),
            payload={key: item for key, item in record.items() if key not in _ENVELOPE},
            v=_whole(record.get("v"), SCHEMA_VERSION),
        )


def step_event(step: int, metrics: Mapping[str, float | None], **extra: Any) -> Event:
    """A finished PPO step and its metrics."""
    return Event("step", now(), step, {"metrics": dict(metrics), **extra})


def eval_event(step: int, metrics: Mapping[str, float | None], **extra: Any) -> Event:
    """An evaluation of the policy as it was after a step."""
    return Event("eval", now(), step, {"metrics": dict(metrics), **extra})


def checkpoint_event(step: int, path: str, **extra: Any) -> Event:
    """A checkpoint that is complete; `path` is relative to the run directory."""
    return Event("checkpoint", now(), step, {"path": path, **extra})


def health_event(
    step: int | None,
    code: str,
    message: str,
    *,
    hint: str = "",
    level: str = "warning",
    **extra: Any,
) -> Event:
    """Something about the run's health: a stable code, the cause in words, and the remedy."""
    payload = {"code": code, "level": level, "message": message, "hint": hint, **extra}
    return Event("health", now(), step, payload)


def answers_event(step: int, who: str, answers: Sequence[Mapping[str, Any]], **extra: Any) -> Event:
    """Answers to the watched prompts after a step, of the `base` or the `policy`.

    Each answer holds `prompt`, `response` and `score`.
    """
    return Event("answers", now(), step, {"who": who, "answers": list(answers), **extra})


def log_event(message: str, *, step: int | None = None, level: str = "info", **extra: Any) -> Event:
    """A line for people."""
    return Event("log", now(), step, {"level": level, "message": message, **extra})


def state_event(state: Phase, *, step: int | None = None, message: str = "", **extra: Any) -> Event:
    """The run went over into a state."""
    return Event("state", now(), step, {"state": state.value, "message": message, **extra})


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token of a response and what the algorithm made of it."""

    text: str
    logprob: float
    ref_logprob: float
    value: float
    advantage: float

    def to_json(self) -> Json:
        """The token's object."""
        return {
            "text": self.text,
            "logprob": self.logprob,
            "ref_logprob": self.ref_logprob,
            "value": self.value,
            "advantage": self.advantage,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TokenRecord:
        """The token in an object."""
        return cls(
            text=_text(record.get("text")),
            logprob=_number(record.get("logprob")),
            ref_logprob=_number(record.get("ref_logprob")),
            value=_number(record.get("value")),
            advantage=_number(record.get("advantage")),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of `samples.jsonl`: a prompt, the policy's response, and its score term by term.

    Attributes:
        kl: Sum over the response's tokens of log pi_old - log pi_ref, in nats.
        length: Tokens of the response, the EOS among them.
        finished: The response ended by itself.
        tokens: Per token, for a few samples a step.
    """

    id: str
    step: int
    prompt: str
    response: str
    score: float
    terms: Mapping[str, float]
    kl: float
    length: int
    finished: bool
    tokens: tuple[TokenRecord, ...] | None = None
    time: float = field(default_factory=now)
    v: int = SCHEMA_VERSION

    def to_json(self) -> Json:
        """The line's object."""
        record: Json = {
            "v": self.v,
            "time": self.time,
            "kind": "sample",
            "id": self.id,
            "step": self.step,
            "prompt": self.prompt,
            "response": self.response,
            "score": self.score,
            "terms": dict(self.terms),
            "kl": self.kl,
            "length": self.length,
            "finished": self.finished,
        }
        if self.tokens is not None:
            record["tokens"] = [token.to_json() for token in self.tokens]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Sample:
        """The sample in a line's object."""
        tokens = record.get("tokens")
        return cls(
            id=_text(record.get("id")),
            step=_whole(record.get("step"), 0),
            prompt=_text(record.get("prompt")),
            response=_text(record.get("response")),
            score=_number(record.get("score")),
            terms=_numbers(record.get("terms")),
            kl=_number(record.get("kl")),
            length=_whole(record.get("length"), 0),
            finished=record.get("finished") is True,
            tokens=tuple(TokenRecord.from_json(item) for item in tokens if isinstance(item, dict))
            if isinstance(tokens, list)
            else None,
            time=_number(record.get("time"), 0.0),
            v=_whole(record.get("v"), SCHEMA_VERSION),
        )


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a run failed, as `state.json` keeps it."""

    code: str
    message: str
    hint: str = ""

    def to_json(self) -> Json:
        """The error's object."""
        return {"code": self.code, "message": self.message, "hint": self.hint}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ErrorInfo:
        """The error in an object."""
        return cls(*(_text(record.get(key)) for key in ("code", "message", "hint")))

    @classmethod
    def from_error(cls, error: PpoTuiError) -> ErrorInfo:
        """The record of an error of ours."""
        return cls(error.code, error.message, error.hint)


@dataclass(frozen=True, slots=True)
class RunState:
    """The content of `state.json`.

    Attributes:
        step: Steps that are done.
        total: Steps that are planned.
        process: The worker that wrote it; None before the first one.
        started: When the run was created.
        updated: When this was written; stamped by `write_state`.
        error: Why it failed; only with `failed`.
        message: What it is doing, in words, where the state alone is too little.
    """

    state: Phase
    step: int = 0
    total: int = 0
    process: ProcessIdentity | None = None
    started: float = 0.0
    updated: float = 0.0
    error: ErrorInfo | None = None
    message: str = ""
    v: int = SCHEMA_VERSION

    @property
    def pid(self) -> int | None:
        """Number of the worker's process."""
        return self.process.pid if self.process else None

    def to_json(self) -> Json:
        """The file's object."""
        process = self.process.to_json() if self.process else {"pid": None, "process_start": None}
        return {
            "v": self.v,
            "state": self.state.value,
            "step": self.step,
            "total": self.total,
            **process,
            "started": self.started,
            "updated": self.updated,
            "error": self.error.to_json() if self.error else None,
            "message": self.message,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RunState:
        """The state in the file's object.

        Raises:
            RunError: A newer ppo-tui wrote it (`run.newer_schema`), or it names no state that is
                known (`run.state`).
        """
        name, error = record.get("state"), record.get("error")
        version = _whole(record.get("v"), SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            # What else a newer version changed cannot be known: nobody may write into such a run.
            raise RunError(
                "the run was made by a newer ppo-tui, whose files this one cannot read",
                hint="Use that one, or a newer one, for this run.",
                code="run.newer_schema",
            )
        if not isinstance(name, str) or name not in {phase.value for phase in Phase}:
            raise RunError(
                f"the state {str(name)[:40]!r} is not known to this version of ppo-tui",
                code="run.state",
            )
        return cls(
            state=Phase(name),
            step=_whole(record.get("step"), 0),
            total=_whole(record.get("total"), 0),
            process=ProcessIdentity.from_json(record),
            started=_number(record.get("started"), 0.0),
            updated=_number(record.get("updated"), 0.0),
            error=ErrorInfo.from_json(error) if isinstance(error, dict) else None,
            message=_text(record.get("message")),
            v=_whole(record.get("v"), SCHEMA_VERSION),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _whole_or_none(value: Any) -> int | None:
    # As a file of somebody's may hold any number of digits, and no place for numbers does.
    return max(-_MOST, min(_MOST, value)) if type(value) is int else None


def _whole(value: Any, default: int) -> int:
    whole = _whole_or_none(value)
    return default if whole is None else whole


def _number(value: Any, default: float = math.nan) -> float:
    if type(value) is float:
        return value if math.isfinite(value) else default
    try:
        return float(value) if type(value) is int else default
    except OverflowError:  # a whole number beyond any float, from a file that is not ours
        return default


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): _number(number) for name, number in value.items()}
