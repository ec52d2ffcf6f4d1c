"""A run of a small model, to which checkpoints can be added."""

import pytest

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.runs.directory import RunDirectory


@pytest.fixture
def config(small_config):
    return small_config(rollout={"temperature": 0.9, "response_tokens": 12})


@pytest.fixture
def run(tmp_path, config):
    """A run without a checkpoint."""
    return RunDirectory.create(tmp_path / "run", config_to_yaml(config), total=4)
