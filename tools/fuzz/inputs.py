"""Strategies of hypothesis for damaged files: valid ones with edits, and bytes of no sense."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

LARGEST = 1 << 20
"""Bytes beyond which an edit is left out."""

NASTY: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"\n",
    b"\r",
    b"\x1b[2J\x1b]0;x\x07",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xed\xa0\x80",
    "\x85\u2028\u2029\ufeff".encode(),
    "\u202e\u2066\u200b\U0001f600e\u0301\u0301".encode(),
    b"\\ud800",
    b'"\\udfff"',
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"NaN",
    b"-Infinity",
    b".inf",
    b"9" * 5000,
    b"-" + b"9" * 400,
    b"0x" + b"f" * 5000,
    b"1" * 300 + b".5e" + b"9" * 50,
    b"1_000:30:59",
    b"2026-11-26T10:00:00Z",
    b"null",
    b"true",
    b"~",
    b'""',
    b"{}",
    b"[]",
    b"[" * 3000,
    b"{" * 3000,
    b'{"a":' * 2000,
    b"[" * 100_000,
    b"- " * 5000,
    b"? " * 2000,
    b"a: &a [x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n",
    b"<<: *a\n",
    b"!!python/object/apply:os.system ['true']",
    b"!!binary gIGC",
    b"%YAML 9.9\n---\n",
    b"---\n...\n---\n",
    b"schema_version: 99\n",
    b"model: {name: a, name: b}\n",
    b"\t",
    b"|2\n   x\n",
    b'"kind":"step",',
    b'"step":-1,',
    b'"v":99,',
    b'"time":1e308,',
    b"PAR1",
    b"x" * 70_000,
)

_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**53, 2**63, -(2**64), 10**400]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.sampled_from(
        ["", "step", "../../x", "/etc/passwd", "\ud800", "\x1b[31m", "nan", "a" * 3000]
    ),
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)

Edit = Callable[[bytes], bytes]


def _one_of(values: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    # `sampled_from` would name all of them where it names itself, and some are long.
    return st.integers(0, len(values) - 1).map(tuple(values).__getitem__)


def _cut(data: bytes, at: float, length: int) -> bytes:
    begin = int(at * len(data))
    return data[:begin] + data[begin + length :]


def _put(data: bytes, at: float, piece: bytes) -> bytes:
    begin = int(at * len(data))
    return data[:begin] + piece + data[begin:]


def _over(data: bytes, at: float, piece: bytes) -> bytes:
    begin = int(at * len(data))
    return data[:begin] + piece + data[begin + len(piece) :]


def _doubled(data: bytes, at: float, length: int, times: int) -> bytes:
    begin = int(at * len(data))
    piece = data[begin : begin + length]
    return data[:begin] + piece * times + data[begin:]


def _end(data: bytes, at: float) -> bytes:
    return data[: int(at * len(data))]


_PLACE = st.floats(0, 1)
_PIECE = _one_of(NASTY) | st.binary(max_size=12)

EDITS: st.SearchStrategy[Edit] = st.one_of(
    st.builds(lambda at, n: lambda data: _cut(data, at, n), _PLACE, st.integers(1, 60)),
    st.builds(lambda at, piece: lambda data: _put(data, at, piece), _PLACE, _PIECE),
    st.builds(lambda at, piece: lambda data: _over(data, at, piece), _PLACE, _PIECE),
    st.builds(
        lambda at, n, times: lambda data: _doubled(data, at, n, times),
        _PLACE,
        st.integers(1, 200),
        st.sampled_from([1, 2, 3, 50, 1000]),
    ),
    st.builds(lambda at: lambda data: _end(data, at), _PLACE),
)


def _edited(data: bytes, edits: Sequence[Edit]) -> bytes:
    for edit in edits:
        changed = edit(data)
        data = changed if len(changed) <= LARGEST else data
    return data


def torn(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Valid files with a few edits, and bytes of no sense."""
    edits = st.lists(EDITS, min_size=1, max_size=4)
    made = st.builds(_edited, _one_of(valid), edits)
    return st.one_of(made, made, made, st.binary(max_size=200), _one_of(NASTY))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found


def _replaced(data: bytes, changes: Sequence[tuple[int, Any, bool]]) -> bytes:
    value = json.loads(data)
    for number, new, drop in changes:
        places = _places(value)
        if not places:
            break
        container, key = places[number % len(places)]
        if drop:
            del container[key]
        else:
            container[key] = new
    return json.dumps(value).encode()


def changed(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Valid JSON with other values in some of its places, or without them."""
    change = st.tuples(st.integers(0, 10_000), VALUES, st.booleans())
    changes = st.lists(change, min_size=1, max_size=3)
    return st.builds(_replaced, _one_of(valid), changes)


def json_files(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Damaged JSON files: wrong in their bytes, or in what they say."""
    wrong = changed(valid)
    return st.one_of(wrong, wrong, torn(valid), st.builds(lambda v: json.dumps(v).encode(), VALUES))


def journals(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Files of JSON lines, some of them wrong, the last one perhaps torn."""
    lines = st.lists(json_files(valid) | _one_of(valid), max_size=5)
    joined = st.builds(
        lambda lines, end: b"\n".join(lines) + end, lines, st.sampled_from([b"\n", b"", b"\r\n"])
    )
    return joined | torn([b"\n".join(valid) + b"\n"])
