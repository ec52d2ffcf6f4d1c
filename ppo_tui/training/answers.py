"""The same few held-out prompts, answered by the base once and by the policy again and again.

For whoever watches a run: base and now, side by side, while it trains. Both answer with the same
random numbers, so that what differs between two answers was learnt and not drawn. Training notices
nothing of it: no generator of the run's moves, and nothing is learnt from the scores.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import TokenizedPrompt
from ppo_tui.evaluation.compare import ScoreTexts, decode
from ppo_tui.policy.generation import finished, generate
from ppo_tui.policy.roles import Roles

Who = Literal["base", "policy"]


@dataclass(frozen=True)
class WatchedAnswer:
    """One answer to a watched prompt, and its score as a sample's is recorded."""

    prompt: str
    response: str
    score: float


class Watch:
    """The watched prompts of a run.

    Args:
        roles: The model.
        config: The run's.
        prompts: Held-out prompts; the first `eval.watch_prompts` are watched.
        score: How responses are scored; must not learn from them.
    """

    def __init__(
        self,
        roles: Roles,
        config: RunConfig,
        prompts: Sequence[TokenizedPrompt],
        score: ScoreTexts,
    ) -> None:
        self._roles = roles
        self._config = config
        self._prompts = tuple(prompts[: config.eval.watch_prompts])
        self._score = score

    def answers(self, who: Who) -> tuple[WatchedAnswer, ...]:
        """Let the base or the policy, as it is now, answer; nothing where no prompt is watched.

        Raises:
            RewardError: A reward failed or answered nonsense.
        """
        if not self._prompts:
            return ()
        rollout, base = self._config.rollout, self._roles.base
        sequences = generate(
            self._roles,
            [prompt.ids for prompt in self._prompts],
            rollout.response_tokens,
            # Anew each time: the numbers are the same for both, and after a resume.
            torch.Generator().manual_seed(self._config.seed),
            reference=who == "base",
            top_k=rollout.top_k,
            top_p=rollout.top_p,
        )
        texts = decode(self._roles, sequences)
        prompts = [prompt.text for prompt in self._prompts]
        with _generators_kept(base.device):
            ended = finished(sequences, base.vocabulary.eos_ids)
            scores, _ = self._score(prompts, texts, ended, sequences)
        return tuple(
            WatchedAnswer(prompt, text, float(score))
            for prompt, text, score in zip(prompts, texts, scores, strict=True)
        )


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    """Put the global generators back afterwards: a reward of the user's may draw from them."""
    python, numpy = random.getstate(), np.random.get_state(legacy=True)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
