"""No command sends what a terminal would obey, whatever the run, preset, model or file holds."""

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from ppo_tui.cli.entry import run as command_line
from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory

from .worlds import BAD, ESCAPES, LONG, NAME, home, hostile_run, model, untamed, write_lines

# A setting is read as YAML, which takes such characters as escapes alone.
MODEL = r'model.name="./model\x1b[2J"'
PROMPTS = r'data.prompts="prompts\x1b[2J.csv"'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The hostile home, with a decent run in it, and a folder to be in."""
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PPO_TUI_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    home(tmp_path / "home")
    RunDirectory.create(tmp_path / "home" / "runs" / "decent", resolve("demo").to_yaml(), total=30)
    model(tmp_path / "work" / "model\x1b[2J")
    model(tmp_path / "cache" / "models--ada--tiny[red]" / "snapshots" / "0123")
    (tmp_path / "work" / "conf\x9big.yaml").write_text(f"{json.dumps(ESCAPES)}: 1\n")
    (tmp_path / "work" / "prompts\x1b[2J.csv").write_text("x\x1b[2J,y\n1,2\n")
    write_lines(tmp_path / "work" / "ratings\x1b[2J.jsonl", {"kind": BAD, "v": 1})
    return tmp_path


COMMANDS = {
    "greeting": ((), 0),
    "list": (("runs", "list"), 0),
    "show": (("runs", "show", NAME), 0),
    "show broken": (("runs", "show", f"broken{NAME}"), None),
    "show none": (("runs", "show", ESCAPES.replace("\0", "")), 1),
    "compare": (("runs", "compare", NAME, "decent"), 0),
    "compare broken": (("runs", "compare", NAME, f"broken{NAME}"), None),
    "delete": (("runs", "delete", NAME), 2),
    "delete it": (("runs", "delete", NAME, "--yes"), 0),
    "watch": (("watch", NAME), 1),
    "watch broken": (("watch", f"broken{NAME}"), None),
    "open": ((NAME,), 2),
    "pause": (("pause", NAME), 1),
    "resume broken": (("resume", f"broken{NAME}"), None),
    "rate": (("rate", NAME), 0),
    "rate pairs": (("rate", NAME, "--pairs"), 0),
    "rate as": (("rate", NAME, "--rater", "a\x1b[2Jda"), None),
    "ratings": (("ratings", "show", NAME), 0),
    "ratings out": (("ratings", "export", NAME, "out\x1b[2J"), 0),
    "ratings in": (("ratings", "import", "decent", "ratings\x1b[2J.jsonl"), None),
    "reward show": (("reward", "show", NAME), None),
    "reward fit": (("reward", "fit", NAME, "--to", "reward\x1b[2J"), None),
    "chat": (("chat", NAME, "--prompt", BAD.split(chr(0))[0], "--checkpoint", "7"), 1),
    "export": (("export", NAME, "--to", "out\x1b[2J[red]"), 0),
    "export broken": (("export", f"broken{NAME}", "--to", "out"), 1),
    "presets": (("presets", "list"), 0),
    "preset": (("presets", "show", "own"), None),
    "bad preset": (("presets", "show", "ba\x1b[31md"), None),
    "raw preset": (("presets", "show", "raw"), 3),
    "presets valid": (("presets", "validate"), 3),
    "config": (("config", "validate", "conf\x9big.yaml"), 3),
    "config of run": (("config", "validate", f"../home/runs/{NAME}/config.yaml"), 0),
    "plan": (("plan", "own"), None),
    "dry run": (("train", f"../home/runs/{NAME}/config.yaml", "--dry-run"), None),
    "dry run of own": (("train", "own", "--dry-run"), None),
    "dry model": (("train", "demo", "--dry-run", "--set", MODEL), 4),
    "dry data": (("train", "demo", "--dry-run", "--set", PROMPTS), 4),
    "set": (("train", "demo", "--set", f"a={ESCAPES}"), None),
    "models": (("models", "list"), 0),
    "model": (("models", "check", "./model\x1b[2J"), 4),
    "doctor": (("doctor",), None),
    "unknown": (("tra\x1b[2Jin\x9b",), 2),
    "option": (("train", "--x\x1b[2J"), 2),
}


def say(capsys, monkeypatch, arguments, typed="4 fine\x1b[2J\nn note\nx\x1b[2J\ns\nu\np\n?\nq\n"):
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    capsys.readouterr()
    code = command_line([argument.replace("\0", "") for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_text_alone(place, capsys, monkeypatch, name):
    arguments, expected = COMMANDS[name]
    code, out, err = say(capsys, monkeypatch, arguments)
    assert (code if expected is None else expected) == code, err
    assert untamed(out, "\n\t") == []
    assert untamed(err, "\n\t") == []
    assert "Traceback" not in out + err
    assert "internal" not in out + err


@pytest.mark.parametrize("name", COMMANDS)
def test_its_json_is_json_and_harmless_to_look_at(place, capsys, monkeypatch, name):
    arguments, expected = COMMANDS[name]
    if name in ("greeting", "open", "unknown", "option"):
        pytest.skip("it has no --json")
    code, out, err = say(capsys, monkeypatch, (*arguments, "--json"))
    assert (code if expected is None else expected) == code, err + out
    assert untamed(out) == []
    assert untamed(err, "\n\t") == []
    value = json.loads(out)
    assert "internal" not in json.dumps(value.get("error", ""))


def test_what_was_said_is_told_whole_though(place, capsys, monkeypatch):
    _, out, _ = say(capsys, monkeypatch, ("runs", "show", NAME))
    assert r"\x1b]0;owned\x07" in out
    assert "[red on white]x[/][/red] {0} %s" in out
    _, out, _ = say(capsys, monkeypatch, ("runs", "show", NAME, "--json"))
    assert ESCAPES in json.loads(out)["error"]["message"]


@pytest.mark.parametrize("name", ["show", "watch", "compare", "rate", "list"])
def test_texts_of_a_megabyte_are_met_with_calm(place, capsys, monkeypatch, name):
    hostile_run(place / "home" / "runs", f"{NAME}long", LONG)
    arguments, expected = COMMANDS[name]
    arguments = [f"{NAME}long" if each == NAME else each for each in arguments]
    code, out, err = say(capsys, monkeypatch, arguments)
    assert code == expected, err[:500]
    assert untamed(out + err) == []


def on_terminal(*arguments, typed=b"", **environment):
    """What a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONWARNINGS": "ignore", **environment},
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed)
    written, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    process.wait(20)
    return written.decode("utf-8", "replace")


OWN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[AKJGH]|\x1b\[2K")
"""Colours, the cursor, and what a picture that repaints itself needs."""


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (("runs", "list"), b""),
        (("runs", "compare", NAME, "decent"), b""),
        (("watch", NAME, "--plain"), b""),
        (("runs", "delete", NAME), b"n\n"),
        (("rate", NAME), b"4 fine\nq\n"),
        (("presets", "list"), b""),
    ],
)
def test_on_a_terminal_only_its_own_colours_come_out(place, arguments, typed):
    said = on_terminal(*arguments, typed=typed)
    rest = OWN.sub("", said)
    assert untamed(rest, "\r\n\t") == []
    assert "owned" in rest or arguments[0] == "presets"
    assert "\x1b[31m" not in said.replace("\x1b[1;31m", "")
    assert (place / "home" / "runs" / NAME).exists()
