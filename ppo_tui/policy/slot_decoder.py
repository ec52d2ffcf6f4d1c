"""Responses decoded together, each in a slot of its own, until all of them have ended.

Every step adds a token to each response that goes on. A slot whose response has ended is given to
the next prompt, where there are more prompts than slots; else the rows that go on are moved
together, so that what has ended costs nothing. Everything a step works on lies in tensors of fixed
size and place, and no step asks the device for anything: it can be captured as a CUDA graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from ppo_tui.policy.packing import pack_ids
from ppo_tui.policy.sampling import Drawn, draw
from ppo_tui.policy.slots import PrefillLayout, SlotCache, StepLayout
from ppo_tui.policy.trunk import Trunk

PREFILL_TOKENS = 4096
"""Prompt tokens in a pass at the most, unless one prompt alone is longer."""

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampler:
    """How tokens are drawn; see `ppo_tui.policy.sampling.draw`."""

    temperature: float
    top_k: int
    top_p: float
    eos_ids: tuple[int, ...]
    pad_id: int


@dataclass(frozen=True)
class Shape:
    """Sizes of a rollout.

    Attributes:
        slots: S, responses that are decoded at a time.
        length: T, tokens of a slot.
        episodes: B, responses in all.
        tokens: R, longest response.
    """

    slots: int
    length: int
    episodes: int
    tokens: int


class SlotDecoder:
    """Decodes B responses in S slots.

    Args:
        trunk: The model, as it is to answer.
        sampler: How to draw.
        shape: The sizes.
        device: Where.
        rounding: Numbers of rows and widths are rounded up to few different ones, which are worth
            capturing; without, they are exact.
        together: Steps from one look at the device to the next.

    Attributes:
        responses: ``[B + 1, R]``; the last row takes what belongs to nobody, here and below.
        logprobs: ``[B + 1, R]`` float32, of each drawn token, as the sampler saw it.
        lengths: ``[B + 1]``.
    """

    def __init__(
        self,
        trunk: Trunk,
        sampler: Sampler,
        shape: Shape,
        device: torch.device,
        *,
        rounding: bool = False,
        together: int = 1,
    ) -> None:
        self._trunk, self._sampler, self.shape, self._device = trunk, sampler, shape, device
        self._rounding, self._together = rounding, together
        self.cache = SlotCache(shape.slots, shape.length)
        self.step: Step = self.one_step
        rows, slots = shape.episodes + 1, shape.slots
        self._eos = torch.tensor(sampler.eos_ids, device=device)
        # Float64 does not exist on mps; there the draw is inverted in float32.
        self._uniforms = torch.zeros(
            rows,
            shape.tokens,
            dtype=torch.float32 if device.type == "mps" else torch.float64,
            device=device,
        )
        self.responses = torch.zeros(rows, shape.tokens, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(rows, shape.tokens, device=device)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        # Of each slot: the token that comes next into it, and where; whose it is; how many tokens
        # its response has; whether it goes on.
        self._tokens, self._positions, self._episodes, self._counts = (
            torch.zeros(slots, dtype=torch.long, device=device) for _ in range(4)
        )
        self._alive = torch.zeros(slots, dtype=torch.bool, device=device)

    @torch.no_grad()
    def run(
        self,
        prompts: Sequence[Sequence[int]],
        uniforms: Tensor,
        episodes: Sequence[int],
        done: Callable[[int], None],
    ) -> None:
        """Decode some of the responses.

        Args:
            prompts: All B prompts.
            uniforms: ``[B, R]`` float64 in [0, 1), on the CPU: what each token is drawn by.
            episodes: Which of them are to be decoded.
            done: Called with an episode when its response is complete.
        """
        self._uniforms[:-1] = uniforms.to(self._uniforms.dtype).to(self._device)
        self.responses.fill_(self._sampler.pad_id)
        self.logprobs.zero_()
        self._alive.fill_(False)  # an earlier run may have ended in the middle
        # The longest prompts first: what does not fit shows at once, and what is left for the end
        # is quick. A stable order keeps the responses to one prompt together.
        waiting = deque(sorted(episodes, key=lambda e: -len(prompts[e])))
        slots = _Slots(self.shape.slots)
        while waiting or slots.used:
            if waiting and slots.has_room_for_a_batch:
                self._fill(slots, waiting, prompts)
            self._steps(slots)
            self._harvest(slots, bool(waiting), done)

    # ---- stations

    def _fill(self, slots: _Slots, waiting: deque[int], prompts: Sequence[Sequence[int]]) -> None:
        """Give free slots to the next responses, whose first tokens the prompts' pass draws."""
        chosen: list[int] = []
        unique: dict[tuple[int, ...], int] = {}
        tokens = 0
        for episode in list(waiting)[: len(slots.free)]:
            prompt = tuple(prompts[episode])
            if prompt not in unique:
                if unique and tokens + len(prompt) > PREFILL_TOKENS:
                    break
                unique[prompt] = len(unique)
                tokens += len(prompt)
            chosen.append(waiting.popleft())
        places = slots.take(chosen, [len(prompts[e]) for e in chosen])
        source = [unique[tuple(prompts[episode])] for episode in chosen]
        hidden = self._read_prompts([list(prompt) for prompt in unique], source, places)
        logits = self._trunk.head(hidden)[torch.tensor(source, device=self._device)]
        index = torch.tensor(places, device=self._device)
        self._episodes[index] = torch.tensor(chosen, device=self._device)
        self._positions[index] = torch.tensor(
            [len(prompts[e]) - 1 for e in chosen], device=self._device
        )
        self._counts[index] = 0
        self._alive[index] = True
        self._take(index, self._draw(logits, index))

    def _read_prompts(
        self, prompts: list[list[int]], source: list[int], places: list[int]
    ) -> Tensor:
        """Prompts into slots; returns the features that predict what follows, ``[U, F]``."""
        packed = pack_ids(prompts, self._device)
        lengths = [len(prompt) for prompt in prompts]
        starts = [end - length for end, length in zip(accumulate(lengths), lengths, strict=True)]
        copies = [starts[s] + place for s in source for place in range(lengths[s])]
        slots = [slot for slot, s in zip(places, source, strict=True) for _ in range(lengths[s])]
        positions = [place for s in source for place in range(lengths[s])]
        layout = PrefillLayout(
            torch.tensor(lengths, device=self._device),
            self.cache,
            *(torch.tensor(t, device=self._device) for t in (copies, slots, positions)),
        )
        output = self._trunk(packed.ids, None, packed.positions, layout=layout)
        last = [end - 1 for end in accumulate(lengths)]
        return output.features[0].index_select(0, torch.tensor(last, device=self._device))

    def _steps(self, slots: _Slots) -> None:
        for _ in range(min(self._together, slots.steps_left(self.shape.tokens))):
            rows, width = slots.used, slots.grow()
            if self._rounding:
                rows, width = rounded_rows(rows, self.shape.slots), rounded_width(width)
            self.step(rows, min(width, self.shape.length))

    def one_step(self, rows: int, width: int) -> None:
        """One token more in each of the first `rows` slots, looking at `width` tokens of them."""
        layout = StepLayout(self.cache, self._positions[:rows], width)
        output = self._trunk(
            self._tokens[:rows, None], None, self._positions[:rows, None], layout=layout
        )
        index = layout.rows
        self._take(index, self._draw(self._trunk.head(output.features[:, -1]), index))

    def _draw(self, logits: Tensor, slots: Tensor) -> Drawn:
        s = self._sampler
        counts = self._counts[slots].clamp(max=self.shape.tokens - 1)
        uniforms = self._uniforms[self._episodes[slots], counts]
        return draw(logits, uniforms, s.temperature, s.top_k, s.top_p)

    def _take(self, slots: Tensor, drawn: Drawn) -> None:
        """Write down what was drawn for these slots, and whether it ends their responses."""
        alive = self._alive[slots]
        episodes = torch.where(alive, self._episodes[slots], self.shape.episodes)
        counts = self._counts[slots]
        place = counts.clamp(max=self.shape.tokens - 1)
        self.responses[episodes, place] = drawn.tokens
        self.logprobs[episodes, place] = drawn.logprobs
        counts = counts + alive
        self.lengths[episodes] = counts
        ended = (drawn.tokens.unsqueeze(1) == self._eos).any(1) | (counts >= self.shape.tokens)
        self._counts[slots] = counts
        going = alive & ~ended
        self._alive[slots] = going
        # What has ended looks at a single token: in a sliding window far beyond the tokens that are
        # looked at it would see none, and of nothing at all a softmax may be NaN.
        self._positions[slots] = torch.where(going, self._positions[slots] + 1, 0)
        self._tokens[slots] = drawn.tokens

    def _harvest(self, slots: _Slots, more: bool, done: Callable[[int], None]) -> None:
        """Free the slots whose responses have ended, and close the gaps where none waits."""
        alive = self._alive[: slots.used].tolist()
        for slot, going in enumerate(alive):
            if not going and slots.episode[slot] is not None:
                done(slots.release(slot))
        if more or not slots.free:
            return
        sources, targets, kept = slots.gaps()
        most = self.shape.slots
        if kept and self._rounding and rounded_rows(kept, most) == rounded_rows(slots.used, most):
            return
        if sources:
            self.cache.move(sources, targets, slots.longest)
            into, out_of = (torch.tensor(s, device=self._device) for s in (targets, sources))
            for state in (self._tokens, self._positions, self._episodes, self._counts, self._alive):
                state[into] = state[out_of]
                if state.dtype == torch.bool:
                    state[out_of] = False
        slots.close(sources, targets)


