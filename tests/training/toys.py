"""A whole trainer on a tiny model, with a reward that such a model can learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppo_tui.config.schema import RunConfig
from ppo_tui.data.dataset import PromptDataset
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.rewards.weighted_sum import WeightedSum
from ppo_tui.training.batches import Experience, Measured, Rollout, UpdateStats
from ppo_tui.training.minibatches import shuffled_minibatches
from ppo_tui.training.trainer import Trainer

VOWELS = {"kind": "regex", "pattern": "[aeiou]", "count": True}

SMALL: dict[str, Any] = {
    "adapter": {"rank": 4},
    "data": {"eval_fraction": 0.25},
    "reward": {"terms": [VOWELS]},
    "rollout": {"batch_size": 8, "response_tokens": 6},
    "ppo": {"epochs": 2, "minibatches": 2},
    "optim": {"lr": 1e-2},
    "eval": {"prompts": 2, "samples": 4, "reference_samples": 4},
    "steps": 4,
    "device": "cpu",
}


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the changes, group by group."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        nested = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merged(old, value) if nested else value
    return result


def make_config(folder: Path, prompts: Path, /, **changes: Any) -> RunConfig:
    """The small configuration with changes, each group a dictionary."""
    files = {"model": {"name": str(folder)}, "data": {"prompts": str(prompts)}}
    return RunConfig.model_validate(merged(merged(SMALL, files), changes))


def make_trainer(config: RunConfig) -> Trainer:
    """What a worker makes of a configuration."""
    import torch

    base = load_base(config.model, torch.device("cpu"))
    data = PromptDataset.load(
        config.data,
        base.tokenizer,
        response_tokens=config.rollout.response_tokens,
        context_length=base.context_length,
        eos_token_ids=base.vocabulary.eos_ids,
    )
    roles = Roles(base, config.adapter, config.ppo.value, config.rollout.temperature, config.seed)
    return Trainer(config, roles, data, WeightedSum(config.reward.terms))


def experience_of(trainer: Trainer) -> Experience:
    """A step's work up to the update."""
    rollout = trainer._roll_out()
    measured = measured_of(trainer, rollout)
    return trainer._estimate(rollout, trainer._score(rollout, measured.readings), measured)


def measured_of(trainer: Trainer, rollout: Rollout) -> Measured:
    """The rollout as the model sees it, in freshly shuffled minibatches."""
    lengths = rollout.sequences.lengths
    steps = shuffled_minibatches(lengths, trainer.config.ppo.minibatches, trainer.shuffle_rng)
    return trainer._measure(rollout, steps)


def one_update(trainer: Trainer, lr: float = 1e-3) -> UpdateStats:
    """A step's work, and what its update says of itself."""
    stats = trainer._updater.update(experience_of(trainer), lr, lr)
    assert stats is not None
    return stats


def trained_weights(trainer: Trainer) -> list[Any]:
    """Copies of everything that training changes."""
    roles = trainer.roles
    return [p.detach().clone() for p in (*roles.policy_parameters(), *roles.value_parameters())]
