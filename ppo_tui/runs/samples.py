"""Reading `samples.jsonl` without reading it whole: a step, a prompt over time, the best and worst.

For viewers; every call reads the disk, so it belongs into a thread. The file may hold gigabytes and
be written while it is read. Its lines are in the order of their steps, so a step is found by
bisecting over byte offsets. Nothing is remembered between two calls: a journal that a resume has
cut back is simply read as it is by then.
"""

from __future__ import annotations

import heapq
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import open_regular
from ppo_tui.runs.journal import CHUNK, LONGEST_LINE
from ppo_tui.runs.records import Sample

SEARCHED = 64 << 20
"""Bytes that are searched for a prompt; a longer file is looked at in places."""

RANKED = 32 << 20
"""Bytes that are looked at for a ranking; a longer file is looked at in places."""

_PLACES = 64
_MOST_TAIL = 4 * LONGEST_LINE

# The lines as the worker writes them. A quote inside a JSON text is escaped, so a key can be told
# from a text that says the same. A line that looks otherwise is parsed.
_HEAD = re.compile(
    rb'\{"v":\d+,"time":[-+.\deE]+,"kind":"sample","id":"[^"\\]*","step":(-?\d{1,18}),'
)
_SCORE = re.compile(rb',"score":([-+.\deE]+|null),"terms":')
_LENGTH = re.compile(rb',"length":(\d{1,18}),"finished":')

