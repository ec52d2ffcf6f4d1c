"""Who loads what, looked up in a fresh process: import rules as they are, not as they read."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "textual")


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh process after a statement."""
    code = f"{statement}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module",
    [
        "ppo_tui",
        "ppo_tui.errors",
        "ppo_tui.config.resolve",
        "ppo_tui.runs.catalog",
        "ppo_tui.runs.state",
        "ppo_tui.plan",
        "ppo_tui.cli",
        "ppo_tui.conversation",
        "ppo_tui.export.adapter",
        "ppo_tui.screens",
        "ppo_tui.rewards.weighted_sum",
        "ppo_tui.data.dataset",
        "ppo_tui.worker",
    ],
)
def test_what_a_viewer_may_import_loads_neither_torch_nor_textual(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_the_command_line_starts_without_pydantic() -> None:
    loaded = loaded_by("import ppo_tui.cli")
    assert "pydantic" not in loaded
    assert "yaml" not in loaded


def test_the_algorithm_loads_torch_alone() -> None:
    loaded = loaded_by("import ppo_tui.ppo")
    assert "torch" in loaded
    assert loaded.isdisjoint(set(HEAVY) - {"torch"} | {"pydantic", "typer", "rich"})


def test_the_engine_loads_no_screen() -> None:
    assert "textual" not in loaded_by("import ppo_tui.training.session")


def test_no_screen_loads_the_engine_or_what_it_stands_on() -> None:
    every = (
        "import importlib, pkgutil, ppo_tui.screens as screens\n"
        "for found in pkgutil.walk_packages(screens.__path__, 'ppo_tui.screens.'):\n"
        "    importlib.import_module(found.name)"
    )
    loaded = loaded_by(every)
    assert "textual" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "peft", "bitsandbytes"})


def test_the_first_picture_needs_no_slow_library() -> None:
    loaded = loaded_by("import ppo_tui.screens.app, ppo_tui.screens.runs")
    assert loaded.isdisjoint({"numpy", "pydantic", "yaml", "psutil", "typer", "huggingface_hub"})
