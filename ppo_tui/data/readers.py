"""One reader a file format: each yields the rows that hold a prompt, as they stand in the file.

What a prompt may be is decided in `ppo_tui.data.prompts`; here only the format is known. Text files
are UTF-8, with or without a byte order mark, and lines end in LF, CRLF or CR (never in the exotic
separators of `str.splitlines`, which may stand inside a prompt).
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_tui.data.excerpt import escaped, excerpt
from ppo_tui.errors import DataError, did_you_mean

COLUMNS_SHOWN = 12


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
    """Comma-separated with a header; a field may be of any size and hold line ends in quotes."""
    text = io.StringIO(_decoded(path, shown), newline="")
    # Python's limit of 128 KiB a field is global: it is lifted for this file alone.
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    number = 1
    try:
        rows = csv.reader(text, strict=True)
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
            values = file.read(columns=[column]).column(column)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(
            f"{shown} is not a readable parquet file ({escaped(str(error))}).",
            code="data.format",
        ) from error
    for number, value in enumerate(values, start=1):
        try:
            yield Row(number, value.as_py(), "row")
        except UnicodeDecodeError as error:
            raise DataError(f"{shown} row {number} is not UTF-8.", code="data.not_utf8") from error


READERS: dict[str, Reader] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def bad_line(shown: str, number: int, what: str) -> DataError:
    """The error for a line that cannot be used."""
    return DataError(f"{shown} line {number} {what}.", code="data.bad_line")


def _decoded(path: Path, shown: str) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The offset counts from behind a byte order mark, which the codec has cut off.
        offset = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, offset) + 1
        raise DataError(
            f"{shown} is not UTF-8: byte {offset} (line {line}) is 0x{content[offset]:02x}; "
            f"save it as UTF-8.",
            code="data.not_utf8",
        ) from error


def _lines(path: Path, shown: str) -> Iterator[str]:
    for line in io.StringIO(_decoded(path, shown), newline=None):
        yield line.removesuffix("\n")


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
