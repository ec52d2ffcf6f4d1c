"""The memory plan of a configuration, for this machine's device or for a card of a given size."""

from __future__ import annotations

from ppo_tui.config.schema import RunConfig
from ppo_tui.plan import MemoryPlan, detect_device, device_budget, plan_memory, read_architecture


def plan_of(config: RunConfig, budget: int | None = None) -> MemoryPlan:
    """The plan of a run, for a card of `budget` bytes, or else for this machine's device.

    Raises:
        ModelError: The model's shape cannot be read.
    """
    device = detect_device(config.device)
    # Who names a size thinks of a card, on whatever machine the question is asked.
    if budget is not None and device == "cpu" and config.device == "auto":
        device = "cuda"
    available = device_budget(config.device) if budget is None else budget
    return plan_memory(read_architecture(config.model), config, available, device)
