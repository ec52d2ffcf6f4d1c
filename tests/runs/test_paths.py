import subprocess
import sys
from pathlib import Path

import pytest

from ppo_tui.runs import paths

IMPORT_ALL = """
import sys, pkgutil, importlib, ppo_tui.runs as runs
for module in pkgutil.iter_modules(runs.__path__):
    importlib.import_module(f"ppo_tui.runs.{module.name}")
heavy = {"torch", "textual", "pydantic", "rich", "typer", "yaml", "psutil", "platformdirs"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_home_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    assert paths.home() == tmp_path / "home"
    assert paths.runs_root() == tmp_path / "home" / "runs"
    assert paths.presets_root() == tmp_path / "home" / "presets"


def test_without_the_variable_the_home_is_the_platforms_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("PPO_TUI_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert paths.home().name == "ppo-tui"


def test_asking_for_a_place_makes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    paths.runs_root()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nb", "a\udce9b", "a\x9bb"])
def test_a_path_in_a_sentence_holds_no_control_character(hostile):
    assert paths.shown(Path(hostile)).isprintable()


def test_an_ordinary_path_is_shown_as_it_is():
    assert paths.shown(Path("/runs/größe 1")) == "/runs/größe 1"


def test_the_whole_package_loads_neither_torch_nor_a_screen_nor_pydantic(python_path):
    answer = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"
