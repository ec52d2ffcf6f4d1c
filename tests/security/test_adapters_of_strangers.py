"""Adapters and checkpoints of somebody else: read as numbers, or refused; nothing is run."""

import hashlib
import json
import os
import shutil

import pytest
import torch
from models import load
from safetensors.torch import save_file
from worker.processes import make_run, start, work

from ppo_tui.config.resolve import resolve
from ppo_tui.config.schema import AdapterConfig
from ppo_tui.errors import CheckpointError, RewardError
from ppo_tui.export.adapter import export_adapter
from ppo_tui.lora_files import plain_lora
from ppo_tui.policy.roles import Roles
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.state import read_state
from ppo_tui.taste.artefact import load_artefact

PLAIN = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}

BAIT = "import pathlib; pathlib.Path({!r}).touch()"


class Bomb:
    """Runs Python when it is unpickled."""

    def __init__(self, mark):
        self.source = BAIT.format(str(mark))

    def __reduce__(self):
        return exec, (self.source,)


def manifest(folder):
    """What whoever changes a checkpoint can do as well: write the hashes anew."""
    hashes = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps({"v": 1, "sha256": hashes}))


# ---- what an adapter_config.json may say


def test_what_the_training_writes_is_plain(model_folder, tmp_path):
    roles = Roles(load(model_folder("llama"), "none"), AdapterConfig(rank=4), seed=1)
    roles.save_adapter("policy", tmp_path / "adapter")
    found = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    taken = plain_lora(found)
    assert (taken["r"], taken["task_type"]) == (4, "CAUSAL_LM")
    assert any(name.endswith("q_proj") for name in taken["target_modules"])


@pytest.mark.parametrize(
    "change",
    [
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": None},
        {"auto_mapping": {"base_model_class": "Bait", "parent_library": "bait"}},
        {"modules_to_save": ["lm_head"]},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
        {"loftq_config": {"loftq_bits": 4}},
        {"megatron_core": "bait", "megatron_config": {}},
        {"bias": "all"},
        {"rank_pattern": {"(a+)+$": 8}},
        {"alpha_pattern": {"q_proj": 1e9}},
        {"layer_replication": [[0, 10**9]]},
        {"target_modules": "(a+)+$"},
        {"target_modules": [1]},
        {"target_modules": None},
        {"r": 10**9},
        {"r": True},
        {"r": "2"},
        {"lora_alpha": float("inf")},
        {"lora_alpha": -1},
    ],
)
def test_anything_but_a_plain_lora_is_refused_in_a_sentence(change):
    with pytest.raises(ValueError, match=r"^its? ") as caught:
        plain_lora({**PLAIN, **change})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("found", [None, [], "LORA", 1, {}, {"peft_type": "LORA"}])
def test_what_is_no_configuration_is_refused(found):
    with pytest.raises(ValueError, match=r"its? "):
        plain_lora(found)


def test_the_name_of_another_base_is_of_no_consequence():
    assert plain_lora({**PLAIN, "base_model_name_or_path": "bait/bait"}) == plain_lora(PLAIN)


# ---- a reward adapter from elsewhere


@pytest.fixture
def roles(model_folder):
    return Roles(load(model_folder("llama"), "none"), AdapterConfig(rank=2), seed=1)


@pytest.fixture
def adapter(roles, tmp_path):
    """A real one."""
    folder = tmp_path / "reward" / "adapter"
    folder.parent.mkdir()
    roles.save_adapter("policy", folder)
    return folder


def refused(roles, folder):
    with pytest.raises(RewardError) as caught:
        roles.load_reward_adapter("taste", folder)
    assert caught.value.code == "reward.artefact_damaged"
    assert caught.value.message.isprintable()
    return caught.value.message


