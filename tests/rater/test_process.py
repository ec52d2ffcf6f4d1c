"""The process that advises: what stands on its stdout, and that it never outlives whoever asked."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.rating_talk import (
    Failure,
    Questions,
    Ready,
    Taught,
    Want,
    encode,
    read_reply,
    start_command,
)
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.ratings import About, RatingsFile, new_rating
from ppo_tui.runs.strict_json import dumps
from ppo_tui.taste.reading import encode as encode_reading

PATIENCE = 60


@pytest.fixture
def run(tmp_path):
    run = RunDirectory.create(tmp_path / "run", resolve("demo").to_yaml(), total=30)
    generator = np.random.default_rng(0)
    with run.pool_path.open("w", encoding="utf-8") as file:
        for number in range(40):
            reading = encode_reading(generator.standard_normal(5 * 4 + 1))
            prompt, response = f"Prompt {number % 5}", f" answer {number} of its own"
            text = Candidate(f"r0-{number}", 0, prompt, response, 9, True, reading)
            file.write(dumps(text.to_json()) + "\n")
    return run


@pytest.fixture
def start(run):
    started = []

    def begin(*arguments):
        process = subprocess.Popen(
            list(arguments) or start_command(run, "ada"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            if process.poll() is None:
                process.kill()


def replies(process, last):
    """The replies up to the first for which `last` holds."""
    heard = []
    while not (heard and last(heard[-1])):
        line = process.stdout.readline()
        assert line, f"it ended after {heard}"
        heard.append(read_reply(line))
    return heard


def tell(process, *requests):
    for request in requests:
        process.stdin.write(request if isinstance(request, bytes) else encode(request))
    process.stdin.flush()


def is_taught(count):
    return lambda reply: isinstance(reply, Taught) and reply.lesson.ratings == count


@pytest.mark.slow
def test_a_whole_conversation(run, start):
    process = start()
    replies(process, lambda reply: isinstance(reply, Ready))
    tell(process, Want(1, "single", 3))
    asked = replies(process, lambda reply: isinstance(reply, Questions))[-1]
    assert (asked.number, asked.kind, len(asked.questions)) == (1, "single", 3)
    shown = asked.questions[0].first

    tell(process, Want(2, "pair", 2, (shown.id,)))
    pairs = replies(process, lambda reply: isinstance(reply, Questions))[-1]
    assert pairs.number == 2
    assert all(pair.first.prompt == pair.second.prompt for pair in pairs.questions)

    # What is rated meanwhile is noticed without a word.
    about = About.of(shown)
    RatingsFile(run.ratings_path).append(new_rating("ada", "bundled", "", "run", about, 4))
    replies(process, is_taught(1))
    tell(process, Want(3, "single", 39))
    asked = replies(process, lambda reply: isinstance(reply, Questions))[-1]
    assert shown.id not in {question.first.id for question in asked.questions}

    tell(process, b"no json\n")
    failure = replies(process, lambda reply: isinstance(reply, Failure))[-1]
    assert (failure.code, failure.fatal) == ("rating.request", False)

    process.stdin.close()
    assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_what_cannot_be_read_is_said_once_and_read_when_it_can_be(run, start):
    run.ratings_path.mkdir()
    process = start()
    failure = replies(process, lambda reply: isinstance(reply, Failure))[-1]
    assert (failure.code, failure.fatal) == ("ratings.no_file", False)
    run.ratings_path.rmdir()
    heard = replies(process, is_taught(0))
    assert not any(isinstance(reply, Failure) for reply in heard)


@pytest.mark.slow
def test_it_takes_one_thread_and_no_more(run, start):
    process = start()
    replies(process, lambda reply: isinstance(reply, Ready))
    threads = os.listdir(f"/proc/{process.pid}/task") if os.path.isdir("/proc") else []
    assert len(threads) <= 2  # its own and the one that reads stdin


def test_a_run_that_is_not_there_is_said(tmp_path, start):
    process = start(sys.executable, "-m", "ppo_tui.rater", str(tmp_path / "gone"), "--rater", "ada")
    [failure] = replies(process, lambda reply: isinstance(reply, Failure))
    assert (failure.code, failure.fatal) == ("run.missing", True)
    assert process.wait(PATIENCE) == 1


def test_a_wrong_call_is_a_usage_error():
    command = [sys.executable, "-m", "ppo_tui.rater", "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "usage: python -m ppo_tui.rater RUN_DIR --rater NAME\n"


def test_it_ends_with_its_stdin_whatever_it_is_doing(start):
    process = start()
    process.stdin.close()
    begun = time.monotonic()
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - begun < 30
