"""`ppo-tui rate`: line by line, in a pipe and on a terminal; what was given is on the disk."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.ratings import RatingsFile

PROGRAM = [sys.executable, "-m", "ppo_tui"]
HOSTILE = "glad [bold]red[/] \x1b[31m\x1b]0;title\x07 \u202egnirts\nnext"
WORDS = ["fine", "dull", "great", "poor", "warm", "cold", "sharp", "long", "odd", "kind"]

WAITER = """
import sys, time
from pathlib import Path
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state

run = RunDirectory(Path(sys.argv[1]))
with RunLock(run):
    write_state(run, RunState(Phase.AWAITING_RATINGS, 0, 4, current_process(), message=sys.argv[2]))
    print("ready", flush=True)
    while (line := sys.stdin.readline()).strip():
        with run.pool_path.open("a") as pool:
            pool.write(line)
    write_state(run, RunState(Phase.FINISHED, 4, 4, current_process()))
"""


def candidate(number: int, response: str | None = None) -> Candidate:
    """Texts of four prompts; the reading says how good a text is, among other things."""
    random = np.random.default_rng(number)
    reading = random.normal(size=5 * 6 + 1)
    reading[0] = number % 5
    response = (
        f" {WORDS[number % 10]} {WORDS[number // 10 % 10]} {number}"
        if response is None
        else response
    )
    return Candidate(
        id=f"{number // 8}-{number % 8}",
        step=number // 8,
        prompt=f"the film number {number % 4} was",
        response=response,
        length=4,
        finished=True,
        reading=base64.b64encode(reading.astype("<f2").tobytes()).decode(),
    )


@pytest.fixture
def pool(run: RunDirectory) -> RunDirectory:
    """The run called first-run, with forty candidates."""
    with JournalWriter(run.pool_path) as journal:
        for number in range(40):
            journal.append(candidate(number).to_json())
    return run


@pytest.fixture
def rate(here, monkeypatch):
    """The program in this process, with lines piped into it."""

    def start(typed: str, *arguments: str):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        return here("rate", "first-run", *arguments)

    return start


@pytest.fixture
def rater():
    """Starts the program as a process that is typed to while it runs."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*PROGRAM, "rate", "first-run", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def say(process, text):
    process.stdin.write(text)
    process.stdin.flush()


def wait_for(process, words):
    while words not in (line := process.stdout.readline()):
        assert line, f"it ended without saying {words!r}: {process.stderr.read()}"


def held(run):
    return RatingsFile(run.ratings_path).read()


def test_lines_from_a_pipe_are_ratings_and_the_end_of_the_input_ends(pool, rate):
    said = rate("4\n2\n", "--rater", "ann")
    assert (said.code, said.err) == (0, "")
    first, second = held(pool).ratings
    assert (first.rating, second.rating) == (4, 2)
    assert first.about.text != second.about.text
    assert (first.rater, first.model, first.run) == ("ann", "bundled", "first-run")
    assert first.base.startswith("sha256:dd316a0f")
    known = {(c.prompt, c.response): c for c in map(candidate, range(40))}
    shown = known[first.about.text]
    assert (first.about.sample, first.about.step) == (shown.id, shown.step)
    assert first.about.reading == shown.reading
    assert f"answer    {first.about.response}" in said.out
    assert "1 rated." in said.out
    assert "2 given. first-run has 2 ratings, kept." in said.out


def test_as_json_stdout_is_the_summary_alone(pool, rate):
    said = rate("4\n1\ns\nu\ns\nq\n", "--json")
    assert json.loads(said.out) == {
        "run_dir": str(pool.path),
        "given": 2,
        "skipped": 1,
        "undone": 1,
        "ratings": 2,
        "pairs": 0,
        "correlation": None,
    }
    assert "the film number" in said.err


@pytest.mark.parametrize(
    ("typed", "choice"),
    [("1", 1.0), ("a", 1.0), ("2", 0.0), ("b", 0.0), ("=", 0.5), ("t", 0.5), ("A", 1.0)],
)
def test_two_answers_to_one_prompt_are_compared(pool, typed, choice, rate):
    said = rate(f"{typed}\n", "--pairs", "--limit", "1")
    assert said.code == 0
    (pair,) = held(pool).pairs
    assert pair.choice == choice
    assert pair.first.prompt == pair.second.prompt
    assert pair.first.response != pair.second.response
    assert f"1st       {pair.first.response}" in said.out
    assert f"2nd       {pair.second.response}" in said.out


