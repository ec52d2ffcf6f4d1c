"""The look at this machine behind `ppo-tui doctor`: versions, devices, memory, disk, terminal.

The libraries are asked for their versions without being imported; torch is asked about devices in a
process of its own, so that a broken driver breaks that process and not this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

from ppo_tui.runs.paths import HOME_VARIABLE, runs_root, shown
from ppo_tui.text.figures import size
from ppo_tui.text.plain import plain

TORCH_SECONDS = 90.0
_LOOK_SECONDS = 0.2
LITTLE_DISK = 5 * 2**30
LITTLE_MEMORY = 2 * 2**30

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "textual")
_ASK_TORCH = """
import json, torch
cuda = [
    {"name": torch.cuda.get_device_name(i),
     "memory": torch.cuda.get_device_properties(i).total_memory,
     "free": torch.cuda.mem_get_info(i)[0],
     "bf16": torch.cuda.is_bf16_supported()}
    for i in range(torch.cuda.device_count())
] if torch.cuda.is_available() else []
mps = getattr(torch.backends, "mps", None)
print("\\n" + json.dumps({
    "cuda": cuda, "mps": bool(mps and mps.is_available()), "threads": torch.get_num_threads(),
    "built": torch.version.cuda or torch.version.hip or "",
}))
"""


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        level: Whether it is as it should be.
        text: How it is.
        advice: What to do about it, if anything.
    """

    subject: str
    level: Level
    text: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """The finding as plain data."""
        return {
            "subject": self.subject,
            "level": self.level.value,
            "text": self.text,
            "advice": self.advice,
        }


def check_machine() -> list[Finding]:
    """Look at everything; takes as long as importing torch does."""
    return list(findings())


def findings(
    terminal: Finding | None = None, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Finding]:
    """Look at everything, one thing after another.

    Args:
        terminal: What is known of the terminal; it is looked at if left out. An app that fills the
            terminal must say it itself, because its standard output is not the terminal.
        cancelled: Asked several times a second; once it is true nothing more is looked at, and the
            process that asks torch is ended.
    """
    versions = _versions()
    yield from versions
    broken = any(finding.level is Level.PROBLEM for finding in versions)
    devices = [] if broken else _devices(cancelled)
    if cancelled():
        return
    yield from devices
    yield _memory()
    yield _disk()
    yield _writable()
    yield terminal or _terminal()
    yield from _hub()


def verdict(found: Sequence[Finding]) -> str:
    """What the findings come to, in a sentence."""
    problems = sum(finding.level is Level.PROBLEM for finding in found)
    warnings = sum(finding.level is Level.WARNING for finding in found)
    if problems:
        return "There is a problem." if problems == 1 else f"There are {problems} problems."
    if warnings:
        point = "one thing is" if warnings == 1 else f"{warnings} things are"
        return f"This machine can train; {point} worth a look."
    return "This machine can train."


def _versions() -> list[Finding]:
    python = platform.python_version()
    level = Level.OK if sys.version_info >= (3, 11) else Level.PROBLEM
    advice = "" if level is Level.OK else "ppo-tui needs Python 3.11 or newer."
    findings = [Finding("python", level, f"{python}, {platform.platform(terse=True)}", advice)]
    for name in ("ppo-tui", *_PACKAGES):
        try:
            findings.append(Finding(name, Level.OK, metadata.version(name)))
        except metadata.PackageNotFoundError:
            # A source tree on the path runs without being installed; a library does not.
            level = Level.WARNING if name == "ppo-tui" else Level.PROBLEM
            findings.append(Finding(name, level, "not installed", f"`pip install {name}` adds it."))
    return findings


