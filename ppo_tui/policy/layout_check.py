"""Whether a model computes the same on tokens that are laid out as on a padded batch.

Most architectures do; one with an attention of its own kind (a soft cap, a bias by distance), or
with a state that runs along the row (Mamba), does not. A few tokens through both ways tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppo_tui.out_of_memory import is_out_of_memory
from ppo_tui.policy.attention import (
    CannotLayOut,
    attention_config,
    forget_windows,
    register,
    windows_seen,
)
from ppo_tui.policy.packing import pack_ids
from ppo_tui.policy.slots import PrefillLayout, SlotCache, StepLayout

if TYPE_CHECKING:
    from ppo_tui.policy.trunk import Trunk

_LENGTHS = (6, 4)
"""Tokens of the two rows that are tried; both rows begin alike, and must not see each other."""


@torch.no_grad()
def why_it_cannot(trunk: Trunk, model: Any) -> str:
    """Why the model's tokens cannot be laid out, in a few words; empty where they can."""
    if not trunk.is_split:
        return "its output head does not run apart"
    if not trunk.takes_positions:
        return "it takes no positions"
    config = attention_config(model)
    if getattr(config, "_attn_implementation", None) != "sdpa":
        return f"its attention is {getattr(config, '_attn_implementation', 'its own')}"
    register()
    forget_windows()
    device = model.get_input_embeddings().weight.device
    rows = model.get_input_embeddings().weight.shape[0]
    ids = [[(3 * place + 1) % rows for place in range(length)] for length in _LENGTHS]
    expected = _padded(trunk, ids, device)
    try:
        found = (_packed(trunk, ids, device), _stepped(trunk, ids, device))
    except CannotLayOut as reason:
        return f"its attention has {reason}"
    # A model that counts on a mask fails without one in a way of its own; padded it can be trained.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"it fails without a mask ({type(error).__name__})"
    window = getattr(config, "sliding_window", None)
    if window and window not in windows_seen():
        return "its layers do not tell their sliding window"
    if getattr(config, "attention_chunk_size", None):
        return "its attention is cut into chunks"
    scale = max(1.0, float(expected.float().abs().max()))
    # Rounding alone may differ; LLM.int8 treats an outlier's column apart, for all rows.
    relative = 1e-4 if expected.dtype == torch.float32 else 3e-2
    if getattr(model, "is_loaded_in_8bit", False):
        relative = 5e-2
    if any((other - expected).abs().max() > relative * scale for other in found):
        return "its tokens depend on how they are laid out"
    return ""


def _padded(trunk: Trunk, ids: list[list[int]], device: torch.device) -> Tensor:
    """The last hidden state of each row, ``[B, H]``, in the ordinary way."""
    lengths = torch.tensor([len(row) for row in ids], device=device)
    width = int(lengths.max())
    padded = torch.tensor([[0] * (width - len(row)) + row for row in ids], device=device)
    mask = (torch.arange(width, device=device) >= width - lengths.unsqueeze(1)).long()
    return trunk(padded, mask, mask.cumsum(1) - mask).states[:, -1].float()


def _packed(trunk: Trunk, ids: list[list[int]], device: torch.device) -> Tensor:
    packed = pack_ids(ids, device)
    states = trunk(packed.ids, None, packed.positions, layout=packed.layout).states[0]
    return states[[sum(_LENGTHS[: row + 1]) - 1 for row in range(len(ids))]].float()


def _stepped(trunk: Trunk, ids: list[list[int]], device: torch.device) -> Tensor:
    """All but the last token of each row into slots, then that token as a step."""
    prompts = [row[:-1] for row in ids]
    packed = pack_ids(prompts, device)
    cache = SlotCache(len(ids), max(_LENGTHS) + 2)
    slots = torch.tensor([slot for slot, row in enumerate(prompts) for _ in row], device=device)
    lengths = torch.tensor([len(row) for row in prompts], device=device)
    everything = torch.arange(len(slots), device=device)
    layout = PrefillLayout(lengths, cache, everything, slots, packed.positions[0])
    trunk(packed.ids, None, packed.positions, layout=layout)
    last = torch.tensor([[row[-1]] for row in ids], device=device)
    step = StepLayout(cache, lengths, max(_LENGTHS) + 1)
    return trunk(last, None, lengths.unsqueeze(1), layout=step).states[:, -1].float()
