"""A run that the first version made: every command reads it, and a worker of today ends it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from worker.processes import events, steps_of

from ppo_tui.cli.entry import run as command
from ppo_tui.prepare.resume import copied_settings
from ppo_tui.runs.catalog import last_rewards
from ppo_tui.runs.checkpoints import read_checkpoint, verify_checkpoint
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe
from ppo_tui.screens.app import PpoTuiApp
from screens.goldens import screen_text

from .conftest import recorded


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = command(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_it_is_listed_and_shown(first, capsys):
    code, out, _ = said(capsys, "runs", "list", "--json")
    assert code == 0
    (listed,) = json.loads(out)["runs"]
    assert (listed["name"], listed["state"], listed["step"]) == ("first", "stopped", 2)
    code, out, _ = said(capsys, "runs", "show", "first")
    assert code == 0
    assert "stopped, step 2 of 6" in out


def test_it_is_compared_with_another(first, home, capsys):
    recorded(home, "other")
    code, out, _ = said(capsys, "runs", "compare", "first", "other")
    assert code == 0
    assert "unusable" not in out
    (scores,) = (line for line in out.splitlines() if line.startswith("reward/score"))
    assert scores.split()[1:] == ["0.500", "0.500"]


def test_it_is_followed(first, capsys):
    code, out, err = said(capsys, "watch", "first", "--plain")
    assert code == 5
    assert "stopped after step 2 of 6" in out
    assert "step 1/6  reward 0.542" in err


def test_its_adapter_is_exported(first, tmp_path, capsys):
    code, out, _ = said(capsys, "export", "first", "--to", str(tmp_path / "out"))
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def test_its_texts_are_rated(first, capsys, monkeypatch):
    reader, writer = os.pipe()
    os.write(writer, b"4\n")
    os.close(writer)
    with os.fdopen(reader) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        code, _, err = said(capsys, "rate", "first", "--limit", "1", "--rater", "ann")
    assert (code, err) == (0, "")
    assert json.loads(first.ratings_path.read_text())["rating"] == 4


@pytest.mark.parametrize("arguments", [["ratings", "show", "first"], ["pause", "first"]])
def test_what_it_never_had_is_answered_in_words(first, capsys, arguments):
    code, _, err = said(capsys, *arguments)
    assert code == (0 if arguments[0] == "ratings" else 1)
    assert "Traceback" not in err
    assert "first" in err


def test_its_settings_begin_another_run(first):
    copied = copied_settings(first)
    assert copied.config.adapter.rank == 1
    assert copied.config.rollout.batch_size == 8
    assert copied.config.engine.rollout == "auto"
    assert "adapter.rank" in copied.origins


def test_its_numbers_are_read(first):
    assert last_rewards(first) == pytest.approx((0.5416667, 0.5))


async def test_the_app_opens_it(first):
    app = PpoTuiApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        app.open_run(first)
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
        text = screen_text(app)
        assert "stopped" in text
        assert "2/6" in text


def test_what_its_checkpoint_lacks_is_added(first):
    path = first.checkpoints_path / "step-000002"
    before, today = verify_checkpoint(path), read_checkpoint(path)
    assert (before["v"], today["v"]) == (1, 2)
    assert today["trainer"] == {**before["trainer"], "engine": None}
    assert today["extra"] == {**before["extra"], "pool_offset": 0, "base_answered": False}
    assert (today["reward_rng"], today["taste"]) == (None, None)


@pytest.mark.slow
def test_a_worker_of_today_goes_on_to_the_end(first):
    events_before = first.events_path.read_bytes().splitlines()[:3]
    done = subprocess.run(
        [sys.executable, "-m", "ppo_tui.worker", str(first.path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert observe(first).phase is Phase.FINISHED
    assert steps_of(first) == [1, 2, 3, 4, 5, 6]
    # What the first version wrote is still there, to the byte.
    assert first.events_path.read_bytes().splitlines()[:3] == events_before
    assert any(event["message"] == "Resumed after step 2." for event in events(first, "log"))
    assert read_checkpoint(first.checkpoints_path / "step-000006")["trainer"]["step"] == 6


@pytest.mark.slow
def test_its_tuned_model_answers(first):
    done = subprocess.run(
        [sys.executable, "-m", "ppo_tui", "chat", "first", "--json", "--max-tokens", "4"],
        input="The screen",
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 2


def test_the_recorded_run_is_small_and_names_no_machine():
    folder = Path(__file__).parents[1] / "recorded_runs" / "first"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        if path.suffix in (".json", ".jsonl", ".yaml", ".txt"):
            assert "/home/" not in (text := path.read_text(encoding="utf-8"))
            assert "/tmp/" not in text
