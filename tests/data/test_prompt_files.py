"""Reading prompts: the four formats, and every way in which a file can be wrong."""

import csv
import json
import os
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.schema import DataConfig
from ppo_tui.data import Prompt, load_prompts
from ppo_tui.errors import ConfigError, DataError, ExitCode

Write = Callable[[str, bytes | str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


def texts(path: str, **options: Any) -> list[str]:
    return [prompt.text for prompt in load_prompts(DataConfig(prompts=path, **options))]


def failure(path: str, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load_prompts(DataConfig(prompts=path, **options))
    assert caught.value.exit_code is ExitCode.MISSING
    assert "\n" not in caught.value.message
    return caught.value


def parquet(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


# The formats


def test_a_txt_file_holds_one_prompt_a_line(write: Write) -> None:
    path = write("p.txt", "one\n\n  two  \r\n \t\nthree")
    assert load_prompts(DataConfig(prompts=path)) == [
        Prompt(1, "one"),
        Prompt(3, "  two  "),
        Prompt(5, "three"),
    ]


def test_only_real_line_ends_end_a_line(write: Write) -> None:
    assert texts(write("p.txt", "a\x0bb\x0c\u2028c\x85d\re")) == ["a\x0bb\x0c\u2028c\x85d", "e"]


def test_a_jsonl_file_holds_one_object_a_line(write: Write) -> None:
    path = write("p.jsonl", '{"prompt": "one", "x": 1}\n\n{"prompt": "t\\nwo"}\r\n')
    assert load_prompts(DataConfig(prompts=path)) == [Prompt(1, "one"), Prompt(3, "t\nwo")]


def test_a_csv_file_has_a_header(write: Write) -> None:
    path = write("p.csv", 'id,prompt\n1,one\n\n2,"two, ""2""\nlines"\n3,three\n')
    assert load_prompts(DataConfig(prompts=path)) == [
        Prompt(2, "one"),
        Prompt(4, 'two, "2"\nlines'),
        Prompt(6, "three"),
    ]


def test_a_parquet_file_counts_its_rows(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", prompt=["one", "", "three"], other=[1, 2, 3])
    assert load_prompts(DataConfig(prompts=path)) == [Prompt(1, "one"), Prompt(3, "three")]


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_text_type_of_parquet_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array(["one", "two"], pa.string()).cast(kind)
    assert texts(parquet(tmp_path / "p.parquet", prompt=column)) == ["one", "two"]


def test_the_column_can_be_named(tmp_path: Path, write: Write) -> None:
    assert texts(write("p.jsonl", '{"question": "one"}'), column="question") == ["one"]
    assert texts(write("p.csv", "question\none\n"), column="question") == ["one"]
    path = parquet(tmp_path / "p.parquet", **{"a.b": ["one"]})
    assert texts(path, column="a.b") == ["one"]


def test_the_suffix_may_be_in_capitals(write: Write) -> None:
    assert texts(write("P.TXT", "one")) == ["one"]


def test_a_path_may_begin_at_home(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(write("p.txt", "one")).parent))
    assert texts("~/p.txt") == ["one"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("p.txt", "äö"), ("p.jsonl", '{"prompt": "äö"}'), ("p.csv", "prompt\näö")],
)
def test_a_byte_order_mark_is_no_part_of_the_text(write: Write, name: str, content: str) -> None:
    assert texts(write(name, b"\xef\xbb\xbf" + content.encode())) == ["äö"]


def test_the_bundled_prompts_can_be_read() -> None:
    prompts = load_prompts(DataConfig())
    assert len(prompts) > 10
    assert all(prompt.text.strip() for prompt in prompts)


# Files that are not there, or not what they say


def test_a_missing_file_says_what_may_be_named(tmp_path: Path) -> None:
    error = failure(str(tmp_path / "no.txt"))
    assert error.code == "data.missing"
    assert error.message.endswith(
        "no.txt' does not exist; data.prompts takes a .txt, .jsonl, .csv or .parquet file, "
        "or bundled."
    )


@pytest.mark.parametrize("name", ["a\0b.txt", "~no-such-user/p.txt", "x" * 5000 + ".txt"])
def test_an_impossible_name_is_a_missing_file(name: str) -> None:
    error = failure(name)
    assert error.code == "data.missing"
    assert len(error.message) < 350
    assert "\0" not in error.message


def test_a_file_below_a_file_is_missing(write: Write) -> None:
    assert failure(write("p.txt", "one") + "/q.txt").code == "data.missing"


def test_a_folder_is_no_prompt_file(tmp_path: Path) -> None:
    error = failure(str(tmp_path))
    assert error.code == "data.is_folder"
    assert "is a folder; name the .txt, .jsonl, .csv or .parquet file in it." in error.message


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    assert failure(str(path)).message.endswith("pipe.txt' is no regular file.")


def test_a_file_that_may_not_be_read_is_said_so(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("p.txt", "one")

    def refuse(self: Path, mode: str = "r") -> object:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    error = failure(path)
    assert error.code == "data.permission"
    assert error.message.endswith("p.txt' may not be read: permission denied.")


@pytest.mark.parametrize(
    ("name", "what"), [("p.json", "its suffix is '.json'"), ("p", "it has no suffix")]
)
def test_an_unknown_format_lists_the_known_ones(write: Write, name: str, what: str) -> None:
    error = failure(write(name, "one"))
    assert error.code == "data.format"
    assert error.message.endswith(
        f"is of no known format: {what}, not .txt, .jsonl, .csv or .parquet."
    )


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["p.txt", "p.jsonl", "p.csv"])
def test_text_that_is_not_utf8_names_byte_and_line(write: Write, name: str, bom: bytes) -> None:
    error = failure(write(name, bom + b"one\ntwo\xff"))
    assert error.code == "data.not_utf8"
    assert f"is not UTF-8: byte {7 + len(bom)} (line 2) is 0xff; save it as UTF" in error.message


def test_a_utf16_file_is_not_utf8(write: Write) -> None:
    assert failure(write("p.txt", "one".encode("utf-16"))).code == "data.not_utf8"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", ""),
        ("p.txt", " \n\n\t\n"),
        ("p.txt", "\ufeff"),
        ("p.jsonl", ""),
        ("p.jsonl", '{"prompt": ""}\n{"prompt": " "}'),
        ("p.csv", "prompt\n"),
        ("p.csv", "prompt,x\n,1\n"),
    ],
)
def test_a_file_without_a_prompt_is_empty(write: Write, name: str, content: str) -> None:
    error = failure(write(name, content))
    assert error.code == "data.empty"
    assert error.message.endswith("holds no prompt.")


def test_a_parquet_file_without_a_row_is_empty(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", prompt=pa.array([], pa.string()))
    assert failure(path).code == "data.empty"


# Columns


def test_a_column_named_for_txt_is_a_mistake_in_the_configuration(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"'text', but a \.txt file has no columns") as caught:
        texts(write("p.txt", "one"), column="text")
    assert caught.value.exit_code is ExitCode.CONFIG


def test_a_column_named_for_the_bundled_prompts_is_one_too() -> None:
    with pytest.raises(ConfigError, match="the bundled prompts have no columns"):
        load_prompts(DataConfig(column="text"))


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("p.jsonl", '{"promt": "one", "label": 1}', "p.jsonl' line 1 has"),
        ("p.csv", "promt,label\none,1\n", "p.csv' has"),
    ],
)
def test_a_missing_column_names_the_nearest_and_all(
    write: Write, name: str, content: str, where: str
) -> None:
    error = failure(write(name, content))
    assert error.code == "data.column_missing"
    assert error.message.endswith(
        f"{where} no column 'prompt' (did you mean 'promt'?): its columns are 'promt', 'label'; "
        f"data.column names the right one."
    )


