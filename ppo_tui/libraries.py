"""How the processes that compute treat the libraries under them: quiet, and gentle to a neighbour.

For the worker and the playground, before torch or transformers is imported. Imports neither. Also
what their log looks like: one record one paragraph, harmless to `cat`, without tokens or passwords.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO, cast

from ppo_tui.text.harmless import HarmlessStream, harmless

_CONTINUED = "\n    "


class OneParagraph(logging.Formatter):
    """A record's first line says when and who; the others are indented.

    What is logged may be a model's text or a library's; it cannot pass for a record of its own.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record as lines."""
        return harmless(super().format(record)).rstrip("\n").replace("\n", _CONTINUED)


def log_to(log: TextIO) -> None:
    """Let log lines of this process go to a stream, harmless and without secrets."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(OneParagraph())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def tame_output() -> None:
    """Make harmless what this process prints from now on, to stdout and to stderr."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, HarmlessStream):
            setattr(sys, name, cast("TextIO", HarmlessStream(stream)))


def prepare_libraries(log: TextIO) -> None:
    """Quiet progress bars that nobody sees, a log that says when and who, and tame output.

    What this process prints afterwards is harmless for a terminal and without secrets.

    Args:
        log: Where log lines and warnings go.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # A model's config.json must not have compiled kernels fetched and run. Nor may bitsandbytes, on
    # some CPUs when it is imported: it asks nobody, so the package that fetches them is kept out.
    os.environ["USE_HUB_KERNELS"] = "NO"
    sys.modules["kernels"] = None  # type: ignore[assignment]
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP's threads spin while they wait for each other. By default they do so for so long that,
    # on a machine that does anything else beside the training, the spinning thread holds the core
    # which the awaited one needs (measured: 40 times slower on two busy cores); not spinning at all
    # costs half the speed of a small model on idle ones.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    log_to(log)
    tame_output()
    logging.captureWarnings(True)
    for name in ("httpx", "httpx2", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of a cast at every int8 product of every pass.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
