"""How busy the machine is with a run: the worker's share of the processors, the graphics card.

For a viewer's thread. The card is asked through nvidia-smi, which needs no library of the driver's
version; where there is none, or it does not answer, those figures are missing.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT_SECONDS = 3.0

_FIELDS = "utilization.gpu,memory.used"


@dataclass(frozen=True, slots=True)
class Load:
    """A look at the machine; NaN for what is not known.

    Attributes:
        cpu: Processors that the worker keeps busy: 1.5 is one and a half.
        resident: Memory that the worker's process holds, in GiB.
        gpu: Share of the time in which the card computes, from 0 to 1.
        gpu_memory: Memory of the card that is taken, by whomever, in GiB.
    """

    cpu: float = math.nan
    resident: float = math.nan
    gpu: float = math.nan
    gpu_memory: float = math.nan


class LoadMeter:
    """Looks at one worker and the card it sees, again and again."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._process: object | None = None
        self._program = shutil.which("nvidia-smi")

    def look(self) -> Load:
        """How busy both are now; the processors since the last look, so the first one knows not."""
        cpu, resident = self._worker()
        gpu, taken = self._card()
        return Load(cpu, resident, gpu, taken)

    def _worker(self) -> tuple[float, float]:
        import psutil

        try:
            first = self._process is None
            if self._process is None:
                self._process = psutil.Process(self._pid)
            process = self._process
            assert isinstance(process, psutil.Process)
            busy = process.cpu_percent() / 100
            return (math.nan if first else busy), process.memory_info().rss / 2**30
        except psutil.Error:  # it has ended
            self._process = None
            return math.nan, math.nan

    def _card(self) -> tuple[float, float]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        first = None if visible is None else visible.split(",")[0].strip()
        if self._program is None or first in ("", "-1"):
            return math.nan, math.nan
        command = [self._program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
        command += [] if first is None else [f"--id={first}"]
        try:
            answer = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            self._program = None  # a driver that does not answer is not asked again
            return math.nan, math.nan
        return parsed(answer)


def parsed(answer: str) -> tuple[float, float]:
    """The first card in nvidia-smi's answer: busy, and GiB taken; NaN for `[N/A]`."""
    fields = (answer.splitlines() or [""])[0].split(",")
    busy, taken = ([_number(field) for field in fields] + [math.nan] * 2)[:2]
    return busy / 100, taken / 1024


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
