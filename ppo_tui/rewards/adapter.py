"""The reward adapter's half that knows no model: from its pooled states to a rating.

The LoRA itself is put into the model that trains (`Roles.load_reward_adapter`), reads each response
there, and what it reads comes in with the sample. Scores are on the scale of the ratings, 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ppo_tui.config.rewards import AdapterTerm
from ppo_tui.errors import RewardError
from ppo_tui.rewards.protocol import Sample

if TYPE_CHECKING:
    from ppo_tui.taste.artefact import RewardArtefact

ADAPTER = "adapter"
"""The LoRA's folder within an artefact."""

HEAD = "head.safetensors"
"""The linear head's file: `weight`, ``[H]``, and `bias`, ``[1]``."""

LOWEST, HIGHEST = 1.0, 5.0
"""A head that reads what it has never seen may answer anything; a person rates on the scale."""


class AdapterReward:
    """``weight·x + bias``, within the scale of the ratings.

    Attributes:
        reading: Name of the reading x: the adapter's name in the model.
        adapter: The folder of the LoRA.
        artefact: What is known of it, its base among that.

    Raises:
        RewardError: It is damaged, of a newer version, or no adapter.
        ResourceError: It is not there.
    """

    def __init__(self, term: AdapterTerm) -> None:
        from ppo_tui.taste.artefact import load_artefact

        folder = Path(term.path).expanduser()
        self.reading = term.label
        self.adapter = folder / ADAPTER
        self.artefact: RewardArtefact = load_artefact(folder)
        if self.artefact.kind != "adapter":
            raise RewardError(
                f"{term.path} holds no reward adapter; name it with kind: human and from.",
                code="reward.artefact_kind",
            )
        self.weight, self.bias = read_head(folder / HEAD)

    def __call__(self, samples: Sequence[Sample]) -> Sequence[float]:
        """One rating each."""
        pooled = np.stack([sample.readings[self.reading] for sample in samples])
        if pooled.shape[1] != len(self.weight):
            raise RewardError(
                f"The reward adapter {self.reading!r} reads {len(self.weight)} numbers, and this "
                f"model gives {pooled.shape[1]}: it was trained on another base.",
                code="reward.other_base",
            )
        scores: list[float] = np.clip(pooled @ self.weight + self.bias, LOWEST, HIGHEST).tolist()
        return scores


def read_head(path: Path) -> tuple[NDArray[np.float64], float]:
    """Weight and bias of a head.

    Raises:
        RewardError: The file is not there or damaged (`reward.artefact_damaged`).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        tensors = load_file(str(path))
        weight, bias = (np.asarray(tensors[key], dtype=np.float64) for key in ("weight", "bias"))
        if weight.ndim != 1 or bias.size != 1:
            raise ValueError("its shapes are wrong")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError("a number is not finite")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RewardError(
            f"The head of the reward adapter, {path}, cannot be read: {reason}.",
            hint="Make it again with `ppo-tui reward fit --adapter`.",
            code="reward.artefact_damaged",
        ) from error
    return weight, float(bias.reshape(()))


def head_tensors(weight: NDArray[np.float32], bias: float) -> dict[str, NDArray[np.float32]]:
    """What `read_head` reads."""
    return {
        "weight": np.asarray(weight, dtype=np.float32),
        "bias": np.asarray([bias], dtype=np.float32),
    }
