import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs.journal import (
    LONGEST_LINE,
    JournalTail,
    JournalWriter,
    encode,
    read_journal,
    read_last,
)

records_lists = st.lists(
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20), max_size=3),
    max_size=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


def plain_lines(records):
    lines = [encode(record) for record in records]
    read_back = [json.loads(line) for line in lines]
    return lines, read_back


@settings(deadline=None, max_examples=150)
@given(records=records_lists, data=st.data())
def test_any_byte_split_of_the_file_brings_the_same_records(folder, records, data):
    lines, expected = plain_lines(records)
    content = b"".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    path = folder / "split.jsonl"
    path.unlink(missing_ok=True)
    tail, seen = JournalTail(path), []
    with path.open("wb", buffering=0) as file:
        for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            file.write(content[begin:end])
            seen += tail.poll().records
    assert seen == expected
    assert tail.generation == 0


@settings(deadline=None, max_examples=150)
@given(records=records_lists, max_bytes=st.integers(1, 50))
def test_any_size_of_the_readers_bites_brings_the_same_records(folder, records, max_bytes):
    lines, expected = plain_lines(records)
    path = folder / "bites.jsonl"
    path.write_bytes(b"".join(lines))
    tail, seen = JournalTail(path), []
    while chunk := tail.poll(max_bytes).records:
        seen += chunk
    assert seen == expected


@settings(deadline=None, max_examples=150)
@given(records=records_lists, data=st.data())
def test_a_crash_at_any_byte_loses_the_torn_line_at_most(folder, records, data):
    lines, expected = plain_lines(records)
    content = b"".join(lines)
    size = data.draw(st.integers(0, len(content)))
    whole = sum(1 for n in range(len(lines)) if len(b"".join(lines[: n + 1])) <= size)
    path = folder / "torn.jsonl"
    path.write_bytes(content[:size])
    assert read_journal(path).records == expected[:whole]
    with JournalWriter(path) as journal:
        assert journal.offset == len(b"".join(lines[:whole]))
        journal.append({"kind": "after"})
    assert read_journal(path).records == [*expected[:whole], {"kind": "after"}]


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=300), max_bytes=st.integers(1, 400))
def test_no_content_breaks_a_reader_and_every_line_is_a_record_or_counted(
    folder, content, max_bytes
):
    path = folder / "noise.jsonl"
    path.write_bytes(content)
    tail, count = JournalTail(path), 0
    while True:
        chunk = tail.poll(max_bytes)
        count += len(chunk.records) + chunk.damaged
        if not chunk.records:
            break
    assert count == content.count(b"\n")
    assert tail.offset == content.rfind(b"\n") + 1


def test_a_damaged_line_is_stepped_over_and_counted(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"a":1}\n{"a":\n\xff\xfe\n[1]\n\n{"a":2}\n')
    chunk = read_journal(path)
    assert chunk.records == [{"a": 1}, {"a": 2}]
    assert chunk.damaged == 4
    assert chunk.offset == path.stat().st_size


def test_reading_goes_on_from_the_offset_of_the_last_time(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"a":1}\n{"a":2}\n')
    first = read_journal(path, max_bytes=8)
    assert first.records == [{"a": 1}]
    assert read_journal(path, first.offset).records == [{"a": 2}]


@pytest.mark.parametrize(
    "text",
    ["\x1b]0;title\x07\x1b[2J", "a\x00b", "a\nb\r\nc\u2028d", "\ud83d\ude00", "x" * 100_000],
    ids=["ansi", "nul", "line ends", "surrogate pair", "long"],
)
def test_hostile_text_stays_on_one_line_and_comes_back_whole(tmp_path, text):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"response": text})
    assert (tmp_path / "j").read_bytes().count(b"\n") == 1
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16")
    assert read_journal(tmp_path / "j").records == [{"response": joined}]


def test_a_lone_surrogate_does_not_break_the_writing(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"response": "a\udfffb"})
    assert read_journal(tmp_path / "j").records == [{"response": "a\ufffdb"}]


def test_a_metric_that_is_not_finite_is_null_in_the_file(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"metrics": {"kl/ref": math.nan, "reward/score": -math.inf}})
    assert (tmp_path / "j").read_text() == '{"metrics":{"kl/ref":null,"reward/score":null}}\n'


