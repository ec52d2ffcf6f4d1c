"""`pool.jsonl`: the texts that a person may be asked about."""

import json

import pytest

from ppo_tui.errors import RunError
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.pool import Candidate, read_pool

CAT = Candidate("12-3", 12, "the cat", " sat", 9, True, "AAA=", time=5.0)


def test_a_candidate_is_written_as_one_flat_object():
    assert CAT.to_json() == {
        "v": 1,
        "time": 5.0,
        "kind": "candidate",
        "id": "12-3",
        "step": 12,
        "prompt": "the cat",
        "response": " sat",
        "length": 9,
        "finished": True,
        "reading": "AAA=",
    }
    assert Candidate.from_json(CAT.to_json()) == CAT


def test_fields_that_are_missing_or_wrong_get_their_default():
    read = Candidate.from_json(
        {"id": "1-0", "step": "3", "length": True, "finished": 1, "time": []}
    )
    assert read == Candidate("1-0", 0, "", "", 0, False, "", time=0.0)


def test_a_pool_that_is_not_there_holds_nothing(run):
    assert read_pool(run.pool_path) == ([], 0)
    assert read_pool(run.pool_path, 100) == ([], 0)


def test_only_what_is_new_is_read(run):
    with JournalWriter(run.pool_path) as journal:
        journal.append(CAT.to_json())
        first, offset = read_pool(run.pool_path)
        assert read_pool(run.pool_path, offset) == ([], offset)
        journal.append({**CAT.to_json(), "id": "13-0"})
        second, end = read_pool(run.pool_path, offset)
    assert [candidate.id for candidate in first] == ["12-3"]
    assert [candidate.id for candidate in second] == ["13-0"]
    assert end == run.pool_path.stat().st_size


def test_a_line_that_is_being_written_is_left_for_the_next_time(run):
    line = json.dumps(CAT.to_json()).encode()
    run.pool_path.write_bytes(line + b"\n" + line[:20])
    candidates, offset = read_pool(run.pool_path)
    assert len(candidates) == 1
    assert offset == len(line) + 1


def test_a_pool_that_a_resume_cut_back_is_read_from_its_beginning(run):
    with JournalWriter(run.pool_path) as journal:
        journal.append(CAT.to_json())
    candidates, offset = read_pool(run.pool_path, 10_000)
    assert [candidate.id for candidate in candidates] == ["12-3"]
    assert offset == run.pool_path.stat().st_size


def test_what_is_no_candidate_is_stepped_over(run):
    lines = [
        b"not json",
        b'{"kind":"sample","id":"1-0","step":1}',
        b'{"kind":"candidate","step":1}',
        b"\x00\x00\xff",
        json.dumps(CAT.to_json()).encode(),
    ]
    run.pool_path.write_bytes(b"\n".join(lines) + b"\n")
    assert [candidate.id for candidate in read_pool(run.pool_path)[0]] == ["12-3"]


def test_a_pool_that_cannot_be_read_is_named(run):
    run.pool_path.mkdir()
    with pytest.raises(RunError, match=r"pool\.jsonl cannot be read: ") as caught:
        read_pool(run.pool_path)
    assert caught.value.code == "run.journal"
