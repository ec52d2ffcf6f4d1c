"""A reward file that the user has not confirmed is never executed, whichever way it is named."""

import os
import py_compile
import shutil
import sys
from pathlib import Path

import pytest
from trusting import confirmed
from worker.processes import events, make_run, work

from ppo_tui.cli.entry import run as ppo_tui
from ppo_tui.config.resolve import resolve
from ppo_tui.config.rewards import PythonTerm
from ppo_tui.errors import ConfigError
from ppo_tui.prepare.new_run import make_run as make_new_run
from ppo_tui.prepare.resume import copied_settings, resume_run
from ppo_tui.rewards import Sample
from ppo_tui.rewards.python_file import PythonFile
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state


def terms_of(reward):
    return {"terms": [{"kind": "python", "path": str(reward.path)}]}


def setting_of(reward):
    return f"reward.terms=[{{kind: python, path: {reward.path}}}]"


def refused(path):
    with pytest.raises(ConfigError) as caught:
        PythonFile(PythonTerm(path=str(path)))
    assert caught.value.code == "trust.reward_file"
    return caught.value.message


def test_a_worker_on_somebodys_run_executes_nothing(small_config, reward, tmp_path):
    run = make_run(tmp_path / "run", small_config(reward=terms_of(reward)))
    assert work(run) == 3
    assert not reward.ran
    state = read_state(run)
    assert state.state is Phase.FAILED
    assert state.error is not None
    assert state.error.code == "trust.reward_file"
    assert f"`ppo-tui trust add {reward.path}`" in state.error.message


def test_once_it_is_confirmed_the_worker_runs_it_and_a_changed_one_not(
    small_config, reward, tmp_path
):
    confirmed(reward.path)
    run = make_run(tmp_path / "run", small_config(reward=terms_of(reward), steps=1))
    assert work(run) == 0
    assert reward.ran
    assert len(events(run, "step")) == 1

    reward.mark.unlink()
    with reward.path.open("a") as file:
        file.write("# changed\n")
    run = make_run(tmp_path / "another", small_config(reward=terms_of(reward), steps=1))
    assert work(run) == 3
    assert not reward.ran


def test_a_file_that_was_confirmed_runs_and_another_does_not(reward, tmp_path):
    message = refused(reward.path)
    assert "you have not confirmed it (SHA-256 " in message
    confirmed(reward.path)
    score = PythonFile(PythonTerm(path=str(reward.path)))
    assert score([Sample("", "eel", True)]) == [2.0]
    reward.mark.unlink()

    reward.path.write_text(reward.path.read_text() + "\n# one more line\n")
    assert "it has changed since you confirmed it" in refused(reward.path)
    assert not reward.ran


def test_a_link_is_as_good_as_what_it_leads_to_now(reward, tmp_path):
    good, link = tmp_path / "good.py", tmp_path / "link.py"
    good.write_text("def reward(prompts, responses): return [1.0]\n")
    link.symlink_to(good)
    confirmed(link)
    PythonFile(PythonTerm(path=str(link)))
    link.unlink()
    link.symlink_to(reward.path)
    refused(link)
    assert not reward.ran


def test_a_file_that_is_exchanged_after_it_was_looked_at_does_not_run(
    reward, tmp_path, monkeypatch
):
    theirs = reward.path.read_bytes()
    reward.path.write_text("def reward(prompts, responses): return [1.0]\n")
    confirmed(reward.path)
    read = Path.read_bytes

    def read_and_exchange(path):
        content = read(path)
        path.write_bytes(theirs)
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_exchange)
    score = PythonFile(PythonTerm(path=str(reward.path)))
    assert reward.path.stat().st_size == len(theirs)
    assert score([Sample("", "eel", True)]) == [1.0]
    assert not reward.ran


def test_a_file_that_is_exchanged_before_it_is_read_is_refused(reward, monkeypatch):
    theirs = reward.path.read_bytes()
    reward.path.write_text("def reward(prompts, responses): return [1.0]\n")
    confirmed(reward.path)
    monkeypatch.setattr(Path, "read_bytes", lambda path: theirs)
    refused(reward.path)
    assert not reward.ran


def test_bytecode_that_lies_beside_a_confirmed_file_is_not_taken(reward, tmp_path):
    theirs = reward.path.read_text()
    reward.path.write_text("def reward(prompts, responses): return [1.0]\n")
    confirmed(reward.path)
    evil = tmp_path / "evil.py"
    evil.write_text(theirs)
    cached = tmp_path / "__pycache__" / f"theirs.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(
        str(evil), str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert cached.exists()
    PythonFile(PythonTerm(path=str(reward.path)))
    assert not reward.ran


def test_a_run_that_names_it_is_not_even_made(reward, home):
    with pytest.raises(ConfigError) as caught:
        make_new_run(resolve("demo", [setting_of(reward)]), "demo", None)
    assert caught.value.code == "trust.reward_file"
    assert not (home / "runs").exists()
    assert not reward.ran


def test_a_run_directory_from_elsewhere_is_read_and_copied_but_not_resumed(
    small_config, reward, home, tmp_path
):
    theirs = make_run(tmp_path / "theirs-run", small_config(reward=terms_of(reward)))
    mine = home / "runs" / "theirs-run"
    mine.parent.mkdir(parents=True)
    shutil.copytree(theirs.path, mine)
    run = RunDirectory.open(mine)
    before = sorted(os.listdir(mine))
    assert copied_settings(run).config.reward.terms[0].kind == "python"
    with pytest.raises(ConfigError) as caught:
        resume_run(run)
    assert caught.value.code == "trust.reward_file"
    assert sorted(os.listdir(mine)) == before
    assert not reward.ran


def test_looking_at_somebodys_preset_executes_nothing(reward, home, capsys):
    preset = home / "presets" / "theirs.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(f"reward: {{terms: [{{kind: python, path: {reward.path}}}]}}\n")
    for looking in (
        ["presets", "list"],
        ["presets", "show", "theirs"],
        ["presets", "validate", "theirs"],
        ["config", "validate", "theirs"],
        ["plan", "theirs"],
        ["train", "theirs", "--dry-run"],
    ):
        assert ppo_tui(looking) == 0, looking
    assert f"The run would execute {reward.path}" in capsys.readouterr().err
    assert ppo_tui(["train", "theirs"]) == 3
    assert not (home / "runs").exists()
    assert not reward.ran
