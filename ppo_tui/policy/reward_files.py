"""A trained reward adapter on disk, read with care and put beside the adapters of a run.

The folder may come from somebody else. Of its adapter_config.json only what makes a plain LoRA is
taken; peft itself would follow more of it, such as the name of a class to import.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ppo_tui.errors import RewardError
from ppo_tui.runs.atomic import read_small
from ppo_tui.runs.paths import shown

MOST_RANK = 1024
"""As in the configuration of a run's own adapter."""


@dataclass(frozen=True)
class RewardAdapterFiles:
    """What a folder holds.

    Attributes:
        folder: Where it was read.
        config: Arguments of peft's `LoraConfig`.
        state: The weights, named as peft names them without the adapter's name.
    """

    folder: Path
    config: dict[str, Any]
    state: dict[str, Tensor]

    def put_into(self, model: Any, name: str) -> None:
        """Add the adapter to a peft model.

        Draws no random number that anybody else would miss.

        Args:
            model: A peft model.
            name: The adapter's name in it.

        Raises:
            RewardError: It does not fit the model (`reward.other_base`).
        """
        from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict

        try:
            # The weights that peft draws are written over at once.
            with torch.random.fork_rng(devices=[]):
                model.add_adapter(name, LoraConfig(**self.config))
        except ValueError as error:
            raise self._misfit(" ".join(str(error).split())[:200]) from error
        current = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        for key in sorted({*current, *self.state}):
            there, here = current.get(key), self.state.get(key)
            if there is None or here is None or there.shape != here.shape:
                raise self._misfit(f"{key} is not as in the model")
        set_peft_model_state_dict(model, self.state, adapter_name=name)

    def _misfit(self, why: str) -> RewardError:
        return RewardError(
            f"The reward adapter in {shown(self.folder)} does not fit this base model: {why}.",
            hint="A reward adapter works on the base that it was trained on, and on no other.",
            code="reward.other_base",
        )


def read_reward_adapter(folder: Path) -> RewardAdapterFiles:
    """Read what `Roles.save_adapter` wrote.

    Raises:
        RewardError: It is not there or damaged (`reward.artefact_damaged`).
    """
    from safetensors.torch import load_file

    try:
        config = _config(json.loads(read_small(folder / "adapter_config.json")))
        state = load_file(str(folder / "adapter_model.safetensors"))
        ranks = {value.shape[0] for key, value in state.items() if "lora_A" in key}
        if ranks != {config["r"]}:
            raise ValueError("its rank is not that of its weights")
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise ValueError("a weight is not finite")
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RewardError(
            f"The reward adapter in {shown(folder)} cannot be read: {reason}.",
            hint="Make it again with `ppo-tui reward fit --adapter`.",
            code="reward.artefact_damaged",
        ) from error
    return RewardAdapterFiles(folder, config, state)


def _config(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or found.get("peft_type") != "LORA":
        raise ValueError("it is no LoRA")
    odd = [key for key in ("use_dora", "modules_to_save", "rank_pattern") if found.get(key)]
    if odd or found.get("bias", "none") != "none":
        raise ValueError(f"it is more than a plain LoRA ({(odd or ['bias'])[0]})")
    rank, alpha, targets = found["r"], found["lora_alpha"], found["target_modules"]
    if type(rank) is not int or not 1 <= rank <= MOST_RANK:
        raise ValueError(f"its rank is no number from 1 to {MOST_RANK}")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not alpha > 0:
        raise ValueError("its alpha is no positive number")
    if not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
        raise ValueError("its layers are no list of names")
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": targets,
        "lora_dropout": 0.0,
        "use_rslora": found.get("use_rslora") is True,
        "fan_in_fan_out": found.get("fan_in_fan_out") is True,
        "bias": "none",
        "task_type": "CAUSAL_LM",
    }
