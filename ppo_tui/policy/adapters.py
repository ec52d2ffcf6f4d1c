"""peft's LoRA layers in a base model: how they get there, and what of them is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.errors import ConfigError
from ppo_tui.policy.loading import BaseModel


def attach(base: BaseModel, adapter: AdapterConfig, names: list[str], seed: int) -> Any:
    """The base with fresh adapters of these names on it, in evaluation mode.

    Raises:
        ConfigError: The targets name no layer of this model, or its output head.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    head = base.model.get_output_embeddings()
    head_name = next((n for n, m in base.model.named_modules() if m is head), "")
    targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
    if head_name and head_name.rpartition(".")[2] in targets and not isinstance(targets, str):
        raise ConfigError(
            f"adapter.targets names {head_name!r}, the output head, which has to stay frozen: "
            "leave it out.",
            code="config.adapter_targets",
        )
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=targets,
        lora_dropout=0.0,
        use_rslora=adapter.method == "rslora",
        bias="none",
        task_type="CAUSAL_LM",
        # GPT-2 and its kin hold their weights transposed.
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in base.model.modules()),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = get_peft_model(base.model, config, adapter_name=names[0])
            for name in names[1:]:
                model.add_adapter(name, config)
        except ValueError as error:
            raise ConfigError(
                f"adapter.targets {targets!r} cannot be used on a "
                f"{base.model.config.model_type!r} model: {' '.join(str(error).split())[:200]}.",
                code="config.adapter_targets",
            ) from error
    model.eval()
    return model


def adapter_parameters(model: nn.Module, adapter: str) -> tuple[nn.Parameter, ...]:
    """What is trained of one adapter."""
    return tuple(
        parameter
        for name, parameter in model.named_parameters()
        if "lora_" in name and f".{adapter}." in name
    )


def tuner_layers(model: nn.Module) -> list[Any]:
    """Peft's layers."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
