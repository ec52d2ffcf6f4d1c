"""A causal model split into its trunk (ids to hidden states) and its output head.

Running the head apart lets it read only the positions that matter. Some architectures bend the
logits after the head (a soft cap, a scale): which one is found out by comparing with the model's
own forward pass once, never by the model's name.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ppo_tui.errors import ModelError
from ppo_tui.policy.attention import Layout, attention_config, laid_out
from ppo_tui.policy.head import IDENTITY, Bend, Head, head_of
from ppo_tui.policy.layout_check import why_it_cannot


class TrunkOutput(NamedTuple):
    """What the trunk says of each position.

    Attributes:
        features: ``[B, T, F]``, what the head turns into logits.
        states: ``[B, T, H]``, the last hidden states, what a value head reads.
    """

    features: Tensor
    states: Tensor


class Trunk:
    """The two halves of a transformers causal model.

    Args:
        model: The model, already with its adapters in place.

    Raises:
        ModelError: Neither half can be found and the whole does not return hidden states.

    Attributes:
        vocab_size: V.
        hidden_size: H.
        takes_positions: Whether the model can be told the positions of its tokens.
        cannot_lay_out: Why a pass takes no layout, in a few words; empty where it does.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.vocab_size: int = 0
        self.hidden_size: int = 0
        self._body: Any = None
        self._bend = IDENTITY
        self._split()
        whole = self._body is not None
        data = head_of(model.get_output_embeddings(), self._bend) if whole else None
        self._output_head: Head = data or self.head
        self.cannot_lay_out = why_it_cannot(self, model)

    def __call__(
        self,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        cache: Any = None,
        layout: Layout | None = None,
    ) -> TrunkOutput:
        """Run the trunk.

        Args:
            ids: ``[B, T]`` int64; the new tokens only where a cache is given.
            mask: ``[B, T]``, or ``[B, cached + T]`` with a cache; None where a layout is given.
            positions: ``[B, T]``.
            cache: A transformers cache, filled in place.
            layout: How the tokens lie, where they are no padded batch.
        """
        if layout is not None:
            with laid_out(attention_config(self._model), layout):
                return self(ids, None, positions)
        arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if self.takes_positions:
            arguments["position_ids"] = positions
        arguments["use_cache"] = cache is not None
        if cache is not None:
            arguments["past_key_values"] = cache
        if self._body is not None:
            states = self._body(**arguments).last_hidden_state
            return TrunkOutput(states, states)
        output = self._model(**arguments, output_hidden_states=True)
        return TrunkOutput(output.logits, output.hidden_states[-1])

    def embeddings(self, ids: Tensor) -> Tensor:
        """The input embeddings of token ids, ``[...]`` to ``[..., E]``."""
        result: Tensor = self._model.get_input_embeddings()(ids)
        return result

    def head(self, features: Tensor) -> Tensor:
        """Logits of features of any leading shape."""
        if self._body is None:
            return features
        return self._bend(self._model.get_output_embeddings()(features))

    @property
    def output_head(self) -> Head:
        """What turns features into logits, for `ppo_tui.policy.head.token_logprobs`."""
        return self._output_head

    @property
    def is_split(self) -> bool:
        """Whether head and trunk run apart; if not, whole logits are held."""
        return self._body is not None

    @torch.no_grad()
    def _split(self) -> None:
        model = self._model
        device = model.get_input_embeddings().weight.device
        rows = model.get_input_embeddings().weight.shape[0]
        ids = (torch.arange(6, device=device) % rows).unsqueeze(0)
        mask, positions = torch.ones_like(ids), torch.arange(6, device=device).unsqueeze(0)
        body = getattr(model, model.base_model_prefix, None)
        # A subclass without `forward` of its own cannot say what it takes.
        self.takes_positions = (
            "position_ids"
            in inspect.signature(
                (body if isinstance(body, torch.nn.Module) else model).forward
            ).parameters
        )
        expected = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        self.vocab_size = expected.shape[-1]
        if isinstance(body, torch.nn.Module) and model.get_output_embeddings() is not None:
            self._body = body
            states = self(ids, mask, positions).states
            self.hidden_size = states.shape[-1]
            raw = model.get_output_embeddings()(states)
            if raw.shape == expected.shape:
                # The nearest, not the first that is near: small logits are hardly bent by a cap.
                best = min(_bends(model.config), key=lambda bend: _distance(bend(raw), expected))
                if _distance(best(raw), expected) <= _tolerance(expected):
                    self._bend = best
                    return
            self._body = None
        output = model(
            input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True
        )
        if not output.hidden_states:
            raise ModelError(
                f"A {model.config.model_type!r} model does not show its hidden states, so it "
                "cannot have a critic.",
                code="model.unsupported",
            )
        self.hidden_size = output.hidden_states[-1].shape[-1]


def _bends(config: Any) -> list[Bend]:
    config = config.get_text_config()
    amounts: tuple[tuple[Literal["softcap", "scale", "divisor"], str], ...] = (
        ("softcap", "final_logit_softcapping"),
        ("scale", "logit_scale"),
        ("divisor", "logits_scaling"),
    )
    found = ((kind, getattr(config, name, None)) for kind, name in amounts)
    return [IDENTITY, *(Bend(kind, float(amount)) for kind, amount in found if amount)]


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().max())


def _tolerance(logits: Tensor) -> float:
    # The same products in the same order: anything but rounding is a different function.
    relative = 1e-4 if logits.dtype == torch.float32 else 2e-2
    return relative * max(1.0, float(logits.float().abs().max()))
