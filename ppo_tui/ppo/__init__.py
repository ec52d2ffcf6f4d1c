"""The algorithm: pure functions on tensors, formulas in the docstrings, torch only.

For those who train with it and those who read it to learn how PPO on a language model is done.
Nothing here knows a model, a file or a configuration.

Notation. B sequences, R response positions. `mask` is boolean ``[B, R]``, true on real response
tokens; responses are right-padded, so each row of a mask is a run of true and then false.
"""

from ppo_tui.ppo.advantages import gae, whiten
from ppo_tui.ppo.kl import AdaptiveKL, kl_estimate
from ppo_tui.ppo.losses import LossStats, policy_loss, value_loss
from ppo_tui.ppo.masked import explained_variance, masked_mean, masked_var
from ppo_tui.ppo.rewards import token_rewards

__all__ = [
    "AdaptiveKL",
    "LossStats",
    "explained_variance",
    "gae",
    "kl_estimate",
    "masked_mean",
    "masked_var",
    "policy_loss",
    "token_rewards",
    "value_loss",
    "whiten",
]
