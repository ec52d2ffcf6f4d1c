"""What chaos and fuzz have found once, each as small as it can be."""

import hashlib
import json

import pytest

from ppo_tui.errors import CheckpointError, RunError
from ppo_tui.runs.checkpoints import read_checkpoint, verify_checkpoint
from ppo_tui.runs.control import Inbox
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import holder
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import observe, write_state

NESTED = "[" * 100_000
BEYOND_ANY_FLOAT = 10**400


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", "steps: 3\n", total=3)


def checkpoint(folder, state):
    path = folder / "step-000003"
    path.mkdir()
    (path / "state.json").write_text(state)
    sha256 = {"state.json": hashlib.sha256(state.encode()).hexdigest()}
    (path / "manifest.json").write_text(json.dumps({"v": 1, "sha256": sha256}))
    return path


@pytest.mark.parametrize("state", [NESTED, "[]", "3", "null", '{"v": '])
def test_a_checkpoint_whose_state_is_no_record_is_damaged(tmp_path, state):
    path = checkpoint(tmp_path, state)
    with pytest.raises(CheckpointError, match="damaged"):
        verify_checkpoint(path)
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


def test_a_manifest_that_is_nested_beyond_reason_is_damaged(tmp_path):
    path = checkpoint(tmp_path, "{}")
    (path / "manifest.json").write_text(NESTED)
    with pytest.raises(CheckpointError, match="damaged"):
        verify_checkpoint(path)


def test_a_process_that_began_beyond_any_clock_is_none(run):
    record = json.loads(run.state_path.read_text())
    named = {"pid": 1, "process_start": BEYOND_ANY_FLOAT}
    run.state_path.write_text(json.dumps({**record, "state": "update", **named}))
    run.lock_path.write_text(json.dumps(named))
    run.launch_path.write_text(json.dumps({**named, "time": 1.0}))
    assert observe(run).phase is Phase.CRASHED
    assert holder(run) is None
    assert last_launch(run) is None


def test_a_launch_at_a_time_beyond_any_clock_is_none(run):
    started = {"pid": 1, "process_start": 1.0, "time": BEYOND_ANY_FLOAT}
    run.launch_path.write_text(json.dumps(started))
    assert last_launch(run) is None


def test_a_request_from_a_time_beyond_any_clock_is_set_aside(run):
    request = {"kind": "pause", "time": BEYOND_ANY_FLOAT}
    (run.control_path / "1.json").write_text(json.dumps(request))
    inbox = Inbox(run)
    assert inbox.take() == []
    assert [odd.name for odd in inbox.set_aside] == ["1.json"]


def test_an_error_is_one_line_whatever_it_quotes():
    error = RunError("there is no \x1b[2J run \ufeff\n'x'", hint="try\r\nanother")
    assert error.message == r"there is no \x1b[2J run \ufeff⏎'x'"
    assert error.hint == "try⏎another"


def test_a_worker_removes_the_state_that_a_killed_one_had_half_written(run):
    half = run.path / ".state.json.0a1b2c3d4e5f.tmp"
    other = run.path / ".launch.json.0a1b2c3d4e5f.tmp"
    for path in (half, other):
        path.write_text('{"v": 1, "sta')
    write_state(run, RunState(Phase.UPDATE))
    assert half.exists()
    write_state(run, RunState(Phase.LOADING))
    assert not half.exists()
    assert other.exists()


@pytest.mark.parametrize("order", ["longest", "best", "worst"])
def test_a_sample_longer_than_any_number_is_ranked_all_the_same(run, order):
    from ppo_tui.runs.samples import SampleBook

    line = {"v": 1, "kind": "sample", "id": "1-0", "step": 1, "score": 0.5}
    long = {**line, "length": BEYOND_ANY_FLOAT}
    run.samples_path.write_text(json.dumps(long) + "\n" + json.dumps(line | {"id": "1-1"}) + "\n")
    ranked = SampleBook(run.samples_path).ranked(order)
    assert len(ranked.samples) == 2


def test_a_parquet_file_whose_names_are_no_text_is_refused_in_a_sentence(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from ppo_tui.config.schema import DataConfig
    from ppo_tui.data import load_prompts
    from ppo_tui.errors import DataError

    path = tmp_path / "prompts.parquet"
    pq.write_table(pa.table({"prompt": ["one", "two"]}), path)
    data = path.read_bytes()
    refused = []
    for place in range(len(data)):
        if data.startswith(b"prompt", place):
            path.write_bytes(data[:place] + b"\x80" + data[place + 1 :])
            try:
                load_prompts(DataConfig(prompts=str(path)))
            except DataError as error:
                refused.append(error.message)
    assert refused
    assert not any("\n" in message for message in refused)
