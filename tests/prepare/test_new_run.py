"""Making a run: what its file says of where it came from, and what has to be told before."""

from pathlib import Path

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.prepare.new_run import make_run


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
