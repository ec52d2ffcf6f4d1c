"""Making a run: what its file says of where it came from, and what has to be told before."""

from pathlib import Path

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.prepare.new_run import make_run, what_it_executes


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("demo", "# preset: demo"),
        ("./my own.yaml", "# file: ./my own.yaml"),
        (None, "schema_version: 1"),
    ],
)
def test_the_first_line_says_where_a_configuration_came_from(source, first):
    new = make_run(resolve("demo"), source, None)
    assert new.run.config_path.read_text().splitlines()[0] == first


def test_what_a_run_executes_is_told_file_by_file():
    config = resolve(
        "demo",
        [
            "reward.terms=[{kind: python, path: /my/score.py, function: glad}, {kind: sentiment}]",
            "model.trust_remote_code=true",
            "model.name=org/model",
        ],
    ).config
    assert what_it_executes(config) == [
        "It executes /my/score.py (its function glad) on this computer.",
        "It executes Python code that comes with the model org/model.",
    ]


def test_a_run_that_executes_nobodys_code_has_nothing_to_tell():
    assert what_it_executes(resolve("demo").config) == []