def test_a_missing_column_of_parquet_names_the_columns(tmp_path: Path) -> None:
    error = failure(parquet(tmp_path / "p.parquet", text=["one"]))
    assert error.code == "data.column_missing"
    assert "has no column 'prompt': its columns are 'text'; data.column" in error.message


def test_a_csv_without_even_a_header_has_no_column(write: Write) -> None:
    error = failure(write("p.csv", ""))
    assert error.code == "data.column_missing"
    assert "has no column 'prompt': it has none;" in error.message


def test_a_line_that_lacks_the_column_is_named(write: Write) -> None:
    error = failure(write("p.jsonl", '{"prompt": "one"}\n{}\n'))
    assert "line 2 has no column 'prompt': it has none" in error.message


def test_many_columns_with_hostile_names_stay_one_readable_sentence(write: Write) -> None:
    names = ["\x1b[2J" + "x" * 500, *(f"c{i}" for i in range(100))]
    error = failure(write("p.csv", ",".join(names) + "\n"))
    assert "\x1b" not in error.message
    assert "'c10' and 89 more" in error.message
    assert len(error.message) < 600


# Lines and values


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "is not JSON (Expecting property name enclosed in double quotes): '{'"),
        ("one", "is not JSON (Expecting value): 'one'"),
        ("[" * 100_000, "is not JSON (RecursionError): '[[["),
        ('{"prompt": ' + "1" * 5000 + "}", "is not JSON (ValueError): "),
        ('"one"', "is not a JSON object: '\"one\"'"),
        ("[1]", "is not a JSON object: '[1]'"),
        ('{"prompt": null}', "holds null where a text was expected"),
        ('{"prompt": 3}', "holds 3 (int) where a text was expected"),
        ('{"prompt": ["a"]}', "holds ['a'] (list) where a text was expected"),
        ('{"prompt": "a\\ud800"}', r"half a surrogate pair, which is no character: 'a\ud800'."),
    ],
)
def test_a_jsonl_line_that_is_no_prompt_is_named(write: Write, line: str, what: str) -> None:
    error = failure(write("p.jsonl", f'{{"prompt": "one"}}\n{line}\n'))
    assert error.code == "data.bad_line"
    assert "p.jsonl' line 2 " in error.message
    assert what in error.message
    assert len(error.message) < 400


