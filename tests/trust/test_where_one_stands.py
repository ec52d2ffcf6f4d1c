"""Somebody's preset lies in a folder beside a `torch.py`: standing there runs nothing of it."""

import subprocess
from pathlib import Path

import pytest

from ppo_tui import conversation, fit_messages, rating_talk
from ppo_tui.prepare.checkup import _ask_torch
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import start_worker


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """What modules in the current folder would leave behind if anything imported them."""
    mark = tmp_path / "ran"
    folder = tmp_path / "downloaded"
    (folder / "ppo_tui").mkdir(parents=True)
    for name in ("ppo_tui/__init__", "torch", "numpy", "yaml", "signal", "logging"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(9)")
    monkeypatch.chdir(folder)
    return mark


def test_the_worker_imports_nothing_from_the_current_folder(tmp_path, mark):
    run = RunDirectory.create(tmp_path / "run", "data:\n  prompts: /gone/prompts.txt\n")
    assert start_worker(run).wait(120) == 4
    assert "/gone/prompts.txt" in run.log_path.read_text()
    assert not mark.exists()


@pytest.mark.parametrize(
    "command",
    [
        conversation.start_command(RunDirectory(Path("/gone"))),
        rating_talk.start_command(RunDirectory(Path("/gone")), "ada"),
        fit_messages.reading_command(["/gone"]),
        fit_messages.adapter_command(["/gone"], Path("/gone"), epochs=1, seed=0, overwrite=False),
    ],
    ids=["playground", "rater", "fitting read", "fitting adapter"],
)
def test_no_other_process_of_ours_does_either(command, mark):
    done = subprocess.run(command, input=b"", capture_output=True, timeout=120)
    assert done.returncode != 9
    assert not mark.exists()


def test_the_check_of_the_machine_asks_the_torch_that_is_installed(mark):
    answer, problem = _ask_torch(lambda: False)
    assert problem == ""
    assert answer is not None
    assert not mark.exists()
