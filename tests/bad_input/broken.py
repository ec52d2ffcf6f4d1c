"""Things that may lie where a file is expected, and what a command says of them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

Make = Callable[[Path], object]

FILES: dict[str, Make] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b" \n\r\n\t\n"),
    "one NUL": lambda path: path.write_bytes(b"\0"),
    "NULs": lambda path: path.write_bytes(b"\0" * 100_000),
    "noise": lambda path: path.write_bytes(random.Random(1).randbytes(50_000)),
    "UTF-16": lambda path: path.write_bytes("steps: 3\nprompt: höher\n".encode("utf-16")),
    "Latin-1": lambda path: path.write_bytes("description: höher\n".encode("latin-1")),
    "half a character": lambda path: path.write_bytes("description: h\xc3".encode("latin-1")),
    "escapes": lambda path: path.write_bytes(b"\x1b]52;c;aGk=\x07\x1b[2J\x1b[31mred: \x9b1m\n"),
    "a number": lambda path: path.write_bytes(b"17\n"),
    "a huge number": lambda path: path.write_bytes(b"9" * 100_000),
    "a text": lambda path: path.write_bytes(b'"a text"\n'),
    "null": lambda path: path.write_bytes(b"null\n"),
    "a list": lambda path: path.write_bytes(b"[1, 2, 3]\n"),
    "an object": lambda path: path.write_bytes(b'{"nothing": "known"}\n'),
    "cut short": lambda path: path.write_bytes(b'{"v": 1, "prompt": "hal'),
    "deep lists": lambda path: path.write_bytes(b"[" * 100_000),
    "deep objects": lambda path: path.write_bytes(b'{"a":' * 100_000),
    "a long line": lambda path: path.write_bytes(b"x" * 5_000_000),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("not-there"),
    "endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "2 GB": lambda path: sparse(path, 2 << 30),
}


def sparse(path: Path, size: int) -> None:
    """A file that says it is so large, and takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def everything_in(folder: Path) -> list[str]:
    """The paths of all that lies in a folder, links not followed."""
    found = []
    for where, folders, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(where, name), folder) for name in folders + files]
    return sorted(found)


def check_refusal(code: int, out: str, err: str, exits: tuple[int, ...]) -> str:
    """That a command has failed as it should: its one sentence.

    Args:
        code: Its exit code.
        out: What it said on stdout.
        err: What it said on stderr.
        exits: The exit codes that it may have.
    """
    said = out + err
    assert "Traceback" not in said, said
    assert "Something unexpected" not in said, said
    assert code in exits, (code, said)
    sentences = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, said
    assert all(line.isprintable() for line in said.splitlines()), said
    assert len(sentences[0]) < 1000, said
    assert sentences[0].removeprefix("error: ").strip(), said
    return sentences[0]


def check_refusal_as_json(code: int, out: str, exits: tuple[int, ...]) -> None:
    """That a command which answers in JSON has failed as it should."""
    assert code in exits, (code, out)
    error = json.loads(out)["error"]
    assert error["code"] not in ("", "internal"), error
    assert error["message"], error
