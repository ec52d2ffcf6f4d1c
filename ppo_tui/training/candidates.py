"""Responses that people are asked to rate, and what the base model reads in a text.

A run writes candidates before its first step (the spread of what the base writes) and before each
round of ratings (what the policy writes by then). Their random numbers are their own, so that a run
trains on the same responses whether or not anybody is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.data.templates import CHAT
from ppo_tui.errors import OutOfMemory
from ppo_tui.evaluation.compare import decode
from ppo_tui.policy.devices import attempt
from ppo_tui.policy.generation import finished, generate
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences
from ppo_tui.training.judged_texts import encode_texts

ANSWERS = 2
"""Answers to each prompt: two can be compared."""

_SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class Written:
    """One response that was written to be rated.

    Attributes:
        prompt: As rendered.
        response: Without special tokens.
        length: Tokens of the response.
        finished: Whether it ended by itself.
        reading: ``[D]``, what the base reads in it.
    """

    prompt: str
    response: str
    length: int
    finished: bool
    reading: NDArray[np.float32]


def write_candidates(
    roles: Roles, config: RunConfig, data: PromptDataset, step: int, count: int
) -> list[Written]:
    """Let the policy, as it is after `step` steps, write `count` responses to be rated.

    Deterministic: the same policy, seed and step give the same responses.
    """
    rollout, seed = config.rollout, config.seed + _SEED_STRIDE * (step + 1)
    order = np.random.default_rng(seed).permutation(len(data.train))
    wanted = -(-count // ANSWERS)
    chosen = [data.train[order[i % len(order)]] for i in range(wanted)]
    prompts = [prompt for prompt in chosen for _ in range(ANSWERS)][:count]
    sequences = generate(
        roles,
        [prompt.ids for prompt in prompts],
        rollout.response_tokens,
        torch.Generator().manual_seed(seed),
        top_k=rollout.top_k,
        top_p=rollout.top_p,
        rows_at_once=rollout.batch_size,
    )
    texts = decode(roles, sequences)
    ended = finished(sequences, roles.base.vocabulary.eos_ids).tolist()
    lengths = sequences.response_lengths.tolist()
    readings = read_sequences(roles, sequences, _rows(config))
    return [
        Written(prompt.text, text, length, end, reading)
        for prompt, text, length, end, reading in zip(
            prompts, texts, lengths, ended, readings, strict=True
        )
    ]


@torch.no_grad()
def read_sequences(roles: Roles, sequences: Sequences, rows: int) -> NDArray[np.float32]:
    """What the base reads in responses, ``[B, D]``; so many `rows` at a time, or as fit.

    Raises:
        OutOfMemory: Not even one fits.
    """
    device = sequences.response_ids.device
    waiting = list(torch.split(torch.arange(len(sequences)), rows))[::-1]
    parts = []
    while waiting:
        index = waiting.pop()
        done = attempt(device, roles.reference_reading, sequences.select(index.to(device)))
        if done is not None:
            parts.append(done[0][1])
        elif len(index) > 1:
            waiting += reversed(index.chunk(2))
        else:
            raise OutOfMemory(
                "The memory is too small for the model to read even one text.",
                hint="Use quantization: nf4, or a smaller model.",
                code="memory.reading",
            )
    return np.concatenate(parts)


def read_texts(
    roles: Roles, config: RunConfig, texts: Sequence[tuple[str, str]]
) -> NDArray[np.float32]:
    """What the base reads in texts whose tokens are not known any more, ``[B, D]``.

    A text that is encoded again may in rare cases come to other tokens than those it was sampled
    as; its reading then differs a little from the one of its own tokens.

    Args:
        roles: The model.
        config: The run's, for the template and the size of a batch.
        texts: Prompt, as rendered, and response.
    """
    chat = config.data.template == CHAT
    sequences = encode_texts(roles.base, texts, chat=chat, end=True).to(roles.base.device)
    return read_sequences(roles, sequences, _rows(config))


def _rows(config: RunConfig) -> int:
    return config.ppo.micro_batch_size or config.rollout.batch_size