def test_a_csv_row_with_too_few_fields_is_named(write: Write) -> None:
    error = failure(write("p.csv", "id,prompt\n1,one\n2\n"))
    assert error.code == "data.bad_line"
    assert "line 3 has 1 fields where the header has 2;" in error.message


def test_a_csv_row_with_too_many_fields_is_not_cut_silently(write: Write) -> None:
    error = failure(write("p.csv", "prompt,id\none,1\ntwo, and more,2\n"))
    assert "line 3 has 3 fields where the header has 2; a text that holds a comma" in error.message


def test_a_quote_that_is_never_closed_names_where_it_opened(write: Write) -> None:
    error = failure(write("p.csv", 'prompt\none\n"two\nthree\n'))
    assert error.code == "data.bad_line"
    assert "line 3 is not CSV (unexpected end of data)." in error.message


def test_a_csv_with_the_column_twice_is_refused(write: Write) -> None:
    assert "names two columns 'prompt'" in failure(write("p.csv", "prompt,prompt\na,b\n")).message


def test_a_nul_in_a_csv_is_part_of_the_text(write: Write) -> None:
    assert texts(write("p.csv", "prompt\na\0b\n")) == ["a\0b"]


def test_a_csv_field_may_be_larger_than_the_standard_limit(write: Write) -> None:
    limit = csv.field_size_limit()
    assert texts(write("p.csv", "prompt\n" + "a" * 200_000)) == ["a" * 200_000]
    assert csv.field_size_limit() == limit


def test_a_null_in_a_parquet_file_names_its_row(tmp_path: Path) -> None:
    error = failure(parquet(tmp_path / "p.parquet", prompt=["one", None]))
    assert error.code == "data.bad_line"
    assert error.message.endswith("p.parquet' row 2 holds null where a text was expected.")


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path) -> None:
    error = failure(parquet(tmp_path / "p.parquet", prompt=[1, 2]))
    assert error.code == "data.bad_line"
    assert "Column 'prompt' of " in error.message
    assert "holds int64, not text." in error.message


def test_bytes_in_a_parquet_text_column_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    column = pa.array([b"one", b"\xff"]).cast(pa.string(), safe=False)
    error = failure(parquet(tmp_path / "p.parquet", prompt=column))
    assert error.code == "data.not_utf8"
    assert "row 2 is not UTF-8." in error.message


@pytest.mark.parametrize("content", [b"", b"one\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_file_that_only_claims_to_be_parquet_is_refused(write: Write, content: bytes) -> None:
    error = failure(write("p.parquet", content))
    assert error.code == "data.format"
    assert "is not a readable parquet file (" in error.message


# Properties

line_text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).filter(
    lambda text: text.strip() and not text.startswith("\ufeff")
)
any_text = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)


@given(st.lists(line_text, min_size=1))
def test_txt_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("txt") / "p.txt"
    path.write_bytes("\n".join(prompts).encode())
    assert texts(str(path)) == prompts


@given(st.lists(any_text, min_size=1))
def test_jsonl_csv_and_parquet_give_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "p.jsonl").write_text("\n".join(json.dumps({"prompt": text}) for text in prompts))
    with (folder / "p.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["prompt"], *([t] for t in prompts)])
    pq.write_table(pa.table({"prompt": prompts}), folder / "p.parquet")
    for suffix in ("jsonl", "csv", "parquet"):
        assert texts(str(folder / f"p.{suffix}")) == prompts


@given(
    st.sampled_from(["txt", "jsonl", "csv", "parquet"]),
    st.binary() | st.text(string.printable).map(str.encode),
)
def test_any_bytes_are_prompts_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / f"p.{suffix}"
    path.write_bytes(content)
    try:
        prompts = load_prompts(DataConfig(prompts=str(path)))
    except DataError as error:
        sentence = error.message
    else:
        sentence = "none"
        assert prompts
    assert sentence.isprintable()
