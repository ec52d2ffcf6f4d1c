"""The process itself: what stands on its stdout, and that it never outlives whoever asked."""

import signal
import subprocess
import sys
import threading

import pytest

from ppo_tui.conversation import (
    Ask,
    Cancel,
    Done,
    Failure,
    Piece,
    Ready,
    Status,
    encode,
    read_reply,
    start_command,
)
from ppo_tui.runs.process import identify

from .tuned import save_tuned

PATIENCE = 120


@pytest.fixture
def start(run):
    started = []

    def begin():
        process = subprocess.Popen(
            start_command(run),
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


@pytest.mark.slow
def test_a_whole_conversation(run, config, start):
    save_tuned(run, config, [3])
    process = start()
    loading = replies(process, lambda reply: isinstance(reply, Ready))
    assert loading[-1].step == 3
    assert all(isinstance(reply, Status) for reply in loading[:-1])

    tell(process, Ask("1", "the cat", "tuned", seed=2))
    answer = replies(process, lambda reply: isinstance(reply, Done))
    assert "".join(r.text for r in answer if isinstance(r, Piece)) == answer[-1].text

    tell(process, b"no json\n", Ask("2", "the cat", max_tokens=1000))
    unread, refused = replies(process, lambda reply: getattr(reply, "id", "") == "2")
    assert (unread.code, unread.fatal) == ("playground.request", False)
    assert (refused.code, refused.fatal) == ("data.no_room", False)

    # Taken back before its turn: the requests are read while another question is answered.
    tell(process, Ask("3", "a", max_tokens=90), Ask("4", "b"), Cancel("3"), Cancel("4"))
    assert replies(process, lambda reply: reply.id == "4")[-1].cancelled

    process.stdin.close()
    assert process.wait(PATIENCE) == 0


def test_without_a_checkpoint_it_says_so_and_ends(start):
    process = start()
    (failure,) = replies(process, lambda reply: isinstance(reply, Failure))[-1:]
    assert (failure.code, failure.fatal) == ("checkpoint.none", True)
    assert process.wait(PATIENCE) == 1


def test_it_ends_with_its_stdin_while_it_is_loading(run, config, start):
    save_tuned(run, config, [3])
    process = start()
    replies(process, lambda reply: isinstance(reply, Status))
    process.stdin.close()
    assert process.wait(PATIENCE) == 0


STARTER = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_it_does_not_outlive_an_app_that_is_killed(run, config):
    save_tuned(run, config, [3])
    command = [sys.executable, "-c", STARTER, *start_command(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as app:
        child = identify(int(app.stdout.readline()))
        app.kill()
    for _ in range(PATIENCE * 50):
        if not child.is_running():
            break
        threading.Event().wait(0.02)
    assert not child.is_running()


def test_what_a_library_prints_does_not_stand_among_the_replies():
    code = (
        "import os; from ppo_tui.conversation import Status, encode\n"
        "from ppo_tui.spoken import take_over_stdout; say = take_over_stdout(encode)\n"
        "print('noise', flush=True); os.system('echo noise'); say(Status('signal'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == encode(Status("signal"))
    assert done.stderr.count(b"noise") == 2


@pytest.mark.parametrize("arguments", [[], ["run", "--checkpoint"], ["run", "--checkpoint", "x"]])
def test_wrong_arguments_are_a_usage_error(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ppo_tui.playground", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage:")
