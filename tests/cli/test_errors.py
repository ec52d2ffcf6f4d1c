"""Bad input gets one clear sentence, an exit code, and nothing half-made."""

import json
import os
import subprocess
import sys

import pytest

from ppo_tui.errors import ConfigError

BAD_INPUT = {
    "train dmo": (3, "did you mean 'demo'?"),
    "train missing.yaml": (3, "There is no file missing.yaml."),
    "train demo --set ppo.klcoef=1": (3, "did you mean 'kl_coef'?"),
    "train demo --set ppo.clip=2": (3, "ppo.clip"),
    "train demo --set ppo.clip": (2, "is not of the form key=value"),
    "train demo --set data.prompts=none.txt": (4, "does not exist"),
    "train demo --set model.name=./none": (4, "There is no model folder"),
    "train demo --run-dir taken": (1, "exists already"),
    "demo --seed -1": (2, "--seed"),
    "plan demo --budget huge": (2, "is no size"),
    "config validate dmo": (3, "did you mean 'demo'?"),
    "presets show dmo": (3, "did you mean 'demo'?"),
    "resume nobody": (1, "there is no run 'nobody'"),
    "stop nobody": (1, "there is no run 'nobody'"),
    "trian demo": (2, "did you mean 'train'?"),
    "train demo --dry": (2, "--dry-run"),
    "watch": (2, "RUN"),
    "runs delet x": (2, "delete"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    (folder / "taken").mkdir(parents=True)
    (folder / "taken" / "file").touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(("line", "expected"), BAD_INPUT.items())
def test_bad_input_is_told_in_a_sentence(here, home, folder, line, expected):
    code, words = expected
    said = here(*line.split())
    assert said.code == code
    assert said.err.startswith("error: ")
    assert words in said.err
    assert said.out == ""
    assert not (home / "runs").exists()
    assert os.listdir(folder) == ["taken"]


@pytest.mark.parametrize(("line", "expected"), BAD_INPUT.items())
def test_bad_input_is_told_as_json(here, line, expected):
    code, words = expected
    said = here(*line.split(), "--json") if line != "runs delet x" else here(*line.split())
    assert said.code == code
    if line != "runs delet x":
        assert words in said.json["error"]["message"]
        assert set(said.json["error"]) == {"code", "message", "hint"}
        assert said.err == ""


def test_a_relative_prompt_file_is_looked_for_beside_the_configuration(here, folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "run.yaml").write_text("data: {prompts: mine.txt}\n")
    said = here("train", "sub/run.yaml", "--dry-run")
    assert said.code == 4
    assert os.path.join("sub", "mine.txt") in said.err
    (folder / "sub" / "mine.txt").write_text("A prompt\n")
    assert here("train", "sub/run.yaml", "--dry-run").code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "holds no prompt"), (b"\xff\xfe\x00", "UTF-8"), (b"\n\n", "holds no prompt")],
)
def test_a_useless_prompt_file_is_found_before_anything_is_made(here, home, folder, content, words):
    (folder / "prompts.txt").write_bytes(content)
    said = here("train", "demo", "--set", "data.prompts=prompts.txt")
    assert said.code == 4
    assert words in said.err
    assert not (home / "runs").exists()


def test_a_missing_column_is_found_before_anything_is_made(here, home, folder):
    (folder / "prompts.csv").write_text("text\nhello\n")
    said = here("train", "demo", "--set", "data.prompts=prompts.csv")
    assert (said.code, "prompt" in said.err) == (4, True)
    assert not (home / "runs").exists()


def test_a_missing_reward_file_is_found_before_anything_is_made(here, home):
    said = here("train", "demo", "--set", "reward.terms=[{kind: python, path: mine.py}]")
    assert said.code == 4
    assert "mine.py does not exist" in said.err
    assert not (home / "runs").exists()


def test_a_folder_that_is_no_model_is_found_before_anything_is_made(here, home, folder):
    said = here("train", "demo", "--set", "model.name=taken")
    assert said.code == 4
    assert "no config.json" in said.err
    assert not (home / "runs").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written_to_is_told(here, folder):
    folder.chmod(0o500)
    assert "no permission" in here("train", "demo", "--run-dir", "run").err
    folder.chmod(0o700)


def test_hostile_text_in_an_error_is_harmless(here):
    for line in (("train", "\x1b[31mdemo"), ("plan", "demo", "--set", "a\x9b2J=1"), ("\x1b[31m",)):
        said, as_json = here(*line), here(*line, "--json")
        assert said.code in (2, 3)
        assert not {"\x1b", "\x9b"}.intersection(said.err + as_json.out)
        assert as_json.json["error"]["message"]


def test_what_nobody_foresaw_is_a_sentence_and_a_saved_traceback(home, capsys):
    from ppo_tui.cli.failures import report_unexpected

    assert report_unexpected(ZeroDivisionError("by zero"), as_json=True) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "internal"
    assert error["message"] == "Something unexpected went wrong: ZeroDivisionError: by zero."
    (saved,) = (home / "errors").iterdir()
    assert str(saved) in error["hint"]
    assert "ZeroDivisionError" in saved.read_text()


def test_a_closed_pipe_is_met_in_silence():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ppo_tui", "config", "schema"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_sentence_about_a_book_is_still_a_sentence():
    error = ConfigError("a.yaml: unknown " + "9" * 100_000 + "; take the other one.", code="x")
    assert len(error.message) <= 2010
    assert error.message.startswith("a.yaml: unknown 999")
    assert error.message.endswith("999; take the other one.")
