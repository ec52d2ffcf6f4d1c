"""`ratings.jsonl`: nothing that was given is lost, nothing is counted twice."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs import ratings as module
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.ratings import (
    About,
    Pair,
    Rating,
    Ratings,
    RatingsFile,
    Undo,
    export_ratings,
    import_ratings,
    merge,
    new_pair,
    new_rating,
    new_skip,
    new_undo,
)

BASE = "sha256:ab"
GOOD = About("the cat", " sat", "1-0", 0, "AAA=")
BAD = About("the cat", " fell", "1-1", 0)


def rating(value=4, about=GOOD, rater="ann", base=BASE, note="") -> Rating:
    return new_rating(rater, "bundled", base, "first", about, value, note)


def pair(choice=1.0, first=GOOD, second=BAD, rater="ann", base=BASE) -> Pair:
    return new_pair(rater, "bundled", base, "first", first, second, choice)


@pytest.fixture
def file(run):
    return RatingsFile(run.ratings_path)


# ---- one line each


def test_a_rating_says_all_that_it_is_about(file):
    given = rating(5, note="good \x1b[31m end")
    file.append(given)
    line = file.path.read_text()
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line) == {
        "v": 1,
        "kind": "rating",
        "id": given.id,
        "time": given.time,
        "rater": "ann",
        "model": "bundled",
        "base": BASE,
        "run": "first",
        "about": {
            "prompt": "the cat",
            "response": " sat",
            "sample": "1-0",
            "step": 0,
            "reading": "AAA=",
        },
        "rating": 5,
        "note": "good \x1b[31m end",
    }
    assert file.read() == Ratings(ratings=(given,))


def test_every_kind_comes_back_as_it_was_given(file):
    one, two, three = rating(), pair(0.5), new_skip("ann", [GOOD, BAD])
    file.append(one)
    file.append(two, three)
    assert file.read() == Ratings((one,), (two,), (three,))
    assert file.read().count == 2
    assert file.read().raters == {"ann": 2}


def test_a_candidate_is_what_a_rating_is_about():
    candidate = Candidate("12-3", 11, "the cat", " sat", 9, True, "AAA=")
    assert About.of(candidate) == About("the cat", " sat", "12-3", 11, "AAA=")


@pytest.mark.parametrize("value", [0, 6, 3.5, 4.0, True, "3", None])
def test_only_whole_numbers_of_the_scale_can_be_given(value):
    with pytest.raises(RunError) as caught:
        rating(value)
    assert caught.value.code == "ratings.range"


@pytest.mark.parametrize("choice", [2, -1, 0.7])
def test_only_better_tie_and_worse_can_be_chosen(choice):
    with pytest.raises(RunError) as caught:
        pair(choice)
    assert caught.value.code == "ratings.range"


def test_a_file_that_is_not_there_holds_nothing(file):
    assert file.read() == Ratings()


def test_the_file_is_private_to_its_owner(file):
    file.append(rating())
    assert file.path.stat().st_mode & 0o777 == 0o600


# ---- what is in force


def test_the_newest_of_one_persons_ratings_of_a_text_counts_whatever_its_id(file):
    first, other = rating(2), rating(3, rater="ben")
    again = rating(5, about=About("the cat", " sat", "r7-1", 6))
    file.append(first, other, again)
    assert file.read().ratings == (other, again)
    assert file.read().others == (first,)


def test_newest_is_by_time_for_what_was_imported_later(file):
    old = rating(1)
    new = rating(5)
    file.append(new, old)
    assert file.read().ratings == (new,)


def test_two_answers_in_either_order_are_one_question(file):
    first, again = pair(1.0), pair(1.0, first=BAD, second=GOOD)
    file.append(first, again)
    assert file.read().pairs == (again,)


def test_an_id_counts_once(file):
    given = rating()
    file.append(given)
    file.append(given)
    assert file.read().count == 1


def test_what_is_taken_back_is_gone_and_what_was_before_it_holds_again(file):
    first, again = rating(2), rating(5)
    file.append(first, again)
    file.append(new_undo("ann", again.id))
    assert file.read().ratings == (first,)


def test_an_undo_may_stand_before_what_it_takes_back(file):
    given = rating()
    file.append(new_undo("ann", given.id), given)
    assert file.read().count == 0


def test_an_undo_that_is_undone_restores_and_so_on(file):
    given = rating()
    undos = [new_undo("ann", given.id)]
    file.append(given, undos[0])
    for count in range(1, 5):
        undos.append(new_undo("ann", undos[-1].id))
        file.append(undos[-1])
        assert file.read().count == count % 2


def test_a_skip_is_taken_back_like_a_rating(file):
    skip = new_skip("ann", [GOOD])
    file.append(skip, new_undo("ann", skip.id))
    assert file.read().skips == ()


def test_undos_in_a_circle_or_of_nothing_do_no_harm(file):
    given = rating()
    file.append(
        given,
        Undo("a", 1.0, "ann", "b"),
        Undo("b", 1.0, "ann", "a"),
        Undo("c", 1.0, "ann", "c"),
        Undo("d", 1.0, "ann", "nobody"),
    )
    assert file.read().ratings == (given,)


def test_a_long_chain_of_undos_is_no_deep_recursion(file):
    chain = [Undo("0", 1.0, "ann", "given")]
    chain += [Undo(str(place), 1.0, "ann", str(place - 1)) for place in range(1, 5000)]
    given = Rating("given", 1.0, "ann", "bundled", BASE, "first", GOOD, 4)
    file.append(given, *chain)
    assert file.read().ratings == (given,)


def test_the_ratings_of_one_base_alone_are_taken(file):
    ours, theirs, unknown = rating(), rating(base="sha256:cd"), rating(base="")
    file.append(ours, theirs, unknown, pair(base="sha256:cd"))
    assert file.read().of_base(BASE).ratings == (ours,)
    assert file.read().of_base(BASE).pairs == ()
    assert file.read().of_base("").count == 0


def test_files_are_merged_without_counting_twice_and_with_what_was_taken_back(run, tmp_path):
    kept, undone = rating(), rating(2, about=BAD)
    one, two = RatingsFile(tmp_path / "one"), RatingsFile(tmp_path / "two")
    one.append(kept, undone)
    two.append(kept, undone, new_undo("ann", undone.id), rating(5, rater="ben"))
    merged = merge([one.read(), two.read()])
    assert sorted(each.rater for each in merged.ratings) == ["ann", "ben"]
    assert merge([merged, merged]).count == 2


def test_merging_ratings_of_one_base_brings_no_other_base_back(tmp_path):
    file = RatingsFile(tmp_path / "one")
    file.append(rating(1, base="sha256:cd"), rating(2, base="sha256:cd"), rating(3))
    assert [each.rating for each in merge([file.read().of_base(BASE)]).ratings] == [3]


# ---- damaged lines


def line(**changes) -> bytes:
    record = {
        "v": 1,
        "kind": "rating",
        "id": "x",
        "time": 1.0,
        "rater": "ann",
        "about": {"prompt": "p", "response": "r"},
        "rating": 3,
    }
    return json.dumps(record | changes).encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x00\x00\x00\x00",
        b'{"v":1,"kind":"rating","id":"x","ra',
        b"[1, 2]",
        b"17",
        b"\xff\xfe{}",
        b"{" * 5000,
        line(rating=0),
        line(rating=6),
        line(rating=3.5),
        line(rating="3"),
        line(rating=True),
        line(rating=None),
        line(rating=float("nan")),
        b'{"kind":"rating","id":"x","about":{"prompt":"","response":""},"rating":1e999}',
        line(rating=3).replace(b": 3", b": " + b"9" * 5000),
        line(id=""),
        line(id=7),
        line(about=None),
        line(about={"prompt": "p"}),
        line(about={"prompt": 1, "response": "r"}),
        line(kind="opinion"),
        line(kind=None),
        line(kind="pair"),
        line(kind="pair", first={"prompt": "p", "response": "r"}, second={}, choice=1),
        line(kind="skip", samples=[]),
        line(kind="undo", of=None),
    ],
)
def test_what_is_no_judgement_is_counted_and_the_rest_is_read(file, damaged):
    given = rating()
    file.append(given)
    with file.path.open("ab") as opened:
        opened.write(damaged + b"\n")
    file.append(rating(2, about=BAD))
    held = file.read()
    assert (held.count, held.damaged) == (2, 1)


def test_a_whole_number_may_be_written_as_a_float(file):
    file.path.write_bytes(line(rating=3.0) + b"\n")
    (held,) = file.read().ratings
    assert (held.rating, type(held.rating)) == (3, int)


def test_what_is_of_less_weight_gets_its_default(file):
    file.path.write_bytes(line(time="noon", rater=None, note=5) + b"\n")
    (held,) = file.read().ratings
    assert (held.time, held.rater, held.note, held.base) == (0.0, "", "", "")


def test_what_a_newer_version_wrote_is_left_out_and_is_no_damage(file):
    file.path.write_bytes(line(v=2, kind="ranking") + b"\n" + line(v=2) + b"\n")
    assert file.read() == Ratings(newer=2)


def test_what_a_newer_version_wrote_is_refused_where_it_would_be_missed(file):
    file.path.write_bytes(line() + b"\n" + line(v=2) + b"\n")
    with pytest.raises(RunError, match="newer ppo-tui") as caught:
        file.read(refuse_newer=True)
    assert caught.value.code == "ratings.newer_schema"


def test_a_line_longer_than_any_is_stepped_over(file, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    with file.path.open("wb") as opened:
        opened.write(b"x" * 5000 + b"\n" + line() + b"\n" + b"y" * 1000)
    held = file.read()
    assert (held.count, held.damaged) == (1, 2)


def test_a_whole_last_line_without_its_end_counts(file):
    file.path.write_bytes(line())
    assert file.read().count == 1
    file.append(rating())
    assert (file.read().count, file.read().damaged) == (2, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(content=st.binary(max_size=200), cut=st.integers(0, 2000))
def test_whatever_stands_in_the_file_a_new_rating_is_kept(file, content, cut):
    whole = json.dumps(module.to_json(rating())).encode() + b"\n"
    file.path.write_bytes(content + b"\n" + whole[:cut])
    before = file.read().count
    given = rating(1, about=BAD)
    file.append(given)
    held = file.read()
    assert given in held.ratings
    assert held.count == before + 1


# ---- other things than files


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to(path.with_name("config.yaml")), "a symbolic link"),
        (lambda path: path.symlink_to(path.with_name("nowhere")), "a symbolic link"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: os.mkfifo(path), "a pipe or a device"),
    ],
)
def test_what_is_no_file_is_refused_in_one_sentence(file, make, words):
    make(file.path)
    for refused in (file.read, lambda: file.append(rating())):
        with pytest.raises(RunError) as caught:
            refused()
        assert caught.value.code == "ratings.no_file"
        assert f"ratings.jsonl is {words}, not a file of ratings" in caught.value.message
    assert not file.path.with_name("nowhere").exists()


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        RatingsFile(tmp_path / "gone" / "ratings.jsonl").append(rating())


def test_a_full_disk_takes_nothing_back_and_the_next_rating_stands_alone(small_disk):
    file = RatingsFile(small_disk / "ratings.jsonl")
    given = rating()
    file.append(given)
    with pytest.raises(StorageError) as caught:
        file.append(rating(3, about=About("long", "x" * 200_000, "", 0)))
    assert caught.value.code == "storage.full"
    assert given in file.read().ratings


def test_a_file_that_another_process_holds_is_waited_for_and_then_reported(file, monkeypatch):
    import fcntl

    file.append(rating())
    with file.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
        with pytest.raises(StorageError) as caught:
            file.append(rating(2))
    assert caught.value.code == "ratings.locked"
    assert file.read().count == 1


# ---- several raters, and processes that die


def give_many(path, rater, count):
    file = RatingsFile(path)
    for number in range(count):
        about = About("the cat", f" {number}", f"1-{number}", 0, "A" * 3000)
        file.append(new_rating(rater, "bundled", BASE, "first", about, 1 + number % 5))


def test_all_that_several_raters_give_at_once_is_kept(file):
    context = multiprocessing.get_context("fork")
    names = ["ann", "ben", "cem", "dee"]
    raters = [context.Process(target=give_many, args=(file.path, name, 50)) for name in names]
    for rater in raters:
        rater.start()
    for rater in raters:
        rater.join()
    held = file.read()
    assert held.raters == dict.fromkeys(names, 50)
    assert held.damaged == 0


GIVER = """
import sys
from pathlib import Path
from ppo_tui.runs.ratings import About, RatingsFile, new_rating

