"""Model folders that are none: one sentence, exit code 4, and no run directory is left."""

import json
from pathlib import Path

import pytest

from ppo_tui.assets import model_dir

from .broken import FILES, check_refusal, everything_in

CONFIG = json.loads((model_dir() / "config.json").read_text(encoding="utf-8"))


def refused(say, model: Path, verb: str = "train") -> None:
    """Try to use a model; it is refused, and nothing is left."""
    folder = model.parent
    before = everything_in(folder)
    check_refusal(*say(verb, "demo", "--set", f"model.name={model}"), exits=(4,))
    assert everything_in(folder) == before


# An architecture that is not known here may be known to transformers: only the worker can tell.
PERHAPS = ("an object",)


@pytest.mark.parametrize("name", [name for name in FILES if name not in PERHAPS])
def test_a_config_that_is_none(say, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    FILES[name](model / "config.json")
    refused(say, model)


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("a folder", "missing")])
def test_a_file_where_a_model_folder_is_expected(say, tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / "model")
    refused(say, tmp_path / "model")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": -1},
        {"hidden_size": 0},
        {"hidden_size": "many"},
        {"hidden_size": 1e308},
        {"hidden_size": 10**400},
        {"num_hidden_layers": None},
        {"num_hidden_layers": []},
        {"num_attention_heads": 0},
        {"vocab_size": True},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_a_config_with_an_impossible_size(say, tmp_path: Path, change: dict) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG | change))
    refused(say, model, "plan")


# Weights that are not there may still come from the hub: only the worker can tell.
NOT_THERE = ("missing", "a link to nothing", "a link to itself")


@pytest.mark.parametrize("name", [name for name in FILES if name not in NOT_THERE])
def test_weights_that_are_none(say, tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG))
    FILES[name](model / "model.safetensors")
    refused(say, model)
