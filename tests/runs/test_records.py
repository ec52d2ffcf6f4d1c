import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.phase import ACTIVE, TERMINAL, Phase
from ppo_tui.runs.process import ProcessIdentity
from ppo_tui.runs.records import (
    ErrorInfo,
    Event,
    RunState,
    Sample,
    TokenRecord,
    checkpoint_event,
    eval_event,
    health_event,
    log_event,
    state_event,
    step_event,
)

SAMPLE = Sample(
    id="12-3",
    step=12,
    prompt="The film was",
    response=" a joy",
    score=0.5,
    terms={"sentiment": 0.5},
    kl=1.5,
    length=3,
    finished=True,
    tokens=(TokenRecord(" a", -0.5, -0.25, 0.125, 1.0),),
    time=1700000000.0,
)

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def through_a_file(record):
    return strict_json.loads(strict_json.dumps(record.to_json()).encode())


def test_the_states_are_those_of_the_contract():
    assert " ".join(Phase) == (
        "created loading rollout scoring update evaluating saving paused awaiting_ratings "
        "stopping stopped finished failed crashed"
    )
    assert {"stopped", "finished", "failed", "crashed"} == TERMINAL
    assert len(ACTIVE) == 9


def test_a_step_is_the_line_of_the_contract():
    event = step_event(12, {"reward/score": 0.5})
    line = event.to_json()
    assert line == {
        "v": 1,
        "time": event.time,
        "kind": "step",
        "step": 12,
        "metrics": {"reward/score": 0.5},
    }
    assert Event.from_json(through_a_file(event)) == event
    assert event.metrics == {"reward/score": 0.5}


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (eval_event(5, {"share_of_optimum": 0.9}), "eval", {"metrics": {"share_of_optimum": 0.9}}),
        (checkpoint_event(5, "checkpoints/step-5"), "checkpoint", {"path": "checkpoints/step-5"}),
        (
            health_event(5, "kl.runaway", "KL runs away", hint="raise ppo.kl_coef"),
            "health",
            {
                "code": "kl.runaway",
                "level": "warning",
                "message": "KL runs away",
                "hint": "raise ppo.kl_coef",
            },
        ),
        (log_event("hello", step=5), "log", {"level": "info", "message": "hello"}),
        (state_event(Phase.PAUSED, step=5), "state", {"state": "paused", "message": ""}),
    ],
)
def test_each_kind_of_event_has_its_line_and_reads_back(event, kind, fields):
    line = event.to_json()
    assert line == {"v": 1, "time": event.time, "kind": kind, "step": 5, **fields}
    assert Event.from_json(through_a_file(event)) == event


def test_an_event_can_answer_a_request():
    event = log_event("paused").answering("0001-ab")
    assert event.to_json()["request"] == "0001-ab"
    assert Event.from_json(through_a_file(event)).request == "0001-ab"


def test_a_number_that_was_not_finite_reads_back_as_nan():
    event = Event.from_json(through_a_file(step_event(1, {"kl/ref": math.inf})))
    assert math.isnan(event.metrics["kl/ref"])


def test_a_payload_cannot_disguise_itself_as_the_envelope():
    assert Event("log", 1.0, None, {"kind": "step", "v": 9}).to_json() == {
        "v": 1,
        "time": 1.0,
        "kind": "log",
    }


def test_a_sample_reads_back_with_its_tokens():
    line = through_a_file(SAMPLE)
    assert line["v"] == 1
    assert line["time"] == 1700000000.0
    assert Sample.from_json(line) == SAMPLE


def test_a_sample_without_tokens_has_no_such_field():
    line = Sample("1", 1, "p", "r", 0.0, {}, 0.0, 1, False).to_json()
    assert "tokens" not in line
    assert Sample.from_json(line).tokens is None


def test_fields_of_a_newer_version_are_ignored_and_the_rest_is_read():
    line = {**SAMPLE.to_json(), "v": 7, "colour": "green"}
    read = Sample.from_json(line)
    assert read.v == 7
    assert read.response == " a joy"


def test_a_state_reads_back():
    state = RunState(
        Phase.FAILED,
        step=12,
        total=60,
        process=ProcessIdentity(4711, 1700000000.5, 99, "boot"),
        started=1.0,
        updated=2.0,
        error=ErrorInfo("storage.full", "the disk is full", "free some space"),
        message="saving",
    )
    line = through_a_file(state)
    assert RunState.from_json(line) == state
    assert line["state"] == "failed"
    assert line["pid"] == 4711
    assert line["process_start"] == 1700000000.5
    assert line["error"] == {
        "code": "storage.full",
        "message": "the disk is full",
        "hint": "free some space",
    }


def test_a_run_that_no_worker_had_yet_names_no_process():
    line = through_a_file(RunState(Phase.CREATED))
    assert line["pid"] is None
    assert RunState.from_json(line).process is None


@pytest.mark.parametrize("state", ["dreaming", "stopped"])
def test_a_state_of_a_newer_version_is_refused_in_words(state):
    with pytest.raises(RunError, match="newer ppo-tui") as caught:
        RunState.from_json({"v": 2, "state": state})
    assert caught.value.code == "run.newer_schema"


def test_an_error_is_recorded_as_it_is_shown():
    error = StorageError("the disk is full", hint="free some", code="storage.full")
    assert ErrorInfo.from_error(error).to_json() == error.to_dict()


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*SAMPLE.to_json(), "metrics", "kind"]), junk))
def test_no_line_breaks_a_viewer_whatever_its_fields_hold(line):
    event = Event.from_json(line)
    assert isinstance(event.metrics, dict)
    assert isinstance(event.message, str)
    sample = Sample.from_json(line)
    assert isinstance(sample.response, str)
    assert all(isinstance(term, float) for term in sample.terms.values())


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(RunState(Phase.CREATED).to_json())), junk))
def test_no_state_file_breaks_a_viewer_whatever_its_fields_hold(record):
    line = {**record, "state": "rollout"}
    if type(line.get("v")) is int and line["v"] > 1:
        with pytest.raises(RunError, match="newer ppo-tui"):
            RunState.from_json(line)
        return
    state = RunState.from_json(line)
    assert isinstance(state.step, int)
    assert isinstance(state.updated, float)
