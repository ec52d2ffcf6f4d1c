"""One way to ask for responses, whichever way the model, the device and the memory allow.

`Decoder.sample` draws all random numbers first, so that neither how many responses are decoded at a
time, nor a lack of memory in the middle of it, changes which tokens they consist of: when memory
runs out, half as many are decoded at a time from then on, and what was not complete begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from ppo_tui.errors import OutOfMemory
from ppo_tui.policy.cuda_graphs import GraphedSteps
from ppo_tui.policy.devices import attempt, release_memory
from ppo_tui.policy.plain_decoder import decode_plainly
from ppo_tui.policy.sequences import Sequences, pad_prompts
from ppo_tui.policy.slot_decoder import Sampler, Shape, SlotDecoder, rounded_width
from ppo_tui.policy.trunk import Trunk

if TYPE_CHECKING:
    from ppo_tui.policy.roles import Roles

STEPS_TOGETHER = 4
"""Steps of a GPU from one look at which responses have ended to the next: a look makes it wait."""


@dataclass(frozen=True)
class Decoding:
    """How responses are to be decoded.

    Attributes:
        kind: ``slots`` of a cache of fixed size, or ``plain``, which any model can do; ``auto``
            takes slots where the model can.
        merged: Decode on a copy of the weights with the adapter added in, where the model has
            weights of which that can be made; None: if they are not quantised either.
        slots: Responses that are decoded at a time, at the most; None is all.
        keep: Hold copy, cache and graphs from one call to the next.
        graphs: Capture steps as CUDA graphs, where there is CUDA.
    """

    kind: Literal["auto", "slots", "plain"] = "auto"
    merged: bool | None = None
    slots: int | None = None
    keep: bool = False
    graphs: bool = True


class Sampled(NamedTuple):
    """Responses, and how likely their tokens were to the sampler.

    Attributes:
        sequences: Prompts and responses on the model's device.
        logprobs: ``[B, R]`` float32, under ``softmax(logits / temperature)`` of the weights that
            decoded; 0 outside the responses.
    """

    sequences: Sequences
    logprobs: Tensor


class Decoder:
    """Decodes responses of the policy or the reference.

    Args:
        roles: The model.
        decoding: How.
        told: Called with the responses at a time before and after memory ran out.

    Attributes:
        decoding: How; says fewer slots once memory has run out.
        told: As given.
        longest_prompt: Tokens of the longest prompt there will be, where that is known.
    """

    def __init__(
        self,
        roles: Roles,
        decoding: Decoding | None = None,
        told: Callable[[int, int], None] = lambda before, after: None,
    ) -> None:
        self._roles, self.decoding, self.told = roles, decoding or Decoding(), told
        self.longest_prompt = 0
        self._kept: tuple[tuple[object, ...], SlotDecoder] | None = None
        self._graphs: GraphedSteps | None = None
        self._graphs_refused = ""

    @property
    def uses_slots(self) -> bool:
        """Whether responses are decoded in slots."""
        return self.decoding.kind != "plain" and not self._roles.trunk.cannot_lay_out

    @property
    def merges(self) -> bool:
        """Whether the policy is decoded on a copy of the weights with the adapter added in."""
        merged = self.decoding.merged
        wanted = self._roles.base.quantization == "none" if merged is None else merged
        return wanted and self._roles.merged.possible

    @property
    def captures(self) -> bool:
        """Whether steps are captured as CUDA graphs."""
        device = self._roles.base.device.type
        wanted = device == "cuda" and self.uses_slots and self.decoding.graphs
        return wanted and not self.graphs_refused

    @property
    def graphs_refused(self) -> str:
        """Why steps could not be captured as CUDA graphs; empty where they could, or not yet."""
        return self._graphs_refused or (self._graphs.refused if self._graphs else "")

    def limit_slots(self, slots: int | None) -> None:
        """Decode so many responses at a time, at the most."""
        self.decoding = replace(self.decoding, slots=slots)

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        generator: torch.Generator,
        *,
        reference: bool = False,
        top_k: int = 0,
        top_p: float = 1.0,
        rows_at_once: int | None = None,
    ) -> Sampled:
        """Sample a response to each prompt; see `ppo_tui.policy.generation.generate`.

        Raises:
            OutOfMemory: Not even one response at a time fits.
        """
        vocabulary = self._roles.base.vocabulary
        sampler = Sampler(
            self._roles.temperature, top_k, top_p, tuple(vocabulary.eos_ids), vocabulary.pad_id
        )
        uniforms = torch.rand(len(prompts), max_tokens, generator=generator, dtype=torch.float64)
        made = _Made.of(prompts, max_tokens, vocabulary.pad_id, self._roles.base.device)
        slots = min(rows_at_once or len(prompts), self.decoding.slots or len(prompts))
        way = self._in_slots if self.uses_slots else self._plainly
        device = self._roles.base.device
        while not attempt(device, way, sampler, prompts, uniforms, made, slots, reference):
            self.release()
            release_memory(device)
            if slots == 1:
                raise OutOfMemory(
                    "The memory is too small to decode even one response at a time.",
                    hint="Use quantization: nf4, a smaller model, or fewer "
                    "rollout.response_tokens; `ppo-tui plan` shows what takes how much.",
                    code="memory.rollout",
                )
            halved = (slots + 1) // 2
            self.decoding = replace(self.decoding, slots=halved)
            self.told(slots, halved)
            slots = halved
        return made.sampled()

    def release(self) -> None:
        """Let the copy of the weights, the cache and the graphs go."""
        self._forget_decoder()
        self._roles.merged.drop()

    def let_go(self) -> bool:
        """Hold nothing from one call to the next any more; returns whether that was done so far."""
        kept = self.decoding.keep
        if kept:
            self.decoding = replace(self.decoding, keep=False)
            self.release()
        return kept

    # ---- the two ways

    def _plainly(
        self,
        sampler: Sampler,
        prompts: Sequence[Sequence[int]],
        uniforms: Tensor,
        made: _Made,
        rows: int,
        reference: bool,
    ) -> None:
        with self._roles.sampling(reference=reference, merge=self.merges) as trunk:
            left = made.left
            for start in range(0, len(left), rows):
                index = left[start : start + rows]
                ids, lengths = pad_prompts([prompts[e] for e in index], sampler.pad_id)
                decoded = decode_plainly(
                    trunk,
                    self._roles.base.model.config,
                    sampler,
                    ids.to(made.device),
                    lengths.to(made.device),
                    uniforms[index],
                )
                made.take(index, *decoded)
        if not self.decoding.keep:
            self._roles.merged.drop()

    def _in_slots(
        self,
        sampler: Sampler,
        prompts: Sequence[Sequence[int]],
        uniforms: Tensor,
        made: _Made,
        slots: int,
        reference: bool,
    ) -> None:
        on_gpu = made.device.type == "cuda"
        longest = max(map(len, prompts))
        if on_gpu:  # the same shape at each call, so that what is kept can be used again
            length = rounded_width(max(longest, self.longest_prompt) + uniforms.shape[1])
        else:
            length = longest + uniforms.shape[1]
        shape = Shape(slots, length, len(prompts), uniforms.shape[1])
        with self._roles.sampling(reference=reference, merge=self.merges) as trunk:
            decoder = self._decoder(trunk, sampler, shape, reference)
            done: list[int] = []
            decoder.run(prompts, uniforms, made.left, done.append)
            made.take(
                done, *(t[done] for t in (decoder.responses, decoder.lengths, decoder.logprobs))
            )
        if not self.decoding.keep:
            self.release()

    def _decoder(
        self, trunk: Trunk, sampler: Sampler, shape: Shape, reference: bool
    ) -> SlotDecoder:
        """One for this shape: the kept one, if it is of that."""
        key = (sampler, shape, reference)
        if self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        self._forget_decoder()
        on_gpu = self._roles.base.device.type == "cuda"
        decoder = SlotDecoder(
            trunk,
            sampler,
            shape,
            self._roles.base.device,
            rounding=on_gpu,
            together=STEPS_TOGETHER if on_gpu else 1,
        )
        if self.captures:
            self._graphs = GraphedSteps(decoder.one_step)
            decoder.step = self._graphs
        self._kept = (key, decoder)
        return decoder

    def _forget_decoder(self) -> None:
        self._graphs_refused = self.graphs_refused
        # Graphs hold on to the decoder whose steps they are, and so to its cache.
        self._kept = self._graphs = None


@dataclass
class _Made:
    """The responses so far.

    Attributes:
        device: The model's.
        left: Those that are still to be decoded.
    """

    prompts: tuple[Tensor, Tensor]
    responses: Tensor
    lengths: Tensor
    logprobs: Tensor
    device: torch.device
    left: list[int]

    @classmethod
    def of(
        cls, prompts: Sequence[Sequence[int]], tokens: int, pad_id: int, device: torch.device
    ) -> _Made:
        ids, lengths = pad_prompts(prompts, pad_id)
        count = len(prompts)
        return cls(
            (ids.to(device), lengths.to(device)),
            torch.full((count, tokens), pad_id, device=device),
            torch.zeros(count, dtype=torch.long, device=device),
            torch.zeros(count, tokens, device=device),
            device,
            list(range(count)),
        )

    def take(
        self, episodes: list[int], responses: Tensor, lengths: Tensor, logprobs: Tensor
    ) -> None:
        index = torch.tensor(episodes, dtype=torch.long, device=self.device)
        self.responses[index], self.lengths[index] = responses, lengths
        self.logprobs[index] = logprobs
        complete = set(episodes)
        self.left = [episode for episode in self.left if episode not in complete]

    def sampled(self) -> Sampled:
        width = int(self.lengths.max())
        ids, lengths = self.prompts
        return Sampled(
            Sequences(ids, lengths, self.responses[:, :width], self.lengths),
            self.logprobs[:, :width],
        )
