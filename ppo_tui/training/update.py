"""The optimiser steps of one PPO step."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from ppo_tui.config.schema import OptimConfig, PPOConfig
from ppo_tui.errors import OutOfMemory
from ppo_tui.policy.devices import attempt
from ppo_tui.policy.roles import Roles, TokenOutputs
from ppo_tui.ppo import LossStats, kl_estimate, policy_loss, value_loss
from ppo_tui.ppo.losses import token_mean
from ppo_tui.ppo.masked import zero_outside
from ppo_tui.training.batches import Experience, UpdateStats
from ppo_tui.training.minibatches import shuffled_minibatches
from ppo_tui.training.room import Room
from ppo_tui.training.undo import NotFinite, check_finite


def make_optimizer(roles: Roles, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with two groups: the policy's adapter, and the critic's own parameters.

    Its moments are there from the start, and zero.
    """
    optimizer = torch.optim.AdamW(
        [{"params": roles.policy_parameters()}, {"params": roles.value_parameters()}],
        lr=0.0,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=roles.base.device.type in ("cuda", "cpu"),
    )
    # A step of no gradient and no rate changes nothing, and makes the moments. Made in the first
    # step that counts, those of the second group would be missing when the first has moved, and
    # where memory ran out between the two the step could not be begun again.
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for state in optimizer.state.values():
        state["step"].zero_()
    for group in optimizer.param_groups:
        group["lr"] = config.lr
    return optimizer


