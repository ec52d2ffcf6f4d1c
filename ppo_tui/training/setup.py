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
from ppo_tui.plan import (
    Choices,
    MemoryPlan,
    detect_device,
    device_budget,
    plan_memory,
    read_architecture,
)
from ppo_tui.plan.identity import base_identity
from ppo_tui.policy.decoder import Decoding
from ppo_tui.policy.devices import choose_device
from ppo_tui.policy.loading import BaseModel, load_base
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
    plan = memory_plan(config, device, max(len(prompt.ids) for prompt in data.train))
    choices = None if plan is None else plan.choices
    roles = build_roles(config, base, choices)
    for part in reward.rewards.values():
        if isinstance(part, AdapterReward):
            roles.load_reward_adapter(part.reading, part.adapter)
    # A reward of the user's may draw from any of these. After the loading, which draws from them
    # as it likes.
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)
    planned = float("nan") if plan is None else plan.allocated / 2**30
    return Trainer(config, roles, data, reward, on_phase, choices, planned)


def build_roles(config: RunConfig, base: BaseModel, choices: Choices | None = None) -> Roles:
    """The model in its roles, as a run of this configuration has them.

    Args:
        config: The run.
        base: The loaded base; gets the adapters.
        choices: What the memory plan chose; without, the configuration alone says.
    """
    engine = config.engine
    weights = engine.rollout_weights if choices is None else choices.rollout_weights
    return Roles(
        base,
        config.adapter,
        config.ppo.value,
        config.rollout.temperature,
        config.seed,
        packing=engine.packing == "auto",
        decoding=Decoding(
            engine.rollout,
            merged=None if weights == "auto" else weights == "merged",
            slots=engine.rollout_slots if choices is None else choices.rollout_slots,
            keep=choices is not None and choices.keep_rollout,
            graphs=engine.cuda_graphs == "auto",
        ),
    )


def memory_plan(config: RunConfig, device: torch.device, prompt_tokens: int) -> MemoryPlan | None:
    """The memory plan of a run on this device; None for a model whose shape is not known.

    Args:
        config: The run.
        device: Where it is.
        prompt_tokens: Its longest prompt.
    """
    kind = detect_device(device.type)
    try:
        architecture = read_architecture(config.model)
    except ModelError as error:
        # The plan knows fewer architectures than transformers does; the run goes on without it.
        log.warning("No memory plan: %s", error.message)
        return None
    return plan_memory(architecture, config, device_budget(kind), kind, prompt_tokens)


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
