"""The optimiser steps of one PPO step."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from ppo_tui.config.schema import OptimConfig, PPOConfig
from ppo_tui.errors import TrainingError
from ppo_tui.policy.roles import Roles
from ppo_tui.ppo import LossStats, kl_estimate, policy_loss, value_loss
from ppo_tui.ppo.losses import token_mean
from ppo_tui.ppo.masked import zero_outside
from ppo_tui.training.batches import Experience, Minibatches, UpdateStats
from ppo_tui.training.minibatches import plan_minibatches


def make_optimizer(roles: Roles, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW with two groups: the policy's adapter, and the critic's own parameters."""
    return torch.optim.AdamW(
        [{"params": roles.policy_parameters()}, {"params": roles.value_parameters()}],
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=roles.base.device.type in ("cuda", "cpu"),
    )


class Updater:
    """Runs the epochs and minibatches of a step.

    Args:
        roles: The model.
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
        optimizer: torch.optim.AdamW,
        ppo: PPOConfig,
        max_grad_norm: float,
        generator: torch.Generator,
        *,
        measure_after: bool = False,
    ) -> None:
        self._roles = roles
        self._optimizer = optimizer
        self._ppo = ppo
        self._max_grad_norm = max_grad_norm
        self._generator = generator
        self._measure_after = measure_after and ppo.epochs == 1
        self._parameters: list[nn.Parameter] = [
            p for group in optimizer.param_groups for p in group["params"]
        ]

    def update(self, experience: Experience, lr: float, value_lr: float) -> UpdateStats:
        """Train on one batch of experience.

        Args:
            experience: What was sampled and measured.
            lr: Learning rate of the policy's adapter.
            value_lr: Learning rate of the critic's own parameters.

        Raises:
            TrainingError: A loss or gradient is not finite. Nothing was changed by that step.
        """
        for group, rate in zip(self._optimizer.param_groups, (lr, value_lr), strict=True):
            group["lr"] = rate
        planned = self._ppo.epochs * self._ppo.minibatches
        history: dict[str, list[float]] = defaultdict(list)
        last_epoch_kl: list[float] = []
        stopped = False
        for epoch in range(self._ppo.epochs):
            plan = experience.measured.first_epoch if epoch == 0 else self._shuffle(experience)
            last_epoch_kl = []
            for micro_batches in plan.steps:
                stats = self._accumulate(experience, micro_batches, single=planned == 1)
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
    def _kl_since(self, experience: Experience) -> float:
        """k3 of the policy that sampled to the one now, mean a token."""
        old, mask, total = experience.measured.logprobs, experience.mask, 0.0
        for rows in experience.measured.first_epoch.micro_batches:
            rows = rows.to(mask.device)
            batch = experience.sequences.select(rows)
            new = self._roles.policy_pass(batch, with_values=False).logprobs
            width = new.shape[1]
            # k3 of KL(old || new), from tokens that the old policy sampled.
            k3 = kl_estimate(old[rows, :width], new, "k3")
            total += float(zero_outside(k3, mask[rows, :width]).sum())
        return total / int(mask.sum())

    def _shuffle(self, experience: Experience) -> Minibatches:
        lengths = experience.sequences.prompt_lengths + experience.sequences.response_lengths
        return plan_minibatches(
            lengths, self._ppo.minibatches, self._ppo.micro_batch_size, self._generator
        )

    def _accumulate(
        self, experience: Experience, micro_batches: tuple[Tensor, ...], *, single: bool
    ) -> dict[str, float]:
        """Gradients of one optimiser step, summed over its micro-batches."""
        self._optimizer.zero_grad(set_to_none=True)
        device = experience.mask.device
        rows_of = [rows.to(device) for rows in micro_batches]
        # Every sum is divided by the tokens of the whole step: the parts then add up to it.
        tokens = sum(int(experience.mask[rows].sum()) for rows in rows_of)
        totals: dict[str, Tensor] = {}
        for rows in rows_of:
            for name, value in self._micro_step(experience, rows, tokens, single=single).items():
                if name not in totals:
                    totals[name] = value
                elif name == "ratio_max_deviation":
                    totals[name] = torch.maximum(totals[name], value)
                else:
                    totals[name] = totals[name] + value
        names, values = list(totals), torch.stack(list(totals.values())).tolist()
        return dict(zip(names, values, strict=True))

    def _micro_step(
        self, experience: Experience, rows: Tensor, tokens: int, *, single: bool
    ) -> dict[str, Tensor]:
        ppo, measured = self._ppo, experience.measured
        batch = experience.sequences.select(rows)
        width = batch.response_ids.shape[1]
        mask = experience.mask[rows, :width]
        output = self._roles.policy_pass(batch, with_entropy=ppo.entropy_coef > 0)
        assert output.values is not None
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
        if output.entropies is not None:
            loss = loss - ppo.entropy_coef * token_mean(output.entropies, mask, tokens)
        if not torch.isfinite(loss.detach()):
            raise TrainingError(
                "The loss is not a finite number: the learning rate may be too high, or float16 "
                "too narrow for this model.",
                hint="Lower optim.lr, or use dtype: bfloat16 or float32.",
                code="training.not_finite",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return _named(policy, policy_stats, value, value_stats)

    def _step(self) -> dict[str, float]:
        """Clip the accumulated gradient and take one optimiser step."""
        norm = nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm)
        if not torch.isfinite(norm):
            self._optimizer.zero_grad(set_to_none=True)
            raise TrainingError(
                "The gradient is not a finite number: the learning rate may be too high, or "
                "float16 too narrow for this model.",
                hint="Lower optim.lr, or use dtype: bfloat16 or float32.",
                code="training.not_finite",
            )
        clipped = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        self._optimizer.step()
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
