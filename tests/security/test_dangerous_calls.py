"""The source calls nothing that runs what a file says, but in the places that are meant to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for folder in ("ppo_tui", "screens", "presets") for path in (ROOT / folder).rglob("*.py")
)

FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.execv",
    "os.execvp",
    "os.spawnl",
    "os.spawnv",
    "tempfile.mktemp",
    "tempfile.mkdtemp",
    "importlib.import_module",
    "runpy.run_path",
    "runpy.run_module",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "numpy.load",
    "np.load",
    "joblib.load",
    "shutil.unpack_archive",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "code", "joblib"}

ALLOWED = {
    # The user's reward file, whose hash the user has confirmed.
    "ppo_tui/rewards/python_file.py": {"exec", "compile"},
    # The package's own screens.
    "screens/keys.py": {"importlib.import_module"},
    # With the loader of ours, which makes plain values alone.
    "ppo_tui/config/yaml_io.py": {"yaml.load"},
    # With weights_only; looked at below.
    "ppo_tui/training/checkpoint.py": {"torch.load"},
}


def name_of(node: ast.expr) -> str:
    """The dotted name of what is called; empty if it has none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = name_of(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def aliases(tree: ast.AST) -> dict[str, str]:
    """What names stand for that were imported from elsewhere or as something else."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
    return found


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    known = aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := name_of(node.func)):
            first, dot, rest = name.partition(".")
            yield known.get(first, first) + dot + rest, node


def keyword(call: ast.Call, name: str) -> object:
    values = [each.value for each in call.keywords if each.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def dangers(source: str) -> list[str]:
    """What a source does that it should not, by name."""
    tree = ast.parse(source)
    found = [name for name, _ in calls(tree) if name in FORBIDDEN]
    for name, call in calls(tree):
        if keyword(call, "shell") not in (None, False):
            found.append(f"{name} in a shell")
        if name == "torch.load" and keyword(call, "weights_only") is not True:
            found.append("torch.load of a pickle")
        if any(each.arg == "allow_pickle" for each in call.keywords):
            found.append(f"{name} of a pickle")
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.partition(".")[0] in MODULES]
        if (
            isinstance(node, ast.keyword)
            and node.arg == "trust_remote_code"
            and isinstance(node.value, ast.Constant)
            and node.value.value is True
        ):
            found.append("trust_remote_code without a question")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_calls_nothing_that_runs_what_a_file_says(path):
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
    assert set(dangers(path.read_text(encoding="utf-8"))) - allowed == set()


@pytest.mark.parametrize("path", ALLOWED)
def test_an_exception_is_still_needed(path):
    assert ALLOWED[path] <= set(dangers((ROOT / path).read_text(encoding="utf-8")))


def test_yaml_is_read_by_the_loader_of_plain_values_alone():
    tree = ast.parse((ROOT / "ppo_tui/config/yaml_io.py").read_text(encoding="utf-8"))
    loads = [call for name, call in calls(tree) if name == "yaml.load"]
    assert loads
    for call in loads:
        (loader,) = (each.value for each in call.keywords if each.arg == "Loader")
        assert name_of(loader) == "_PlainLoader"


@pytest.mark.parametrize(
    ("source", "danger"),
    [
        ("import torch\ntorch.load('x')", "torch.load of a pickle"),
        ("import torch\ntorch.load('x', weights_only=False)", "torch.load of a pickle"),
        ("from torch import load as read\nread('x', weights_only=1 > 2)", "torch.load of a pickle"),
        ("import pickle as p\np.loads(b'')", "pickle"),
        ("from os import system\nsystem('x')", "os.system"),
        ("import subprocess\nsubprocess.run('x', shell=True)", "subprocess.run in a shell"),
        ("import yaml\nyaml.load('x', Loader=yaml.Loader)", "yaml.load"),
        ("eval('1')", "eval"),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", "numpy.load of a pickle"),
        ("f(trust_remote_code=True)", "trust_remote_code without a question"),
    ],
)
def test_a_danger_is_found_however_it_is_imported(source, danger):
    assert danger in dangers(source)
