"""`ppo-tui chat`: base and tuned model, one under the other, in a terminal and in a pipe."""

import json
import os
import subprocess
import sys

import pytest
from playground.tuned import save_tuned

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.runs.directory import RunDirectory

PROGRAM = [sys.executable, "-m", "ppo_tui"]


@pytest.fixture
def tuned(home, model_folder, small_config):
    """A run called talker, of a model that can write for long."""
    model = model_folder("llama", max_position_embeddings=200_000)
    config = small_config(model={"name": str(model)}, rollout={"response_tokens": 12})
    run = RunDirectory.create(home / "runs" / "talker", config_to_yaml(config), total=4)
    save_tuned(run, config, [3])
    return run


def chat(*arguments, typed=""):
    return subprocess.run(
        [*PROGRAM, "chat", "talker", *arguments],
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.slow
def test_one_question_as_json(tuned):
    said = chat("--json", "--seed", "3", typed="the cat sat\n")
    assert said.returncode == 0
    answer = json.loads(said.stdout)
    assert answer["prompt"] == "the cat sat"
    assert (answer["step"], answer["device"], answer["seed"]) == (3, "cpu", 3)
    assert (answer["temperature"], answer["max_tokens"]) == (1.0, 12)
    assert set(answer["answers"]) == {"base", "tuned"}
    assert answer["answers"]["base"] != answer["answers"]["tuned"]
    assert "Loading a copy of" in said.stderr


@pytest.mark.slow
def test_piped_lines_are_answered_one_after_the_other(tuned):
    said = chat("--max-tokens", "4", "--seed", "3", typed="the cat\n\nthe dog\n")
    assert said.returncode == 0
    names = [line.split(" ", 1)[0] for line in said.stdout.splitlines() if line[:1] in "bt"]
    assert names == ["base", "tuned", "base", "tuned"]


@pytest.mark.slow
def test_a_question_that_cannot_be_answered_says_why(tuned):
    said = chat("--prompt", "the cat", "--max-tokens", "200000", "--json")
    assert said.returncode == 3
    error = json.loads(said.stdout)["error"]
    assert error["code"] == "data.no_room"
    assert error["message"].startswith("An answer of up to 200000 tokens leaves no room")


def test_a_run_without_a_checkpoint_says_so(run):
    said = subprocess.run(
        [*PROGRAM, "chat", "first-run", "--json", "--prompt", "x"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
    )
    assert said.returncode == 1
    assert json.loads(said.stdout)["error"]["code"] == "checkpoint.none"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--who", "me"),
        ("--temperature", "0"),
        ("--temperature", "inf"),
        ("--temperature", "nan"),
        ("--max-tokens", "0"),
        ("--max-tokens", "1000001"),
        ("--seed", str(2**63)),
        ("--prompt", " "),
    ],
)
def test_a_wrong_option_is_a_usage_error(here, run, option, value):
    said = here("chat", "first-run", "--prompt", "x", option, value)
    assert said.code == 2
    assert option in said.err


def test_the_command_line_loads_no_torch(run):
    code = (
        "import sys; from ppo_tui.cli.entry import run; run(['chat', 'first-run', '-p', 'x'])\n"
        "assert not {'torch', 'transformers', 'peft', 'textual'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_terminal_ctrl_c_stops_an_answer_and_ctrl_d_leaves(tuned):
    import pty

    # At this temperature the model repeats itself for ever.
    command = [*PROGRAM, "chat", "talker", "--temperature", "1e-4", "--max-tokens", "100000"]
    parent, child = pty.openpty()
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, start_new_session=True
    ) as process:
        os.close(child)
        screen = Screen(parent)
        screen.wait_for("> ")
        os.write(parent, b"the cat\n")
        screen.wait_for("base ")
        process.send_signal(2)
        screen.wait_for("[stopped]")
        screen.wait_for("> ")
        os.write(parent, b"\x04")
        assert process.wait(60) == 0
    os.close(parent)
    assert "Traceback" not in screen.text
    assert "tuned " not in screen.text.partition("base ")[2]


class Screen:
    """What a program has written to its terminal."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.text = ""
        self.seen = 0

    def wait_for(self, words):
        while words not in self.text[self.seen :]:
            self.text += os.read(self.terminal, 4096).decode(errors="replace")
        self.seen = self.text.index(words, self.seen) + len(words)
