"""Room on the disk: asked for before a run begins, and looked at while it goes on."""

from __future__ import annotations

from ppo_tui.config.schema import RunConfig
from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.space import check_space, free_space
from ppo_tui.text.figures import size
from ppo_tui.training.batches import HealthNote
from ppo_tui.training.checkpoint import checkpoint_bytes
from ppo_tui.training.trainer import Trainer

_SPARE = 1.2
"""What a forecast of the journals is multiplied by: responses get longer as a run goes on."""


class Disk:
    """What a run still has to write, against what its disk has room for.

    Args:
        run: The run.
        config: What it is.
        trainer: Its checkpoints are measured by what it trains.
    """

    def __init__(self, run: RunDirectory, config: RunConfig, trainer: Trainer) -> None:
        self._run, self._config = run, config
        self._checkpoint = checkpoint_bytes(trainer)
        self._begun: tuple[int, int] | None = None

    def check_start(self, step: int) -> None:
        """Refuse a run whose checkpoints have no room.

        Args:
            step: Steps that are done already.

        Raises:
            StorageError: The disk is too full (`storage.full`).
        """
        checkpoint = self._config.checkpoint
        still = self._config.steps - step
        saves = -(-still // checkpoint.every) if checkpoint.every else min(1, still)
        if checkpoint.keep_best and self._config.eval.every:
            saves += still // self._config.eval.every
        # One more than is kept: the oldest goes when the newest is whole. Those that are there take
        # no more room.
        present = len(list_checkpoints(self._run.checkpoints_path))
        most = checkpoint.keep + 1 + checkpoint.keep_best
        at_once = min(saves, max(1, most - present))
        if at_once:
            check_space(
                self._run.path,
                at_once * self._checkpoint,
                f"Keeping {at_once} checkpoint{'s' if at_once > 1 else ''} of this run",
            )

    def look(self, step: int, written: int) -> list[HealthNote]:
        """Whether the disk will last, as a note if it will not.

        Args:
            step: Steps that are done.
            written: Bytes that the journals hold by now.
        """
        if self._begun is None:
            self._begun = (step, written)
            return []
        since, before = self._begun
        a_step = (written - before) / max(1, step - since)
        still = self._config.steps - step
        needed = still * a_step * _SPARE + (2 * self._checkpoint if still else 0)
        free = free_space(self._run.path)
        if free is None or free >= needed:
            return []
        return [
            HealthNote(
                "health.disk",
                f"The disk will be full before the run is done: {size(free)} are left, and it "
                f"still writes about {size(needed)}.",
                "Free some space; a run that finds the disk full ends, and `ppo-tui resume` goes "
                "on from its last checkpoint.",
            )
        ]
