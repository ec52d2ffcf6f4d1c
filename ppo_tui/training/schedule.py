"""The learning rate from step to step."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ppo_tui.config.schema import OptimConfig

FACTOR = 1.5
"""By how much `adaptive` moves the rate."""


class LearningRate:
    """Constant, linear, cosine or adaptive, each with a linear warm-up.

    ``linear`` and ``cosine`` fall from the end of the warm-up to 0 after the last step.
    ``adaptive`` divides the rate by 1.5 after a step whose policy KL passed twice its target, and
    multiplies it by 1.5 after one below half of it, within bounds (the rule of arXiv:1707.06347,
    section 4, applied to the rate).

    Args:
        config: Schedule and bounds.
        total_steps: PPO steps of the run.
    """

    def __init__(self, config: OptimConfig, total_steps: int) -> None:
        self._config = config
        self._total = total_steps
        self._adapted = config.lr
        self._scale = 1.0

    def at(self, step: int) -> float:
        """The rate of PPO step `step`, counted from 0."""
        return self._scale * self._scheduled(step)

    def scale_to(self, rate: float, step: int) -> None:
        """Make `rate` the rate of PPO step `step`; the schedule goes on in proportion."""
        scheduled = self._scheduled(step)
        if scheduled > 0:
            self._scale = rate / scheduled

    def _scheduled(self, step: int) -> float:
        warmup = self._config.warmup_steps
        if step < warmup:
            return self._base() * (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, self._total - warmup)
        if self._config.schedule == "linear":
            return self._config.lr * (1 - progress)
        if self._config.schedule == "cosine":
            return self._config.lr * (1 + math.cos(math.pi * progress)) / 2
        return self._base()

    def value_at(self, step: int) -> float:
        """The rate of the critic's own parameters: `value_lr`, moved like the other."""
        base = self._config.value_lr or self._config.lr
        return base * self.at(step) / self._config.lr

    def observe(self, step: int, policy_kl: float) -> None:
        """Take in the policy KL (k3, old to new, mean a token) that step `step` came to."""
        if self._config.schedule != "adaptive" or step < self._config.warmup_steps:
            return
        target = self._config.kl_target
        if policy_kl > 2 * target:
            self._adapted /= FACTOR
        elif policy_kl < target / 2:
            self._adapted *= FACTOR
        self._adapted = min(max(self._adapted, self._config.min_lr), self._config.max_lr)

    def _base(self) -> float:
        return self._adapted if self._config.schedule == "adaptive" else self._config.lr

    def state_dict(self) -> dict[str, float]:
        """What the schedule has learnt."""
        return {"adapted": self._adapted, "scale": self._scale}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from `state_dict`."""
        self._adapted, self._scale = float(state["adapted"]), float(state["scale"])