def _devices(cancelled: Callable[[], bool]) -> list[Finding]:
    answer, problem = _ask_torch(cancelled)
    if answer is None:
        advice = (
            "`python -c 'import torch'` shows the whole error; installing torch again may help."
        )
        return [Finding("torch works", Level.PROBLEM, problem, advice)]
    findings = [
        Finding(
            f"GPU {number}",
            Level.OK,
            plain(f"{card['name']}, {size(card['memory'])}, {size(card['free'])} free")
            + (", bfloat16" if card["bf16"] else ", no bfloat16"),
        )
        for number, card in enumerate(answer["cuda"])
    ]
    if answer["mps"]:
        findings.append(Finding("GPU", Level.OK, "Apple (mps)"))
    cpu = Finding("CPU", Level.OK, f"{os.cpu_count()} cores, torch uses {answer['threads']}")
    if not findings:
        if shutil.which("nvidia-smi") and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
            built = answer["built"] or "no GPU at all"
            text, level = (
                f"there may be one, but torch cannot use it (built for {built})",
                "warning",
            )
            advice = (
                "Look whether `nvidia-smi` sees it, and install the torch that fits its driver."
            )
            findings.append(Finding("GPU", Level(level), text, advice))
        else:
            findings.append(
                Finding("GPU", Level.OK, "none; small models train on the CPU, as the demo does")
            )
    return [*findings, cpu]


def _ask_torch(cancelled: Callable[[], bool]) -> tuple[dict[str, Any] | None, str]:
    try:
        process = subprocess.Popen(
            # -P: a torch.py in the folder where somebody stands is not the torch that is meant.
            [sys.executable, "-P", "-c", _ASK_TORCH],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return None, f"it could not be asked: {error.strerror}"
    with process:
        deadline = time.monotonic() + TORCH_SECONDS
        while True:
            try:
                stdout, stderr = process.communicate(timeout=_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if cancelled() or time.monotonic() > deadline:
                    process.kill()
                    process.communicate()
                    return None, f"it did not answer within {TORCH_SECONDS:.0f} s"
    if process.returncode:
        lines = stderr.strip().splitlines()
        return None, plain(lines[-1] if lines else f"it ended with exit code {process.returncode}")
    answer: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
    return answer, ""


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{size(memory.total)}, {size(memory.available)} free"
    if memory.available < LITTLE_MEMORY:
        return Finding("memory", Level.WARNING, text, "Little is free; close what is not needed.")
    return Finding("memory", Level.OK, text)


def _disk() -> Finding:
    root = runs_root()
    try:
        free = shutil.disk_usage(_nearest(root)).free
    except OSError as error:
        return Finding("disk", Level.WARNING, f"{shown(root)} cannot be asked: {error.strerror}")
    text = f"{size(free)} free for runs in {shown(root)}"
    if free < LITTLE_DISK:
        advice = f"Checkpoints take space; ${HOME_VARIABLE} moves runs to another disk."
        return Finding("disk", Level.WARNING, text, advice)
    return Finding("disk", Level.OK, text)


def _writable() -> Finding:
    root = runs_root()
    place = _nearest(root)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = f"Set ${HOME_VARIABLE} to a folder that you may write to."
        text = f"runs cannot be made in {shown(root)}: {error.strerror}"
        return Finding("runs", Level.PROBLEM, text, advice)
    return Finding("runs", Level.OK, f"can be made in {shown(root)}")


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((place for place in (path, *path.parents) if place.exists()), Path(path.anchor))


def _terminal() -> Finding:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        return Finding("terminal", Level.OK, "none here; progress is told in plain lines")
    return terminal_finding(
        console.width,
        console.height,
        console.color_system or "no",
        unicode=not console.options.ascii_only,
    )


def terminal_finding(width: int, height: int, colours: str, *, unicode: bool) -> Finding:
    """What is to be said of a terminal of this size and kind."""
    text = f"{width} x {height}, {colours} colours, {'' if unicode else 'no '}Unicode"
    if width < 80 or height < 24:
        return Finding("terminal", Level.WARNING, text, "80 x 24 or more shows everything.")
    if not unicode:
        return Finding("terminal", Level.WARNING, text, "A UTF-8 locale shows curves as curves.")
    return Finding("terminal", Level.OK, text)


def _hub() -> list[Finding]:
    environment = os.environ
    home = environment.get("HF_HOME") or os.path.join(
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    cache = Path(environment.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
    models = 0
    with contextlib.suppress(OSError):
        models = sum(entry.name.startswith("models--") for entry in os.scandir(cache))
    text = f"{shown(cache)}, {models} model{'' if models == 1 else 's'}"
    findings = [Finding("model cache", Level.OK, text)]
    wishes = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    offline = [
        name for name in wishes if environment.get(name, "").upper() in ("1", "TRUE", "YES", "ON")
    ]
    if offline:
        findings.append(
            Finding("hub", Level.OK, f"offline ({offline[0]} is set): only models in the cache")
        )
    return findings
