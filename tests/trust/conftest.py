"""A home of its own for each test, and code that leaves a mark when it is executed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

MARKING = """
from pathlib import Path

with Path({mark!r}).open("a") as file:
    file.write("x")


def reward(prompts, responses):
    return [float(response.count("e")) for response in responses]
"""

CONFIGURATION = """
from transformers import LlamaConfig


class MineConfig(LlamaConfig):
    # Of {mark}: in one process, transformers takes classes of the same text for one.
    model_type = "mine"
"""

MODELING = """
from pathlib import Path

from transformers import LlamaForCausalLM

from .configuration_mine import MineConfig

with Path({mark!r}).open("a") as file:
    file.write("x")


class MineModel(LlamaForCausalLM):
    config_class = MineConfig
"""


@dataclass(frozen=True)
class Marking:
    """Code, and the mark that it leaves.

    Attributes:
        path: The reward file, or the model's folder.
        mark: The file that is there once the code was executed.
    """

    path: Path
    mark: Path

    @property
    def ran(self) -> bool:
        return self.mark.exists()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return tmp_path / "home"


@pytest.fixture
def reward(tmp_path: Path) -> Marking:
    """A reward file that nobody has confirmed."""
    path, mark = tmp_path / "theirs.py", tmp_path / "reward-ran"
    path.write_text(MARKING.format(mark=str(mark)), encoding="utf-8")
    return Marking(path, mark)


@pytest.fixture
def model(model_folder: Callable[..., Path], tmp_path: Path) -> Marking:
    """The folder of a model that brings code of its own, which nobody has confirmed."""
    folder, mark = tmp_path / "theirs", tmp_path / "model-ran"
    shutil.copytree(model_folder("llama"), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["model_type"] = "mine"
    config["architectures"] = ["MineModel"]
    config["auto_map"] = {
        "AutoConfig": "configuration_mine.MineConfig",
        "AutoModelForCausalLM": "modeling_mine.MineModel",
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    (folder / "configuration_mine.py").write_text(CONFIGURATION.format(mark=mark), encoding="utf-8")
    (folder / "modeling_mine.py").write_text(MODELING.format(mark=str(mark)), encoding="utf-8")
    return Marking(folder, mark)
