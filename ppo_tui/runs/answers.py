"""What the base model and the policy answered to the same prompts, gathered from a run's journal.

For comparisons. Looks at the events of kind `eval` and `answers` alone, and steps over the lines of
all others unread, so that a run of a hundred thousand steps is gone through quickly.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import open_regular
from ppo_tui.runs.journal import CHUNK, LONGEST_LINE
from ppo_tui.runs.records import Event

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

_WANTED = (b'"eval"', b'"answers"')
_MARK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a prompt.

    Attributes:
        response: The text.
        score: Its score; NaN if it was not finite.
        step: The step after which it was given.
    """

    response: str
    score: float
    step: int | None = None


class AnswerBook:
    """The newest answers of one run, by prompt; `poll` reads what is new.

    Attributes:
        base: The base model's answers.
        tuned: The policy's newest answers.
        evaluation: The numbers of the last evaluation.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.events_path
        self._offset = 0
        self._mark = b""
        self.base: dict[str, Answer] = {}
        self.tuned: dict[str, Answer] = {}
        self.evaluation: dict[str, float] = {}

    def poll(self) -> bool:
        """Read what is new; whether anything about answers was."""
        try:
            with open_regular(self._path) as file:
                return self._read(file)
        except OSError:
            return False  # not there yet, or no longer: what was read stands

    def _read(self, file: BinaryIO) -> bool:
        changed = self._offset > 0 and self._mark != self._mark_at(file, self._offset)
        if changed:  # cut back by a resume: what came after its checkpoint no longer holds
            self._offset = 0
            self.base, self.tuned, self.evaluation = {}, {}, {}
        for line in self._lines(file):
            if any(word in line for word in _WANTED):
                changed = self._take(line) or changed
        self._mark = self._mark_at(file, self._offset)
        return changed

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete lines from the offset on, which moves with them."""
        file.seek(self._offset)
        rest = b""
        while data := file.read(CHUNK):
            rest += data
            end = rest.rfind(b"\n") + 1
            if end:
                yield from rest[:end].split(b"\n")
                self._offset += end
                rest = rest[end:]
            elif len(rest) > LONGEST_LINE:
                return

    @staticmethod
    def _mark_at(file: BinaryIO, offset: int) -> bytes:
        begin = max(0, offset - _MARK_BYTES)
        file.seek(begin, os.SEEK_SET)
        return file.read(offset - begin)

    def _take(self, line: bytes) -> bool:
        try:
            record = strict_json.loads(line)
        except ValueError:
            return False
        if not isinstance(record, dict):
            return False
        event = Event.from_json(record)
        if event.kind == "eval":
            self.evaluation = event.metrics
            for pair in _items(event.payload.get("pairs")):
                self._put(self.base, pair, "base", "base_score", event.step)
                self._put(self.tuned, pair, "tuned", "tuned_score", event.step)
        elif event.kind == "answers":
            book = self.base if event.payload.get("who") == "base" else self.tuned
            for answer in _items(event.payload.get("answers")):
                self._put(book, answer, "response", "score", event.step)
        else:
            return False
        return True

    @staticmethod
    def _put(
        book: dict[str, Answer], item: Mapping[str, Any], text: str, score: str, step: int | None
    ) -> None:
        prompt, response, value = item.get("prompt"), item.get(text), item.get(score)
        if isinstance(prompt, str) and isinstance(response, str):
            book[prompt] = Answer(response, _number(value), step)


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # a whole number beyond any float, from a file that is not ours
        return math.nan


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
