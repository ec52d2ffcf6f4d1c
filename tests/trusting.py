"""Say for a test what a user says with `ppo-tui trust add`: this code may run."""

from pathlib import Path

from ppo_tui import trust


def confirmed(path: Path) -> Path:
    """The reward file, confirmed as it is now, in the home that is set now."""
    trust.confirm([trust.reward_file(str(path))])
    return path
