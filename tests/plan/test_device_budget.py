"""The device's memory, asked of nvidia-smi and of the machine."""

import psutil
import pytest

from ppo_tui.plan import detect_device, device_budget


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a program called nvidia-smi in the only place that is searched."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def answers(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return answers


def test_the_first_card_counts(nvidia_smi):
    nvidia_smi("echo 24564; echo 8188")
    assert device_budget("cuda") == 24564 * 2**20
    assert detect_device() == "cuda"


def test_only_a_visible_card_is_asked_for(nvidia_smi, monkeypatch):
    nvidia_smi('case "$*" in *--id=1*) echo 8188;; *) echo 24564;; esac')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert device_budget("cuda") == 8188 * 2**20


@pytest.mark.parametrize("visible", ["", "-1"])
def test_hidden_cards_are_not_there(nvidia_smi, monkeypatch, visible):
    nvidia_smi("echo 24564")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_budget("cuda") is None
    assert detect_device() != "cuda"


@pytest.mark.parametrize("script", ["exit 9", "echo '[N/A]'", "true", "printf '\\377'"])
def test_a_driver_that_does_not_say_is_none(nvidia_smi, script):
    nvidia_smi(script)
    assert device_budget("cuda") is None


def test_no_driver_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_budget("cuda") is None


def test_on_the_cpu_the_machines_memory_counts():
    assert device_budget("cpu") == psutil.virtual_memory().total
    assert detect_device("cpu") == "cpu"


def test_the_plan_loads_neither_torch_nor_transformers():
    import subprocess
    import sys

    code = (
        "import sys, ppo_tui.plan as p; from ppo_tui.config.schema import ModelConfig\n"
        "p.read_architecture(ModelConfig()); p.device_budget('cpu')\n"
        "heavy = {'torch', 'transformers', 'textual', 'huggingface_hub', 'peft'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
