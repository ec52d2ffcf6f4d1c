"""For all tests: one thread, no network, quiet libraries, a home, and tiny models made once."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before torch and transformers are imported anywhere; the worker's processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# No test reads or writes what the user at this machine has confirmed, trained or set.
os.environ["PPO_TUI_HOME"] = tempfile.mkdtemp(prefix="ppo-tui-tests-")
# Where transformers puts copies of the code that comes with a model.
os.environ["HF_MODULES_CACHE"] = os.path.join(os.environ["PPO_TUI_HOME"], "modules")

import pytest

atexit.register(shutil.rmtree, os.environ["PPO_TUI_HOME"], ignore_errors=True)

ModelFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The folder of a saved tiny model of an architecture; made once for each set of options."""
    from models import save_model  # here, because most tests need no torch

    made: dict[str, Path] = {}

    def folder(architecture: str = "llama", **config: Any) -> Path:
        key = f"{architecture} {sorted(config.items())}"
        if key not in made:
            made[key] = save_model(
                tmp_path_factory.mktemp(architecture), architecture, None, **config
            )
        return made[key]

    return folder


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve prompts of different lengths."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    words = ["the", "cat", "sat", "on", "the", "mat", "and", "a", "small", "dog", "ran", "home"]
    lines = (f"{number} {' '.join(words[:number])}" for number in range(1, 13))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_config(model_folder: ModelFolder, prompts_file: Path) -> Callable[..., Any]:
    """The configuration of a small run on a tiny model; groups are changed by keyword."""
    from training.toys import make_config

    def config(architecture: str = "llama", **changes: Any) -> Any:
        return make_config(model_folder(architecture), prompts_file, **changes)

    return config
