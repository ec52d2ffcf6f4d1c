"""What is confirmed is kept in one private file; if that cannot be relied on, nothing counts."""

import json
import os
import stat
from dataclasses import replace

import pytest

from ppo_tui import confirmations, trust
from ppo_tui.config.schema import ModelConfig
from ppo_tui.confirmations import Confirmed, read_store, store_path
from ppo_tui.errors import ConfigError, StorageError


def refused(code):
    with pytest.raises(ConfigError) as caught:
        trust.require([code])
    return caught.value


@pytest.fixture
def code(reward):
    return trust.reward_file(str(reward.path))


@pytest.fixture
def confirmed(code):
    trust.confirm([code])
    return code


def test_it_is_readable_by_its_owner_alone_and_says_what_and_when(confirmed, reward):
    assert stat.S_IMODE(store_path().stat().st_mode) == 0o600
    (entry,) = json.loads(store_path().read_text())["confirmed"]
    assert (entry["kind"], entry["name"]) == ("reward_file", str(reward.path))
    assert entry["sha256"] == confirmed.sha256
    assert entry["time"] > 1e9


def test_without_a_store_nothing_is_confirmed(code):
    assert read_store() == confirmations.Store()
    assert trust.unconfirmed([code]) == (code,)


def test_the_same_content_elsewhere_is_confirmed_and_other_content_is_not(confirmed):
    trust.require([replace(confirmed, name="/elsewhere/copy.py")])
    error = refused(replace(confirmed, sha256="0" * 64))
    assert error.code == "trust.reward_file"
    assert "it has changed since you confirmed it (SHA-256 000000000000… now)" in error.message


def test_confirming_twice_leaves_one_entry(confirmed):
    trust.confirm([confirmed])
    assert len(read_store().entries) == 1


def test_a_confirmation_can_be_taken_back(confirmed):
    confirmations.remove(read_store().entries)
    assert refused(confirmed).code == "trust.reward_file"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"v": 1}',
        b'{"v": 1, "confirmed": [3]}',
        b'{"v": 1, "confirmed": [{"kind": "model", "name": "a/b", "sha256": "", "revision": 3}]}',
        b'{"v": true, "confirmed": []}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_store_confirms_nothing_and_says_so(confirmed, content):
    store_path().write_bytes(content)
    error = refused(confirmed)
    assert error.code == "trust.reward_file"
    assert error.hint == f"{store_path()} is damaged, so nothing counts."


def test_one_entry_that_is_none_makes_the_others_count_for_nothing(confirmed):
    data = json.loads(store_path().read_text())
    data["confirmed"].append({**data["confirmed"][0], "sha256": ""})
    store_path().write_text(json.dumps(data))
    assert refused(confirmed).hint.endswith("is damaged, so nothing counts.")


def test_confirming_sets_a_damaged_store_aside(confirmed):
    store_path().write_text("{")
    trust.confirm([confirmed])
    trust.require([confirmed])
    assert store_path().with_name("trusted.json.damaged").read_text() == "{"


@pytest.mark.skipif(os.name != "posix", reason="modes of files are posix's")
def test_a_store_that_others_may_write_confirms_nothing(confirmed):
    store_path().chmod(0o622)
    assert "others may write it" in refused(confirmed).hint
    store_path().chmod(0o600)
    trust.require([confirmed])


def test_a_store_of_a_newer_program_confirms_nothing_and_is_left_alone(confirmed):
    store_path().write_text('{"v": 2, "confirmed": "otherwise"}')
    assert "newer ppo-tui" in refused(confirmed).hint
    with pytest.raises(ConfigError, match="newer ppo-tui") as caught:
        trust.confirm([confirmed])
    assert caught.value.code == "trust.newer"
    assert store_path().read_text() == '{"v": 2, "confirmed": "otherwise"}'


def test_a_pipe_in_its_place_is_not_waited_for(code, home):
    home.mkdir()
    os.mkfifo(store_path())
    assert "cannot be relied on" in refused(code).hint


def test_a_home_that_cannot_be_written_is_told(code, home):
    home.write_text("a file")
    with pytest.raises(StorageError):
        trust.confirm([code])


def test_a_model_is_confirmed_by_its_name_and_its_revision():
    trust.confirm([trust.hub_model("org/model", "abc")])
    trust.require([trust.hub_model("org/model", "abc")])
    for other in [("org/model", None), ("org/model", "abd"), ("org/model2", "abc")]:
        error = refused(trust.hub_model(*other))
        assert error.code == "trust.model"
        assert error.exit_code == 3
    assert "`ppo-tui trust add org/model2 --revision abc`" in error.message


def test_a_new_state_of_a_folder_replaces_the_old_one(model):
    def now():
        return trust.model_code(ModelConfig(name=str(model.path), trust_remote_code=True))

    before = now()
    trust.confirm(before)
    (model.path / "modeling_mine.py").write_text("# other")
    assert "has changed since you confirmed it" in refused(now()[0]).message
    trust.confirm(now())
    trust.require(now())
    assert len(read_store().entries) == 1
    assert refused(before[0]).code == "trust.model"


@pytest.mark.parametrize(
    ("said", "meant"),
    [("{sha}", True), ("{sha:.12}", True), ("{sha:.11}", False), ("/my/score.py", True)],
)
def test_code_is_named_by_its_path_or_by_enough_of_its_digest(said, meant):
    sha = "ab12" * 16
    entry = Confirmed("reward_file", "/my/score.py", sha)
    assert trust.names(entry, said.format(sha=sha)) is meant
    assert trust.names(entry, said.format(sha=sha).upper()) is (meant and "/" not in said)


def test_a_sentence_holds_no_control_characters_of_a_name(tmp_path):
    path = tmp_path / "a\x1b[31m\n.py"
    path.write_text("x = 1")
    error = refused(trust.reward_file(str(path)))
    assert error.message.isprintable()
