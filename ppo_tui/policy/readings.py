"""What the model says of a response as a whole: its hidden states, pooled over the tokens.

The features of a reward that people teach (`ppo_tui.taste`). They come from the states that the
reference pass computes in any case, so that such a reward costs no second model and no pass more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppo_tui.policy.sequences import Sequences
from ppo_tui.taste.reading import sketch


def reading_of(batch: Sequences, states: Tensor, embeddings: Tensor) -> NDArray[np.float32]:
    """Pool the hidden states of a pass.

    Args:
        batch: B prompts of P tokens with responses of R.
        states: ``[B, P + R, H]``, the last hidden states.
        embeddings: ``[B, R, E]``, the response's input embeddings.

    Returns:
        ``[B, D]`` float32; `ppo_tui.taste.reading` says what stands where.
    """
    width = batch.prompt_ids.shape[1]
    response, mask = states[:, width:].float(), batch.response_mask.unsqueeze(-1)
    prompt, prompt_mask = states[:, :width].float(), batch.prompt_mask.unsqueeze(-1)
    last = (batch.response_lengths - 1).view(-1, 1, 1).expand(-1, 1, response.shape[-1])
    blocks = {
        "mean": pooled_mean(response, mask),
        "last": response.gather(1, last).squeeze(1),
        "max": response.masked_fill(~mask, -torch.inf).amax(1),
        "embedding": _as_wide(pooled_mean(embeddings.float(), mask), response.shape[-1]),
        "prompt": pooled_mean(prompt, prompt_mask),
    }
    arrays: dict[str, NDArray[Any]] = {name: block.cpu().numpy() for name, block in blocks.items()}
    return sketch(arrays, batch.response_lengths.cpu().numpy())


def pooled_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean over the true positions, ``[B, T, H]`` and ``[B, T, 1]`` to ``[B, H]``."""
    return (states * mask).sum(1) / mask.sum(1)


def _as_wide(block: Tensor, width: int) -> Tensor:
    """Zeros added, or columns left out: a few models embed in another width than they compute."""
    missing = max(0, width - block.shape[1])
    return torch.nn.functional.pad(block, (0, missing))[:, :width]