def test_p_changes_between_one_answer_and_two(pool, rate):
    said = rate("p\n=\np\n3\n")
    assert said.code == 0
    assert (len(held(pool).pairs), len(held(pool).ratings)) == (1, 1)


def test_undo_takes_back_the_last_and_asks_it_again(pool, rate):
    said = rate("1\n2\nu\n5\nq\n")
    assert "Taken back: the 2." in said.out
    assert [each.rating for each in held(pool).ratings] == [1, 5]
    lines = [json.loads(line) for line in pool.ratings_path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["rating", "rating", "undo", "rating"]
    assert lines[3]["about"] == lines[1]["about"]
    assert lines[2]["of"] == lines[1]["id"]


def test_all_of_a_sitting_can_be_taken_back_but_no_more(pool, rate):
    said = rate("1\n2 dull\nn very dull\nu\nu\nu\nq\n")
    assert "There is nothing to take back" in said.out
    assert held(pool).count == 0
    assert said.code == 0


def test_notes_go_with_the_last_judgement_or_with_the_first(pool, rate):
    said = rate("n before\n1\n2\nn after, with \x1b[31m\n3 at once\ns\nn next\n4\nn\nq\n")
    notes = {each.rating: each.note for each in held(pool).ratings}
    assert notes == {1: "before", 2: "after, with \x1b[31m", 3: "at once", 4: "next"}
    assert "Type the note behind the n" in said.out
    assert "4 given, 1 skipped." in said.out
    assert "\x1b" not in said.out


def test_a_skipped_text_is_not_asked_of_the_same_person_again(pool, rate):
    rate("s\n" * 39 + "q\n", "--rater", "ann")
    said = rate("3\n4\n", "--rater", "ann")
    assert held(pool).count == 1
    assert "you have judged all that there is" in said.out
    assert said.code == 0
    rate("5\n", "--rater", "ben", "--limit", "1")
    assert held(pool).raters == {"ann": 1, "ben": 1}


def test_nothing_is_asked_twice_in_two_sittings(pool, rate):
    for _ in range(2):
        assert rate("3\n" * 20, "--limit", "20").code == 0
    texts = [each.about.text for each in held(pool).ratings]
    assert len(texts) == len(set(texts)) == 40
    assert rate("3\n").code == 0


@pytest.mark.parametrize(
    "typed",
    ["6", "0", "44", "good", "3.5", "", "-1", "x" * 5000, "qq", "s 1", "\x1b[A"],
    ids=range(11),
)
def test_what_is_no_answer_is_said_and_asked_again(pool, typed, rate):
    said = rate(f"{typed}\n3\n", "--limit", "1")
    assert said.out.count("is no answer; type 1 to 5, or ? for help.") == 1
    assert [each.rating for each in held(pool).ratings] == [3]
    assert max(map(len, said.out.splitlines())) < 300


def test_a_note_may_not_be_endless(pool, rate):
    said = rate(f"3 {'x' * 2000}\nq\n")
    assert "A note may have 1000 characters; this one has 2000." in said.out
    assert held(pool).count == 0


def test_help_lists_what_can_be_typed(pool, rate):
    said = rate("?\nq\n")
    assert "s             skip, and do not ask again" in said.out


def test_bytes_that_are_no_text_do_no_harm(pool):
    done = subprocess.run(
        [*PROGRAM, "rate", "first-run", "--limit", "1"],
        input=b"\xff\xfe\n4 \xe9t\xe9\n",
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert held(pool).ratings[0].note == "\ufffdt\ufffd"


def test_a_model_cannot_send_escape_sequences(run, rate):
    with JournalWriter(run.pool_path) as journal:
        journal.append(candidate(0, HOSTILE).to_json())
    said = rate("4\n", "--limit", "1")
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert r"\x1b]0;title\x07" in said.out
    assert "\n          next" in said.out
    assert held(run).ratings[0].about.response == HOSTILE


def test_after_a_few_it_says_how_well_it_guesses(pool, rate):
    scores = "".join(f"{1 + number % 5}\n" for number in range(10))
    said = rate(scores, "--json")
    assert json.loads(said.out)["ratings"] == 10
    asked = said.err.splitlines()
    assert sum("5 rated" in line for line in asked) >= 1


def test_an_older_run_is_rated_by_its_samples(run, start_worker, rate):
    start_worker(4, "finished").wait()
    said = rate("3\n", "--limit", "1")
    assert said.code == 0
    assert held(run).count == 1
    assert held(run).ratings[0].about.reading == ""


def test_a_run_that_wrote_nothing_and_never_will_is_refused(run, rate):
    said = rate("3\n", "--json")
    assert said.code == 1
    assert json.loads(said.out)["error"]["code"] == "ratings.nothing"
    assert rate("3\n").err.startswith("error: first-run holds nothing to rate")


def test_a_run_is_rated_even_when_its_model_is_gone(pool, rate):
    text = pool.config_path.read_text().replace("name: bundled", "name: /gone/model")
    pool.config_path.write_text(text)
    said = rate("3\n")
    assert said.code == 0
    assert "There is no model folder /gone/model." in said.out
    assert "kept, but without the model they cannot be learnt from" in said.out
    (given,) = held(pool).ratings
    assert (given.model, given.base) == ("/gone/model", "")


def test_damaged_lines_are_told_and_left_alone(pool, rate):
    pool.ratings_path.write_bytes(b'{"v":1,"kind":"rating","id":"x"')
    said = rate("3\n")
    assert "1 line of ratings.jsonl cannot be read; left out." in said.out
    assert (held(pool).count, held(pool).damaged) == (1, 1)


def test_a_link_in_place_of_the_ratings_is_refused(pool, tmp_path, rate):
    pool.ratings_path.symlink_to(tmp_path / "elsewhere")
    said = rate("3\n")
    assert said.code == 1
    assert "is a symbolic link, and a run's files must lie in it" in said.err
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x1bb", "a\nb"])
def test_a_name_that_cannot_stand_in_a_table_is_a_usage_error(pool, name, rate):
    said = rate("3\n", "--rater", name)
    assert said.code == 2
    assert "The rater's name is" in said.err
    assert held(pool).count == 0


def test_the_login_name_is_the_raters_if_none_is_given(pool, rate, monkeypatch):
    for name in ("grace", "\x1b[31m"):
        monkeypatch.setenv("LOGNAME", name)
        rate("3\n", "--limit", "1")
    assert held(pool).raters == {"grace": 1, "me": 1}


@pytest.fixture
def waiting(run):
    """Starts a stand-in for a run that waits for ratings; what it is sent it writes to its pool."""
    started = []

    def start(message="12 of 20 ratings"):
        process = subprocess.Popen(
            [sys.executable, "-c", WAITER, str(run.path), message],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_that_waits_says_how_many_more_it_needs(pool, waiting, rate):
    waiting()
    said = rate("3\n4\nu\n4\n")
    assert "1 rated; 7 more and the run goes on." in said.out
    assert said.out.count("2 rated; 6 more and the run goes on.") == 2


def test_what_a_run_says_otherwise_is_shown_as_it_is(pool, waiting, rate):
    waiting("22 ratings: all are equal")
    assert "1 rated; 22 ratings: all are equal." in rate("3\n").out


def test_candidates_that_come_later_are_waited_for(run, waiting, rater):
    worker = waiting("0 of 20 ratings")
    person = rater("--limit", "2")
    say(person, "4\n5\n")
    wait_for(person, "has written nothing to rate yet; waiting for it")
    say(worker, json.dumps(candidate(0).to_json()) + "\n")
    wait_for(person, "has nothing new to rate; waiting for it")
    say(worker, json.dumps(candidate(1).to_json()) + "\n")
    rest, _ = person.communicate(timeout=60)
    assert person.returncode == 0
    assert "2 given." in rest
    assert [each.about.sample for each in held(run).ratings] == ["0-0", "0-1"]


def test_the_end_of_the_run_ends_the_waiting(run, waiting, rater):
    with JournalWriter(run.pool_path) as journal:
        journal.append(candidate(0).to_json())
    worker, person = waiting(), rater()
    say(person, "3\n")
    wait_for(person, "nothing new to rate")
    say(worker, "\n")
    wait_for(person, "you have judged all that there is")
    assert person.wait(60) == 0


def test_where_no_text_is_left_pairs_are_asked_and_the_other_way_round(run, waiting, rater):
    worker = waiting()
    for number in (0, 4):
        say(worker, json.dumps(candidate(number).to_json()) + "\n")
    person = rater()
    say(person, "3\n4\n=\n")
    wait_for(person, "No single answer to ask about; here is the other kind of question.")
    wait_for(person, "has nothing new to rate")
    say(worker, json.dumps(candidate(1).to_json()) + "\n")
    say(person, "5\n")
    wait_for(person, "4 rated")
    assert [each.rating for each in held(run).ratings] == [3, 4, 5]
    assert [each.choice for each in held(run).pairs] == [0.5]


def test_ctrl_c_ends_cleanly_and_all_is_kept(pool, rater):
    person = rater()
    say(person, "3\n")
    wait_for(person, "1 rated")
    assert held(pool).count == 1
    person.send_signal(signal.SIGINT)
    out, err = person.communicate(timeout=60)
    assert person.returncode == 130
    assert "1 given. first-run has 1 rating, kept." in out
    assert err == ""


def test_what_was_given_is_on_the_disk_when_the_next_question_is_asked(pool, rater):
    person = rater()
    for count in range(1, 4):
        say(person, "3\n")
        wait_for(person, f"{count} rated")
    person.kill()
    person.wait()
    assert (held(pool).count, held(pool).damaged) == (3, 0)


def test_two_people_at_once_are_both_kept(pool, rater):
    people = [rater("--rater", name) for name in ("ann", "ben")]
    for person in people:
        say(person, "3\n" * 12 + "q\n")
    for person in people:
        wait_for(person, "12 given.")
    assert [person.wait(120) for person in people] == [0, 0]
    assert held(pool).raters == {"ann": 12, "ben": 12}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_on_a_terminal_it_prompts_and_ctrl_d_leaves(pool, terminal):
    import pty

    parent, child = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "rate", "first-run"],
        stdin=child,
        stdout=child,
        stderr=child,
        env={**os.environ, "TERM": terminal},
        start_new_session=True,
    ) as process:
        os.close(child)
        screen = Screen(parent)
        screen.wait_for("1-5 s u n p ? q > ")
        os.write(parent, b"4\n")
        screen.wait_for("1 rated.")
        screen.wait_for("1-5 s u n p ? q > ")
        os.write(parent, b"p\n")
        screen.wait_for("1 2 = s u n p ? q > ")
        os.write(parent, b"\x04")
        screen.wait_for("1 given. first-run has 1 rating, kept.")
        assert process.wait(60) == 0
    os.close(parent)
    assert "\x1b" not in screen.text
    assert held(pool).count == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_ctrl_c_leaves_with_130(pool):
    import pty

    parent, child = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "rate", "first-run", "--pairs"],
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    ) as process:
        os.close(child)
        screen = Screen(parent)
        screen.wait_for("q > ")
        process.send_signal(signal.SIGINT)
        screen.wait_for("0 given.")
        assert process.wait(60) == 130
    os.close(parent)
    assert "Traceback" not in screen.text


def test_rating_loads_neither_torch_nor_a_screen(pool):
    code = (
        "import io, sys; sys.stdin = io.StringIO('3\\n4\\n')\n"
        "from ppo_tui.cli.entry import run; assert run(['rate', 'first-run']) == 0\n"
        "assert not {'torch', 'transformers', 'peft', 'textual'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    assert held(pool).count == 2


class Screen:
    """What a program has written to its terminal."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.text = ""
        self.seen = 0

    def wait_for(self, words):
        deadline = time.monotonic() + 60
        while words not in self.text[self.seen :]:
            assert time.monotonic() < deadline, self.text
            self.text += os.read(self.terminal, 4096).decode(errors="replace")
        self.seen = self.text.index(words, self.seen) + len(words)
