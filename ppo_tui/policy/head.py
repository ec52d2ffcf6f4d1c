"""From hidden states to log-probabilities without ever holding ``[B, R, vocab]``.

The output head runs over a chunk of positions at a time and its logits are thrown away. The head
is frozen, so that all that a backward pass needs of a position is how its log-probability changes
with its hidden state: one vector, multiplied there by one number. An `OutputHead` says enough of
itself that this vector is computed while the chunk's logits are still there, and backwards the head
is not run at all: two products with its weight a position instead of three. Any other head is a
function, whose chunks are computed again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK_BYTES = 64 * 2**20
"""Size of one chunk's float32 logits."""


@dataclass(frozen=True)
class Bend:
    """What a model does to its logits after the head.

    Attributes:
        kind: ``identity``; ``softcap``: ``tanh(z / amount)·amount``; ``scale``: ``z·amount``;
            ``divisor``: ``z / amount``.
        amount: The kind's number.
    """

    kind: Literal["identity", "softcap", "scale", "divisor"] = "identity"
    amount: float = 1.0

    def __call__(self, logits: Tensor) -> Tensor:
        """The bent logits, in the logits' own precision as the model does it."""
        match self.kind:
            case "identity":
                return logits
            case "softcap":
                return torch.tanh(logits / self.amount) * self.amount
            case "scale":
                return logits * self.amount
            case "divisor":
                return logits / self.amount

    @property
    def steepness(self) -> float | None:
        """The slope where it is the same for every logit, else None."""
        match self.kind:
            case "identity":
                return 1.0
            case "softcap":
                return None
            case "scale":
                return self.amount
            case "divisor":
                return 1 / self.amount

    def slope(self, bent: Tensor, out: Tensor | None = None) -> Tensor:
        """How much each bent logit changes with its raw one, told from the bent one alone.

        A soft cap's is ``1 - (bent / amount)²``.

        Args:
            bent: Bent logits of any shape.
            out: Where the slopes are written, possibly `bent` itself; made anew if left out.
        """
        if self.steepness is not None:
            return (torch.empty_like(bent) if out is None else out).fill_(self.steepness)
        return torch.div(bent, self.amount, out=out).square_().neg_().add_(1)


IDENTITY = Bend()


@dataclass(frozen=True, eq=False)
class OutputHead:
    """An output head as data: ``bend(hidden @ weightᵀ + bias)``.

    Attributes:
        weight: ``[V, F]``, a plain tensor.
        bias: ``[V]`` or None.
        bend: What is done to the logits.
    """

    weight: Tensor
    bias: Tensor | None = None
    bend: Bend = IDENTITY

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., V]`` of hidden states ``[..., F]``, in the head's precision."""
        return self.bend(functional.linear(hidden, self.weight, self.bias))

    @property
    def frozen(self) -> bool:
        """Whether no gradient of the head itself is wanted."""
        return not (
            self.weight.requires_grad or (self.bias is not None and self.bias.requires_grad)
        )


Head = Callable[[Tensor], Tensor]
"""Hidden states ``[N, F]`` to logits ``[N, V]``; an `OutputHead` is one that is known inside."""


def head_of(module: nn.Module | None, bend: Bend = IDENTITY) -> OutputHead | None:
    """A model's head as data, or None where it is more than a product with a plain weight.

    A quantised or adapted layer has a type of its own, and a hook may change what a layer says.

    Args:
        module: The model's output embeddings.
        bend: What the model does to their logits.
    """
    if type(module) is not nn.Linear or module._forward_hooks or module._forward_pre_hooks:
        return None
    for tensor in (module.weight, module.bias):
        if tensor is not None and not (
            type(tensor) in (nn.Parameter, Tensor) and tensor.is_floating_point()
        ):
            return None
    # `forward` set on the object itself is another way of wrapping a layer.
    return None if "forward" in vars(module) else OutputHead(module.weight, module.bias, bend)


