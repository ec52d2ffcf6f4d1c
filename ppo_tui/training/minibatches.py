"""Which responses share an optimiser step, and which of those share a forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo_tui.training.batches import Minibatches


def plan_minibatches(
    lengths: Tensor, minibatches: int, micro_batch_size: int | None, generator: torch.Generator
) -> Minibatches:
    """Shuffle B responses into optimiser steps and cut those into micro-batches.

    Args:
        lengths: ``[B]`` tokens of prompt and response; within a minibatch, sequences of like length
            share a micro-batch, so that little of it is padding.
        minibatches: Optimiser steps; divides B.
        micro_batch_size: Sequences in a forward pass; the whole minibatch if left out.
        generator: A CPU generator.
    """
    order = torch.randperm(len(lengths), generator=generator)
    steps = []
    lengths = lengths.cpu()
    for rows in order.chunk(minibatches):
        # A stable sort: equal lengths must not change places from one machine to another.
        rows = rows[lengths[rows].argsort(descending=True, stable=True)]
        steps.append(tuple(torch.split(rows, micro_batch_size or len(rows))))
    return Minibatches(tuple(steps))
