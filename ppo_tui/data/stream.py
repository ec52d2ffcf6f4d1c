"""The train prompts in the order in which the run meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ppo_tui.data.dataset import TokenizedPrompt
from ppo_tui.data.order import permutation
from ppo_tui.errors import CheckpointError


class PromptStream:
    """Deals prompts out for ever; each epoch is a permutation made from seed and epoch alone.

    That makes the position two integers, which a checkpoint holds.

    Args:
        train: The prompts, at least one.
        seed: Seed of the order.
    """

    def __init__(self, train: Sequence[TokenizedPrompt], seed: int) -> None:
        if not train:
            raise ValueError("a stream needs at least one prompt")
        self._train = tuple(train)
        self._seed = seed
        self._epoch = 0
        self._index = 0
        self._order = self._order_of(0)

    @property
    def epoch(self) -> int:
        """How many times all prompts have been dealt out."""
        return self._epoch

    def take(self, count: int) -> list[TokenizedPrompt]:
        """The next `count` prompts, across as many epochs as that takes."""
        if count < 0:
            raise ValueError(f"cannot take {count} prompts")
        taken: list[TokenizedPrompt] = []
        while len(taken) < count:
            end = min(self._index + count - len(taken), len(self._train))
            taken.extend(self._train[i] for i in self._order[self._index : end])
            if end == len(self._train):
                self._move_to(self._epoch + 1, 0)
            else:
                self._index = end
        return taken

    def state_dict(self) -> dict[str, int]:
        """The position: the epoch, and the index within it of the next prompt."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a position that `state_dict` gave.

        Raises:
            CheckpointError: It is no position among these prompts (``checkpoint.data_position``).
        """
        epoch, index = state.get("epoch"), state.get("index")
        if not (
            type(epoch) is int and epoch >= 0 and type(index) is int and 0 <= index < self._size
        ):
            raise CheckpointError(
                f"The checkpoint's data position (epoch {epoch!r}, prompt {index!r}) does not lie "
                f"within the {self._size} train prompts; have the prompts changed since?",
                code="checkpoint.data_position",
            )
        self._move_to(epoch, index)

    @property
    def _size(self) -> int:
        return len(self._train)

    def _move_to(self, epoch: int, index: int) -> None:
        self._epoch = epoch
        self._index = index
        self._order = self._order_of(epoch)

    def _order_of(self, epoch: int) -> list[int]:
        return permutation(self._size, "stream", self._seed, epoch)
