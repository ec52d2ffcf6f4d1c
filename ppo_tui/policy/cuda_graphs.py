"""Decoding steps replayed as CUDA graphs: one launch instead of hundreds of small ones.

A step of a small batch is over sooner on the device than Python can launch its kernels. Captured
once, it is launched as a whole. What it works on must stay where it is: see `ppo_tui.policy.slots`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger(__name__)

Work = Callable[[], None]

Capture = Callable[[Work], Work]
"""Makes of some work what does it again; the work itself is not done by that."""


class CudaCapture:
    """Captures work as CUDA graphs, which share one pool of memory: never two run at a time."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, work: Work) -> Work:
        """See `Capture`."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                work()
        finally:
            torch.cuda.synchronize()
        return graph.replay


class GraphedSteps:
    """Runs steps, captures each kind of them at its second time, and replays it from then on.

    Args:
        step: Called with a key; does on the device what the key says, on the same tensors at every
            call, and asks the device for nothing.
        capture: How a step is captured; by default as a CUDA graph.

    Attributes:
        refused: Why steps could not be captured; empty where they could, or not yet.
    """

    def __init__(self, step: Callable[[int, int], None], capture: Capture | None = None) -> None:
        self._step = step
        self._capture = capture or CudaCapture()
        self._replays: dict[tuple[int, int], Work] = {}
        self._ran: set[tuple[int, int]] = set()
        self.refused = ""

    @property
    def captured(self) -> int:
        """How many kinds of step have been captured."""
        return len(self._replays)

    def __call__(self, rows: int, width: int) -> None:
        """Do the step of this key."""
        key = (rows, width)
        if key not in self._replays and key in self._ran and not self.refused:
            self._try_to_capture(rows, width)
        if key in self._replays:
            self._replays[key]()
            return
        # The first time makes what libraries make at first use, which may not be captured.
        self._step(rows, width)
        self._ran.add(key)

    def _try_to_capture(self, rows: int, width: int) -> None:
        try:
            self._replays[rows, width] = self._capture(lambda: self._step(rows, width))
        except torch.OutOfMemoryError:
            raise
        # A kernel that cannot be captured shows itself in many ways; the step is done without.
        except (RuntimeError, NotImplementedError) as error:
            self.refused = " ".join(str(error).split())[:200] or type(error).__name__
            log.warning("Decoding steps are not captured as CUDA graphs: %s", self.refused)
