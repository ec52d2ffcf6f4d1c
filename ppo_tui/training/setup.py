"""Everything of a run that has to be loaded before it can train."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import numpy as np
import torch

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.errors import ModelError
from ppo_tui.plan import detect_device, plan_memory, read_architecture
from ppo_tui.plan.identity import base_identity
from ppo_tui.policy.devices import choose_device
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.adapter import AdapterReward
from ppo_tui.rewards.human import Human
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.runs.phase import Phase
from ppo_tui.taste.artefact import check_base
from ppo_tui.training.trainer import Trainer

log = logging.getLogger(__name__)


def build_trainer(config: RunConfig, on_phase: Callable[[Phase], None]) -> Trainer:
    """Everything of a run that has to be loaded; what is cheap to check comes first."""
    device = choose_device(config.device)
    reward = WeightedSum(config.reward.terms)
    base = load_base(config.model, device)
    _check_bases(reward, config)  # only now are the files of a hub model here
    data = PromptDataset.load(
        config.data,
        base.tokenizer,
        response_tokens=config.rollout.response_tokens,
        context_length=base.context_length,
        eos_token_ids=base.vocabulary.eos_ids,
    )
    roles = Roles(base, config.adapter, config.ppo.value, config.rollout.temperature, config.seed)
    for part in reward.rewards.values():
        if isinstance(part, AdapterReward):
            roles.load_reward_adapter(part.reading, part.adapter)
    # A reward of the user's may draw from any of these. After the loading, which draws from them
    # as it likes.
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    return Trainer(config, roles, data, reward, on_phase)


def _check_bases(reward: WeightedSum, config: RunConfig) -> None:
    """Refuse a reward that was learnt on another base: its numbers would mean nothing here."""
    made_before = [
        part.artefact
        for part in reward.rewards.values()
        if isinstance(part, Human | AdapterReward) and part.artefact is not None
    ]
    if made_before:
        base = base_identity(config.model)
        for artefact in made_before:
            check_base(artefact, base, config.model.name)


def planned_gib(config: RunConfig, trainer: Trainer) -> float:
    """What the memory plan says of this run, to be compared with the measured peak."""
    longest = max(len(prompt.ids) for prompt in trainer.data.train)
    try:
        plan = plan_memory(
            read_architecture(config.model),
            config,
            None,
            detect_device(trainer.roles.base.device.type),
            longest,
        )
    except ModelError as error:
        # The plan knows fewer architectures than transformers does; the run goes on without it.
        log.warning("No memory plan: %s", error.message)
        return float("nan")
    return plan.total / 2**30
