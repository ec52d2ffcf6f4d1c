"""Reading the journal of samples a step, a prompt or a rank at a time."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.runs import samples as samples_module
from ppo_tui.runs.journal import JournalWriter, encode
from ppo_tui.runs.records import Sample
from ppo_tui.runs.samples import SampleBook

AWKWARD = 'a "step":7, \\ ,"score":9,"terms":\n prompt\x07'


def sample(step: int, index: int = 0, **changes: object) -> Sample:
    fields: dict[str, object] = {
        "prompt": "a prompt",
        "response": "a response",
        "score": 0.5,
        "terms": {"sentiment": 0.5},
        "kl": 0.25,
        "length": 3,
        "finished": True,
        **changes,
    }
    return Sample(id=f"{step}-{index}", step=step, time=1.0, **fields)  # type: ignore[arg-type]


def line(one: Sample) -> bytes:
    return encode(one.to_json())


def ids(found: object) -> list[str]:
    return [one.id for one in found]  # type: ignore[attr-defined]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples.jsonl"


def write(path: Path, *samples: Sample) -> SampleBook:
    path.write_bytes(b"".join(map(line, samples)))
    return SampleBook(path)


# ---- steps


def test_the_samples_of_a_step_are_found_in_their_order(path: Path):
    book = write(path, *(sample(step, index) for step in range(1, 40) for index in range(3)))

    assert ids(book.of_step(17)) == ["17-0", "17-1", "17-2"]
    assert ids(book.of_step(1)) == ["1-0", "1-1", "1-2"]
    assert ids(book.of_step(39)) == ["39-0", "39-1", "39-2"]
    assert book.of_step(40) == []
    assert book.last_step() == 39


def test_a_sample_comes_back_as_it_was_written(path: Path):
    one = sample(3, prompt=AWKWARD, response="😀\u2028é")
    book = write(path, sample(2), one, sample(4))

    assert book.of_step(3) == [one]


def test_a_run_without_samples_has_none(path: Path):
    book = SampleBook(path)

    assert book.last_step() is None
    assert book.of_step(1) == []
    assert book.of_prompt("a prompt") == []
    assert book.ranked("best").samples == ()

    path.write_bytes(b"")
    assert book.last_step() is None
    assert book.ranked("best").share == 1.0


def test_the_line_that_is_being_written_is_left_alone(path: Path):
    book = write(path, sample(1), sample(2))
    with path.open("ab") as file:
        file.write(line(sample(3))[:-1])

    assert book.last_step() == 2
    assert book.of_step(3) == []


def test_damaged_lines_are_stepped_over(path: Path):
    path.write_bytes(
        b"\x00\xff\n"
        + line(sample(1))
        + b'{"v":1,"time":1.0,"kind":"sample","id":"2-0","step":2,"pro\n'
        + line(sample(2, 1))
        + b"[]\n\n"
        + line(sample(3))
        + b"rubbish\n"
    )
    book = SampleBook(path)

    assert ids(book.of_step(1)) == ["1-0"]
    assert ids(book.of_step(2)) == ["2-1"]
    assert ids(book.of_step(3)) == ["3-0"]
    assert book.last_step() == 3


def test_a_line_beyond_the_longest_is_stepped_over(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(samples_module, "LONGEST_LINE", 4096)
    monkeypatch.setattr(samples_module, "CHUNK", 512)
    book = write(path, sample(1), sample(2, response="x" * 9000), sample(2, 1), sample(3))

    assert ids(book.of_step(2)) == ["2-1"]
    assert ids(book.of_step(3)) == ["3-0"]
    assert ids(book.of_prompt("a prompt")) == ["1-0", "2-1", "3-0"]


def test_a_journal_that_a_resume_cut_back_is_read_as_it_is(path: Path):
    with JournalWriter(path) as journal:
        for step in range(1, 6):
            journal.append(sample(step).to_json())
            if step == 2:
                offset = journal.offset
        book = SampleBook(path)
        assert book.last_step() == 5

        journal.cut(offset)
        journal.append(sample(3, response="another future").to_json())

    assert book.last_step() == 3
    assert [one.response for one in book.of_step(3)] == ["another future"]
    assert book.of_step(4) == []


def test_samples_of_another_program_are_read_whatever_the_order_of_their_fields(path: Path):
    records = [{"response": "r", "score": step, "step": step, "x": 1} for step in range(1, 30)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    book = SampleBook(path)

    assert [one.score for one in book.of_step(12)] == [12]
    assert [one.step for one in book.ranked("best", 2).samples] == [29, 28]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),  # how far the step moves on
            st.integers(0, 300),  # length of the response
            st.booleans(),  # whether a damaged line comes first
        ),
        max_size=40,
    ),
    st.integers(-1, 100),
    st.sampled_from([b"", b"torn"]),
)
def test_bisecting_finds_what_reading_line_by_line_finds(
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[tuple[int, int, bool]],
    target: int,
    torn: bytes,
):
    path = tmp_path_factory.getbasetemp() / "bisected.jsonl"
    written, content, step = [], b"", 0
    for index, (move, length, damaged) in enumerate(moves):
        step += move
        written.append(sample(step, index, response="é" * length))
        content += (b"rubbish\n" if damaged else b"") + line(written[-1])
    path.write_bytes(content + torn)
    book = SampleBook(path)
    steps = sorted({one.step for one in written})

    assert ids(book.of_step(target)) == ids(one for one in written if one.step == target)
    assert book.last_step() == (steps[-1] if steps else None)


# ---- a prompt over time


def test_a_prompt_is_found_over_the_whole_run(path: Path):
    book = write(
        path,
        *(sample(step, prompt=AWKWARD if step % 5 == 0 else "another") for step in range(1, 31)),
    )

    assert [one.step for one in book.of_prompt(AWKWARD)] == [5, 10, 15, 20, 25, 30]
    assert book.of_prompt("never asked") == []


def test_a_prompt_that_another_one_quotes_is_not_taken_for_it(path: Path):
    book = write(path, sample(1, response='"prompt":"a prompt"', prompt="x"), sample(2))

    assert ids(book.of_prompt("a prompt")) == ["2-0"]


def test_many_samples_of_a_prompt_are_thinned_evenly(path: Path):
    book = write(path, *(sample(step) for step in range(1, 102)))

    assert [one.step for one in book.of_prompt("a prompt", 5)] == [1, 26, 51, 76, 101]
    assert [one.step for one in book.of_prompt("a prompt", 1)] == [101]
    assert book.of_prompt("a prompt", 0) == []


def test_a_long_journal_is_searched_in_places_from_its_first_to_its_last_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    book = write(path, *(sample(step) for step in range(1, 3001)))
    monkeypatch.setattr(samples_module, "SEARCHED", path.stat().st_size // 8)

    found = [one.step for one in book.of_prompt("a prompt", 1000)]

    assert found[0] == 1
    assert found[-1] == 3000
    assert found == sorted(set(found))
    assert 300 < len(found) < 500
    assert max(b - a for a, b in pairwise(found)) < 3000 / 50


# ---- ranks


def test_the_best_the_worst_and_the_longest_are_found(path: Path):
    scores = [0.1, -2.0, 3e-05, 2.5, 2.5, math.nan, 0.0]
    book = write(
        path,
        *(sample(1, i, score=score, length=10 * i % 7) for i, score in enumerate(scores)),
    )

    best, worst, longest = (book.ranked(order, 2) for order in ("best", "worst", "longest"))

    assert ids(best.samples) == ["1-4", "1-3"]
    assert ids(worst.samples) == ["1-1", "1-6"]
    assert [one.length for one in longest.samples] == [6, 5]
    assert best.looked_at == 6
    assert longest.looked_at == 7
    assert best.share == 1.0


def test_terms_and_texts_that_look_like_the_ranks_are_not_taken_for_them(path: Path):
    terms = {"x": 1.0, "length": 900.0, "score2": 5.0}
    book = write(path, sample(1, prompt=AWKWARD, terms=terms), sample(2, score=8.0, length=4))

    assert ids(book.ranked("best", 2).samples) == ["2-0", "1-0"]
    assert ids(book.ranked("longest", 2).samples) == ["2-0", "1-0"]


def test_a_ranking_of_a_long_journal_says_how_much_it_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    book = write(path, *(sample(step, score=step / 10) for step in range(1, 3001)))
    monkeypatch.setattr(samples_module, "RANKED", path.stat().st_size // 8)

    ranking = book.ranked("best", 3)

    assert ids(ranking.samples) == ["3000-0", "2999-0", "2998-0"]
    assert 300 < ranking.looked_at < 500
    assert 0.12 < ranking.share < 0.126


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.integers(0, 6))
def test_a_ranking_is_what_sorting_gives(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float], limit: int
):
    path = tmp_path_factory.getbasetemp() / "ranked.jsonl"
    book = write(path, *(sample(1, index, score=score) for index, score in enumerate(scores)))

    assert [one.score for one in book.ranked("best", limit).samples] == (
        sorted(scores, reverse=True)[:limit]
    )
    assert [one.score for one in book.ranked("worst", limit).samples] == sorted(scores)[:limit]


def test_a_file_that_is_no_journal_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(OSError, match=r"regular file|directory"):
        SampleBook(tmp_path).last_step()
