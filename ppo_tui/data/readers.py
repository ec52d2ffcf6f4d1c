"""One reader a file format: each yields the rows that hold a prompt, as they stand in the file.

What a prompt may be is decided in `ppo_tui.data.prompts`; here only the format is known. Text files
are UTF-8, with or without a byte order mark, and lines end in LF, CRLF or CR (never in the exotic
separators of `str.splitlines`, which may stand inside a prompt).

What is read is bounded, whatever a file says of itself: none may take the machine's memory.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_tui.data.excerpt import escaped, excerpt
from ppo_tui.errors import DataError, did_you_mean

LARGEST_FILE = 256 << 20
"""Bytes of a file of prompts; of a parquet file those of the column, unpacked."""

LONGEST_LINE = 16 << 20
"""Characters of a line, of a field of a .csv, and of a prompt in a .parquet."""

COLUMNS_SHOWN = 12

_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """A value in a file.

    Args:
        number: Its place, counted from 1: the line where it begins, or the row of a parquet file.
        value: What stands there; a text if all is well.
        unit: What the number counts: ``line`` or ``row``.
    """

    number: int
    value: Any
    unit: str = "line"


Reader = Callable[[Path, str, str], Iterator[Row]]
"""Called with the file, its name in messages, and the column."""


def read_txt(path: Path, shown: str, column: str) -> Iterator[Row]:
    """One prompt a line, stripped of nothing but its line end."""
    for number, line in enumerate(_lines(path, shown), start=1):
        yield Row(number, line)


def read_jsonl(path: Path, shown: str, column: str) -> Iterator[Row]:
    """One JSON object a line; blank lines are skipped."""
    for number, line in enumerate(_lines(path, shown), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise bad_line(shown, number, f"is not JSON ({reason}): {excerpt(line)}") from error
        if not isinstance(record, dict):
            raise bad_line(shown, number, f"is not a JSON object: {excerpt(line)}")
        if column not in record:
            raise _column_missing(f"{shown} line {number}", column, record)
        yield Row(number, record[column])


def read_csv(path: Path, shown: str, column: str) -> Iterator[Row]:
    """Comma-separated with a header; a field may be long, and hold line ends in quotes."""
    # Python's limit of 128 KiB a field is global: it is lifted for this file alone.
    limit = csv.field_size_limit(LONGEST_LINE)
    number = 1
    try:
        rows = csv.reader(_lines(path, shown, newline=""), strict=True)
        header = next(rows, [])
        if column not in header:
            raise _column_missing(shown, column, header)
        if header.count(column) > 1:
            raise bad_line(shown, 1, f"names two columns {excerpt(column)}")
        index = header.index(column)
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                raise bad_line(
                    shown,
                    number,
                    f"has {len(row)} fields where the header has {len(header)}; "
                    f"a text that holds a comma must stand in double quotes",
                )
            if row:
                yield Row(number, row[index])
            number = rows.line_num + 1
    except csv.Error as error:
        raise bad_line(shown, number, f"is not CSV ({error})") from error
    finally:
        csv.field_size_limit(limit)


def read_parquet(path: Path, shown: str, column: str) -> Iterator[Row]:
    """An Apache Parquet file; only the column is read, and it must be one of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if column not in schema.names:
                raise _column_missing(shown, column, schema.names)
            kind = schema.field(column).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (
                pa.types.is_string(kind)
                or pa.types.is_large_string(kind)
                or pa.types.is_string_view(kind)
                or pa.types.is_null(kind)
            ):
                raise DataError(
                    f"Column {excerpt(column)} of {shown} holds {escaped(str(kind))}, not text.",
                    code="data.bad_line",
                )
            _check_unpacked(file.metadata, column, shown)
        # A text that is repeated a million times is held once.
        with pq.ParquetFile(path, read_dictionary=[column]) as file:
            yield from _parquet_rows(file, column, shown)
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(
            f"{shown} is not a readable parquet file ({escaped(str(error))}).",
            code="data.format",
        ) from error


READERS: dict[str, Reader] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def bad_line(shown: str, number: int, what: str) -> DataError:
    """The error for a line that cannot be used."""
    return DataError(f"{shown} line {number} {what}.", code="data.bad_line")


def too_large(shown: str, what: str) -> DataError:
    """The error for prompts that are more than can be read."""
    return DataError(f"{shown} {what}; take a part of it.", code="data.too_large")


def _check_unpacked(metadata: Any, column: str, shown: str) -> None:
    """Refuse a column that is larger unpacked than may be read, before any of it is."""
    size = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            if chunk.path_in_schema.split(".")[0] == column:
                size += max(0, chunk.total_uncompressed_size)
    if size > LARGEST_FILE:
        raise _larger(shown)


def _parquet_rows(file: Any, column: str, shown: str) -> Iterator[Row]:
    number, size = 0, 0
    for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=[column]):
        for value in batch.column(0):
            number += 1
            try:
                text = value.as_py()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{shown} row {number} is not UTF-8.", code="data.not_utf8"
                ) from error
            length = len(text) if isinstance(text, str) else 0
            size += length
            if length > LONGEST_LINE:
                raise too_large(shown, f"row {number} is longer than {LONGEST_LINE} characters")
            if size > LARGEST_FILE:
                raise _larger(shown)
            yield Row(number, text, "row")


def _content(path: Path, shown: str) -> bytes:
    """The bytes of a UTF-8 file."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)  # its size may be a lie, as in /proc
    if len(content) > LARGEST_FILE:
        raise _larger(shown)
    decoder = codecs.getincrementaldecoder("utf-8")()
    step = 1 << 20
    for begin in range(0, len(content), step):
        piece = content[begin : begin + step]
        try:
            decoder.decode(piece, final=begin + step >= len(content))
        except UnicodeDecodeError as error:
            # What the decoder kept of the piece before stands in front of this one.
            offset = begin + len(piece) - len(error.object) + error.start
            line = content.count(b"\n", 0, offset) + 1
            raise DataError(
                f"{shown} is not UTF-8: byte {offset} (line {line}) is 0x{content[offset]:02x}; "
                f"save it as UTF-8.",
                code="data.not_utf8",
            ) from error
    return content


def _lines(path: Path, shown: str, newline: str | None = None) -> Iterator[str]:
    """Its lines; with `newline=""` as they stand there, else without their ends."""
    content = io.BytesIO(_content(path, shown))
    text = io.TextIOWrapper(content, encoding="utf-8-sig", newline=newline)
    number = 1
    while line := text.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise too_large(shown, f"line {number} is longer than {LONGEST_LINE} characters")
        yield line if newline == "" else line.removesuffix("\n")
        number += 1


def _larger(shown: str) -> DataError:
    return too_large(shown, f"holds more than {LARGEST_FILE >> 20} MiB of text")


def _column_missing(where: str, column: str, columns: Iterable[str]) -> DataError:
    names = [excerpt(str(name)) for name in columns]
    near = did_you_mean(column, map(str, columns))
    near = f" ({near})" if near.startswith("did you mean") else ""
    more = f" and {len(names) - COLUMNS_SHOWN} more" if len(names) > COLUMNS_SHOWN else ""
    there = f"its columns are {', '.join(names[:COLUMNS_SHOWN])}{more}" if names else "it has none"
    return DataError(
        f"{where} has no column {excerpt(column)}{near}: {there}; data.column names the right one.",
        code="data.column_missing",
    )
