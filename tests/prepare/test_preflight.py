"""What is refused before a run is made."""

from pathlib import Path

import pytest

from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import RewardError
from ppo_tui.prepare.preflight import check
from ppo_tui.taste.artefact import RewardArtefact, save_artefact


def test_a_reward_adapter_named_as_a_reward_of_kind_human_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "adapter"
    save_artefact(place, RewardArtefact("adapter", "sha256:0", "bundled", 6, 0, 1))
    config = RunConfig.model_validate({"reward": {"kind": "human", "from": str(place)}})
    with pytest.raises(RewardError, match="name it with kind: adapter and path") as caught:
        check(config)
    assert caught.value.code == "reward.artefact_kind"