Order = Literal["best", "worst", "longest"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Samples in an order, the first of it first.

    Attributes:
        samples: What was asked for.
        looked_at: Samples that were compared.
        share: Share of the journal that was looked at; below 1 the ranking is of that part.
    """

    samples: tuple[Sample, ...]
    looked_at: int
    share: float


class SampleBook:
    """The samples of a run.

    A file that is not there holds no samples; damaged lines are stepped over. Every method raises
    OSError if the file is there and cannot be read.

    Args:
        path: The journal, `samples.jsonl`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def last_step(self) -> int | None:
        """The newest step that has samples."""
        with _Pages(self._path) as pages:
            return pages.step_before(pages.end)

    def of_step(self, step: int) -> list[Sample]:
        """All samples of a step, in their order."""
        samples = []
        with _Pages(self._path) as pages:
            for _, line in pages.lines(pages.find(step)):
                there = _step_of(line)
                if there is None:
                    continue
                if there > step:
                    break
                sample = _sample_in(line)
                if sample is not None and sample.step == step:
                    samples.append(sample)
        return samples

    def of_prompt(self, prompt: str, limit: int = 100) -> list[Sample]:
        """Samples of one prompt over time, oldest first, evenly thinned to at most `limit`."""
        needle = b'"prompt":' + strict_json.dumps(prompt).encode()
        with _Pages(self._path) as pages:
            places = [
                offset
                for begin, end in pages.windows(SEARCHED)
                for offset, line in pages.lines(begin, end)
                if needle in line
            ]
            found = (_sample_in(pages.line_at(place)) for place in _thinned(places, limit))
            return [sample for sample in found if sample is not None and sample.prompt == prompt]

    def ranked(self, order: Order, limit: int = 50) -> Ranking:
        """The best, worst or longest samples of the run; of equals the newer first."""
        with _Pages(self._path) as pages:
            windows = pages.windows(RANKED)
            looked_at = 0

            def candidates() -> Iterator[tuple[float, int]]:
                nonlocal looked_at
                for begin, end in windows:
                    for offset, line in pages.lines(begin, end):
                        value = _rank_of(line, order)
                        if value is not None:
                            looked_at += 1
                            yield value, offset

            places = heapq.nlargest(limit, candidates())
            found = (_sample_in(pages.line_at(place)) for _, place in places)
            samples = tuple(sample for sample in found if sample is not None)
            covered = sum(end - begin for begin, end in windows)
            return Ranking(samples, looked_at, covered / pages.end if pages.end else 1.0)


class _Pages:
    """The complete lines of the file, as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO | None
        try:
            self._file = open_regular(path)
        except FileNotFoundError:
            self._file = None
        self.end = self._end_of_last_line()

    def __enter__(self) -> _Pages:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def lines(self, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Offset and content of each complete line that begins from `begin` to before `end`.

        A line that is longer than any may be is stepped over. Nothing else may be read from the
        pages until the iteration is over.
        """
        end = self.end if end is None else min(end, self.end)
        if self._file is None or begin >= end:
            return
        offset = begin
        if begin:  # at the first beginning of a line from there on
            self._file.seek(begin - 1)
            rest = self._rest_of_line()
            if not rest:
                return
            offset = begin - 1 + rest
        self._file.seek(offset)
        while offset < end:
            line = self._file.readline(LONGEST_LINE + 1)
            if not line.endswith(b"\n"):
                if len(line) <= LONGEST_LINE:
                    return  # the file was cut while it was read
                skipped = self._rest_of_line()
                if not skipped:
                    return
                offset += len(line) + skipped
                continue
            yield offset, line
            offset += len(line)

    def line_at(self, offset: int) -> bytes:
        """The line that begins at an offset."""
        assert self._file is not None
        self._file.seek(offset)
        return self._file.readline(LONGEST_LINE)

    def find(self, step: int) -> int:
        """Where the samples of a step begin, or those of the next step that has any."""
        low, high = 0, self.end
        while low < high:
            middle = (low + high) // 2
            place = self._first_sample(middle, high)
            if place is not None and place[1] < step:
                low = place[2]
            else:
                high = middle
        return low

    def step_before(self, offset: int) -> int | None:
        """The step of the last sample before an offset."""
        reach = CHUNK >> 4
        while offset:
            begin = max(0, offset - reach)
            steps = [_step_of(line) for _, line in self.lines(begin, offset)]
            known = [step for step in steps if step is not None]
            if known:
                return known[-1]
            if not begin or reach >= _MOST_TAIL:
                break
            reach *= 8
        return None

    def windows(self, budget: int) -> list[tuple[int, int]]:
        """The whole file if it is within the budget, else evenly spaced parts that make it up."""
        if self.end <= budget:
            return [(0, self.end)]
        width = budget // _PLACES
        last = self.end - width
        begins = (last * index // (_PLACES - 1) for index in range(_PLACES))
        return [(begin, begin + width) for begin in begins]

    def _first_sample(self, begin: int, end: int) -> tuple[int, int, int] | None:
        """Offset, step and end of the first line from `begin` to before `end` that has a step."""
        for offset, line in self.lines(begin, end):
            step = _step_of(line)
            if step is not None:
                return offset, step, offset + len(line)
        return None

    def _rest_of_line(self) -> int:
        """Bytes up to the end of the line that the file stands in; 0 if it has none."""
        assert self._file is not None
        count = 0
        while piece := self._file.readline(CHUNK):
            count += len(piece)
            if piece.endswith(b"\n"):
                return count
        return 0

    def _end_of_last_line(self) -> int:
        if self._file is None:
            return 0
        end = self._file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - CHUNK)
            self._file.seek(begin)
            newline = self._file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
        return 0


def _step_of(line: bytes) -> int | None:
    head = _HEAD.match(line)
    if head:
        return int(head[1])
    record = _record_in(line)
    step = record.get("step") if record else None
    return step if type(step) is int else None


def _rank_of(line: bytes, order: Order) -> float | None:
    """By what the line is ranked, the most wanted highest; None if it has no such number."""
    if _HEAD.match(line):
        found = (_LENGTH if order == "longest" else _SCORE).search(line)
        if found:
            return _wanted(_float(found[1]), order)
    sample = _sample_in(line)
    if sample is None:
        return None
    return _wanted(float(sample.length) if order == "longest" else sample.score, order)


def _wanted(value: float, order: Order) -> float | None:
    if math.isnan(value):
        return None
    return -value if order == "worst" else value


def _float(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:  # null, or a damaged line
        return math.nan


def _sample_in(line: bytes) -> Sample | None:
    record = _record_in(line)
    return Sample.from_json(record) if record else None


def _record_in(line: bytes) -> dict[str, Any] | None:
    try:
        record = strict_json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def _thinned(places: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of the places, evenly chosen, the first and the last among them."""
    if len(places) <= limit:
        return list(places)
    if limit < 2:
        return list(places[-1:])[:limit]
    return [places[(len(places) - 1) * index // (limit - 1)] for index in range(limit)]
