"""Prompt files that are none: one sentence, exit code 4, and no run directory is left."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .broken import FILES, check_refusal, check_refusal_as_json, everything_in, sparse

# A line of text is a prompt, whatever it says.
IS_TEXT = {
    ".txt": {
        "one NUL",
        "NULs",
        "escapes",
        "a number",
        "a huge number",
        "a text",
        "null",
        "a list",
        "an object",
        "cut short",
        "deep lists",
        "deep objects",
        "a long line",
    }
}
FORMATS = (".txt", ".jsonl", ".csv", ".parquet")
CASES = [
    (suffix, name) for suffix in FORMATS for name in FILES if name not in IS_TEXT.get(suffix, set())
]

CONTENTS = {
    "no such column.jsonl": b'{"text": "a"}\n',
    "null for a text.jsonl": b'{"prompt": null}\n',
    "a number for a text.jsonl": b'{"prompt": 3}\n',
    "a second line that is none.jsonl": b'{"prompt": "a"}\n{"prompt": \n',
    "half a surrogate.jsonl": b'{"prompt": "\\ud800"}\n',
    "a number too long.jsonl": b'{"prompt": ' + b"9" * 9000 + b"}\n",
    "only empty texts.jsonl": b'{"prompt": ""}\n{"prompt": " "}\n',
    "a header alone.csv": b"prompt\n",
    "a column twice.csv": b"prompt,prompt\na,b\n",
    "a comma too many.csv": b"prompt,x\na,b,c\n",
    "an open quote.csv": b'prompt\n"a\n',
    "magic alone.parquet": b"PAR1",
    "magic around noise.parquet": b"PAR1" + bytes(range(256)) * 4 + b"PAR1",
    "a length that lies.parquet": b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
    "an unknown ending.docx": b"a prompt\n",
    "no ending": b"a prompt\n",
}


def trained(say, prompts: Path) -> None:
    """Try to train on a prompts file; it is refused, and nothing is left."""
    folder = prompts.parent
    before = everything_in(folder)
    check_refusal(*say("train", "demo", "--set", f"data.prompts={prompts}"), exits=(4,))
    assert everything_in(folder) == before


@pytest.mark.parametrize(("suffix", "name"), CASES)
def test_a_file_that_holds_no_prompts(say, tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / f"prompts{suffix}"
    FILES[name](path)
    trained(say, path)


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_that_cannot_be(say, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    trained(say, path)


def test_the_same_as_json(say, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"[")
    code, out, _ = say("train", "demo", "--set", f"data.prompts={path}", "--json")
    check_refusal_as_json(code, out, exits=(4,))


def test_a_parquet_file_cut_anywhere(say, tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"prompt": ["one", "two"]}), whole)
    content = whole.read_bytes()
    for length in range(0, len(content), 41):
        path = tmp_path / "cut.parquet"
        path.write_bytes(content[:length])
        trained(say, path)


@pytest.mark.parametrize("name", ["prompts\0.txt", "x" * 300 + ".txt", "no/such/folder.txt"])
def test_a_name_that_cannot_be_a_file(say, home: Path, name: str) -> None:
    before = everything_in(home)
    check_refusal(*say("train", "demo", "--set", f"data.prompts={json.dumps(name)}"), exits=(3, 4))
    assert everything_in(home) == before


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_too_much_takes_little_memory(say_in_little_memory, tmp_path, suffix) -> None:
    path = tmp_path / f"prompts{suffix}"
    sparse(path, 2 << 30)
    trained(say_in_little_memory, path)


@pytest.mark.slow
def test_a_line_of_gigabytes_takes_little_memory(say_in_little_memory, tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    with path.open("wb") as file:
        for _ in range(40):
            file.write(b"x" * (1 << 20))
    trained(say_in_little_memory, path)
