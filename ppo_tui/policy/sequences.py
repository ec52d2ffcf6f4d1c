"""Prompts and responses as one batch of token ids: left-padded prompts, right-padded responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """``[B, width]``, true on the first `lengths` positions of each row."""
    return torch.arange(width, device=lengths.device) < lengths.unsqueeze(-1)


def pad_prompts(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Left-pad token ids: ``[B, P]`` ids and ``[B]`` lengths, on the CPU."""
    lengths = torch.tensor([len(ids) for ids in prompts])
    width = int(lengths.max())
    rows = [[pad_id] * (width - len(ids)) + list(ids) for ids in prompts]
    return torch.tensor(rows), lengths


@dataclass(frozen=True)
class Sequences:
    """B prompts with a response each.

    Attributes:
        prompt_ids: ``[B, P]`` int64, left-padded.
        prompt_lengths: ``[B]`` int64.
        response_ids: ``[B, R]`` int64, right-padded; the end token, if any, is the last real one.
        response_lengths: ``[B]`` int64, at least 1.
    """

    prompt_ids: Tensor
    prompt_lengths: Tensor
    response_ids: Tensor
    response_lengths: Tensor

    def __len__(self) -> int:
        return int(self.prompt_ids.shape[0])

    @property
    def lengths(self) -> Tensor:
        """``[B]`` int64, tokens of prompt and response."""
        return self.prompt_lengths + self.response_lengths

    @property
    def response_mask(self) -> Tensor:
        """``[B, R]`` boolean, true on real response tokens."""
        return length_mask(self.response_lengths, self.response_ids.shape[1])

    @property
    def prompt_mask(self) -> Tensor:
        """``[B, P]`` boolean, true on real prompt tokens."""
        return length_mask(self.prompt_lengths, self.prompt_ids.shape[1]).flip(-1)

    def select(self, rows: Tensor) -> Sequences:
        """The rows of these indices, without the columns in which all of them are padding."""
        prompt_lengths, response_lengths = self.prompt_lengths[rows], self.response_lengths[rows]
        prompt_width, response_width = int(prompt_lengths.max()), int(response_lengths.max())
        return Sequences(
            self.prompt_ids[rows, self.prompt_ids.shape[1] - prompt_width :],
            prompt_lengths,
            self.response_ids[rows, :response_width],
            response_lengths,
        )

    def to(self, device: torch.device) -> Sequences:
        """The same on `device`."""
        return Sequences(
            self.prompt_ids.to(device),
            self.prompt_lengths.to(device),
            self.response_ids.to(device),
            self.response_lengths.to(device),
        )

    def model_inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a model reads: ids, attention mask and positions, each ``[B, P + R]``.

        Positions are the exclusive cumulative sum of the mask, so that a row's positions do not
        depend on its padding.
        """
        ids = torch.cat([self.prompt_ids, self.response_ids], dim=1)
        mask = torch.cat([self.prompt_mask, self.response_mask], dim=1).long()
        return ids, mask, mask.cumsum(1) - mask


def concatenate(parts: Sequence[Sequences], pad_id: int) -> Sequences:
    """Several batches below each other, padded to the widest."""
    prompt_width = max(part.prompt_ids.shape[1] for part in parts)
    response_width = max(part.response_ids.shape[1] for part in parts)
    pad = torch.nn.functional.pad
    return Sequences(
        torch.cat(
            [
                pad(p.prompt_ids, (prompt_width - p.prompt_ids.shape[1], 0), value=pad_id)
                for p in parts
            ]
        ),
        torch.cat([p.prompt_lengths for p in parts]),
        torch.cat(
            [
                pad(p.response_ids, (0, response_width - p.response_ids.shape[1]), value=pad_id)
                for p in parts
            ]
        ),
        torch.cat([p.response_lengths for p in parts]),
    )
