"""How much memory the device has, asked without torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from typing import Literal

DeviceKind = Literal["cuda", "mps", "cpu"]

TIMEOUT_SECONDS = 5.0
"""A driver that does not answer by then is treated as if there were none."""


def detect_device(name: str = "auto") -> DeviceKind:
    """The device that `device: auto` will most likely take, or the one that is named."""
    if name in ("cuda", "mps", "cpu"):
        return name  # type: ignore[return-value]
    if cuda_memory() is not None:
        return "cuda"
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"


def device_budget(device: str = "auto") -> int | None:
    """Total memory of the device in bytes; None if it is not known, or there is none.

    For ``cuda`` that of the first visible card; for ``cpu`` and ``mps`` the machine's.
    """
    if detect_device(device) == "cuda":
        return cuda_memory()
    import psutil

    return int(psutil.virtual_memory().total)


def cuda_memory() -> int | None:
    """Total memory in bytes of the first visible CUDA device, by nvidia-smi; None if none."""
    program = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = None if visible is None else visible.split(",")[0].strip()
    # An empty list, or one that begins with -1, hides every card.
    if program is None or first in ("", "-1"):
        return None
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if first is not None:
        command.append(f"--id={first}")
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True
        )
        return int(answer.stdout.splitlines()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None  # no driver, no card, or a card that does not say (unified memory)
