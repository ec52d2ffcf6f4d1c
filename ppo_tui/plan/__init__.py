"""The memory plan: whether a run fits the device, by arithmetic on the model's config.json.

For the command line, the app and the worker. Knows neither torch nor transformers, so that a form
can ask it at every key press. Plain data comes out; drawing it is the viewer's business.
"""

from ppo_tui.plan.architecture import Architecture, architecture_from_config, read_architecture
from ppo_tui.plan.choices import Choices, choose
from ppo_tui.plan.device import detect_device, device_budget
from ppo_tui.plan.families import LinearLayer
from ppo_tui.plan.memory import MemoryPlan, Suggestion, plan_memory
from ppo_tui.plan.parts import MemoryPart
from ppo_tui.plan.weights import WeightCounts

__all__ = [
    "Architecture",
    "Choices",
    "LinearLayer",
    "MemoryPart",
    "MemoryPlan",
    "Suggestion",
    "WeightCounts",
    "architecture_from_config",
    "choose",
    "detect_device",
    "device_budget",
    "plan_memory",
    "read_architecture",
]
