"""The same prompts answered by base and tuned model, scored alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import TokenizedPrompt
from ppo_tui.evaluation.optimum import Array, OptimumShare, optimum_share
from ppo_tui.policy.generation import finished, generate
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences

ROWS_AT_ONCE = 512
"""Responses that are generated and measured together, where the batch of a step is smaller."""

ScoreTexts = Callable[[Sequence[str], Sequence[str], torch.Tensor, Sequences], tuple[Array, Array]]
"""Prompts, responses, finished, tokens -> recorded and shaped scores, each one a response."""


@dataclass(frozen=True)
class Pair:
    """One prompt, answered by both."""

    prompt: str
    base: str
    tuned: str
    base_score: float
    tuned_score: float


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        score_base: Mean recorded score of the base model's responses.
        score_tuned: Mean recorded score of the tuned model's.
        kl: Mean KL of the tuned model to the base per sequence, in nats.
        share: Share of the optimum.
        pairs: One answer of each to every prompt.
    """

    score_base: float
    score_tuned: float
    kl: float
    share: OptimumShare
    pairs: tuple[Pair, ...]

    @property
    def metrics(self) -> Mapping[str, float]:
        """As an event records them."""
        share = self.share
        return {
            "eval/score_base": self.score_base,
            "eval/score_tuned": self.score_tuned,
            "eval/kl": self.kl,
            "eval/objective": share.objective,
            "eval/objective_base": share.objective_base,
            "eval/objective_optimum": share.objective_optimum,
            "eval/share_of_optimum": share.share,
            "eval/share_low": share.low,
            "eval/share_high": share.high,
            "eval/prompts": float(share.prompts),
            "eval/samples": float(share.samples),
            "eval/reference_samples": float(share.reference_samples),
        }


@dataclass(frozen=True)
class _Answers:
    sequences: Sequences
    texts: tuple[str, ...]
    ended: torch.Tensor
    scores: Array
    shaped: Array


class Evaluator:
    """Evaluates one model on fixed prompts; the base model's answers are sampled once.

    Its random numbers are its own, so that evaluating changes nothing about the training.

    Args:
        roles: The model.
        config: The run's.
        prompts: Held-out prompts; the first `eval.prompts` are used.
        score: How responses are scored; must not learn from them.
        sequence_kl: KL of each response to the base, summed over its tokens.
    """

    def __init__(
        self,
        roles: Roles,
        config: RunConfig,
        prompts: Sequence[TokenizedPrompt],
        score: ScoreTexts,
        sequence_kl: Callable[[Sequences], Array],
    ) -> None:
        self._roles = roles
        self._config = config
        self._prompts = tuple(prompts[: config.eval.prompts])
        self._score = score
        self._sequence_kl = sequence_kl
        self._base: _Answers | None = None

    def evaluate(self, kl_coef: float) -> Evaluation:
        """Sample, score and compare.

        Args:
            kl_coef: β of the objective.
        """
        settings = self._config.eval
        if self._base is None:
            self._base = self._answer(settings.reference_samples, reference=True)
        elif self._config.reward.scaling == "running" or self._config.reward.learns_from_ratings:
            # The samples stay; their shaping moves with the run's statistics, and what people
            # want of them with the ratings.
            self._base = self._scored(self._base, settings.reference_samples)
        base = self._base
        tuned = self._answer(settings.samples, reference=False)
        count = len(self._prompts)
        kl = self._sequence_kl(tuned.sequences).reshape(count, settings.samples)
        share = optimum_share(
            tuned.shaped.reshape(count, settings.samples),
            kl,
            base.shaped.reshape(count, settings.reference_samples),
            kl_coef,
            seed=self._config.seed,
        )
        return Evaluation(
            score_base=float(base.scores.mean()),
            score_tuned=float(tuned.scores.mean()),
            kl=float(kl.mean()),
            share=share,
            pairs=tuple(
                Pair(
                    prompt.text,
                    base.texts[i * settings.reference_samples],
                    tuned.texts[i * settings.samples],
                    float(base.scores[i * settings.reference_samples]),
                    float(tuned.scores[i * settings.samples]),
                )
                for i, prompt in enumerate(self._prompts)
            ),
        )

    def _answer(self, samples: int, *, reference: bool) -> _Answers:
        rollout = self._config.rollout
        generator = torch.Generator().manual_seed(self._config.seed + (1 if reference else 2))
        prompts = [prompt for prompt in self._prompts for _ in range(samples)]
        sequences = generate(
            self._roles,
            [prompt.ids for prompt in prompts],
            rollout.response_tokens,
            generator,
            reference=reference,
            top_k=rollout.top_k,
            top_p=rollout.top_p,
            rows_at_once=max(ROWS_AT_ONCE if self._on_cpu else 0, rollout.batch_size),
        )
        texts = decode(self._roles, sequences)
        ended = finished(sequences, self._roles.base.vocabulary.eos_ids)
        nothing = np.zeros(0)
        return self._scored(_Answers(sequences, texts, ended, nothing, nothing), samples)

    def _scored(self, answers: _Answers, samples: int) -> _Answers:
        prompts = [prompt.text for prompt in self._prompts for _ in range(samples)]
        scores, shaped = self._score(prompts, answers.texts, answers.ended, answers.sequences)
        return replace(answers, scores=scores, shaped=shaped)

    @property
    def _on_cpu(self) -> bool:
        return self._roles.base.device.type == "cpu"


def decode(roles: Roles, sequences: Sequences) -> tuple[str, ...]:
    """The responses as text, without special tokens."""
    lengths = sequences.response_lengths.tolist()
    rows = sequences.response_ids.tolist()
    texts: list[str] = roles.base.tokenizer.batch_decode(
        [row[:length] for row, length in zip(rows, lengths, strict=True)],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return tuple(texts)
