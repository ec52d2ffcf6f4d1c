"""A token of the environment is looked for in everything that a run and its commands leave."""

import os
from pathlib import Path

import pytest
from worker.processes import make_run, reward_file, start, work

from ppo_tui.cli.entry import run
from ppo_tui.config.schema import RunConfig
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state
from ppo_tui.text.secrets import REDACTED

TOKEN = "hf_" + "Zx9" * 11
OTHER = "correct-horse-battery-staple"
"""A secret that only its variable tells, by no shape."""

REWARD = """
import logging, os, sys, warnings

TOKEN, OTHER = os.environ["HF_TOKEN"], os.environ["JUDGE_API_KEY"]
print("imported with", TOKEN, OTHER)
calls = 0

def reward(prompts, responses):
    global calls
    calls += 1
    print("called with", TOKEN, OTHER)
    print("called with", TOKEN, OTHER, file=sys.stderr)
    sys.stderr.write(TOKEN[:9])
    sys.stderr.write(TOKEN[9:] + "\\n")
    logging.getLogger("judge").warning("asked with %s and %s", TOKEN, OTHER)
    warnings.warn(f"Bearer {TOKEN} {OTHER}")
    if calls > 2:
        where = f"https://ada:{OTHER}@judge.example/v1"
        raise ConnectionError(f"{where} refused {TOKEN} of {OTHER}")
    return [1.0] * len(responses)
"""

PLUGIN = """
import os

class Judge:
    def __init__(self, model="small"):
        raise PermissionError(f"{model}: {os.environ['HF_TOKEN']} {os.environ['JUDGE_API_KEY']}")
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("JUDGE_API_KEY", OTHER)


def leaked(*folders: Path) -> list[str]:
    """Files that hold one of the secrets, in their name or content."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    secrets = [secret.encode() for secret in (TOKEN, OTHER)]
    return [
        str(path)
        for path in files
        if any(secret in path.read_bytes() + os.fsencode(path) for secret in secrets)
    ]


def test_a_reward_that_prints_logs_and_raises_it(small_config, tmp_path):
    config = small_config(reward=reward_file(tmp_path, REWARD), checkpoint={"every": 1})
    made = make_run(tmp_path / "run", config)
    assert work(made) == 1
    state = read_state(made)
    assert state.state is Phase.FAILED
    assert (state.error.code, REDACTED in state.error.message) == ("reward.raised", True)
    assert leaked(made.path) == []
    log = made.log_path.read_text(encoding="utf-8")
    for words in ("imported with", "called with", "asked with", "Traceback"):
        assert words in log
    for line in log.splitlines():
        assert "hf_Z" not in line


def test_a_plugin_that_raises_it(small_config, tmp_path, monkeypatch):
    site, info = tmp_path / "site", tmp_path / "site" / "judge-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "judge.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: judge\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ppo_tui.rewards]\njudge = judge:Judge\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    config = small_config(reward={"terms": [{"kind": "judge", "options": {"model": "large"}}]})
    made = make_run(tmp_path / "run", config)
    assert work(made) == 1
    state = read_state(made)
    assert (state.error.code, "PermissionError: large" in state.error.message) == (
        "reward.plugin",
        True,
    )
    assert leaked(made.path) == []


def test_a_run_whose_configuration_holds_one_is_refused_by_the_worker(small_config, tmp_path):
    config: RunConfig = small_config()
    made = make_run(tmp_path / "run", config)
    text = made.config_path.read_text()
    made.config_path.write_text(text.replace("description: ''", f"description: with {TOKEN}"))
    assert TOKEN in made.config_path.read_text()
    worker = start(made)
    assert worker.wait(120) == 3
    assert read_state(made).error.code == "config.secret"
    assert leaked(made.path) == [str(made.config_path)]


@pytest.mark.parametrize(
    "line",
    [
        f"train demo --set model.name=ada/{TOKEN}",
        f"train demo --set model.name=./{OTHER}",
        f"train demo --set steps={TOKEN}",
        f"train demo --set ppo.{OTHER}=1",
        f"train demo --set data.prompts=/none/{TOKEN}.txt",
        f"train {TOKEN}",
        f"train {OTHER}.yaml",
        f"runs show {TOKEN}",
        f"models check {TOKEN}/{OTHER}",
        f"plan demo --budget {TOKEN}",
        f"presets show {OTHER}",
        f"config validate /none/{TOKEN}.yaml --json",
        f"{TOKEN}",
        f"--{TOKEN}",
    ],
)
@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_command_that_is_given_one_does_not_repeat_it(tmp_path, monkeypatch, capsys, line, debug):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PPO_TUI_DEBUG", debug)
    monkeypatch.chdir(tmp_path)
    assert run(line.split()) in (1, 2, 3, 4)
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert REDACTED in said or "holds a token" in said
    assert TOKEN not in said
    assert OTHER not in said
    assert not (tmp_path / "home").exists()


def test_a_saved_traceback_is_private_and_holds_none(tmp_path, monkeypatch, capsys):
    from ppo_tui.cli.failures import report_unexpected

    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PPO_TUI_DEBUG", "1")
    try:
        raise KeyError(f"{TOKEN}\x1b[2J {OTHER}")
    except KeyError as error:
        report_unexpected(error, as_json=False)
    folder = tmp_path / "home" / "errors"
    (saved,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, saved.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "KeyError" in saved.read_text()
    assert leaked(tmp_path) == []
    said = capsys.readouterr()
    assert "\x1b" not in said.err
    assert TOKEN not in said.err + said.out
    assert OTHER not in said.err + said.out


def test_a_saved_traceback_follows_no_link(tmp_path, monkeypatch):
    import time

    from ppo_tui.cli.failures import report_unexpected

    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    folder = tmp_path / "home" / "errors"
    folder.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (folder / f"error-now-{os.getpid()}.txt").symlink_to(precious)
    report_unexpected(ZeroDivisionError("by zero"), as_json=False)
    assert precious.read_text() == "kept"
    (elsewhere,) = tmp_path.glob("error-*.txt")
    assert "by zero" in elsewhere.read_text()
