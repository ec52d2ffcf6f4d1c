"""The loop that joins policy, rewards and data: rollout, score, reward, advantage, update.

For the worker. `trainer.Trainer.steps()` is the loop; the other modules are its stations.
"""
