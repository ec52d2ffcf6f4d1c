"""How much of a step is in memory at a time, and what gives way when that is too much.

When memory runs out, the micro-batch that it ran out in is halved and the work on it done again,
from where nothing had been changed: the step and its result stay the same, but for rounding. What
was learnt of the memory is kept for all later steps, and in checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import OutOfMemory
from ppo_tui.plan.choices import Choices
from ppo_tui.policy.devices import attempt
from ppo_tui.policy.roles import Roles
from ppo_tui.training.batches import HealthNote
from ppo_tui.training.minibatches import MicroBatchLimit


class Room:
    """The bounds of a run's memory, as chosen before it and as learnt in it.

    Args:
        roles: The model; its decoder tells when it had to decode fewer responses at a time.
        config: The run.
        choices: What the memory plan chose; None bounds nothing but what the configuration does.
        tell: Called with a note when something gave way.

    Attributes:
        limit: Of a micro-batch.
    """

    def __init__(
        self,
        roles: Roles,
        config: RunConfig,
        choices: Choices | None,
        tell: Callable[[HealthNote], None],
    ) -> None:
        self._roles, self._tell = roles, tell
        self._may_compute_again = config.engine.checkpointing != "never"
        self._minibatch = config.rollout.batch_size // config.ppo.minibatches
        self.limit = MicroBatchLimit(
            config.engine.micro_batch_tokens if choices is None else choices.micro_batch_tokens,
            config.ppo.micro_batch_size,
            packed=roles.packs,
        )
        if choices is not None and choices.checkpointing:
            roles.checkpoint_activations()
        roles.decoder.told = self._fewer_slots

    def halve(self, rows: Tensor, lengths: Tensor, phase: str) -> None:
        """Memory ran out over this micro-batch: let the next try hold half of it.

        A single sequence cannot be halved; then what the rollout holds is let go, if it is kept,
        and after that activations are computed again in the backward pass, if they are not already.

        Args:
            rows: ``[m]`` row indices.
            lengths: ``[B]`` tokens of each sequence, on the CPU.
            phase: What was being done, in a word.

        Raises:
            OutOfMemory: There is nothing left to give way.
        """
        smaller = self.limit.halved(rows, lengths)
        if smaller is not None:
            self.limit = smaller
            self._tell(
                HealthNote(
                    "health.memory",
                    f"Memory ran out in {phase} with {len(rows)} responses "
                    f"({int(lengths[rows].sum())} tokens) at a time; from now on it is "
                    f"{smaller.sequences} at the most. The step goes on, with the same result.",
                    f"Set engine.micro_batch_tokens={smaller.tokens} to start like this.",
                    happened=True,
                )
            )
            return
        if self._roles.decoder.let_go():
            self._tell(
                HealthNote(
                    "health.memory",
                    f"Memory ran out in {phase} with a single response; from now on the cache of "
                    "the rollout, and its copy of the weights if there is one, are let go after "
                    "it and made anew for the next, which takes longer.",
                    happened=True,
                )
            )
            return
        again = phase == "update" and self._may_compute_again and not self._roles.checkpoints
        if again and self._roles.checkpoint_activations():
            self._tell(
                HealthNote(
                    "health.memory",
                    "Memory ran out in the update of a single response; from now on its "
                    "activations are computed again instead of kept, which takes longer.",
                    "Set engine.checkpointing=always to start like this.",
                    happened=True,
                )
            )
            return
        raise OutOfMemory(
            f"The memory is too small for a single response of {int(lengths[rows].max())} tokens "
            f"in {phase}.",
            hint="Use quantization: nf4, a smaller model, or fewer rollout.response_tokens; "
            "`ppo-tui plan` shows what takes how much.",
            code="memory.step",
        )

    def give_way(
        self,
        micro_batches: Sequence[Tensor],
        reached: Sequence[Tensor],
        lengths: Tensor,
        phase: str,
    ) -> None:
        """Memory ran out somewhere in these micro-batches: see `halve`.

        The largest is halved. One of a single sequence counts only where memory ran out in it, as
        else those of several have to give way first.

        Args:
            micro_batches: Each ``[m]`` row indices.
            reached: Those that had been begun.
            lengths: ``[B]`` tokens of each sequence, on the CPU.
            phase: What was being done, in a word.
        """
        several = [rows for rows in micro_batches if len(rows) > 1]
        candidates = [*several, *reached[-1:]] or micro_batches
        self.halve(max(candidates, key=lambda rows: int(lengths[rows].sum())), lengths, phase)

    def for_all(self, lengths: Tensor, phase: str, work: Callable[[Tensor], None]) -> None:
        """Do some work without gradients on all rows, so many at a time as there is room for.

        Args:
            lengths: ``[B]`` tokens of each sequence, on the CPU.
            phase: What it is, in a word.
            work: Called with row indices, each row once; twice for those over which memory ran out.

        Raises:
            OutOfMemory: There is no room for a single one.
        """
        waiting = [lengths.argsort(descending=True, stable=True)]
        while waiting:
            # There may be more rows than a step has: never more at a time than a minibatch, which
            # is what there is known to be room for.
            most = min(self.limit.sequences or self._minibatch, self._minibatch)
            part, *rest = replace(self.limit, sequences=most).split(waiting.pop(), lengths)
            waiting += reversed(rest)
            if attempt(self._roles.base.device, work, part) is None:
                self.halve(part, lengths, phase)
                waiting.append(part)

    def _fewer_slots(self, before: int, after: int) -> None:
        self._tell(
            HealthNote(
                "health.memory",
                f"Memory ran out with {before} responses being written at a time; from now on it "
                f"is {after}. The step goes on, with the same texts.",
                f"Set engine.rollout_slots={after} to start like this.",
                happened=True,
            )
        )

    def in_words(self) -> str:
        """How rollout, scoring and update are carried out."""
        roles, decoding = self._roles, self._roles.decoder.decoding
        decoder = roles.decoder
        way = "in slots of a fixed cache" if decoder.uses_slots else "over a growing cache"
        if not decoder.uses_slots and roles.trunk.cannot_lay_out:
            way += f" ({roles.trunk.cannot_lay_out})"
        weights = (
            "a copy of the weights with the adapter added in"
            if decoder.merges
            else "the weights as they are held, the adapter beside them"
        )
        graphs = ", each step one CUDA graph" if decoder.captures else ""
        most = f", {decoding.slots} at a time at the most" if decoding.slots else ""
        bounds = [
            f"{count:,} {what}"
            for count, what in (
                (self.limit.tokens, "tokens"),
                (self.limit.sequences, "responses"),
            )
            if count
        ]
        passes = "without padding" if roles.packs else "padded"
        held = f"at most {' and '.join(bounds)} at a time" if bounds else "a minibatch at a time"
        again = ", activations computed again in the backward pass" if roles.checkpoints else ""
        return (
            f"Responses are decoded {way}{most}, on {weights}{graphs}. "
            f"Scoring and update run {passes}, {held}{again}."
        )

    def state_dict(self) -> dict[str, Any]:
        """The bounds, as JSON."""
        return {
            "micro_batch_tokens": self.limit.tokens,
            "micro_batch_sequences": self.limit.sequences,
            "checkpointing": self._roles.checkpoints,
            "rollout_slots": self._roles.decoder.decoding.slots,
            "keep_rollout": self._roles.decoder.decoding.keep,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the bounds of the run so far, so that it goes on exactly as it was."""
        self.limit = MicroBatchLimit(
            state["micro_batch_tokens"], state["micro_batch_sequences"], self._roles.packs
        )
        if state["checkpointing"] and not self._roles.checkpoints:
            self._roles.checkpoint_activations()
        self._roles.decoder.limit_slots(state["rollout_slots"])
        if not state["keep_rollout"]:
            self._roles.decoder.let_go()
