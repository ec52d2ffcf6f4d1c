"""How busy the machine is: a real process, and a card's answers as drivers give them."""

import math
import os
from pathlib import Path

import pytest

from ppo_tui.prepare.load import LoadMeter, parsed


def test_a_card_that_says_all() -> None:
    assert parsed("87, 8192\n12, 1\n") == (0.87, 8.0)


@pytest.mark.parametrize("answer", ["", "\n", "No devices were found", "[N/A], [N/A]"])
def test_a_card_that_says_nothing(answer: str) -> None:
    assert all(math.isnan(figure) for figure in parsed(answer))


def test_a_card_that_says_half() -> None:
    busy, taken = parsed("5, [N/A]")
    assert busy == 0.05
    assert math.isnan(taken)


def test_a_worker_is_measured_from_the_second_look_on() -> None:
    meter = LoadMeter(os.getpid())
    first = meter.look()
    assert math.isnan(first.cpu)
    assert first.resident > 0.01
    assert meter.look().cpu >= 0


def test_a_worker_that_has_ended_is_no_trouble() -> None:
    load = LoadMeter(2**22 + 12345).look()
    assert math.isnan(load.cpu)
    assert math.isnan(load.resident)


def test_the_card_is_asked_by_its_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$@" > "$0.asked"\necho "50, 1024"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    load = LoadMeter(os.getpid()).look()
    assert (load.gpu, load.gpu_memory) == (0.5, 1.0)
    assert "--id=1" in (tmp_path / "nvidia-smi.asked").read_text()


def test_hidden_cards_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\ntouch $0.asked\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert math.isnan(LoadMeter(os.getpid()).look().gpu)
    assert not (tmp_path / "nvidia-smi.asked").exists()


def test_a_driver_that_fails_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho x >> "$0.asked"\nexit 9\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    meter = LoadMeter(os.getpid())
    meter.look()
    meter.look()
    assert (tmp_path / "nvidia-smi.asked").read_text() == "x\n"
