"""What a user who installs the wheel gets."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, because setuptools builds inside the tree.
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_holds_one_package_and_all_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"ppo_tui"}
    for needed in (
        "ppo_tui/py.typed",
        "ppo_tui/screens/__init__.py",
        "ppo_tui/presets/demo.yaml",
        "ppo_tui/assets/prompts.txt",
        "ppo_tui/assets/base_model/model.safetensors",
        "ppo_tui/assets/base_model/tokenizer.json",
    ):
        assert needed in names


def test_every_module_of_the_source_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {
        f"ppo_tui/{path.relative_to(ROOT / 'ppo_tui')}" for path in (ROOT / "ppo_tui").rglob("*.py")
    }
    for folder in ("screens", "presets"):
        source |= {
            f"ppo_tui/{path.relative_to(ROOT)}"
            for path in (ROOT / folder).rglob("*.[pytcs]*")
            if path.suffix in (".py", ".yaml", ".tcss")
        }
    assert source - names == set()


def test_the_installed_wheel_answers_from_its_own_files(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "ppo_tui", "presets", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PPO_TUI_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
    origin = subprocess.run(
        [sys.executable, "-c", "import ppo_tui.presets as p; print(p.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert origin.startswith(str(tmp_path / "site"))
