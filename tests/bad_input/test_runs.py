"""Run directories, checkpoints, ratings and saved rewards that are none: one sentence each.

Viewers read what they can; what they cannot use they say in a sentence, and change nothing.
"""

import json
import shutil
from pathlib import Path

import pytest
from schemas.conftest import recorded

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.taste.artefact import RECORD

from .broken import FILES, check_refusal, everything_in

BROKEN = [name for name in FILES if name != "missing"]
KINDS = ["empty", "NULs", "noise", "a number", "an object", "cut short", "deep lists"]
KINDS += ["a folder", "a pipe", "a link to itself", "endless zeros"]
"""One of each kind of what may be broken, for the matrix of files and commands."""

OUTCOMES = (0, 1, 3, 4, 5)
"""How a viewer may end on a damaged run: it reads on, or says what is damaged."""


@pytest.fixture
def run(home: Path) -> RunDirectory:
    """The recorded run, stopped with a checkpoint."""
    return recorded(home, "mine")


def spoil(path: Path, name: str) -> None:
    """Put something broken in a file's place."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    FILES[name](path)


def check_said(code: int, out: str, err: str) -> None:
    """That a command has read what it could, or failed as it should."""
    said = out + err
    assert code in OUTCOMES, said
    assert "Traceback" not in said, said
    assert "Something unexpected" not in said, said
    if code in (1, 3, 4):
        check_refusal(code, out, err, exits=(code,))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "file",
    [
        "state.json",
        "config.yaml",
        "events.jsonl",
        "samples.jsonl",
        "ratings.jsonl",
        "launch.json",
        "lock",
        "control",
        "checkpoints",
    ],
)
def test_every_viewer_survives_it(say, run, home, tmp_path, file: str, name: str) -> None:
    recorded(home, "other")
    spoil(run.path / file, name)
    before = everything_in(run.path)
    code, out, err = say("runs", "list", "--json")
    assert code == 0, err
    assert {each["name"] for each in json.loads(out)["runs"]} == {"mine", "other"}
    for arguments in (
        ["runs", "show", "mine"],
        ["runs", "compare", "mine", "other"],
        ["watch", "mine", "--plain"],
        ["ratings", "show", "mine"],
        ["export", "mine", "--to", str(tmp_path / "out")],
    ):
        check_said(*say(*arguments))
    assert everything_in(run.path) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_state_that_is_none_is_not_resumed(say, run, name: str) -> None:
    spoil(run.state_path, name)
    before = everything_in(run.path)
    check_refusal(*say("resume", "mine"), exits=(1,))
    assert everything_in(run.path) == before


@pytest.mark.parametrize(
    "name", [n for n in BROKEN if n not in ("empty", "blank", "null", "an empty device")]
)
def test_a_configuration_that_is_none_is_not_resumed(say, run, name: str) -> None:
    spoil(run.config_path, name)
    before = everything_in(run.path)
    check_refusal(*say("resume", "mine"), exits=(1, 3))
    assert everything_in(run.path) == before


@pytest.mark.parametrize("name", [*KINDS, "missing"])
@pytest.mark.parametrize(
    "file", ["manifest.json", "state.json", "optimizer.pt", "policy/adapter_model.safetensors"]
)
def test_a_damaged_checkpoint_is_not_exported(say, run, tmp_path, file: str, name: str) -> None:
    spoil(run.checkpoints_path / "step-000002" / file, name)
    check_refusal(*say("export", "mine", "--to", str(tmp_path / "out")), exits=(1,))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", list(FILES))
def test_ratings_that_are_none_are_not_taken(say, run, tmp_path, name: str) -> None:
    FILES[name](tmp_path / "given.jsonl")
    check_refusal(*say("ratings", "import", "mine", str(tmp_path / "given.jsonl")), exits=(1,))
    assert not run.ratings_path.exists()


@pytest.mark.parametrize("name", list(FILES))
def test_a_reward_is_not_fitted_to_ratings_that_are_none(say, tmp_path, name: str) -> None:
    FILES[name](tmp_path / "given.jsonl")
    target = tmp_path / "reward"
    said = say("reward", "fit", str(tmp_path / "given.jsonl"), "--to", str(target))
    check_refusal(*said, exits=(1,))
    assert not target.exists()


@pytest.mark.parametrize("name", list(FILES))
def test_a_saved_reward_that_is_none(say, home, tmp_path, name: str) -> None:
    folder = tmp_path / "reward"
    folder.mkdir()
    FILES[name](folder / RECORD)
    check_refusal(*say("reward", "show", str(folder)), exits=(1, 4))
    before = everything_in(home)
    said = say("train", "demo", "--set", f"reward={{kind: human, from: {folder}}}")
    check_refusal(*said, exits=(1, 4))
    assert everything_in(home) == before


@pytest.mark.parametrize("verb", ["runs show", "watch", "resume", "export", "rate", "pause"])
@pytest.mark.parametrize("place", ["empty folder", "file", "link to itself", "nothing", "NUL"])
def test_what_is_no_run(say, tmp_path, verb: str, place: str) -> None:
    path = tmp_path / "thing"
    if place == "empty folder":
        path.mkdir()
    elif place == "file":
        path.write_bytes(b"x")
    elif place == "link to itself":
        path.symlink_to("thing")
    text = "a\0b" if place == "NUL" else str(path)
    before = everything_in(tmp_path)
    more = ["--to", str(tmp_path / "out")] if verb == "export" else []
    check_refusal(*say(*verb.split(), text, *more), exits=(1,))
    assert everything_in(tmp_path) == before
