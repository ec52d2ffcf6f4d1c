"""A trained reward adapter on disk, read with care and put beside the adapters of a run.

The folder may come from somebody else. Of its adapter_config.json only what makes a plain LoRA is
taken; peft itself would follow more of it, such as the name of a class to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from ppo_tui.errors import RewardError
from ppo_tui.lora_files import WEIGHTS, read_config
from ppo_tui.runs.paths import shown


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
        config = read_config(folder)
        state = load_file(str(folder / WEIGHTS))
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
