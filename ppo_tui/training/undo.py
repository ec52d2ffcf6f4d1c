"""A step that broke is undone, and tried again smaller.

A loss that is not a number, once in the weights, is in them for good. So nothing of a step stands
until the whole of it was finite: what it changes is copied before it, and put back when a number
in it was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ppo_tui.errors import PpoTuiError, RewardError, TrainingError
from ppo_tui.training.batches import HealthNote

if TYPE_CHECKING:
    from ppo_tui.training.trainer import Trainer

TRIES = 3
"""How often a step is tried before the run ends."""

SMALLER = 0.25
"""The learning rate of a try, as a share of that of the try before."""


class NotFinite(TrainingError):
    """A loss, a gradient, a weight or a log-probability is NaN or infinite."""

    default_code = "training.not_finite"


def check_finite(what: str, values: Tensor, mask: Tensor) -> None:
    """Refuse numbers that are not finite.

    Args:
        what: What they are, as the subject of a sentence: "The log-probabilities … are".
        values: ``[B, R]``.
        mask: ``[B, R]`` boolean: which of them count.

    Raises:
        NotFinite: One that counts is not.
    """
    broken = ~torch.isfinite(values) & mask
    if bool(broken.any()):
        rows = int(broken.any(-1).sum())
        raise NotFinite(
            f"{what} not finite numbers in {rows} of {len(values)} responses.",
            hint="float16 may be too narrow for this model: use model.dtype: bfloat16 or float32; "
            "else lower optim.lr.",
        )


def may_be_tried_again(error: Exception) -> bool:
    """Whether a step that ended so is worth another try, with other texts and a lower rate."""
    return isinstance(error, NotFinite) or (
        isinstance(error, RewardError) and error.code == "reward.not_finite"
    )


def undone(step: int, error: PpoTuiError, tries: int) -> HealthNote:
    """The note that a step was undone.

    Args:
        step: The step, counted from 1.
        error: What broke it.
        tries: How often it has been tried by now.
    """
    return HealthNote(
        "health.step_undone",
        f"Step {step} was undone: {error.message} It is tried again on other texts, with the "
        f"learning rate times {SMALLER**tries:g}.",
        error.hint or "Look at the reward: it must return a finite number for every text.",
        happened=True,
    )


def given_up(step: int, error: PpoTuiError) -> PpoTuiError:
    """The error that ends the run when a step could not be done.

    Args:
        step: The step, counted from 1.
        error: What broke the last try.
    """
    return type(error)(
        f"{error.message} Step {step} was tried {TRIES} times, on other texts and with a learning "
        f"rate of down to {SMALLER ** (TRIES - 1):g} of the planned one; the run is as it was "
        f"before it.",
        hint=error.hint,
        code=error.code,
    )


class Before:
    """All that a step changes, as it was before it; the weights' copies lie in main memory.

    Args:
        trainer: Whose steps are to be undone.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._device = trainer.roles.base.device
        self._on_cuda = self._device.type == "cuda"
        self._copies: list[Tensor] = []
        self._state: dict[str, Any] = {}
        self._draws: dict[str, Any] = {}

    def take(self) -> None:
        """Remember how things are now."""
        tensors = list(self._tensors())
        if not self._copies:
            self._copies = [torch.empty_like(tensor, device="cpu") for tensor in tensors]
        for copy, tensor in zip(self._copies, tensors, strict=True):
            copy.copy_(tensor)
        trainer = self._trainer
        self._state = {"kl": trainer.kl.coef, "moments": trainer.scorer.moments.state_dict()}
        self._draws = {
            "stream": trainer.stream.state_dict(),
            "sampling": trainer.sampling_rng.get_state(),
            "shuffle": trainer.shuffle_rng.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._device) if self._on_cuda else None,
            "numpy": np.random.get_state(),
            "python": random.getstate(),
        }

    @torch.no_grad()
    def put_back(self, *, draws: bool) -> None:
        """Make things as they were.

        Args:
            draws: The random numbers and the place in the data as well, so that what comes next
                is what came; without them it is tried on other texts.
        """
        trainer = self._trainer
        trainer.optimizer.zero_grad(set_to_none=True)
        for copy, tensor in zip(self._copies, self._tensors(), strict=True):
            tensor.copy_(copy)  # in place: a captured graph knows it by its address
        trainer.kl.coef = self._state["kl"]
        trainer.scorer.moments.load_state_dict(self._state["moments"])
        if draws:
            trainer.stream.load_state_dict(self._draws["stream"])
            trainer.sampling_rng.set_state(self._draws["sampling"])
            trainer.shuffle_rng.set_state(self._draws["shuffle"])
            torch.set_rng_state(self._draws["torch"])
            if self._on_cuda:
                torch.cuda.set_rng_state(self._draws["cuda"], self._device)
            np.random.set_state(self._draws["numpy"])
            random.setstate(self._draws["python"])

    def _tensors(self) -> Iterable[Tensor]:
        """Every tensor that an update changes, always in the same order."""
        roles, optimizer = self._trainer.roles, self._trainer.optimizer
        for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
            yield parameter.detach()
            state = optimizer.state[parameter]
            for name in sorted(state):
                if isinstance(state[name], Tensor):
                    yield state[name]
