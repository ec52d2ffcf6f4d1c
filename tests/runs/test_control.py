import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ppo_tui.errors import RunError, StorageError, UsageError
from ppo_tui.runs.control import Inbox, Request, post
from ppo_tui.runs.directory import RunDirectory


def test_requests_come_in_the_order_in_which_they_were_posted(run):
    posted = [post(run, kind) for kind in ("pause", "continue", "checkpoint", "stop")]
    taken = Inbox(run).take()
    assert [request.id for request in taken] == posted
    assert [request.kind for request in taken] == ["pause", "continue", "checkpoint", "stop"]


def test_the_order_survives_a_clock_that_is_set_back(run, monkeypatch):
    post(run, "pause")
    monkeypatch.setattr("ppo_tui.runs.control.time.time_ns", lambda: 1_000)
    post(run, "continue")
    post(run, "stop")
    assert [request.kind for request in Inbox(run).take()] == ["pause", "continue", "stop"]


def test_many_requests_in_the_same_instant_are_all_there_in_order(run, monkeypatch):
    monkeypatch.setattr("ppo_tui.runs.control.time.time_ns", lambda: 1_000)
    posted = [post(run, "set", key="lr", value=n + 1) for n in range(50)]
    assert [request.id for request in Inbox(run).take()] == posted


def test_a_request_comes_again_until_it_is_answered(run):
    post(run, "pause")
    inbox = Inbox(run)
    (request,) = inbox.take()
    assert inbox.take() == [request]
    inbox.answer(request)
    assert inbox.take() == []
    assert os.listdir(run.control_path) == []


def test_answering_twice_does_no_harm(run):
    post(run, "pause")
    inbox = Inbox(run)
    (request,) = inbox.take()
    inbox.answer(request)
    inbox.answer(request)


def test_stop_saves_unless_told_otherwise(run):
    post(run, "stop")
    post(run, "stop", mode="now")
    assert [dict(request.args) for request in Inbox(run).take()] == [
        {"mode": "save"},
        {"mode": "now"},
    ]


def test_a_setting_carries_its_key_and_value(run):
    post(run, "set", key="kl_coef", value=0)
    (request,) = Inbox(run).take()
    assert request.args == {"key": "kl_coef", "value": 0.0}


@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        ("paus", {}, "did you mean 'pause'"),
        ("pause", {"why": 1}, "takes no 'why'"),
        ("stop", {"mode": "later"}, "not 'later'"),
        ("stop", {"mode": []}, "not '\\[\\]'"),
        ("set", {"key": "lr"}, "must be a number"),
        ("set", {"key": "lrr", "value": 1}, "did you mean 'lr'"),
        ("set", {"key": [], "value": 1}, "cannot be set"),
        ("set", {"key": "lr", "value": 0}, "must be a number above 0"),
        ("set", {"key": "lr", "value": True}, "must be a number"),
        ("set", {"key": "kl_coef", "value": -1}, "must be a number 0 or more"),
        ("set", {"key": "kl_coef", "value": float("nan")}, "must be a number 0 or more"),
        ("set", {"key": "kl_coef", "value": 10**400}, "must be a number 0 or more"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_not_posted(run, kind, args, message):
    with pytest.raises(UsageError, match=message):
        post(run, kind, **args)
    assert os.listdir(run.control_path) == []


def test_a_run_that_is_gone_takes_no_requests(run):
    shutil.rmtree(run.path)
    with pytest.raises(RunError) as caught:
        post(run, "pause")
    assert caught.value.code == "run.missing"
    with pytest.raises(StorageError) as gone:
        Inbox(run).take()
    assert gone.value.code == "storage.gone"


def test_a_request_that_is_still_being_written_is_not_seen(run):
    (run.control_path / ".00001-ab.json.123.tmp").write_text("{")
    assert Inbox(run).take() == []
    assert Inbox(run).set_aside == []


DAMAGED = {
    "torn": b'{"kind":"pau',
    "empty": b"",
    "no object": b"[]",
    "no kind": b"{}",
    "not utf-8": b"\xff\xfe",
    "unknown kind": b'{"kind":"explode"}',
    "wrong kind": b'{"kind":7}',
    "wrong arguments": b'{"kind":"stop","args":[1]}',
    "unknown mode": b'{"kind":"stop","args":{"mode":"x"}}',
    "huge": b" " * 70_000,
    "deep": b"[" * 60_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_what_is_no_request_is_set_aside_and_reported_and_the_rest_goes_on(run, content):
    (run.control_path / "0000-bad.json").write_bytes(content)
    post(run, "pause")
    inbox = Inbox(run)
    assert [request.kind for request in inbox.take()] == ["pause"]
    (damaged,) = inbox.set_aside
    assert damaged.name == "0000-bad.json"
    assert damaged.problem
    assert (run.control_path / "0000-bad.json.damaged").exists()
    inbox.take()
    assert inbox.set_aside == []


def test_neither_a_pipe_nor_a_folder_nor_a_link_holds_the_worker_up(run, tmp_path):
    os.mkfifo(run.control_path / "1.json")
    (run.control_path / "2.json").mkdir()
    (tmp_path / "elsewhere").write_text('{"kind":"stop"}')
    (run.control_path / "3.json").symlink_to(tmp_path / "elsewhere")
    inbox = Inbox(run)
    assert inbox.take() == []
    assert [damaged.name for damaged in inbox.set_aside] == ["1.json", "2.json", "3.json"]


def test_an_id_inside_the_file_cannot_make_the_worker_remove_another_file(run):
    record = {"kind": "pause", "id": "../config"}
    (run.control_path / "1.json").write_text(json.dumps(record))
    inbox = Inbox(run)
    (request,) = inbox.take()
    assert request.id == "1"
    inbox.answer(request)
    assert run.config_path.exists()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80))
def test_no_content_stops_the_worker(run, content):
    (run.control_path / "1.json").write_bytes(content)
    Inbox(run).take()


def test_a_request_on_a_full_disk_is_one_clear_error(small_disk):
    run = RunDirectory.create(small_disk / "run", "schema_version: 1\n")
    with open(small_disk / "ballast", "wb", buffering=0) as ballast:
        written = 1
        while written:
            try:
                written = ballast.write(b"x" * 4096)
            except OSError:
                written = 0
    with pytest.raises(StorageError) as caught:
        post(run, "pause")
    assert caught.value.code == "storage.full"
    assert os.listdir(run.control_path) == []


def test_a_request_knows_when_it_was_posted(run):
    post(run, "pause")
    (request,) = Inbox(run).take()
    assert isinstance(request, Request)
    assert request.time > 0
