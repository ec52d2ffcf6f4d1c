"""Policy, reference, critic and reward adapters on one base model in memory.

The policy is the base with its LoRA on, the reference the same weights with it off. The critic is a
scalar head on the policy's trunk, or on the trunk with a second LoRA. All of them see the same
left-padded prompts and right-padded responses, and divide the logits by the same temperature.

A reward adapter is one more LoRA that was trained before (see `ppo_tui.training.reward_adapter`):
it is read, never trained and never saved, and the others compute the same numbers with and without
it, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.errors import CheckpointError
from ppo_tui.policy.adapters import adapter_parameters, attach, tuner_layers
from ppo_tui.policy.attention import Layout, attention_config, laid_out, layout_in_force
from ppo_tui.policy.checkpointing import checkpoint_blocks
from ppo_tui.policy.decoder import Decoder, Decoding
from ppo_tui.policy.head import token_logprobs
from ppo_tui.policy.loading import BaseModel
from ppo_tui.policy.lora import speed_up
from ppo_tui.policy.merged import MergedWeights
from ppo_tui.policy.packing import pack, pick, predicting
from ppo_tui.policy.readings import reading_of
from ppo_tui.policy.reward_files import read_reward_adapter
from ppo_tui.policy.sequences import Sequences
from ppo_tui.policy.trunk import Trunk

Role = Literal["policy", "reference", "value"]


class TokenOutputs(NamedTuple):
    """What a pass says of each response token, all ``[B, R]`` float32 and 0 outside the mask.

    Attributes:
        logprobs: Of the sampled tokens.
        values: Of the states in which they were chosen, or None if not asked for.
        entropies: Of the distributions they were drawn from, or None if not asked for.
    """

    logprobs: Tensor
    values: Tensor | None
    entropies: Tensor | None


class Roles:
    """One base model that answers as policy, reference and critic.

    Args:
        base: The loaded base model; gets adapters put into it.
        adapter: What is trained.
        critic: ``head`` on the policy's trunk, or ``adapter`` of its own.
        temperature: Divides the logits of policy and reference.
        seed: Of the adapters' initialisation.
        packing: Compute passes without padding, where the model allows it.
        decoding: How responses are decoded.

    Attributes:
        trunk: The model without its output head.
        packs: Whether passes are computed without padding.
        merged: The copy of the weights that a rollout decodes on.
        decoder: What decodes responses.
        checkpoints: Whether activations are computed again in the backward pass.

    Raises:
        ConfigError: The adapter's targets name no layer of this model, or its output head.
    """

    def __init__(
        self,
        base: BaseModel,
        adapter: AdapterConfig,
        critic: Literal["head", "adapter"] = "head",
        temperature: float = 1.0,
        seed: int = 0,
        *,
        packing: bool = True,
        decoding: Decoding | None = None,
    ) -> None:
        self.base = base
        self.critic = critic
        self.temperature = temperature
        names = ["policy", "value"] if critic == "adapter" else ["policy"]
        self.peft = attach(base, adapter, names, seed)
        self.trunk = Trunk(self.peft.get_base_model())
        self.checkpoints = False
        self.packs = packing and not self.trunk.cannot_lay_out
        self.merged = MergedWeights(self.peft, "policy", base.dtype)
        self.decoder = Decoder(self, decoding)
        self.value_head = nn.Linear(self.trunk.hidden_size, 1, device=base.device)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self._layers = tuner_layers(self.peft)
        speed_up(self._layers)
        # Listed once: a walk over the whole model at each change of role would cost a tenth of a
        # step of a small model.
        self._trained = {name: adapter_parameters(self.peft, name) for name in names}
        # Their names are a user's; peft's must have no dot and differ from policy and value.
        self._rewards: dict[str, str] = {}
        self._frozen: list[nn.Parameter] = []
        self._role: str | None = None
        self._become("policy")

    # ---- parameters

    def policy_parameters(self) -> list[nn.Parameter]:
        """The policy's LoRA; with ``critic: head`` the critic trains them too."""
        return list(self._trained["policy"])

    def value_parameters(self) -> list[nn.Parameter]:
        """The critic's own: the head and, with ``critic: adapter``, its LoRA."""
        return [*self._trained.get("value", ()), *self.value_head.parameters()]

    # ---- passes

    def policy_pass(
        self,
        batch: Sequences,
        *,
        with_values: bool = True,
        with_entropy: bool = False,
        entropy_gradient: bool = False,
    ) -> TokenOutputs:
        """Log-probabilities under the policy and the critic's values, in one pass for both.

        With ``critic: adapter`` the values take a second pass. Entropies carry a gradient only if
        `entropy_gradient` is set: it costs a product with the output head.
        """
        shared = with_values and self.critic == "head"
        logprobs, values, entropies = self._pass(
            "policy",
            batch,
            logprobs=True,
            values=shared,
            entropy=with_entropy,
            entropy_gradient=entropy_gradient,
        )
        if with_values and not shared:
            _, values, _ = self._pass("value", batch, logprobs=False, values=True, entropy=False)
        assert logprobs is not None
        return TokenOutputs(logprobs, values, entropies)

    @torch.no_grad()
    def reference_logprobs(self, batch: Sequences) -> Tensor:
        """Log-probabilities under the base model, ``[B, R]``."""
        logprobs, _, _ = self._pass("reference", batch, logprobs=True, values=False, entropy=False)
        assert logprobs is not None
        return logprobs

    @torch.no_grad()
    def reference_reading(self, batch: Sequences) -> tuple[Tensor, NDArray[np.float32]]:
        """The same, and from the same pass what the base model reads in each response.

        Returns:
            Log-probabilities ``[B, R]``, and readings ``[B, D]`` on the CPU.
        """
        states: list[Tensor] = []
        logprobs, _, _ = self._pass(
            "reference", batch, logprobs=True, values=False, entropy=False, keep=states
        )
        assert logprobs is not None
        embeddings = self.trunk.embeddings(batch.response_ids)
        return logprobs, reading_of(batch, states[0], embeddings)

    def _pass(
        self,
        role: Role,
        batch: Sequences,
        *,
        logprobs: bool,
        values: bool,
        entropy: bool,
        entropy_gradient: bool = False,
        keep: list[Tensor] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        self._become(role)
        features, states = self._predicting(batch, keep)
        real = batch.response_mask
        chosen = spread = value = None
        if logprobs:
            flat, flat_entropy = token_logprobs(
                features,
                batch.response_ids[real],
                self.trunk.output_head,
                self.trunk.vocab_size,
                self.temperature,
                entropy,
                entropy_gradient,
            )
            chosen = _scatter(flat, real)
            spread = None if flat_entropy is None else _scatter(flat_entropy, real)
        if values:
            value = _scatter(self.value_head(states.float()).squeeze(-1), real)
        return chosen, value, spread

    def _predicting(
        self, batch: Sequences, keep: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features and states that predict the response tokens, ``[M, F]`` and ``[M, H]``.

        Token t is predicted, and its value read, one position before its own.

        Args:
            batch: The responses.
            keep: Gets all states of the pass, ``[B, P + R, H]``, 0 where nothing is.
        """
        if self.packs:
            packed = pack(batch)
            output = self.trunk(packed.ids, None, packed.positions, layout=packed.layout)
            if keep is not None:
                real = torch.cat([batch.prompt_mask, batch.response_mask], dim=1)
                keep.append(_rows_of(output.states[0], real))
            places = predicting(batch, packed)
            features = pick(output.features[0], places)
            if output.states is output.features:
                return features, features
            return features, pick(output.states[0], places)
        output = self.trunk(*batch.model_inputs())
        if keep is not None:
            keep.append(output.states)
        start, real = batch.prompt_ids.shape[1] - 1, batch.response_mask
        window = slice(start, start + batch.response_ids.shape[1])
        return output.features[:, window][real], output.states[:, window][real]

    def pooled(self, name: str, batch: Sequences) -> Tensor:
        """What a reward adapter reads in each response: ``[B, H]`` float32, without a graph.

        The last hidden state at the response's last token, which has seen all of it. An end token
        is not that one, unless there is no other: a rated text does not tell whether it had one.

        Args:
            name: As it was called when it was loaded.
            batch: B responses.
        """
        with torch.no_grad():
            return self._pooled(self._rewards[name], batch)

    def policy_pooled(self, batch: Sequences) -> Tensor:
        """The same of the policy's adapter, differentiable: a reward adapter in training."""
        return self._pooled("policy", batch)

    def _pooled(self, role: str, batch: Sequences) -> Tensor:
        self._become(role)
        lengths = batch.response_lengths
        last = batch.response_ids.gather(1, (lengths - 1).unsqueeze(1)).squeeze(1)
        ends = torch.isin(last, torch.tensor(self.base.vocabulary.eos_ids, device=last.device))
        place = (lengths - ends.long()).clamp(min=1) - 1
        if self.packs:
            packed = pack(batch)
            states = self.trunk(packed.ids, None, packed.positions, layout=packed.layout).states
            return states[0].index_select(0, packed.starts + batch.prompt_lengths + place).float()
        states = self.trunk(*batch.model_inputs()).states[:, batch.prompt_ids.shape[1] :]
        return states[torch.arange(len(batch), device=states.device), place].float()

    # ---- roles

    def checkpoint_activations(self) -> bool:
        """Compute each block's activations again in the backward pass instead of keeping them.

        Returns:
            Whether the model's blocks allow it.
        """
        self.checkpoints = checkpoint_blocks(self.peft, self._as_now)
        return self.checkpoints

    def _as_now(self) -> AbstractContextManager[None]:
        """A context in which passes are as they are now; entered when one is made again."""
        return self._again(self._role, layout_in_force())

    @contextmanager
    def _again(self, role: str | None, layout: Layout | None) -> Iterator[None]:
        before = self._role
        if role is not None:
            self._become(role)
        try:
            with ExitStack() as stack:
                if layout is not None:
                    config = attention_config(self.peft.get_base_model())
                    stack.enter_context(laid_out(config, layout))
                yield
        finally:
            if before is not None:
                self._become(before)

    def _become(self, role: str) -> None:
        if role == self._role:
            return
        for layer in self._layers:
            if role == "reference":
                layer.enable_adapters(False)
            else:
                layer.set_adapter([role])
                layer.enable_adapters(True)
        # peft freezes what is not active; here everything that was made to be trained stays so.
        for parameter in (*self.policy_parameters(), *self.value_parameters()):
            parameter.requires_grad_(True)
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        self._role = role

    @contextmanager
    def sampling(self, *, reference: bool = False, merge: bool | None = None) -> Iterator[Trunk]:
        """The trunk of the policy (or the reference) for generation.

        Args:
            reference: Generate as the base model.
            merge: Compute on a copy of the weights with the adapter added in, which saves two
                matrix products a layer and token, where that is possible; the copy is then held in
                `merged` until it is dropped. None: where the weights are not quantised, and
                dropped at once.
        """
        drop = merge is None
        if merge is None:
            merge = self.base.quantization == "none"
        if reference or not merge or not self.merged.possible:
            self._become("reference" if reference else "policy")
            yield self.trunk
            return
        self._become("reference")
        self.merged.refresh()
        try:
            with self.merged.in_force():
                yield self.trunk
        finally:
            if drop:
                self.merged.drop()

    # ---- saving

    def adapter_names(self) -> list[str]:
        """The adapters that are trained: ``policy`` and perhaps ``value``."""
        return list(self._trained)

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write one adapter in peft's format, ready for `PeftModel.from_pretrained`."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save

        folder.mkdir(parents=True)
        state = get_peft_model_state_dict(self.peft, adapter_name=name, save_embedding_layers=False)
        tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        # Written by Python, whose error says why where it fails.
        (folder / "adapter_model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
        config = copy(self.peft.peft_config[name])
        config.inference_mode = True
        # A set, which peft would write in the order of this process's hashes; a run's files are the
        # same ones whenever it is repeated.
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)
        config.save_pretrained(str(folder))

    def load_adapter(self, name: str, folder: Path) -> None:
        """Read back what `save_adapter` wrote.

        Raises:
            CheckpointError: It does not fit this model.
        """
        from peft import get_peft_model_state_dict, set_peft_model_state_dict
        from safetensors.torch import load_file

        state = load_file(str(folder / "adapter_model.safetensors"))
        current = get_peft_model_state_dict(
            self.peft, adapter_name=name, save_embedding_layers=False
        )
        shapes = {key: value.shape for key, value in current.items()}
        if shapes != {key: value.shape for key, value in state.items()}:
            raise CheckpointError(
                f"The adapter in {folder} does not fit this model and adapter configuration.",
                code="checkpoint.mismatch",
            )
        set_peft_model_state_dict(self.peft, state, adapter_name=name)
        for parameter in (*self.policy_parameters(), *self.value_parameters()):
            parameter.requires_grad_(True)

    def load_reward_adapter(self, name: str, folder: Path) -> None:
        """Put a trained reward adapter beside the others; rank and layers may be its own.

        Args:
            name: What `pooled` calls it.
            folder: In peft's format, as `save_adapter` writes it.

        Raises:
            RewardError: It is damaged (`reward.artefact_damaged`), or does not fit this model
                (`reward.other_base`).
        """
        read = read_reward_adapter(folder)
        inside = f"reward_{len(self._rewards)}"
        read.put_into(self.peft, inside)
        self.peft.eval()
        self._rewards[name] = inside
        self._frozen += adapter_parameters(self.peft, inside)
        self._layers = tuner_layers(self.peft)
        speed_up(self._layers)
        self._role = None  # peft has changed what is active
        self._become("policy")


def _scatter(flat: Tensor, mask: Tensor) -> Tensor:
    """Put ``[N]`` values onto the true positions of ``[B, R]``, 0 elsewhere; differentiable."""
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)


def _rows_of(tokens: Tensor, real: Tensor) -> Tensor:
    """Put ``[N, H]`` onto the true positions of ``[B, T]``, 0 elsewhere: ``[B, T, H]``."""
    rows = tokens.new_zeros(*real.shape, tokens.shape[-1])
    rows[real] = tokens
    return rows
