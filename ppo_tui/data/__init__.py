"""Prompts: from a file to the token ids that the policy continues.

For the training loop and the evaluation. The way of the data: `load_prompts` reads a file,
`render` puts a template around each prompt, `PromptDataset` tokenises, enforces the length limit
and splits, `PromptStream` deals the train prompts out, endlessly and resumably. Nothing here knows
a model or a device: ids are tuples, padding belongs to the rollout.
"""

from ppo_tui.data.dataset import PromptDataset, TokenizedPrompt
from ppo_tui.data.prompts import Prompt, load_prompts
from ppo_tui.data.stream import PromptStream
from ppo_tui.data.templates import render

__all__ = [
    "Prompt",
    "PromptDataset",
    "PromptStream",
    "TokenizedPrompt",
    "load_prompts",
    "render",
]
