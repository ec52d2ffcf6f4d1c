"""One base model in many roles: loading, adapters, critic, log-probabilities, generation.

For `training` and `evaluation`. Knows nothing of rewards, of runs or of the loop.
"""
