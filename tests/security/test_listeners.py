"""Nothing of the program listens for others: not its processes, not the app."""

import os
import socket
import subprocess
import sys

import psutil
import pytest
from worker.processes import answer_to, make_run, start, wait_for

from ppo_tui.runs.control import post
from screens.test_terminal import Terminal


def listening(pid: int) -> list[str]:
    """Addresses at which a process or one that it started can be reached from elsewhere."""
    process = psutil.Process(pid)
    return [
        f"{each.laddr.ip}:{each.laddr.port}"
        for one in (process, *process.children(recursive=True))
        for each in one.net_connections("inet")
        # A datagram socket that is bound takes what comes, without the word for it.
        if each.status == psutil.CONN_LISTEN or (each.type == socket.SOCK_DGRAM and each.laddr)
        if each.laddr.ip not in ("127.0.0.1", "::1")
    ]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_listener_would_be_noticed(address):
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        port = server.getsockname()[1]
        assert (f"{address}:{port}" in listening(os.getpid())) == (address == "0.0.0.0")


def test_a_worker_and_what_is_spoken_to_listen_nowhere(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(steps=2, checkpoint={"every": 1}))
    asked = post(run, "checkpoint"), post(run, "pause")
    worker = start(run)
    wait_for(lambda: all(answer_to(run, each) for each in asked), worker)
    assert listening(worker.pid) == []
    for module, *more in (("ppo_tui.playground",), ("ppo_tui.rater", "--rater", "ada")):
        spoken = subprocess.Popen(
            [sys.executable, "-m", module, str(run.path), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert spoken.stdout is not None
        # Ready, or unable to be: either way everything that it loads is loaded.
        while line := spoken.stdout.readline():
            if b'"ready"' in line or b'"failure"' in line:
                break
        assert b'"ready"' in line
        assert listening(spoken.pid) == []
        spoken.communicate()
    post(run, "stop", mode="now")
    assert worker.wait(120) == 5


def test_the_app_listens_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    with Terminal() as terminal:
        terminal.shows("Runs")
        assert listening(terminal.process.pid) == []
        terminal.press("q")
        assert terminal.ends() == 0