def token_logprobs(
    hidden: Tensor,
    targets: Tensor,
    head: Head,
    vocab: int,
    temperature: float,
    with_entropy: bool = False,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Log-probability of each target token and, if asked for, its distribution's entropy.

    ``log π(y) = z_y - logsumexp(z)`` and ``H = -Σ softmax(z)·log softmax(z)`` with the logits
    ``z = head(h) / temperature`` in float32. The values are the same to the last bit whether or not
    a gradient is wanted. Gradients are taken once: they have no gradient of their own.

    Args:
        hidden: ``[N, F]``, at the positions that predict the targets.
        targets: ``[N]``, token ids.
        head: The output head; gradients are cheapest through a frozen `OutputHead`.
        vocab: Size of the vocabulary, to find the chunk's size.
        temperature: Divides the logits.
        with_entropy: Compute the entropies as well.
        entropy_gradient: The entropies carry a gradient, which costs a third product.

    Returns:
        Log-probabilities and entropies (or None), ``[N]`` float32 (float64 of a float64 head).
    """
    rows = max(1, CHUNK_BYTES // (4 * vocab))
    if isinstance(head, OutputHead) and head.frozen:
        wanted = torch.is_grad_enabled() and hidden.requires_grad
        keep = _Keep(wanted, wanted and with_entropy and entropy_gradient)
        if not wanted:
            return _run(hidden, targets, head, temperature, rows, with_entropy, keep)[:2]
        return _Logprobs.apply(  # type: ignore[no-any-return, no-untyped-call]
            hidden, targets, head, temperature, rows, with_entropy, keep
        )
    return _through_function(
        hidden, targets, head, temperature, rows, with_entropy, entropy_gradient
    )


# ---- a head that is data


@dataclass(frozen=True)
class _Keep:
    """Which gradients with respect to the hidden states are computed along with the values."""

    logprobs: bool
    entropies: bool


_Outcome = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]
"""Log-probabilities and entropies ``[N]``, and the gradient of each position's ``[N, F]``."""


class _Logprobs(torch.autograd.Function):
    """Log-probabilities whose gradients were computed with them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        head: OutputHead,
        temperature: float,
        rows: int,
        with_entropy: bool,
        keep: _Keep,
    ) -> tuple[Tensor, Tensor | None]:
        logprobs, entropies, *slopes = _run(
            hidden, targets, head, temperature, rows, with_entropy, keep
        )
        ctx.dtype = hidden.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*slopes)
        if entropies is not None and not keep.entropies:
            ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        total = None
        for factor, slopes in zip(upstream, ctx.saved_tensors, strict=True):
            if factor is None or slopes is None:
                continue
            part = factor.unsqueeze(-1) * slopes
            total = part if total is None else total.add_(part)
        # Multiplied and added in float32; rounded once, to the hidden states' type.
        hidden = None if total is None else total.to(ctx.dtype)
        return hidden, None, None, None, None, None, None


@torch.no_grad()
def _run(
    hidden: Tensor,
    targets: Tensor,
    head: OutputHead,
    temperature: float,
    rows: int,
    with_entropy: bool,
    keep: _Keep,
) -> _Outcome:
    count = hidden.shape[0]
    dtype = torch.promote_types(head.weight.dtype, torch.float32)
    logprobs = torch.empty(count, dtype=dtype, device=hidden.device)
    entropies = torch.empty_like(logprobs) if with_entropy else None
    logprob_slopes = torch.empty_like(hidden) if keep.logprobs else None
    entropy_slopes = torch.empty_like(hidden) if keep.entropies else None
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        _run_chunk(
            hidden[part],
            targets[part].unsqueeze(-1),
            head,
            temperature,
            logprobs[part],
            None if entropies is None else entropies[part],
            None if logprob_slopes is None else logprob_slopes[part],
            None if entropy_slopes is None else entropy_slopes[part],
        )
    return logprobs, entropies, logprob_slopes, entropy_slopes


def _run_chunk(
    hidden: Tensor,
    targets: Tensor,
    head: OutputHead,
    temperature: float,
    logprobs: Tensor,
    entropies: Tensor | None,
    logprob_slopes: Tensor | None,
    entropy_slopes: Tensor | None,
) -> None:
    """Fill in a chunk's ``[n]`` values and ``[n, F]`` gradients; targets are ``[n, 1]``.

    With ``p = softmax(z)``: ``∂log p_y/∂z_j = 1[j = y] - p_j`` and ``∂H/∂z_j = -p_j(log p_j + H)``,
    each times ``∂z_j/∂raw_j = slope_j / temperature``.
    """
    scaled = _divided(head(hidden), temperature, in_place=True)
    log_p = torch.log_softmax(scaled, -1)
    chosen = log_p.gather(-1, targets)
    logprobs.copy_(chosen.squeeze(-1))
    if entropies is None and logprob_slopes is None:
        return
    slope = None
    if logprob_slopes is not None and head.bend.steepness is None:
        slope = head.bend.slope(scaled.mul_(temperature), out=scaled)
    del scaled
    p = log_p.exp_()
    if entropies is not None:
        information = _information(p)
        torch.sum(information, -1, out=entropies)
        if entropy_slopes is not None:
            information.addcmul_(p, entropies.unsqueeze(-1), value=-1)
            _project(information, slope, head, 1 / temperature, out=entropy_slopes)
        del information
    if logprob_slopes is not None:
        p.scatter_(-1, targets, chosen.expm1_())
        # The sign is turned after the product, where there are fewer numbers.
        _project(p, slope, head, -1 / temperature, out=logprob_slopes)


def _information(p: Tensor) -> Tensor:
    """``-p·log p``, and 0 where p is 0: a token that cannot be adds nothing."""
    if p.device.type == "mps":  # torch has no `entr` for it
        return torch.where(p > 0, -p * p.log(), torch.zeros_like(p))
    information: Tensor = torch.special.entr(p)
    return information


def _project(
    gradient: Tensor, slope: Tensor | None, head: OutputHead, factor: float, out: Tensor
) -> None:
    """Carry gradients of bent logits ``[n, V]``, which are overwritten, to the hidden states."""
    if slope is not None:
        gradient.mul_(slope)
    elif head.bend.steepness is not None:
        factor *= head.bend.steepness
    out.copy_((gradient.to(head.weight.dtype) @ head.weight).mul_(factor))


# ---- a head that is a function


def _through_function(
    hidden: Tensor,
    targets: Tensor,
    head: Callable[[Tensor], Tensor],
    temperature: float,
    rows: int,
    with_entropy: bool,
    entropy_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    if hidden.shape[0] <= rows:
        return _function_chunk(hidden, targets, head, temperature, with_entropy, entropy_gradient)
    recompute = torch.is_grad_enabled() and hidden.requires_grad
    logprobs, entropies = [], []
    for start in range(0, hidden.shape[0], rows):
        arguments = (
            hidden[start : start + rows],
            targets[start : start + rows],
            head,
            temperature,
            with_entropy,
            entropy_gradient,
        )
        if recompute:
            logprob, entropy = checkpoint(
                _function_chunk, *arguments, use_reentrant=False, preserve_rng_state=False
            )
        else:
            logprob, entropy = _function_chunk(*arguments)
        logprobs.append(logprob)
        entropies.append(entropy)
    return torch.cat(logprobs), torch.cat(entropies) if with_entropy else None


def _function_chunk(
    hidden: Tensor,
    targets: Tensor,
    head: Callable[[Tensor], Tensor],
    temperature: float,
    with_entropy: bool,
    entropy_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    logits = _divided(head(hidden), temperature)
    normaliser = logits.logsumexp(-1)
    logprobs = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - normaliser
    if not with_entropy:
        return logprobs, None
    if not entropy_gradient:
        logits, normaliser = logits.detach(), normaliser.detach()
    # A logit of minus infinity (a token that cannot be) has probability 0 and adds nothing.
    weighted = (logits - normaliser.unsqueeze(-1)).exp() * logits.clamp(min=-1e30)
    return logprobs, normaliser - weighted.sum(-1)


# ---- both


def _divided(logits: Tensor, temperature: float, in_place: bool = False) -> Tensor:
    """Logits over the temperature in at least float32, in one pass over them.

    In place where asked for and where the logits are of that precision already.
    """
    divisor = torch.full((1,), temperature, dtype=torch.float32, device=logits.device)
    if in_place and logits.dtype == torch.promote_types(logits.dtype, torch.float32):
        return logits.div_(divisor)
    return logits / divisor
