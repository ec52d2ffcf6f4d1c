"""What the app and the process that advises it say to each other while a person rates.

For the rating screen on one side, `ppo_tui.rater` on the other. Each message is one line of JSON:
requests on the process's stdin, replies on its stdout; what else it has to say goes to stderr.
Closing its stdin ends it. Knows neither numpy nor a screen. What was rated is not said here: both
sides read it from the run directory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs import strict_json
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.process import module_command
from ppo_tui.taste.lesson import Lesson, Mark, Told
from ppo_tui.taste.stock import Kind, Question

MOST_QUESTIONS = 64

LONGEST_LINE = 1 << 24
"""Bytes of the longest message; an `asyncio` reader has to be told."""


@dataclass(frozen=True, slots=True)
class Want:
    """The next questions are wanted; a newer wish replaces one that is not fulfilled yet.

    Attributes:
        number: Comes back with the questions.
        besides: Ids of the texts of the question that is on the screen; it is not wanted again.
    """

    number: int
    kind: Kind
    count: int = 1
    besides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The process has loaded what it needs."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask next, the most telling first; none if there is nothing left."""

    number: int
    kind: Kind
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Taught:
    """What the ratings have taught so far."""

    lesson: Lesson


@dataclass(frozen=True, slots=True)
class Failure:
    """Something went wrong.

    Attributes:
        fatal: The process ends.
    """

    code: str
    message: str
    hint: str = ""
    fatal: bool = False

    @classmethod
    def of(cls, error: PpoTuiError, *, fatal: bool = False) -> Failure:
        """The error as a message."""
        return cls(error.code, error.message, error.hint, fatal)


Request = Want
Reply = Ready | Questions | Taught | Failure


def start_command(run: RunDirectory, rater: str) -> list[str]:
    """The command of the process that advises; to be started with pipes as stdin and stdout."""
    return module_command("ppo_tui.rater", str(run.path), "--rater", rater)


def encode(message: Request | Reply) -> bytes:
    """The message as its line, line end included."""
    record: dict[str, Any]
    match message:
        case Want():
            record = {**asdict(message), "kind": "want", "of": message.kind}
        case Ready():
            record = {"kind": "ready"}
        case Questions():
            asked = [_question_record(question) for question in message.questions]
            record = {"kind": "questions", "number": message.number, "of": message.kind}
            record |= {"questions": asked}
        case Taught():
            record = {"kind": "taught", "lesson": asdict(message.lesson)}
        case Failure():
            record = {"kind": "error", **asdict(message)}
    return strict_json.dumps(record).encode("utf-8") + b"\n"


def read_request(line: bytes) -> Request:
    """The request in a line.

    Raises:
        ValueError: It is none; the text says why.
    """
    record = _record(line)
    if record["kind"] != "want":
        raise ValueError(f"there is no request {record['kind'][:40]!r}; known: want")
    number, count = record.get("number"), record.get("count", 1)
    if type(number) is not int:
        raise ValueError("want needs a number")
    if type(count) is not int or not 1 <= count <= MOST_QUESTIONS:
        raise ValueError(f"count is {count!r}; it must be from 1 to {MOST_QUESTIONS}")
    besides = record.get("besides", [])
    if not isinstance(besides, list) or not all(isinstance(id_, str) for id_ in besides):
        raise ValueError("besides must be a list of ids")
    return Want(number, _kind(record), count, tuple(besides))


def read_reply(line: bytes) -> Reply:
    """The reply in a line.

    Raises:
        ValueError: It is none, or of a version that says more.
    """
    record = _record(line)
    try:
        match record["kind"]:
            case "ready":
                return Ready()
            case "questions":
                asked = tuple(_question(item) for item in record["questions"])
                return Questions(int(record["number"]), _kind(record), asked)
            case "taught":
                return Taught(_lesson(record["lesson"]))
            case "error":
                code, message = str(record["code"]), str(record["message"])
                return Failure(code, message, str(record["hint"]), record.get("fatal") is True)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{record['kind']} lacks a field") from error
    raise ValueError(f"there is no reply {record['kind'][:40]!r}")


def _record(line: bytes) -> Mapping[str, Any]:
    record = strict_json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        raise ValueError("a message is an object with a kind")
    return record


def _kind(record: Mapping[str, Any]) -> Kind:
    kind = record.get("of")
    if kind not in get_args(Kind):
        raise ValueError(f"of is {kind!r}; it must be one of {', '.join(get_args(Kind))}")
    return "single" if kind == "single" else "pair"


def _question_record(question: Question) -> dict[str, Any]:
    second = None if question.second is None else question.second.to_json()
    return {"first": question.first.to_json(), "second": second, "reason": question.reason}


def _question(record: Mapping[str, Any]) -> Question:
    second = record["second"]
    return Question(
        Candidate.from_json(record["first"]),
        None if second is None else Candidate.from_json(second),
        str(record["reason"]),
    )


def _lesson(record: Mapping[str, Any]) -> Lesson:
    return Lesson(
        ratings=int(record["ratings"]),
        pairs=int(record["pairs"]),
        raters=int(record["raters"]),
        points=tuple(
            Mark(int(mark["count"]), _number(mark["correlation"]), _number(mark["accuracy"]))
            for mark in record["points"]
        ),
        likes=tuple(_told(told) for told in record["likes"]),
        dislikes=tuple(_told(told) for told in record["dislikes"]),
        problem=str(record["problem"]),
    )


def _told(record: Mapping[str, Any]) -> Told:
    prompt, response = str(record["prompt"]), str(record["response"])
    return Told(prompt, response, _number(record["mean"]), _number(record["std"]))


def _number(value: Any) -> float:
    """A number; NaN where the line has null."""
    return math.nan if value is None else float(value)
