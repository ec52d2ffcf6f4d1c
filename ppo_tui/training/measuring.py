"""The rollout as policy, reference, critic and reward adapters see it, before the update."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppo_tui.policy.devices import attempt
from ppo_tui.policy.roles import Roles, TokenOutputs
from ppo_tui.policy.sequences import Sequences
from ppo_tui.rewards.protocol import REFERENCE
from ppo_tui.training.batches import Measured, Minibatches
from ppo_tui.training.minibatches import in_micro_batches
from ppo_tui.training.room import Room
from ppo_tui.training.scoring import Readings


class Measurer:
    """Makes the passes over a rollout that need no update.

    Args:
        roles: The model.
        room: How much is in memory at a time.
        reward_reads: What the reward reads of the model, by name.
        keep_reading: Read what the base says of each response also where the reward does not.
        entropy_gradient: The update will want the gradient of the entropies.
        keep_pass: Keep the pass over the responses with what its backward pass needs, for the only
            optimiser step of an update that has one. No update lies between the two, so the same
            numbers need not be computed again. Where there are more steps, the first one computes
            anew: that old and new log-probabilities then agree is a check of both.
    """

    def __init__(
        self,
        roles: Roles,
        room: Room,
        reward_reads: frozenset[str],
        *,
        keep_reading: bool,
        entropy_gradient: bool,
        keep_pass: bool,
    ) -> None:
        self._roles, self._room = roles, room
        self._adapters = reward_reads - {REFERENCE}
        self._reward_reads = reward_reads
        self._keep_reading = keep_reading or REFERENCE in reward_reads
        self._entropy_gradient, self._keep_pass = entropy_gradient, keep_pass

    def measure(self, sequences: Sequences, steps: tuple[Tensor, ...]) -> Measured:
        """Old and reference log-probabilities and values, in the first epoch's micro-batches.

        And what the model reads in each response, where a reward or a rater asks for it.

        Args:
            sequences: The rollout.
            steps: The first epoch's optimiser steps, as `shuffled_minibatches` makes them.

        Raises:
            OutOfMemory: Not even one response at a time fits.
        """
        lengths = sequences.lengths.cpu()
        while True:
            plan = in_micro_batches(steps, lengths, self._room.limit)
            reached: list[Tensor] = []
            device = sequences.response_ids.device
            done = attempt(device, self._measure, sequences, plan, reached)
            if done is not None:
                return done[0]
            self._room.give_way(plan.micro_batches, reached, lengths, "scoring")

    def _measure(self, sequences: Sequences, plan: Minibatches, reached: list[Tensor]) -> Measured:
        readings = _Gathered(len(sequences))
        shape, device = sequences.response_ids.shape, sequences.response_ids.device
        logprobs, reference, values, entropies = (
            torch.zeros(shape, device=device) for _ in range(4)
        )
        kept: TokenOutputs | None = None
        for rows in plan.micro_batches:
            reached.append(rows)
            rows = rows.to(device)
            batch = sequences.select(rows)
            width = batch.response_ids.shape[1]
            keep = self._keep_pass and len(plan.micro_batches) == 1
            with torch.set_grad_enabled(keep):
                output = self._roles.policy_pass(
                    batch, with_entropy=True, entropy_gradient=self._entropy_gradient
                )
            if keep:
                kept = output
            assert output.values is not None
            assert output.entropies is not None
            logprobs[rows, :width] = output.logprobs.detach()
            values[rows, :width] = output.values.detach()
            entropies[rows, :width] = output.entropies.detach()
            if self._keep_reading:
                reference[rows, :width], reading = self._roles.reference_reading(batch)
                readings.put(REFERENCE, rows, reading)
            else:
                reference[rows, :width] = self._roles.reference_logprobs(batch)
            self._read_adapters(batch, rows, readings)
        return Measured(logprobs, reference, values, entropies, plan, readings.by_name, kept)

    @torch.no_grad()
    def read(self, sequences: Sequences) -> Readings:
        """What the reward asks of the model about responses that are not of a step."""
        readings = _Gathered(len(sequences))

        def read(rows: Tensor) -> None:
            batch = sequences.select(rows.to(sequences.response_ids.device))
            if REFERENCE in self._reward_reads:
                readings.put(REFERENCE, rows, self._roles.reference_reading(batch)[1])
            self._read_adapters(batch, rows, readings)

        self._room.for_all(sequences.lengths.cpu(), "reading", read)
        return readings.by_name

    @torch.no_grad()
    def sequence_kl(self, sequences: Sequences) -> NDArray[np.float64]:
        """k1 of each response's KL to the reference, summed over its tokens: ``[B]``."""
        result = np.zeros(len(sequences))

        def measure(rows: Tensor) -> None:
            batch = sequences.select(rows.to(sequences.response_ids.device))
            policy = self._roles.policy_pass(batch, with_values=False).logprobs
            kl = (policy - self._roles.reference_logprobs(batch)).sum(-1)
            result[rows.numpy()] = kl.double().cpu().numpy()

        self._room.for_all(sequences.lengths.cpu(), "evaluation", measure)
        return result

    def _read_adapters(self, batch: Sequences, rows: Tensor, readings: _Gathered) -> None:
        for name in self._adapters:
            readings.put(name, rows, self._roles.pooled(name, batch).cpu().numpy())


class _Gathered:
    """Readings put together from micro-batches, ``[B, D]`` by name."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.by_name: dict[str, NDArray[np.float32]] = {}

    def put(self, name: str, rows: Tensor, reading: NDArray[np.float32]) -> None:
        if name not in self.by_name:
            self.by_name[name] = np.zeros((self._rows, reading.shape[1]), np.float32)
        self.by_name[name][rows.cpu().numpy()] = reading
