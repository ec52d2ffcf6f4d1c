"""A home with a run that the first version made, and one that a newer one seems to have made."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from ppo_tui.runs.directory import RunDirectory

RECORDED = Path(__file__).parents[1] / "recorded_runs" / "first"
NEWER = 99


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORFGBG", "PPO_TUI_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "runs").mkdir(parents=True)
    return tmp_path / "home"


def recorded(home: Path, name: str) -> RunDirectory:
    """A copy of the recorded run."""
    run = RunDirectory(home / "runs" / name)
    shutil.copytree(RECORDED, run.path)
    run.control_path.mkdir()
    return run


def raise_versions(run: RunDirectory) -> None:
    """Let every file of a run say that it is of version 99, the checkpoint's hashes being right."""
    for path in run.path.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".yaml"):
            text = path.read_text(encoding="utf-8")
            text = re.sub(r'"v":( ?)[12]\b', rf'"v":\g<1>{NEWER}', text)
            text = text.replace("schema_version: 1", f"schema_version: {NEWER}")
            path.write_text(text, encoding="utf-8")
    for manifest in run.checkpoints_path.glob("*/manifest.json"):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        for name in content["sha256"]:
            data = (manifest.parent / name).read_bytes()
            content["sha256"][name] = hashlib.sha256(data).hexdigest()
        manifest.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def first(home: Path) -> RunDirectory:
    """The run of the first version, stopped after step 2 of 6."""
    return recorded(home, "first")


@pytest.fixture
def newer(home: Path) -> RunDirectory:
    """The same, as a newer ppo-tui might have left it, with a rating in it."""
    run = recorded(home, "newer")
    about = {"prompt": "p", "response": "r", "sample": "1-0", "step": 0, "reading": ""}
    rating = {"v": 1, "kind": "rating", "id": "x", "about": about, "rating": 3}
    run.ratings_path.write_text(json.dumps(rating) + "\n", encoding="utf-8")
    raise_versions(run)
    return run
