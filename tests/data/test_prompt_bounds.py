"""However large a file of prompts is, or says it is, what is read of it is bounded."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ppo_tui.config.schema import DataConfig
from ppo_tui.data import load_prompts, prompts, readers
from ppo_tui.errors import DataError

LINE = "a prompt of twenty-six ch."


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 2 MiB, lines of 1000 characters and 500 prompts are the most."""
    monkeypatch.setattr(readers, "LARGEST_FILE", 2 << 20)
    monkeypatch.setattr(readers, "LONGEST_LINE", 1000)
    monkeypatch.setattr(prompts, "MOST_PROMPTS", 500)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_prompts(DataConfig(prompts=str(path)))
    assert caught.value.code == "data.too_large"
    return caught.value.message


def written(folder: Path, suffix: str, texts: list[str]) -> Path:
    """The texts in a file of a format."""
    path = folder / f"p{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"prompt": texts}), path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    else:
        head = "prompt\n" if suffix == ".csv" else ""
        path.write_text(head + "".join(f"{text}\n" for text in texts))
    return path


FORMATS = [".txt", ".jsonl", ".csv", ".parquet"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_as_much_as_may_be_is_read(bounds: None, tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix, [*[LINE] * 499, "x" * 980])
    assert len(load_prompts(DataConfig(prompts=str(path)))) == 500


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_prompt_too_many_is_refused(bounds: None, tmp_path: Path, suffix: str) -> None:
    assert "holds more than 500 prompts" in refused(written(tmp_path, suffix, [LINE] * 501))


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".parquet"])
def test_a_line_that_is_too_long_is_named(bounds: None, tmp_path: Path, suffix: str) -> None:
    message = refused(written(tmp_path, suffix, ["short", "x" * 1001]))
    place = {".csv": "line 3", ".parquet": "row 2"}.get(suffix, "line 2")
    assert f"{place} is longer than 1000 characters" in message


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_a_file_that_is_too_large_is_refused(bounds: None, tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix, ["x" * 900] * 2400)
    assert "holds more than 2 MiB of text" in refused(path)


def test_a_parquet_file_that_unpacks_to_too_much_is_refused(bounds: None, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    texts = [f"{number} {'x' * 900}" for number in range(3000)]
    pq.write_table(pa.table({"prompt": texts}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 100_000
    assert "holds more than 2 MiB of text" in refused(path)


def test_one_text_repeated_in_a_dictionary_is_counted_each_time(
    bounds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "MOST_PROMPTS", 10**9)
    path = written(tmp_path, ".parquet", ["x" * 900] * 3000)
    assert path.stat().st_size < 100_000
    assert "holds more than 2 MiB of text" in refused(path)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_a_fault_behind_the_first_mebibyte_is_found_where_it_is(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"p{suffix}"
    # A character of two bytes lies across the border between two pieces.
    content = b"x" * ((1 << 20) - 1) + "é\n".encode() + b"ok\n\xff\n"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_prompts(DataConfig(prompts=str(path)))
    assert caught.value.code == "data.not_utf8"
    assert f"byte {content.index(0xFF)} (line 3) is 0xff" in caught.value.message