class _Slots:
    """Which slot holds whose response, as the host knows it without asking the device.

    Attributes:
        episode: Of each slot the response in it, or None.
        used: Slots from the first to the last that holds one.
    """

    def __init__(self, count: int) -> None:
        self.episode: list[int | None] = [None] * count
        self._prompt = [0] * count
        self._made = [0] * count
        self.used = 0

    @property
    def free(self) -> list[int]:
        """Slots that hold no response."""
        return [slot for slot, episode in enumerate(self.episode) if episode is None]

    @property
    def has_room_for_a_batch(self) -> bool:
        """Whether enough slots are free that a pass over new prompts is worth its while."""
        return len(self.free) >= max(1, len(self.episode) // 8)

    @property
    def longest(self) -> int:
        """Tokens in the fullest slot, at the most."""
        return max(
            (
                self._prompt[slot] + self._made[slot]
                for slot, episode in enumerate(self.episode)
                if episode is not None
            ),
            default=0,
        )

    def take(self, episodes: Sequence[int], prompt_lengths: Sequence[int]) -> list[int]:
        """Put responses into the first free slots, their first token made; returns the slots."""
        places = self.free[: len(episodes)]
        for slot, episode, length in zip(places, episodes, prompt_lengths, strict=True):
            self.episode[slot] = episode
            self._prompt[slot], self._made[slot] = length, 1
            self.used = max(self.used, slot + 1)
        return places

    def steps_left(self, most: int) -> int:
        """Steps until the youngest response is as long as any may be."""
        return most - min(
            (self._made[s] for s, episode in enumerate(self.episode) if episode is not None),
            default=most,
        )

    def grow(self) -> int:
        """One step: returns the tokens that it looks at in the fullest slot."""
        width = self.longest
        for slot, episode in enumerate(self.episode):
            if episode is not None:
                self._made[slot] += 1
        return width

    def release(self, slot: int) -> int:
        """Free a slot; returns whose it was."""
        episode = self.episode[slot]
        assert episode is not None
        self.episode[slot] = None
        return episode

    def gaps(self) -> tuple[list[int], list[int], int]:
        """What would have to move whereto so that the used slots are the first ones, and how many.

        Returns:
            Sources, targets, and the number of slots in use.
        """
        held = [slot for slot in range(self.used) if self.episode[slot] is not None]
        count = len(held)
        sources = [slot for slot in held if slot >= count]
        targets = [slot for slot in range(count) if self.episode[slot] is None]
        return sources, targets, count

    def close(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """The moves of `gaps` have been made."""
        for source, target in zip(sources, targets, strict=True):
            self.episode[target], self.episode[source] = self.episode[source], None
            self._prompt[target], self._made[target] = self._prompt[source], self._made[source]
        self.used = sum(episode is not None for episode in self.episode)


def rounded_rows(rows: int, most: int) -> int:
    """The next power of two, or three quarters of one; never more than `most`."""
    power = 1 << max(0, rows - 1).bit_length()
    return min(most, 3 * power // 4 if power >= 4 and rows <= 3 * power // 4 else power)


def rounded_width(width: int) -> int:
    """The next multiple of 128."""
    return -(-width // 128) * 128
