"""Older files are brought to today's form step by step; what was read stays as it is."""

import pytest

from ppo_tui.config import migrate, settings
from ppo_tui.config.migrate import NewerVersion, migrated
from ppo_tui.config.resolve import parse_config
from ppo_tui.config.schema import SCHEMA_VERSION
from ppo_tui.errors import ConfigError
from ppo_tui.runs.migrate import CHECKPOINT_STEPS, CHECKPOINT_VERSION, migrated_checkpoint

STEPS = {
    1: lambda content: {"steps": content["count"]},
    2: lambda content: {**content, "steps": content["steps"] * 10, "new": True},
}


@pytest.mark.parametrize(
    ("version", "content", "today"),
    [
        (1, {"count": 3}, {"steps": 30, "new": True}),
        (2, {"steps": 3}, {"steps": 30, "new": True}),
        (3, {"steps": 3}, {"steps": 3}),
    ],
)
def test_every_step_from_its_version_on_is_taken_in_order(version, content, today):
    before = dict(content)
    assert migrated(content, version, 3, STEPS) == today
    assert content == before


def test_a_newer_version_is_told_apart_from_none():
    with pytest.raises(NewerVersion):
        migrated({}, 4, 3, STEPS)
    for version in (0, -1, True, "1", 1.0, None, [1]):
        with pytest.raises(ValueError) as caught:
            migrated({}, version, 3, STEPS)
        assert not isinstance(caught.value, NewerVersion)


@pytest.mark.parametrize(
    ("newest", "steps"),
    [
        (SCHEMA_VERSION, migrate.CONFIG_STEPS),
        (settings.SETTINGS_VERSION, migrate.SETTINGS_STEPS),
        (CHECKPOINT_VERSION, CHECKPOINT_STEPS),
    ],
    ids=["config", "settings", "checkpoint"],
)
def test_there_is_a_step_for_every_older_version(newest, steps):
    assert list(steps) == list(range(1, newest))


def test_a_checkpoint_keeps_what_it_has():
    state = {
        "v": 1,
        "trainer": {"step": 2, "engine": {"rollout_slots": 3}},
        "extra": {"pool_offset": 5, "base_answered": True},
        "reward_rng": {"python": [1]},
        "taste": {"fitted": "x"},
    }
    today = migrated_checkpoint(state)
    assert today == {**state, "v": 2, "taste": {"fitted": "x", "lesson": None}}


@pytest.mark.parametrize("version", ["0", "-1", "'1'", "1.5", "true", "null", "[1]"])
def test_a_configuration_of_no_version_gets_one_sentence(version):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"schema_version: {version}\n", "mine.yaml")
    assert caught.value.code == "config.invalid_value"
    assert caught.value.message.startswith("mine.yaml: schema_version: must be a whole number")


def test_a_version_of_thousands_of_digits_is_newer():
    with pytest.raises(ConfigError, match="newer ppo-tui") as caught:
        parse_config(f"schema_version: 0x{'f' * 5000}\n", "mine.yaml")
    assert len(caught.value.message) < 200
