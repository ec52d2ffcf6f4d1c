"""A run with checkpoints, made of files alone: an export never looks into the weights."""

import hashlib
import json

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory

PLAIN = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


def save_checkpoint(run, step, weights=b"weights"):
    """A checkpoint as a worker leaves it, as far as an export can see."""
    folder = run.checkpoints_path / f"step-{step:06d}"
    (folder / "policy").mkdir(parents=True)
    (folder / "policy" / "adapter_model.safetensors").write_bytes(weights)
    (folder / "policy" / "adapter_config.json").write_text(json.dumps(PLAIN))
    (folder / "state.json").write_text("{}")
    files = [path for path in folder.rglob("*") if path.is_file()]
    hashes = {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    (folder / "manifest.json").write_text(json.dumps({"v": 1, "sha256": hashes}))
    return folder


@pytest.fixture
def make_run(tmp_path):
    """Makes a run of the demo preset with changes."""

    def make(*settings, name="glad"):
        text = "# preset: demo\n" + resolve("demo", list(settings)).to_yaml()
        return RunDirectory.create(tmp_path / "runs" / name, text, total=36)

    return make


@pytest.fixture
def run(make_run):
    """A run without a checkpoint."""
    return make_run()