def test_a_line_longer_than_the_bite_is_read_whole(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(encode({"a": "x" * 10_000}) + encode({"b": 1}))
    tail = JournalTail(path)
    assert tail.poll(16).records == [{"a": "x" * 10_000}]
    assert tail.poll(16).records == [{"b": 1}]


def test_a_line_without_measure_is_stepped_over_not_held_in_memory(tmp_path):
    path = tmp_path / "j"
    with path.open("wb") as file:
        file.write(b'"' + b"x" * (LONGEST_LINE + 5))
    assert JournalTail(path).poll(1024).records == []
    with path.open("ab") as file:
        file.write(b'"\n{"a":1}\n')
    chunk = JournalTail(path).poll(1024)
    assert chunk.records == [{"a": 1}]
    assert chunk.damaged == 1


def test_the_end_of_a_long_journal_is_read_alone(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b"".join(encode({"step": n}) for n in range(1000)))
    last = read_last(path, 60)
    assert [record["step"] for record in last] == [996, 997, 998, 999]
    assert len(read_last(path, 1 << 20)) == 1000


def test_the_file_is_private_to_its_owner(tmp_path):
    JournalWriter(tmp_path / "j").close()
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_the_offset_is_the_length_of_the_file(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
        journal.sync()
        assert journal.offset == (tmp_path / "j").stat().st_size == 8
    with JournalWriter(tmp_path / "j") as journal:
        assert journal.offset == 8


def test_a_cut_drops_what_came_after_and_writing_goes_on_there(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
        checkpoint = journal.offset
        journal.append({"a": 2})
        journal.cut(checkpoint)
        journal.append({"a": 3})
    assert read_journal(tmp_path / "j").records == [{"a": 1}, {"a": 3}]


@pytest.mark.parametrize(
    ("offset", "why"), [(99, "it has 8"), (-1, "it has 8"), (3, "inside a line")]
)
def test_a_cut_that_does_not_fit_the_journal_is_refused_and_changes_nothing(tmp_path, offset, why):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
        with pytest.raises(RunError, match=why) as caught:
            journal.cut(offset)
        assert caught.value.code == "run.journal"
        assert journal.offset == 8
    assert read_journal(tmp_path / "j").records == [{"a": 1}]


def test_a_follower_waits_for_a_journal_that_is_not_there_yet(tmp_path):
    tail = JournalTail(tmp_path / "j")
    assert tail.poll().records == []
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
    assert tail.poll().records == [{"a": 1}]


def test_a_follower_of_a_journal_that_was_cut_begins_anew_and_says_so(tmp_path):
    tail = JournalTail(tmp_path / "j")
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
        keep = journal.offset
        journal.append({"a": 2})
        assert len(tail.poll().records) == 2
        journal.cut(keep)
        chunk = tail.poll()
    assert chunk.restarted
    assert tail.generation == 1
    assert chunk.records == [{"a": 1}]
    assert not tail.poll().restarted


def test_a_follower_notices_a_cut_even_when_the_journal_has_grown_past_its_place(tmp_path):
    tail = JournalTail(tmp_path / "j")
    with JournalWriter(tmp_path / "j") as journal:
        journal.append({"a": 1})
        keep = journal.offset
        journal.append({"a": 2})
        tail.poll()
        journal.cut(keep)
        journal.append({"a": 3})
        journal.append({"a": 4})
    chunk = tail.poll()
    assert chunk.restarted
    assert chunk.records == [{"a": 1}, {"a": 3}, {"a": 4}]


def test_a_full_disk_is_one_clear_error():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with JournalWriter(Path("/dev/full")) as journal, pytest.raises(StorageError) as caught:
        journal.append({"a": 1})
    assert caught.value.code == "storage.full"


def fill(journal):
    for number in range(1000):
        journal.append({"n": number, "text": "x" * 999})


def test_a_disk_that_fills_up_leaves_whole_lines_only(small_disk):
    path = small_disk / "j"
    with JournalWriter(path) as journal:
        with pytest.raises(StorageError) as caught:
            fill(journal)
        assert caught.value.code == "storage.full"
        size = path.stat().st_size
        assert journal.offset == size > 0
        chunk = read_journal(path)
        assert chunk.damaged == 0
        assert chunk.offset == size
        journal.cut(0)
        journal.append({"a": "there is room again"})
    assert read_journal(path).records == [{"a": "there is room again"}]


def test_a_journal_deleted_under_the_writer_is_noticed(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        (tmp_path / "j").unlink()
        with pytest.raises(StorageError, match="was deleted"):
            journal.append({"a": 1})


def test_a_journal_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("mine, no newline")
    (tmp_path / "j").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError):
        JournalWriter(tmp_path / "j")
    assert (tmp_path / "precious").read_text() == "mine, no newline"