class Updater:
    """Runs the epochs and minibatches of a step.

    Args:
        roles: The model.
        room: How much is in memory at a time.
        optimizer: From `make_optimizer`.
        ppo: Losses and loop.
        max_grad_norm: Bound of the gradient's global norm.
        generator: A CPU generator, for the shuffles after the first epoch.
        measure_after: Where there is one epoch only, measure the policy KL in a pass of its own
            after it; before its updates there is none to be seen.
    """

    def __init__(
        self,
        roles: Roles,
        room: Room,
        optimizer: torch.optim.AdamW,
        ppo: PPOConfig,
        max_grad_norm: float,
        generator: torch.Generator,
        *,
        measure_after: bool = False,
    ) -> None:
        self._roles = roles
        self._room = room
        self._optimizer = optimizer
        self._ppo = ppo
        self._max_grad_norm = max_grad_norm
        self._generator = generator
        self._measure_after = measure_after and ppo.epochs == 1
        self._parameters: list[nn.Parameter] = [
            p for group in optimizer.param_groups for p in group["params"]
        ]

    def update(self, experience: Experience, lr: float, value_lr: float) -> UpdateStats | None:
        """Train on one batch of experience.

        Args:
            experience: What was sampled and measured.
            lr: Learning rate of the policy's adapter.
            value_lr: Learning rate of the critic's own parameters.

        Returns:
            What was done; None if memory ran out in the first optimiser step. Nothing has changed
            then, and micro-batches are smaller from now on: measured anew in those, old and new
            log-probabilities are equal to the last bit again.

        Raises:
            NotFinite: A loss or a gradient is not finite, or the policy that came of it says
                nothing finite any more. The optimiser steps before have been taken.
            OutOfMemory: Not even one response at a time fits.
        """
        for group, rate in zip(self._optimizer.param_groups, (lr, value_lr), strict=True):
            group["lr"] = rate
        planned = self._ppo.epochs * self._ppo.minibatches
        history: dict[str, list[float]] = defaultdict(list)
        last_epoch_kl: list[float] = []
        stopped = False
        for epoch in range(self._ppo.epochs):
            steps = self._steps(experience, epoch)
            last_epoch_kl = []
            for number, rows in enumerate(steps):
                first = epoch == number == 0
                stats = self._gradient(experience, rows, first=first, single=planned == 1)
                if stats is None:
                    return None
                last_epoch_kl.append(stats["approx_kl"])
                stopped = self._ppo.stop_kl is not None and stats["approx_kl"] > self._ppo.stop_kl
                if not stopped:
                    stats |= self._step()
                for name, value in stats.items():
                    history[name].append(value)
                if stopped:
                    break
            if stopped:
                break
        self._optimizer.zero_grad(set_to_none=True)
        self._check_weights(experience)
        policy_kl = sum(last_epoch_kl) / len(last_epoch_kl)
        if self._measure_after and not stopped:
            policy_kl = self._kl_since(experience)
        return UpdateStats(
            metrics=_metrics(history) | {"policy/approx_kl": policy_kl, "optim/lr": lr},
            optimizer_steps=len(history["grad_norm"]),
            planned_steps=planned,
            stopped_early=stopped,
            policy_kl=policy_kl,
            first_ratio_deviation=history["ratio_max_deviation"][0],
            max_clipped_norm=max(history["clipped_norm"], default=0.0),
        )

    @torch.no_grad()
    def _check_weights(self, experience: Experience) -> None:
        """Whether the policy can still be used: a look at its weights, and at one short text.

        Weights may all be finite, and what they make of a text not be.
        """
        norms = torch.stack(torch._foreach_norm([p.detach() for p in self._parameters]))
        if not bool(torch.isfinite(norms).all()):
            raise NotFinite(
                "The update made weights that are not finite numbers: the learning rate may be too "
                "high.",
                hint="Lower optim.lr.",
            )
        shortest = experience.sequences.lengths.argmin().reshape(1)
        output = self._roles.policy_pass(experience.sequences.select(shortest))
        assert output.values is not None
        mask = experience.mask[shortest, : output.logprobs.shape[1]]
        check_finite("After the update the policy's log-probabilities are", output.logprobs, mask)
        check_finite("After the update the critic's values are", output.values, mask)

    @torch.no_grad()
    def _kl_since(self, experience: Experience) -> float:
        """k3 of the policy that sampled to the one now, mean a token."""
        total = 0.0

        def measure(rows: Tensor) -> None:
            nonlocal total
            total += self._k3(experience, rows)

        self._room.for_all(experience.sequences.lengths.cpu(), "update", measure)
        return total / int(experience.mask.sum())

    def _k3(self, experience: Experience, rows: Tensor) -> float:
        """k3 of KL(old || new) of some rows, from tokens that the old policy sampled, summed."""
        rows = rows.to(experience.mask.device)
        new = self._roles.policy_pass(experience.sequences.select(rows), with_values=False).logprobs
        width = new.shape[1]
        k3 = kl_estimate(experience.measured.logprobs[rows, :width], new, "k3")
        return float(zero_outside(k3, experience.mask[rows, :width]).sum())

    def _steps(self, experience: Experience, epoch: int) -> tuple[Tensor, ...]:
        """The rows of each optimiser step of an epoch, the longest first."""
        if epoch == 0:
            steps = experience.measured.first_epoch.steps
            return tuple(torch.cat(micro_batches) for micro_batches in steps)
        return shuffled_minibatches(
            experience.sequences.lengths, self._ppo.minibatches, self._generator
        )

    def _gradient(
        self, experience: Experience, rows: Tensor, *, first: bool, single: bool
    ) -> dict[str, float] | None:
        """Gradient of one optimiser step, in micro-batches as small as the memory asks for.

        None if memory ran out and it was the `first`.
        """
        lengths = experience.sequences.lengths.cpu()
        kept = experience.measured.kept if first else None
        while True:
            micro_batches = self._room.limit.split(rows, lengths)
            reached: list[Tensor] = []
            done = attempt(
                experience.mask.device,
                self._accumulate,
                experience,
                micro_batches,
                kept=kept,
                single=single,
                reached=reached,
            )
            if done is not None:
                return done[0]
            self._optimizer.zero_grad(set_to_none=True)
            self._room.give_way(micro_batches, reached, lengths, "update")
            if first:
                return None

    def _accumulate(
        self,
        experience: Experience,
        micro_batches: tuple[Tensor, ...],
        *,
        kept: TokenOutputs | None,
        single: bool,
        reached: list[Tensor] | None = None,
    ) -> dict[str, float]:
        """Gradients of one optimiser step, summed over its micro-batches.

        `kept` is the pass over the only one, if it has been made before; `reached` gets those that
        have been begun.
        """
        self._optimizer.zero_grad(set_to_none=True)
        device = experience.mask.device
        rows_of = [rows.to(device) for rows in micro_batches]
        # Every sum is divided by the tokens of the whole step: the parts then add up to it.
        tokens = sum(int(experience.mask[rows].sum()) for rows in rows_of)
        totals: dict[str, Tensor] = {}
        for number, rows in enumerate(rows_of):
            if reached is not None:
                reached.append(micro_batches[number])
            stats = self._micro_step(experience, rows, tokens, kept=kept, single=single)
            for name, value in stats.items():
                if name not in totals:
                    totals[name] = value
                elif name == "ratio_max_deviation":
                    totals[name] = torch.maximum(totals[name], value)
                else:
                    totals[name] = totals[name] + value
        names, values = list(totals), torch.stack(list(totals.values())).tolist()
        return dict(zip(names, values, strict=True))

    def _micro_step(
        self,
        experience: Experience,
        rows: Tensor,
        tokens: int,
        *,
        kept: TokenOutputs | None,
        single: bool,
    ) -> dict[str, Tensor]:
        ppo, measured = self._ppo, experience.measured
        bonus = ppo.entropy_coef > 0
        output = kept or self._roles.policy_pass(
            experience.sequences.select(rows), with_entropy=bonus, entropy_gradient=bonus
        )
        assert output.values is not None
        width = output.logprobs.shape[1]
        mask = experience.mask[rows, :width]
        # With a single update a batch, new and old are the same policy by definition.
        old = output.logprobs.detach() if single else measured.logprobs[rows, :width]
        policy, policy_stats = policy_loss(
            output.logprobs,
            old,
            experience.advantages[rows, :width],
            mask,
            ppo.clip,
            ppo.clip_high,
            ppo.dual_clip,
            denominator=tokens,
        )
        value, value_stats = value_loss(
            output.values,
            measured.values[rows, :width],
            experience.returns[rows, :width],
            mask,
            ppo.value_clip,
            denominator=tokens,
        )
        loss = policy + ppo.value_coef * value
        if bonus:
            assert output.entropies is not None
            loss = loss - ppo.entropy_coef * token_mean(output.entropies, mask, tokens)
        if not torch.isfinite(loss.detach()):
            raise NotFinite(
                "The loss is not a finite number: the learning rate may be too high, or float16 "
                "too narrow for this model.",
                hint="Lower optim.lr, or use dtype: bfloat16 or float32.",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return _named(policy, policy_stats, value, value_stats)

    def _step(self) -> dict[str, float]:
        """Clip the accumulated gradient and take one optimiser step."""
        norm = nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm)
        if not torch.isfinite(norm):
            self._optimizer.zero_grad(set_to_none=True)
            raise NotFinite(
                "The gradient is not a finite number: the learning rate may be too high, or "
                "float16 too narrow for this model.",
                hint="Lower optim.lr, or use dtype: bfloat16 or float32.",
            )
        clipped = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        device = self._parameters[0].device
        # The moments are there, so that it takes its memory before anything moves: it can be begun
        # again, when the gradients' own leavings have been given back.
        if not attempt(device, self._optimizer.step) and not attempt(device, self._optimizer.step):
            raise OutOfMemory(
                "The memory is too small for the optimiser's moments beside the model.",
                hint="Lower adapter.rank or engine.micro_batch_tokens; `ppo-tui plan` shows what "
                "takes how much.",
                code="memory.step",
            )
        return {"grad_norm": float(norm), "clipped_norm": float(clipped)}


def _named(
    policy: Tensor, policy_stats: LossStats, value: Tensor, value_stats: LossStats
) -> dict[str, Tensor]:
    return {
        "policy_loss": policy.detach(),
        "value_loss": value.detach(),
        "approx_kl": policy_stats["approx_kl"],
        "clip_fraction": policy_stats["clip_fraction"],
        "ratio_mean": policy_stats["ratio_mean"],
        "ratio_max_deviation": policy_stats["ratio_max_deviation"],
        "value_clip_fraction": value_stats["clip_fraction"],
    }


def _metrics(history: dict[str, list[float]]) -> dict[str, float]:
    def mean(name: str) -> float:
        values = history[name]
        return sum(values) / len(values) if values else float("nan")

    return {
        "policy/loss": mean("policy_loss"),
        "policy/clip_fraction": mean("clip_fraction"),
        "policy/ratio_first": history["ratio_mean"][0],
        "value/loss": mean("value_loss"),
        "value/clip_fraction": mean("value_clip_fraction"),
        "optim/grad_norm": mean("grad_norm"),
    }
