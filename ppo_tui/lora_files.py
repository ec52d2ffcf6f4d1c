"""The two files of an adapter, as peft writes them, and what of them may come from a stranger.

peft follows an adapter_config.json further than one would think: `auto_mapping` names a module and
a class that are imported, some kinds compute with what else stands there, and weights may come as a
pickle, which runs code. Here only the numbers of a plain LoRA are taken, and weights only as
safetensors. Reads no weights; knows neither torch nor peft.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import read_small

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

MOST_RANK = 1024
"""As in the configuration of a run's own adapter."""

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_PLAIN = {"bias": "none", "megatron_core": "megatron.core"}
_EMPTY = (
    # What peft would import, or compute otherwise than a plain LoRA.
    "auto_mapping",
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_bias",
    "lora_ga_config",
    "megatron_config",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
)


def read_config(folder: Path) -> dict[str, Any]:
    """What peft's `LoraConfig` may be made of, from a folder's adapter_config.json.

    Raises:
        OSError: The folder is a link, or the file is not there, is a link or no regular file.
        ValueError: It is no plain LoRA; the message says why, in one line.
    """
    check_files(folder)
    return plain_lora(strict_json.loads(read_small(folder / CONFIG)))


def check_files(folder: Path) -> None:
    """Refuse a folder whose weights are not where they should be.

    Raises:
        OSError: It cannot be listed.
        ValueError: It is a link, or has no safetensors, or one that is a link.
    """
    if folder.is_symlink():
        raise ValueError("it is a symbolic link, which could lead anywhere")
    weights = folder / WEIGHTS
    if weights.is_symlink():
        raise ValueError(f"{WEIGHTS} is a symbolic link, which could lead anywhere")
    if weights.is_file():
        return
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(_PICKLED) for name in names):
        raise ValueError(
            f"its weights are pickled, which can run code; ppo-tui reads {WEIGHTS} alone"
        )
    raise ValueError(f"there is no {WEIGHTS}")


def plain_lora(found: Any) -> dict[str, Any]:
    """The arguments of peft's `LoraConfig` that make the adapter a configuration describes.

    Args:
        found: The content of an adapter_config.json.

    Raises:
        ValueError: It describes anything but a plain LoRA.
    """
    if not isinstance(found, Mapping) or found.get("peft_type") != "LORA":
        raise ValueError("it is no LoRA")
    odd = [key for key in _EMPTY if found.get(key)]
    odd += [key for key, usual in _PLAIN.items() if found.get(key, usual) != usual]
    # By a name instead of true, the first weights are computed from the base, which is changed.
    odd += ["init_lora_weights"] * isinstance(found.get("init_lora_weights"), str)
    if odd:
        raise ValueError(f"it is more than a plain LoRA ({odd[0]})")
    rank, alpha, targets = found.get("r"), found.get("lora_alpha"), found.get("target_modules")
    if type(rank) is not int or not 1 <= rank <= MOST_RANK:
        raise ValueError(f"its rank is no number from 1 to {MOST_RANK}")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not 0 < alpha < 1e9:
        raise ValueError("its alpha is no positive number")
    # A single text would be a regular expression, which may take for ever.
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
