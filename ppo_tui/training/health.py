"""The self-checks that are alive in every run, and what they say in words when broken.

Each has a peer's bug behind it: a sampler that is not the scored policy, advantages that were never
centred, minibatches that took no optimiser step, a clip that clipped nothing.
"""

from __future__ import annotations

import math

import torch

from ppo_tui.config.schema import RunConfig
from ppo_tui.policy.vocabulary import Vocabulary
from ppo_tui.ppo import kl_estimate, masked_mean, masked_var
from ppo_tui.training.batches import Experience, HealthNote, Rollout, Scores, UpdateStats

WIDE_GAP = 0.1
"""Mean difference of a token's log-probability to sampler and policy from which it is worth a word:
10 % of its probability. Rounding to 16 bits alone makes 0.01 to 0.03."""

FEW_FOR_WHITENING = 8
"""Fewer tokens than this give a mean and variance that say nothing."""


def check_start(
    config: RunConfig, vocabulary: Vocabulary, cannot_lay_out: str = ""
) -> list[HealthNote]:
    """What is worth a word before the first step.

    Args:
        config: The run.
        vocabulary: The model's special tokens.
        cannot_lay_out: Why the model decodes in no slots, in a few words; empty where it does.
    """
    notes = []
    if config.engine.rollout == "slots" and cannot_lay_out:
        notes.append(
            HealthNote(
                "health.no_slots",
                f"engine.rollout: slots was asked for, and the model cannot: {cannot_lay_out}. Its "
                "responses are decoded over a growing cache.",
                "Leave engine.rollout at auto.",
            )
        )
    if vocabulary.pad_id in vocabulary.eos_ids:
        notes.append(
            HealthNote(
                "health.pad_is_eos",
                "The filler token is an end token: ends of responses cannot be told from padding.",
                "This is a fault of ppo-tui: please report the model.",
                level="error",
            )
        )
    if config.rollout.top_k or config.rollout.top_p < 1:
        notes.append(
            HealthNote(
                "health.sampler_cut",
                "top_k or top_p cuts the distribution that is sampled from, and PPO scores the "
                "whole one: the measured KL can turn negative and the ratio is of another policy.",
                "Set rollout.top_k to 0 and rollout.top_p to 1.",
            )
        )
    if config.ppo.kl_coef == 0 and config.ppo.kl_controller == "fixed":
        notes.append(
            HealthNote(
                "health.no_kl_penalty",
                "Nothing holds the policy near the base model: ppo.kl_coef is 0.",
                "Set ppo.kl_coef to 0.02 to 0.2, unless the reward itself rules out nonsense.",
            )
        )
    return notes


def check_decoder(graphs_refused: str) -> list[HealthNote]:
    """Whether decoding is done as it was said to be; the argument says why it is not."""
    if not graphs_refused:
        return []
    return [
        HealthNote(
            "health.cuda_graphs",
            f"Decoding steps could not be captured as CUDA graphs, and are launched kernel by "
            f"kernel, which is slower: {graphs_refused}.",
            "Set engine.cuda_graphs to never, so that it is not tried.",
        )
    ]


def check_step(
    config: RunConfig,
    rollout: Rollout,
    scores: Scores,
    experience: Experience,
    update: UpdateStats,
    dtype: torch.dtype,
) -> list[HealthNote]:
    """What a finished step broke of what must hold."""
    notes = []
    # In float32 the first ratio is 1 to the last bit; 16 bits leave the rounding of a matmul that
    # runs with and without gradients.
    tolerance = 0.0 if dtype == torch.float32 else 1e-3
    if update.first_ratio_deviation > tolerance:
        notes.append(
            HealthNote(
                "health.ratio_first",
                f"Before the first optimiser step the policy differs from itself: a ratio is "
                f"{update.first_ratio_deviation:.2g} away from 1.",
                "Kernels that are not deterministic do this; if it is more than 0.01, the "
                "measured clip fraction and KL are noise.",
                level="warning" if update.first_ratio_deviation < 0.05 else "error",
            )
        )
    notes += _check_sampler(rollout, experience)
    notes += _check_scores(scores)
    notes += _check_advantages(config, experience)
    expected = update.planned_steps
    if update.optimizer_steps != expected and not update.stopped_early:
        notes.append(
            HealthNote(
                "health.optimizer_steps",
                f"{update.optimizer_steps} optimiser steps were taken, {expected} were planned.",
                "This is a fault of ppo-tui: please report it.",
                level="error",
            )
        )
    k3 = kl_estimate(experience.measured.logprobs, experience.measured.ref_logprobs, "k3")
    if float(k3.min()) < -1e-6 or update.policy_kl < -1e-6:
        notes.append(
            HealthNote(
                "health.negative_k3",
                "An estimate of the KL that cannot be negative is negative.",
                "This is a fault of ppo-tui: please report it.",
                level="error",
            )
        )
    if update.max_clipped_norm > config.optim.max_grad_norm * 1.001:
        notes.append(
            HealthNote(
                "health.grad_norm",
                f"The gradient's norm after clipping is {update.max_clipped_norm:.3g}, above its "
                f"bound {config.optim.max_grad_norm:.3g}.",
                "This is a fault of ppo-tui: please report it.",
                level="error",
            )
        )
    return notes


def _check_sampler(rollout: Rollout, experience: Experience) -> list[HealthNote]:
    """Whether what wrote the responses is what is trained."""
    gap = (rollout.logprobs - experience.measured.logprobs).abs()
    mean = float(masked_mean(gap, experience.mask))
    if mean <= WIDE_GAP:
        return []
    return [
        HealthNote(
            "health.rollout_gap",
            f"The weights that write the responses are not quite those that are trained: a token's "
            f"log-probability differs by {mean:.2g} on average.",
            "Set engine.rollout_weights to adapters, or model.dtype to one with more digits.",
        )
    ]


def _check_scores(scores: Scores) -> list[HealthNote]:
    if len(scores.shaped) < 2 or bool((scores.shaped != scores.shaped[0]).any()):
        return []
    return [
        HealthNote(
            "health.no_signal",
            f"All {len(scores.shaped)} responses of the step scored {float(scores.shaped[0]):.3g}, "
            "so it taught nothing of the reward.",
            "Look at the reward terms: do they tell these responses apart?",
        )
    ]


def _check_advantages(config: RunConfig, experience: Experience) -> list[HealthNote]:
    if not config.ppo.whiten_advantages:
        return []
    tokens = int(experience.mask.sum())
    if tokens < FEW_FOR_WHITENING:
        return [
            HealthNote(
                "health.few_tokens",
                f"Advantages are whitened over {tokens} tokens, too few for a mean and variance.",
                "Raise rollout.batch_size, or set ppo.whiten_advantages to false.",
            )
        ]
    mean = float(masked_mean(experience.advantages, experience.mask))
    std = math.sqrt(float(masked_var(experience.advantages, experience.mask)))
    if std < 0.5:
        # Nothing to whiten: every reward came as expected, to the last bit.
        return []
    if abs(mean) > 1e-3 or abs(std - 1) > 1e-2:
        return [
            HealthNote(
                "health.whitening",
                f"Whitened advantages have mean {mean:.2g} and deviation {std:.2g}, not 0 and 1.",
                "This is a fault of ppo-tui: please report it.",
                level="error",
            )
        ]
    return []
