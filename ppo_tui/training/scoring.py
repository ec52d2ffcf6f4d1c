"""From responses to the scores that PPO maximises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppo_tui.config.schema import RewardConfig
from ppo_tui.errors import RewardError
from ppo_tui.rewards.protocol import Sample
from ppo_tui.rewards.weighted_sum import TermScores, WeightedSum
from ppo_tui.training import watchdog
from ppo_tui.training.batches import Scores
from ppo_tui.training.beside import Beside, NotInTime

Readings = Mapping[str, NDArray[np.float32]]
"""What the model says of B responses, ``[B, D]`` by the reading's name."""


class RunningMoments:
    """Mean and variance of all numbers seen so far (Chan et al., 1979, parallel update)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._sum_sq = 0.0

    def update(self, values: Sequence[float]) -> None:
        """Take in a batch of numbers."""
        n = len(values)
        if not n:
            return
        mean = math.fsum(values) / n
        sum_sq = math.fsum((v - mean) ** 2 for v in values)
        delta, total = mean - self.mean, self.count + n
        self._sum_sq += sum_sq + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.count = total

    @property
    def std(self) -> float:
        """Unbiased standard deviation; 1 until there are two different numbers."""
        if self.count < 2 or self._sum_sq <= 0:
            return 1.0
        return math.sqrt(self._sum_sq / (self.count - 1))

    def state_dict(self) -> dict[str, float]:
        """All that the next update depends on."""
        return {"count": self.count, "mean": self.mean, "sum_sq": self._sum_sq}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from `state_dict`."""
        self.count, self.mean = int(state["count"]), float(state["mean"])
        self._sum_sq = float(state["sum_sq"])


class Scorer:
    """The configured reward, and the shaping between it and PPO.

    ``shaped = clip(score / running std, ±clip) - missing_eos_penalty · [not finished]``, each part
    only if configured. The penalty comes last: after it the score stands.

    Args:
        config: Terms and shaping.
        missing_eos_penalty: Subtracted where a response did not end by itself.
        reward: The terms' weighted sum, already built.
    """

    def __init__(
        self, config: RewardConfig, missing_eos_penalty: float, reward: WeightedSum
    ) -> None:
        self._config = config
        self._penalty = missing_eos_penalty
        self._reward = reward
        self.moments = RunningMoments()

    def score(
        self,
        prompts: Sequence[str],
        responses: Sequence[str],
        finished: Tensor,
        readings: Readings | None = None,
        *,
        learn: bool = True,
    ) -> Scores:
        """Score B responses.

        Args:
            prompts: As rendered.
            responses: Without special tokens.
            finished: ``[B]`` boolean.
            readings: Those that the reward asks for.
            learn: Whether the running statistics take these scores in; not for evaluation.

        Raises:
            RewardError: A reward failed, answered nonsense, or has not answered within its time
                (`reward.timeout`); then it may still go on, and must not be asked again.
        """
        readings = readings or {}
        samples = [
            Sample(prompt, response, bool(ended), {name: x[row] for name, x in readings.items()})
            for row, (prompt, response, ended) in enumerate(
                zip(prompts, responses, finished.tolist(), strict=True)
            )
        ]
        answer = self._ask(samples)
        if learn:
            self.moments.update(answer.total)
        score = torch.tensor(answer.total, dtype=torch.float32, device=finished.device)
        return Scores(score, answer.terms, self._shape(score, finished), answer.metrics)

    def _ask(self, samples: list[Sample]) -> TermScores:
        """The reward's answer, if it comes in time."""
        limit = self._config.timeout_seconds
        if limit is None:
            return self._reward.score(samples)
        # The model's own threads spend processor time meanwhile.
        allowed = (limit + watchdog.GRACE) * (1 + torch.get_num_threads())
        watchdog.wind_up(allowed)  # first: once it runs, nothing else may
        try:
            return Beside(lambda: self._reward.score(samples)).result(
                limit, lambda: watchdog.wind_up(allowed)
            )
        except NotInTime:
            raise RewardError(
                f"The reward has not answered for {len(samples)} responses within {limit:g} "
                "seconds.",
                hint="If it needs longer, raise reward.timeout_seconds; else look at what it does.",
                code="reward.timeout",
            ) from None
        finally:
            watchdog.stop()

    def _shape(self, score: Tensor, finished: Tensor) -> Tensor:
        shaped = score
        if self._config.scaling == "running":
            shaped = shaped / (self.moments.std + 1e-8)
        if self._config.clip is not None:
            shaped = shaped.clamp(-self._config.clip, self._config.clip)
        return torch.where(finished, shaped, shaped - self._penalty)
