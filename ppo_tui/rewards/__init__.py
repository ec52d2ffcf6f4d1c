"""From text to score: what a response is worth.

For the training loop and the evaluation, which call `WeightedSum.score`. The options of each term
are declared in `ppo_tui.config.rewards`; here stands how they score. Knows no torch: a reward sees
text alone. How a score is clipped, scaled or turned into per-token rewards belongs to training.
"""

from ppo_tui.rewards.protocol import Reward, Sample
from ppo_tui.rewards.registry import build
from ppo_tui.rewards.weighted_sum import TermScores, WeightedSum

__all__ = ["Reward", "Sample", "TermScores", "WeightedSum", "build"]