def test_a_module_that_it_names_is_not_imported(roles, adapter, tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    (tmp_path / "bait.py").write_text(BAIT.format(str(mark)))
    monkeypatch.syspath_prepend(tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["auto_mapping"] = {"base_model_class": "Bait", "parent_library": "bait"}
    config["base_model_name_or_path"] = str(tmp_path)
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    assert "auto_mapping" in refused(roles, adapter)
    assert not mark.exists()


def test_pickled_weights_are_not_opened(roles, adapter, tmp_path):
    mark = tmp_path / "ran"
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(Bomb(mark), adapter / "adapter_model.bin")
    assert "pickled" in refused(roles, adapter)
    # Nor where a pickle has the other name.
    (adapter / "adapter_model.bin").rename(adapter / "adapter_model.safetensors")
    refused(roles, adapter)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", ""])
def test_no_link_is_followed(roles, adapter, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(adapter / name if name else adapter, elsewhere)
    (adapter / name if name else adapter).symlink_to(elsewhere)
    assert "link" in refused(roles, adapter)


def test_a_pipe_does_not_hold_up_the_reader(roles, adapter):
    (adapter / "adapter_config.json").unlink()
    os.mkfifo(adapter / "adapter_config.json")
    assert "regular file" in refused(roles, adapter)


def test_tensors_that_do_not_fit_are_refused(roles, adapter):
    save_file({"x.lora_A.weight": torch.zeros(2, 3)}, adapter / "adapter_model.safetensors")
    with pytest.raises(RewardError) as caught:
        roles.load_reward_adapter("taste", adapter)
    assert caught.value.code == "reward.other_base"


def test_a_reward_folder_whose_record_is_a_link_or_a_pickle_is_refused(tmp_path):
    mark, folder = tmp_path / "ran", tmp_path / "reward"
    folder.mkdir()
    torch.save(Bomb(mark), folder / "reward.json")
    with pytest.raises(RewardError, match="damaged"):
        load_artefact(folder)
    (folder / "reward.json").rename(tmp_path / "elsewhere")
    (folder / "reward.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RewardError, match="link"):
        load_artefact(folder)
    assert not mark.exists()


# ---- a checkpoint from elsewhere


@pytest.fixture(scope="module")
def finished(small_config, tmp_path_factory):
    """A run of two steps, by a real worker, that has more to do."""
    place = tmp_path_factory.mktemp("finished") / "run"
    run = make_run(place, small_config(steps=2, checkpoint={"every": 1}, eval={"at_end": False}))
    assert work(run) == 0
    run.config_path.write_text(run.config_path.read_text().replace("steps: 2", "steps: 3"))
    return run


@pytest.fixture
def theirs(finished, tmp_path):
    """The same run, as it comes from somebody else, and its newest checkpoint."""
    shutil.copytree(finished.path, tmp_path / "theirs")
    run = RunDirectory(tmp_path / "theirs")
    return run, list_checkpoints(run.checkpoints_path)[0][1]


def test_a_pickle_bomb_in_the_optimizer_is_refused_and_does_not_go_off(theirs, tmp_path):
    run, newest = theirs
    mark = tmp_path / "ran"
    for _, folder in list_checkpoints(run.checkpoints_path):
        torch.save({"state": Bomb(mark), "param_groups": []}, folder / "optimizer.pt")
        manifest(folder)
    verify_checkpoint(newest)
    assert start(run).wait(120) == 1
    state = read_state(run)
    assert state.state.value == "failed"
    assert state.error.code == "checkpoint.damaged"
    assert state.error.message.isprintable()
    assert "optimizer.pt" in state.error.message
    assert not mark.exists()


def test_a_module_that_its_adapter_names_is_not_imported(theirs, tmp_path, monkeypatch):
    run, _ = theirs
    mark = tmp_path / "ran"
    (tmp_path / "bait.py").write_text(BAIT.format(str(mark)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for _, folder in list_checkpoints(run.checkpoints_path):
        path = folder / "policy" / "adapter_config.json"
        config = json.loads(path.read_text())
        config["auto_mapping"] = {"base_model_class": "Bait", "parent_library": "bait"}
        config["base_model_name_or_path"] = str(tmp_path)
        path.write_text(json.dumps(config))
        manifest(folder)
    # The run goes on: of its own adapter it takes the numbers alone.
    assert start(run).wait(120) == 0
    assert not mark.exists()
    with pytest.raises(CheckpointError, match="auto_mapping") as caught:
        export_adapter(run, tmp_path / "out", list_checkpoints(run.checkpoints_path)[1][0])
    assert caught.value.code == "checkpoint.adapter"
    assert not (tmp_path / "out").exists()


def test_what_else_lies_in_an_adapter_is_not_exported(theirs, tmp_path):
    run, newest = theirs
    torch.save(Bomb(tmp_path / "ran"), newest / "policy" / "adapter_model.bin")
    (newest / "policy" / "modeling_bait.py").write_text("1 / 0\n")
    (newest / "policy" / "README.md").write_text("run me\n")
    manifest(newest)
    exported = export_adapter(run, tmp_path / "out")
    assert exported.files == (
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.yaml",
    )
    assert "run me" not in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("content", ["pickle", "nothing"])
def test_an_adapter_without_safetensors_is_not_exported(theirs, tmp_path, content):
    run, newest = theirs
    (newest / "policy" / "adapter_model.safetensors").unlink()
    if content == "pickle":
        torch.save(Bomb(tmp_path / "ran"), newest / "policy" / "adapter_model.bin")
    manifest(newest)
    with pytest.raises(CheckpointError) as caught:
        export_adapter(run, tmp_path / "out")
    words = "pickled" if content == "pickle" else "there is no adapter_model.safetensors"
    assert words in caught.value.message
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_checkpoint_brings_no_file_of_ones_own_into_an_export(theirs, tmp_path):
    run, newest = theirs
    precious = tmp_path / "id_ed25519"
    precious.write_text("private")
    (newest / "policy" / "adapter_model.safetensors").unlink()
    (newest / "policy" / "adapter_model.safetensors").symlink_to(precious)
    manifest(newest)
    with pytest.raises(CheckpointError, match="link"):
        export_adapter(run, tmp_path / "out", list_checkpoints(run.checkpoints_path)[0][0])
    assert not (tmp_path / "out").exists()


def test_the_readme_and_the_code_in_it_are_text_whatever_the_run_is_called(tmp_path):
    from ppo_tui.config.resolve import parse_config
    from ppo_tui.export.readme import loading_code, readme

    name = "x')\nimport os; os.system('touch ran')  # \x1b[2J```\n"
    text = resolve("demo").to_yaml().replace("name: bundled", f"name: {json.dumps(name)}")
    run = RunDirectory.create(tmp_path / "run\x1b[2J```", text)
    config = parse_config(text, "theirs")
    code = loading_code(config, "out'); import os  #")
    tree = compile(code, "README", "exec")
    assert "os" not in tree.co_names
    said = readme(run, config, 1)
    assert "\x1b" not in said
    assert said.count("\n```") == 2
