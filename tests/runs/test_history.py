"""The metrics of a run in columns, read as they come."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.runs import history as history_module
from ppo_tui.runs.history import Block, History, HistoryReader, block_of, look_around


def step(number: int, **metrics: object) -> dict[str, object]:
    return {"v": 1, "time": 100.0 + number, "kind": "step", "step": number, "metrics": metrics}


def write(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def read_all(reader: HistoryReader) -> History:
    history = History()
    while not (batch := reader.poll()).empty:
        if batch.restarted:
            history.clear()
        if batch.glance is not None:
            history.glance(batch.glance)
        history.extend(batch.block)
    return history


def test_a_block_has_a_column_for_each_metric_and_nan_where_a_step_has_none() -> None:
    block = block_of([step(1, a=1.0), {"kind": "log"}, step(2, b=2), step(3, a=None, b=True)])
    assert block.steps.tolist() == [1, 2, 3]
    assert block.times.tolist() == [101, 102, 103]
    assert block.columns["a"][0] == 1
    assert np.isnan(block.columns["a"][1:]).all()
    assert block.columns["b"][1] == 2
    assert math.isnan(block.columns["b"][2])


def test_a_number_that_no_float_holds_is_no_value() -> None:
    block = block_of([step(1, a=10**400), step(2, a=1.0)])
    assert block.columns["a"].tolist()[1] == 1.0
    assert math.isnan(block.columns["a"][0])


def test_what_is_no_step_object_is_stepped_over() -> None:
    block = block_of([{"kind": "step", "step": "x", "time": None, "metrics": [1]}])
    assert len(block) == 1
    assert math.isnan(block.times[0])
    assert block.columns == {}


@given(st.lists(st.integers(0, 40), max_size=12))
def test_any_split_into_blocks_gives_the_same_columns(sizes: list[int]) -> None:
    total = sum(sizes)
    values = np.arange(1.0, total + 1)
    history, begin = History(), 0
    for size in sizes:
        part = values[begin : begin + size]
        history.extend(Block(part, part, {"a": part * 2}))
        begin += size
    steps, column = history.series("a")
    assert steps.tolist() == values.tolist()
    assert column.tolist() == (values * 2).tolist()
    assert len(history) == total


def test_a_metric_that_comes_later_has_gaps_before() -> None:
    history = History()
    history.extend(block_of([step(1, a=1.0)]))
    history.extend(block_of([step(2, a=2.0, b=5.0)]))
    history.extend(block_of([step(3, b=6.0)]))
    assert history.names == ("a", "b")
    _, b = history.series("b")
    assert math.isnan(b[0])
    assert b.tolist()[1:] == [5.0, 6.0]
    assert math.isnan(history.series("a")[1][2])
    assert history.at(2) == {"a": 2.0, "b": 5.0}
    assert history.at(0) == {}


def test_a_journal_is_read_to_its_end_and_then_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = HistoryReader(path)
    assert reader.poll().empty
    write(path, [step(1, a=1.0), {"kind": "log", "message": "hello"}, step(2, a=2.0)])
    batch = reader.poll()
    assert batch.block.steps.tolist() == [1, 2]
    assert [event.message for event in batch.events] == ["hello"]
    with path.open("a") as file:
        file.write(json.dumps(step(3, a=3.0)) + "\n" + '{"half')
    assert reader.poll().block.steps.tolist() == [3]
    assert reader.poll().empty


def test_a_journal_that_was_cut_back_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, [step(number, a=1.0) for number in range(1, 9)])
    reader = HistoryReader(path)
    reader.poll()
    write(path, [step(number, a=2.0) for number in range(1, 6)])
    batch = reader.poll()
    assert batch.restarted
    assert batch.block.steps.tolist() == [1, 2, 3, 4, 5]


def test_a_damaged_line_is_counted_and_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(step(1, a=1.0)) + "\nrubbish\n" + json.dumps(step(2, a=2.0)) + "\n")
    batch = HistoryReader(path).poll()
    assert batch.block.steps.tolist() == [1, 2]
    assert batch.damaged == 1


def test_a_short_journal_needs_no_glance(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [step(1, a=1.0)])
    assert look_around(tmp_path / "events.jsonl") is None
    assert look_around(tmp_path / "missing.jsonl") is None


def test_a_long_journal_shows_its_whole_course_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "GLANCE_BYTES", 10_000)
    path = tmp_path / "events.jsonl"
    write(path, [step(number, a=float(number)) for number in range(1, 5001)])
    reader, history = HistoryReader(path), History()
    batch = reader.poll()
    assert batch.glance is not None
    history.glance(batch.glance)
    steps, values = history.series("a")
    assert steps[0] == 1
    assert steps[-1] == 5000
    assert values.tolist() == steps.tolist()
    assert len(steps) > 350
    assert history.last() == {"a": 5000.0}
    assert history.at(5000) == {"a": 5000.0}
    assert not history.complete
    while not (batch := reader.poll()).empty:
        history.extend(batch.block)
    assert history.complete
    assert len(history.series("a")[0]) == 5000


def test_while_it_is_read_the_rest_is_what_the_glance_saw() -> None:
    history = History()
    history.glance(block_of([step(number, a=float(number)) for number in (1, 10, 20)]))
    history.extend(block_of([step(number, a=float(number)) for number in range(1, 11)]))
    steps, _ = history.series("a")
    assert steps.tolist() == [*range(1, 11), 20]
    assert history.at(15) == {"a": 10.0}
    history.extend(block_of([step(number, a=float(number)) for number in range(11, 21)]))
    assert history.series("a")[0].tolist() == list(range(1, 21))


def test_forgetting_begins_another_generation() -> None:
    history = History()
    history.extend(block_of([step(1, a=1.0)]))
    history.clear()
    assert len(history) == 0
    assert history.names == ()
    assert history.generation == 1


def test_rows_are_those_of_the_journal_when_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, [step(number, a=float(number), b=0.5) for number in range(1, 20001)])
    history = read_all(HistoryReader(path))
    steps, values = history.series("a")
    assert steps.tolist() == values.tolist() == list(range(1, 20001))
