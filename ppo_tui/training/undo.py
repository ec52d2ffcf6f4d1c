"""A step that broke is undone, and tried again smaller.

A loss that is not a number, once in the weights, is in them for good. So nothing of a step stands
until the whole of it was finite: what it changes is copied before it, and put back when a number
in it was not.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
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
    """A loss, a gradient, a weight or a log-probability is NaN or infinite.

    Attributes:
        of_the_state: It was so before the step had changed anything: what the step began with is
            broken, and not worth keeping.
    """

    default_code = "training.not_finite"
    of_the_state = False


def check_finite(what: str, values: Tensor, mask: Tensor, *, of_the_state: bool = False) -> None:
    """Refuse numbers that are not finite.

    Args:
        what: What they are, as the subject of a sentence: "The log-probabilities … are".
        values: ``[B, R]``.
        mask: ``[B, R]`` boolean: which of them count.
        of_the_state: They are what a step begins with.

    Raises:
        NotFinite: One that counts is not.
    """
    broken = ~torch.isfinite(values) & mask
    if bool(broken.any()):
        rows = int(broken.any(-1).sum())
        error = NotFinite(
            f"{what} not finite numbers in {rows} of {len(values)} responses.",
            hint="float16 may be too narrow for this model: use model.dtype: bfloat16 or float32; "
            "else lower optim.lr.",
        )
        error.of_the_state = of_the_state
        raise error


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


def draws_of(trainer: Trainer) -> Mapping[str, Any]:
    """Where every random generator stands, and the data."""
    device = trainer.roles.base.device
    return {
        "stream": trainer.stream.state_dict(),
        "sampling": trainer.sampling_rng.get_state(),
        "shuffle": trainer.shuffle_rng.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": np.random.get_state(),
        "python": random.getstate(),
    }


def draw_again(trainer: Trainer, draws: Mapping[str, Any]) -> None:
    """Go on from `draws_of`."""
    trainer.stream.load_state_dict(draws["stream"])
    trainer.sampling_rng.set_state(draws["sampling"])
    trainer.shuffle_rng.set_state(draws["shuffle"])
    torch.set_rng_state(draws["torch"])
    if draws["cuda"] is not None:
        torch.cuda.set_rng_state(draws["cuda"], trainer.roles.base.device)
    np.random.set_state(draws["numpy"])
    random.setstate(draws["python"])


class Before:
    """All that a step changes, as it was before it; the weights' copies lie in main memory.

    Args:
        trainer: Whose steps are to be undone.

    Attributes:
        draws: The random numbers and the place in the data, as `draws_of` has them.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._copies: list[Tensor] = []
        self._state: dict[str, Any] = {}
        self.draws: Mapping[str, Any] = {}

    def take(self) -> None:
        """Remember how things are now."""
        tensors = list(self._tensors())
        if not self._copies:
            self._copies = [torch.empty_like(tensor, device="cpu") for tensor in tensors]
        for copy, tensor in zip(self._copies, tensors, strict=True):
            copy.copy_(tensor)
        trainer = self._trainer
        self._state = {"kl": trainer.kl.coef, "moments": trainer.scorer.moments.state_dict()}
        self.draws = draws_of(trainer)

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
            draw_again(trainer, self.draws)

    def _tensors(self) -> Iterable[Tensor]:
        """Every tensor that an update changes, always in the same order."""
        roles, optimizer = self._trainer.roles, self._trainer.optimizer
        for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
            yield parameter.detach()
            state = optimizer.state[parameter]
            for name in sorted(state):
                if isinstance(state[name], Tensor):
                    yield state[name]
