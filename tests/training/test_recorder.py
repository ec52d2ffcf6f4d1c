"""What a recorder tells of a run's health, and how often."""

import json

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.training.batches import HealthNote
from ppo_tui.training.recorder import Recorder

LASTING = HealthNote("health.no_signal", "All responses scored 1.")
HALVED = HealthNote("health.memory", "Memory ran out.", happened=True)


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", resolve("demo").to_yaml(), total=30)


def told(run) -> list[tuple[int, str]]:
    events = map(json.loads, run.events_path.read_text().splitlines())
    return [(e["step"], e["code"]) for e in events if e["kind"] == "health"]


def test_what_lasts_is_told_when_it_begins(run):
    recorder = Recorder(run)
    for step, notes in enumerate([[LASTING], [LASTING], [], [LASTING]], start=1):
        recorder.health(notes, step)
    recorder.close()
    assert told(run) == [(1, "health.no_signal"), (4, "health.no_signal")]


def test_what_happens_is_told_each_time_and_forgets_nothing_that_lasts(run):
    recorder = Recorder(run)
    recorder.health([LASTING, HALVED], 1)
    recorder.happened([HALVED], 1)
    recorder.health([HALVED, LASTING], 2)
    recorder.close()
    assert told(run) == [
        (1, "health.memory"),
        (1, "health.no_signal"),
        (1, "health.memory"),
        (2, "health.memory"),
    ]
