"""How the processes that compute treat the libraries under them: quiet, and gentle to a neighbour.

For the worker and the playground, before torch or transformers is imported. Imports neither.
"""

from __future__ import annotations

import logging
import os
from typing import TextIO


def prepare_libraries(log: TextIO) -> None:
    """Quiet progress bars that nobody sees, and a log that says when and who.

    Args:
        log: Where log lines and warnings go.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP's threads spin while they wait for each other. By default they do so for so long that,
    # on a machine that does anything else beside the training, the spinning thread holds the core
    # which the awaited one needs (measured: 40 times slower on two busy cores); not spinning at all
    # costs half the speed of a small model on idle ones.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    logging.basicConfig(
        level=logging.INFO,
        stream=log,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.captureWarnings(True)
    for name in ("httpx", "httpx2", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of a cast at every int8 product of every pass.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
