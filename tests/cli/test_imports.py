"""`ppo-tui --help` is quick because it loads next to nothing."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "textual", "pydantic", "numpy", "rich", "yaml", "psutil")


def loaded_by(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint('\\n' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_command_line_loads_nothing_heavy():
    assert not loaded_by("import ppo_tui.cli").intersection(HEAVY)


def test_the_help_loads_nothing_heavy():
    assert not loaded_by("from ppo_tui.cli.entry import run; run(['--help'])").intersection(HEAVY)


@pytest.mark.parametrize(
    "command", ["runs list", "presets list", "plan demo", "train demo --dry-run"]
)
def test_no_command_loads_torch_or_a_screen(command):
    code = f"from ppo_tui.cli.entry import run; assert run({command.split()}) == 0"
    assert not loaded_by(code).intersection({"torch", "transformers", "peft", "textual"})
