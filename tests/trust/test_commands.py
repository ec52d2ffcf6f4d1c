"""`ppo-tui trust`, and `--trust` and the question of the commands that start a run."""

import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from ppo_tui import trust
from ppo_tui.config.resolve import resolve
from ppo_tui.confirmations import read_store
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import last_launch


@pytest.fixture
def here(capsys):
    """A command in this process: its exit code, what stands on stdout and on stderr."""
    from ppo_tui.cli.entry import run

    def start(*arguments):
        capsys.readouterr()
        code = run([str(each) for each in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return start


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def setting_of(reward):
    return f"reward.terms=[{{kind: python, path: {reward.path}}}]"


def error_of(out):
    return json.loads(out)["error"]


def test_an_unconfirmed_reward_file_is_refused_with_the_way_out(here, reward, home):
    code, out, _ = here("train", "demo", "--set", setting_of(reward), "--json")
    assert code == 3
    assert error_of(out) == {
        "code": "trust.reward_file",
        "message": f"The reward file {reward.path} would run on this computer, and you have not "
        f"confirmed it (SHA-256 {sha256(reward.path)[:12]}…): read it, then "
        f"`ppo-tui trust add {reward.path}`.",
        "hint": "",
    }
    assert not (home / "runs").exists()
    assert not reward.ran


def test_a_model_that_asks_for_its_own_code_is_refused_with_the_way_out(here, home):
    settings = ["--set", "model.name=org/model", "--set", "model.trust_remote_code=true"]
    code, out, _ = here("train", "demo", *settings, "--json")
    assert code == 3
    assert error_of(out)["code"] == "trust.model"
    assert "`ppo-tui trust add org/model`" in error_of(out)["message"]
    assert not (home / "runs").exists()


@pytest.mark.parametrize("said", ["path", "digest"])
def test_trust_confirms_what_the_run_executes_and_says_so_in_full(
    here, reward, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    name = reward.path.name if said == "path" else sha256(reward.path)[:12]
    # Of the prompts nothing is there, so that nothing starts.
    arguments = ["--set", setting_of(reward), "--set", "data.prompts=gone.txt", "--trust", name]
    code, _, err = here("train", "demo", *arguments)
    assert code == 4
    assert f"Confirmed: reward file  {reward.path}  SHA-256 {sha256(reward.path)}" in err
    assert trust.unconfirmed([trust.reward_file(str(reward.path))]) == ()
    assert not reward.ran


@pytest.mark.parametrize("name", ["sentiment", "other.py", "abc", "org/model"])
def test_trust_of_what_the_run_does_not_execute_is_a_mistake(here, reward, name):
    code, _, err = here("train", "demo", "--set", setting_of(reward), "--trust", name)
    assert code == 2
    assert f"the run executes no such code; it is {reward.path}." in err
    assert read_store().entries == ()


def test_trust_has_no_meaning_where_nothing_starts(here, reward):
    arguments = ["--set", setting_of(reward), "--dry-run", "--trust", reward.path]
    code, _, err = here("train", "demo", *arguments)
    assert code == 2
    assert "--trust has no meaning with --dry-run" in err


def test_a_run_from_elsewhere_is_resumed_only_with_the_users_word(here, reward, home):
    text = resolve("demo", [setting_of(reward), "steps=1"]).to_yaml()
    run = RunDirectory.create(home / "runs" / "theirs", text, total=1)
    code, _, err = here("resume", "theirs", "--detach")
    assert code == 3
    assert f"`ppo-tui trust add {reward.path}`" in err
    assert not run.launch_path.exists()
    assert not reward.ran

    code, _, err = here("resume", "theirs", "--detach", "--trust", reward.path)
    assert code == 0
    assert f"SHA-256 {sha256(reward.path)}" in err
    launch = last_launch(run)
    assert launch is not None
    os.kill(launch.process.pid, signal.SIGKILL)


def test_what_is_confirmed_is_listed_and_taken_back(here, reward):
    digest = sha256(reward.path)
    assert here("trust", "list")[2] == "Nothing is confirmed.\n"
    assert here("trust", "add", reward.path)[0] == 0
    assert here("trust", "add", "org/model", "--revision", "v1")[0] == 0
    code, out, _ = here("trust", "list")
    assert (code, out.splitlines()) == (
        0,
        [
            f"reward file  {reward.path}  SHA-256 {digest}",
            "model  org/model at v1  by its name",
        ],
    )
    listed = json.loads(here("trust", "list", "--json")[1])
    assert [entry["sha256"] for entry in listed["confirmed"]] == [digest, None]
    assert listed["problem"] == ""

    assert here("trust", "remove", digest[:12])[0] == 0
    code, _, err = here("trust", "remove", digest[:12])
    assert code == 2
    assert "is confirmed; `ppo-tui trust list` lists what is." in err
    assert here("trust", "remove", "org/model")[0] == 0
    assert read_store().entries == ()


def test_a_models_folder_is_confirmed_as_it_is_now(here, model):
    code, out, _ = here("trust", "add", model.path, "--json")
    assert code == 0
    (entry,) = json.loads(out)["confirmed"]
    assert (entry["kind"], entry["name"]) == ("model", str(model.path))
    assert len(entry["sha256"]) == 64
    assert not model.ran


@pytest.mark.parametrize("name", ["./gone", "gone.py", "~/gone/it", "a/b/c", "what is this?"])
def test_what_is_neither_there_nor_a_name_of_the_hub_is_not_confirmed(here, name):
    code, _, err = here("trust", "add", name)
    assert code == 4
    assert "does not exist" in err
    assert read_store().entries == ()


def test_a_damaged_store_is_told(here, home):
    home.mkdir()
    (home / "trusted.json").write_text("{")
    code, out, err = here("trust", "list")
    assert (code, out) == (0, "")
    assert "is damaged, so nothing counts" in err


def train_on_terminal(answer, *arguments):
    """What `ppo-tui train demo` says on a terminal on which somebody answers; its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", "train", "demo", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    written, deadline, asked = b"", time.monotonic() + 100, False
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        written += piece
        if not piece:
            break
        if not asked and b"[y/N]" in written:
            asked = True
            os.write(ours, answer)
    os.close(ours)
    return written.decode().replace("\r\n", "\n"), process.wait(10)


def test_on_a_terminal_it_is_asked_and_shown_harmlessly(reward, home):
    reward.path.write_text("# \x1b]0;title\x07\x1b[31m\n" + reward.path.read_text())
    written, code = train_on_terminal(b"n\n", "--set", setting_of(reward))
    assert code == 3
    assert f"  Reward file {reward.path} ({reward.path.stat().st_size} bytes)" in written
    assert f"  SHA-256 {sha256(reward.path)}" in written
    assert r"  | # \x1b]0;title\x07\x1b[31m" in written
    assert "\x1b" not in written
    assert "  | from pathlib import Path" in written
    assert f"`ppo-tui trust add {reward.path}`" in written
    assert read_store().entries == ()
    assert not (home / "runs").exists()
    assert not reward.ran


def test_a_yes_on_a_terminal_is_remembered(reward):
    # Of the prompts nothing is there, so that nothing starts.
    arguments = ["--set", setting_of(reward), "--set", "data.prompts=/gone/prompts.txt"]
    written, code = train_on_terminal(b"y\n", *arguments)
    assert code == 4
    assert "/gone/prompts.txt" in written
    assert [entry.sha256 for entry in read_store().entries] == [sha256(reward.path)]
    again, _ = train_on_terminal(b"n\n", *arguments)
    assert "[y/N]" not in again


def test_a_folder_without_a_model_is_not_confirmed_as_one(here, reward):
    code, out, _ = here("trust", "add", reward.path.parent, "--json")
    assert code == 4
    assert error_of(out)["code"] == "model.not_a_model"
    assert here("trust", "add", "", "--json")[0] == 2
    assert read_store().entries == ()