file = RatingsFile(Path(sys.argv[1]))
for number in range(100000):
    about = About(sys.argv[2], str(number), f"1-{number}", 0, "A" * 200000)
    given = new_rating("ann", "bundled", "sha256:ab", "first", about, 1 + number % 5)
    file.append(given)
    print(given.id, flush=True)
"""


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_raters_are_killed(file, python_path):
    acknowledged = []
    for attempt in range(12):
        givers = [
            subprocess.Popen(
                [sys.executable, "-c", GIVER, str(file.path), f"{attempt}-{number}"],
                stdout=subprocess.PIPE,
            )
            for number in range(2)
        ]
        acknowledged += [giver.stdout.readline().decode().strip() for giver in givers]
        time.sleep(0.01 + 0.003 * attempt)
        for giver in givers:
            giver.send_signal(signal.SIGKILL)
        for giver in givers:
            acknowledged += giver.communicate()[0].decode().split()
        file.append(rating(1, about=About("between", str(attempt), "", 0)))
    held = file.read()
    ids = [each.id for each in held.ratings]
    assert set(filter(None, acknowledged)) <= set(ids)
    assert len(ids) == len(set(ids))
    assert sum(each.about.prompt == "between" for each in held.ratings) == 12
    assert held.damaged <= 24


# ---- into and out of files


@pytest.fixture
def other(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "other", "model:\n  name: bundled\n")


def test_what_is_in_force_is_exported_readings_and_all(run, file, tmp_path):
    undone, kept, compared = rating(1, about=BAD), rating(), pair()
    file.append(undone, kept, compared, new_skip("ann", [BAD]), new_undo("ann", undone.id))
    target = tmp_path / "mine.jsonl"
    assert export_ratings(run, target) == 2
    assert RatingsFile(target).read() == Ratings((kept,), (compared,))
    assert target.read_text().count("\n") == 2


def test_an_export_replaces_no_file_unless_told_to(run, file, tmp_path):
    file.append(rating())
    target = tmp_path / "mine.jsonl"
    target.write_text("mine")
    with pytest.raises(RunError) as caught:
        export_ratings(run, target)
    assert caught.value.code == "ratings.exists"
    assert target.read_text() == "mine"
    assert export_ratings(run, target, overwrite=True) == 1


def test_an_export_never_replaces_the_ratings_of_a_run(run, file, other):
    file.append(rating())
    for target in (file.path, other.ratings_path):
        with pytest.raises(RunError) as caught:
            export_ratings(run, target, overwrite=True)
        assert caught.value.code == "ratings.own"
    assert file.read().count == 1


def test_a_run_without_ratings_exports_nothing(run, tmp_path):
    with pytest.raises(RunError) as caught:
        export_ratings(run, tmp_path / "mine.jsonl")
    assert caught.value.code == "ratings.none"
    assert not (tmp_path / "mine.jsonl").exists()


def test_ratings_are_imported_once_from_a_run_and_from_its_file(run, file, other, tmp_path):
    file.append(rating(), pair(), rating(2, about=BAD, base="sha256:cd"))
    done = import_ratings(run.path, other, BASE)
    assert (done.added, done.already, done.other_base, done.damaged) == (2, 0, 1, 0)
    export_ratings(run, tmp_path / "mine.jsonl")
    again = import_ratings(tmp_path / "mine.jsonl", other, BASE)
    assert (again.added, again.already, again.other_base) == (0, 2, 1)
    assert RatingsFile(other.ratings_path).read().count == 2


def test_what_was_taken_back_here_stays_so_and_what_was_there_since_is_taken_back(run, file, other):
    here, there = rating(), rating(2, about=BAD)
    file.append(here, there)
    import_ratings(run.path, other, BASE)
    target = RatingsFile(other.ratings_path)
    target.append(new_undo("ann", here.id))
    file.append(new_undo("ann", there.id))
    done = import_ratings(run.path, other, BASE)
    assert (done.added, done.already, done.taken_back) == (0, 1, 1)
    assert target.read().count == 0
    assert import_ratings(run.path, other, BASE).taken_back == 0


def test_ratings_of_another_base_are_refused_with_both_names(run, file, other):
    file.append(rating(base="sha256:cd"))
    with pytest.raises(RunError) as caught:
        import_ratings(run.path, other, BASE, "Qwen/Qwen3-0.6B")
    assert caught.value.code == "ratings.other_base"
    assert "bundled" in caught.value.message
    assert "Qwen/Qwen3-0.6B" in caught.value.message
    assert not other.ratings_path.exists()


def test_without_the_models_weights_it_cannot_be_told_what_fits(run, file, other):
    file.append(rating(base=""))
    with pytest.raises(RunError) as caught:
        import_ratings(run.path, other, "", "gone")
    assert caught.value.code == "ratings.base_unknown"


def test_a_source_that_is_cut_gives_what_is_whole(run, file, other):
    file.append(rating(), rating(2, about=BAD))
    file.path.write_bytes(file.path.read_bytes()[:-40])
    done = import_ratings(file.path, other, BASE)
    assert (done.added, done.damaged) == (1, 1)


def test_a_link_that_a_person_names_is_followed(run, file, other, tmp_path):
    file.append(rating())
    (tmp_path / "link").symlink_to(file.path)
    assert import_ratings(tmp_path / "link", other, BASE).added == 1


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "ratings.missing"),
        (lambda path: path.mkdir(), "ratings.missing"),
        (lambda path: os.mkfifo(path), "ratings.missing"),
        (lambda path: path.write_text(""), "ratings.none"),
        (lambda path: path.write_text("hello\n\n"), "ratings.none"),
    ],
)
def test_a_source_without_ratings_is_refused(other, tmp_path, make, code):
    make(tmp_path / "source")
    with pytest.raises(RunError) as caught:
        import_ratings(tmp_path / "source", other, BASE)
    assert caught.value.code == code
    assert "\n" not in caught.value.message
