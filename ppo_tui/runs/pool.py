"""Reading `pool.jsonl`: the texts of a run that a person may be asked about.

The worker writes them as it goes, each with what the base model makes of it (its reading). Here
the reading stays the text that it is in the file, so that whoever lists candidates needs no numpy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import time as now
from typing import TYPE_CHECKING, Any

from ppo_tui.errors import RunError
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.paths import shown
from ppo_tui.runs.records import SCHEMA_VERSION, Json

if TYPE_CHECKING:
    pass

KIND = "candidate"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of `pool.jsonl`: a text that a person may be asked about.

    Attributes:
        id: "12-3" is response 3 of step 12, as in `samples.jsonl`; "r12-3" was written for a round
            of ratings before step 13.
        step: Steps that the policy which wrote it had done; 0 is the base itself.
        length: Tokens of the response, the EOS among them.
        finished: The response ended by itself.
        reading: What the base model says of the text: base64 of little-endian float16; empty if
            there is none.
    """

    id: str
    step: int
    prompt: str
    response: str
    length: int
    finished: bool
    reading: str = ""
    time: float = field(default_factory=now)
    v: int = SCHEMA_VERSION

    def to_json(self) -> Json:
        """The line's object."""
        return {
            "v": self.v,
            "time": self.time,
            "kind": KIND,
            "id": self.id,
            "step": self.step,
            "prompt": self.prompt,
            "response": self.response,
            "length": self.length,
            "finished": self.finished,
            "reading": self.reading,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Candidate:
        """The candidate in a line's object; what is missing or no such value gets its default."""
        return cls(
            id=text_in(record, "id"),
            step=whole_in(record, "step"),
            prompt=text_in(record, "prompt"),
            response=text_in(record, "response"),
            length=whole_in(record, "length"),
            finished=record.get("finished") is True,
            reading=text_in(record, "reading"),
            time=number_in(record, "time"),
            v=whole_in(record, "v", SCHEMA_VERSION),
        )


def read_pool(path: Path, offset: int = 0) -> tuple[list[Candidate], int]:
    """The candidates from a byte offset on, and where the next reading begins.

    A resume may have cut the journal back; one that is shorter than the offset is read from its
    beginning, so a caller should know candidates by their id. Damaged lines are stepped over, and
    so is a candidate without an id. A file that is not there holds nothing.

    Raises:
        RunError: It is there and cannot be read (`run.journal`).
    """
    try:
        if offset > os.stat(path).st_size:
            offset = 0
        chunk = read_journal(path, offset)
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(f"{shown(path)} cannot be read: {reason}", code="run.journal") from error
    candidates = (
        Candidate.from_json(record) for record in chunk.records if record.get("kind") == KIND
    )
    return [candidate for candidate in candidates if candidate.id], chunk.offset


def text_in(record: Mapping[str, Any], key: str) -> str:
    """A text of a line's object; empty if it is none."""
    value = record.get(key)
    return value if isinstance(value, str) else ""


def whole_in(record: Mapping[str, Any], key: str, default: int = 0) -> int:
    """A whole number of a line's object."""
    value = record.get(key)
    return value if type(value) is int else default


def number_in(record: Mapping[str, Any], key: str) -> float:
    """A finite number of a line's object; 0 if it is none."""
    value = record.get(key)
    try:
        number = float(value) if type(value) in (int, float) else 0.0  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond any float
        return 0.0
    return number if math.isfinite(number) else 0.0
