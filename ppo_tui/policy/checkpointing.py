"""Blocks that keep nothing but their input for the backward pass, and are computed again there.

It costs about a third more time and saves most of the memory of the activations. transformers has a
switch for it that works in training mode alone, in which dropout would be on as well; so a block's
forward pass is wrapped here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(model: nn.Module, as_now: Callable[[], AbstractContextManager[None]]) -> bool:
    """Wrap the forward pass of each block of a transformers model.

    Args:
        model: The model.
        as_now: Makes a context in which a pass is what it is at the time of the call: which
            adapters are on, how tokens lie. It is entered when the block is computed again.

    Returns:
        Whether there are such blocks; without, nothing was changed.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    blocks = [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]
    for block in blocks:
        if "forward" not in vars(block):
            object.__setattr__(block, "forward", _again(block.forward, as_now))
    return bool(blocks)


def _again(
    forward: Callable[..., Any], as_now: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Any]:
    @wraps(forward)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(
            forward,
            *args,
            use_reentrant=False,
            preserve_rng_state=False,  # nothing in a block is random: dropout is off
            context_fn=lambda: (nullcontext(), as_now()),
            **kwargs,
        )

    return wrapped
