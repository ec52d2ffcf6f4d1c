"""Which responses share an optimiser step, and which of those share a forward pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ppo_tui.training.batches import Minibatches


@dataclass(frozen=True)
class MicroBatchLimit:
    """How much a forward pass may hold; the result depends on it by rounding alone.

    Attributes:
        tokens: Of prompts and responses; None sets no bound.
        sequences: The same in sequences.
        packed: Sequences lie end to end; else each takes as many tokens as the longest of them.
    """

    tokens: int | None = None
    sequences: int | None = None
    packed: bool = True

    def split(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Cut rows, the longest first, into as few micro-batches as keep to the limit.

        A sequence that is longer than the limit has a micro-batch to itself.

        Args:
            rows: ``[m]`` row indices, sorted by falling length.
            lengths: ``[B]`` tokens of prompt and response of every row, on the CPU.
        """
        if self.tokens is None:
            return torch.split(rows, self.sequences or max(1, len(rows)))
        parts, start, sizes = [], 0, lengths[rows].tolist()
        for end in range(1, len(rows) + 1):
            held = sum(sizes[start:end]) if self.packed else sizes[start] * (end - start)
            many = self.sequences is not None and end - start > self.sequences
            if end - start > 1 and (held > self.tokens or many):
                parts.append(rows[start : end - 1])
                start = end - 1
        return (*parts, rows[start:])

    def halved(self, rows: Tensor, lengths: Tensor) -> MicroBatchLimit | None:
        """Half of what this micro-batch held; None where it was a single sequence."""
        if len(rows) == 1:
            return None
        sizes = lengths[rows]
        held = int(sizes.sum()) if self.packed else int(sizes.max()) * len(rows)
        # At least one sequence fewer, however uneven they are.
        return replace(self, tokens=held // 2, sequences=(len(rows) + 1) // 2)


def shuffled_minibatches(
    lengths: Tensor, minibatches: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Shuffle B responses into the optimiser steps of an epoch, each ``[m]`` row indices.

    Args:
        lengths: ``[B]`` tokens of prompt and response; within a minibatch the longest comes first,
            so that sequences of like length share a micro-batch.
        minibatches: Optimiser steps; divides B.
        generator: A CPU generator.
    """
    order = torch.randperm(len(lengths), generator=generator)
    lengths = lengths.cpu()
    # A stable sort: equal lengths must not change places from one machine to another.
    return tuple(
        rows[lengths[rows].argsort(descending=True, stable=True)]
        for rows in order.chunk(minibatches)
    )


def in_micro_batches(
    steps: tuple[Tensor, ...], lengths: Tensor, limit: MicroBatchLimit
) -> Minibatches:
    """Cut each optimiser step of `shuffled_minibatches` into micro-batches."""
    lengths = lengths.cpu()
    return Minibatches(tuple(limit.split(rows, lengths) for rows in steps))
