"""Ten kills of `make chaos`, and that its comparison would see what a kill can do."""

import json
import shutil

import pytest

from ppo_tui.runs.directory import RunDirectory
from tools.chaos.__main__ import SHORT, chaos
from tools.chaos.compare import differences
from tools.chaos.moments import KINDS, Moments

SEED = 7
KILLS = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def shaken(tmp_path_factory):
    """The folder of the runs, and how those under fire came out."""
    print(f"seed {SEED}")
    folder = tmp_path_factory.mktemp("chaos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", "")
        patch.setenv("OMP_NUM_THREADS", "1")
        return folder, chaos(folder, SHORT, KILLS, SEED)


def test_runs_that_were_killed_ten_times_end_like_one_that_nobody_disturbed(shaken):
    _, outcomes = shaken
    assert [outcome.problems for outcome in outcomes if outcome.problems] == []
    kills = [kill for outcome in outcomes for kill in outcome.kills]
    assert len(kills) == KILLS
    # A moment of the clock may come too late to meet its worker; then another is chosen.
    assert len({kill.moment.kind for kill in kills}) >= len(KINDS) - 1
    assert len({kill.phase for kill in kills}) > 1


@pytest.fixture
def pair(shaken, tmp_path):
    """A copy of the undisturbed run to be changed, and that run."""
    folder, _ = shaken
    shutil.copytree(folder / "reference", tmp_path / "copy")
    return RunDirectory(tmp_path / "copy"), RunDirectory(folder / "reference")


def test_a_copy_of_a_run_does_not_differ_from_it(pair):
    assert differences(*pair) == []


def test_a_score_of_one_sample_is_missed_nowhere(pair):
    copy, reference = pair
    lines = copy.samples_path.read_text().splitlines()
    sample = json.loads(lines[3])
    lines[3] = json.dumps({**sample, "score": sample["score"] + 1e-7})
    copy.samples_path.write_text("\n".join(lines) + "\n")
    found = differences(copy, reference)
    assert found[0].startswith("samples: record 4: ")


def test_a_step_that_is_there_twice_is_seen(pair):
    copy, reference = pair
    lines = copy.events_path.read_bytes().splitlines(keepends=True)
    step = next(line for line in lines if b'"kind":"step"' in line)
    copy.events_path.write_bytes(b"".join(lines) + step)
    assert any(words.startswith("events: record ") for words in differences(copy, reference))


def test_one_bit_of_a_weight_is_seen(pair):
    copy, reference = pair
    weights = copy.checkpoints_path / "step-000006" / "policy" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "step-000006: policy/adapter_model.safetensors differs" in differences(copy, reference)


def test_an_offset_into_another_line_is_seen(pair):
    copy, reference = pair
    path = copy.checkpoints_path / "step-000006" / "state.json"
    state = json.loads(path.read_text())
    state["extra"]["samples_offset"] -= len(copy.samples_path.read_bytes().splitlines()[-1]) + 1
    path.write_text(json.dumps(state))
    assert any("offset" in words for words in differences(copy, reference))


def test_what_a_kill_leaves_lying_is_seen(pair):
    copy, reference = pair
    (copy.path / ".state.json.0a1b.tmp").touch()
    (copy.checkpoints_path / ".step-000004.partial").mkdir()
    assert differences(copy, reference) == [
        ".state.json.0a1b.tmp was left behind",
        "checkpoints/.step-000004.partial was left behind",
    ]


def test_moments_are_the_same_for_a_seed_and_of_every_kind():
    counts = {"write events": 40, "rename checkpoint": 3}

    def chosen(seed):
        moments = Moments(seed, counts)
        return [moments.next(0.5, resuming=True) for _ in range(12)]

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert {moment.kind for moment in chosen(1)} == set(KINDS)
    assert all(m.nth <= 20 for m in chosen(1) if m.target == "write events" and m.kind != "resume")


def test_the_files_of_an_adapter_do_not_hang_on_the_hashes_of_a_process(shaken):
    folder, _ = shaken
    checkpoints = RunDirectory(folder / "reference").checkpoints_path
    found = list(checkpoints.rglob("adapter_config.json"))
    assert found
    for path in found:
        targets = json.loads(path.read_text())["target_modules"]
        assert len(targets) > 1
        assert targets == sorted(targets)
