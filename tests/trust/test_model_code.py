"""Code that comes with a model runs only where the user has allowed it for that model by name."""

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer
from worker.processes import make_run, work

from ppo_tui import confirmations, trust
from ppo_tui.cli.entry import run as ppo_tui
from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ConfigError, ModelError, PpoTuiError
from ppo_tui.policy.loading import load_base
from ppo_tui.prepare import preflight
from ppo_tui.runs.state import read_state

CPU = torch.device("cpu")


def asking(model, **more):
    """The configuration of a model that asks for its own code."""
    return ModelConfig(name=str(getattr(model, "path", model)), trust_remote_code=True, **more)


def allow(config):
    trust.confirm(trust.model_code(config))


def refused(config, error=ConfigError):
    with pytest.raises(error) as caught:
        load_base(config, CPU)
    assert isinstance(caught.value, PpoTuiError)
    assert caught.value.message.isprintable()
    return caught.value


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_configuration_that_asks_for_it_is_not_enough(model):
    error = refused(asking(model))
    assert error.code == "trust.model"
    assert error.exit_code == 3
    assert f"`ppo-tui trust add {model.path}`" in error.message
    assert not model.ran


def test_a_model_that_is_allowed_by_name_is_loaded_with_its_own_code(model):
    allow(asking(model))
    base = load_base(asking(model), CPU)
    assert model.ran
    assert type(base.model).__name__ == "MineModel"
    assert base.source == base.model.config._name_or_path == str(model.path)
    ids = torch.tensor([[3, 4, 5]])
    assert base.model(input_ids=ids).logits.shape[:2] == (1, 3)


def test_allowed_or_not_it_does_not_run_where_the_configuration_does_not_ask(model):
    allow(asking(model))
    assert refused(ModelConfig(name=str(model.path)), ModelError).code == "model.remote_code"
    assert not model.ran


def test_changed_code_is_asked_about_anew(model):
    allow(asking(model))
    with (model.path / "modeling_mine.py").open("a") as file:
        file.write("# changed\n")
    assert "has changed since you confirmed it" in refused(asking(model)).message
    assert not model.ran


def test_one_more_python_file_is_a_change(model):
    allow(asking(model))
    (model.path / "more").mkdir()
    (model.path / "more" / "code.py").write_text("")
    assert refused(asking(model)).code == "trust.model"
    assert not model.ran


def test_code_that_is_exchanged_while_the_model_is_loaded_is_not_taken(model, monkeypatch):
    allow(asking(model))
    theirs = model.path / "modeling_mine.py"
    evil = theirs.read_text().replace("model-ran", "evil-ran")
    load = AutoTokenizer.from_pretrained

    def exchange(*arguments, **options):
        theirs.write_text(evil)
        return load(*arguments, **options)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", exchange)
    load_base(asking(model), CPU)
    assert model.ran
    assert theirs.read_text() == evil
    assert not model.mark.with_name("evil-ran").exists()


@pytest.mark.parametrize("place", ["../outside", "{absolute}"])
def test_code_outside_of_the_folder_is_not_taken(model, place):
    outside = model.path.parent / "outside.py"
    outside.write_text((model.path / "modeling_mine.py").read_text())
    module = place.format(absolute=outside.with_suffix(""))
    auto_map = {"AutoModelForCausalLM": f"{module}.MineModel"}
    edit(model.path / "config.json", model_type="llama", auto_map=auto_map)
    allow(asking(model))
    assert "not among the Python files in its folder" in refused(asking(model)).message
    assert not model.ran


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_another_model_has_to_be_allowed_by_that_models_name(model, file):
    auto_map = {"AutoConfig": "org/other--configuration.Config", "AutoTokenizer": ["a.B", None]}
    edit(model.path / file, auto_map=auto_map)
    trust.confirm([trust.folder_code(model.path, trust.python_files(model.path))])
    error = refused(asking(model))
    assert error.code == "trust.model"
    assert "`ppo-tui trust add org/other`" in error.message
    assert [code.name for code in trust.model_code(asking(model))] == [
        str(model.path),
        "org/other",
    ]


def test_a_kernel_of_the_hub_is_code_too(model_folder, tmp_path):
    folder = shutil.copytree(model_folder("llama"), tmp_path / "kernel")
    edit(folder / "config.json", attn_implementation="somebody/kernel")
    error = refused(ModelConfig(name=str(folder)), ModelError)
    assert error.code == "model.remote_code"
    assert "(somebody/kernel)" in error.message


def test_a_model_of_the_hub_is_refused_before_it_is_asked_for():
    error = refused(ModelConfig(name="org/model", trust_remote_code=True, revision="abc"))
    assert error.code == "trust.model"
    assert "`ppo-tui trust add org/model --revision abc`" in error.message


def test_the_bundled_model_has_no_code_to_allow():
    config = ModelConfig(trust_remote_code=True)
    assert trust.model_code(config) == ()
    assert load_base(config, CPU).quantization == "none"


def test_a_worker_on_somebodys_run_imports_nothing(small_config, model, tmp_path):
    changes = {"model": {"name": str(model.path), "trust_remote_code": True}}
    config = small_config(steps=1, **changes)
    run = make_run(tmp_path / "run", config)
    assert work(run) == 3
    error = read_state(run).error
    assert error is not None
    assert error.code == "trust.model"
    assert not model.ran
    with pytest.raises(ConfigError):
        preflight.check(config)

    allow(config.model)
    preflight.check(config)
    assert work(make_run(tmp_path / "allowed", config)) == 0
    assert model.ran


def test_somebody_to_talk_to_is_not_loaded_with_code_that_is_not_confirmed_any_more(
    small_config, model, tmp_path, capsys
):
    changes = {"model": {"name": str(model.path), "trust_remote_code": True}}
    config = small_config(steps=1, eval={"at_end": False}, **changes)
    allow(config.model)
    run = make_run(tmp_path / "run", config)
    assert work(run) == 0
    confirmations.remove(confirmations.read_store().entries)
    model.mark.unlink()

    capsys.readouterr()
    assert ppo_tui(["chat", str(run.path), "--prompt", "the cat", "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "trust.model"
    assert f"`ppo-tui trust add {model.path}`" in error["message"]
    assert not model.ran

    capsys.readouterr()
    arguments = ["--prompt", "the cat", "--max-tokens", "4", "--trust", str(model.path), "--json"]
    assert ppo_tui(["chat", str(run.path), *arguments]) == 0
    assert model.ran
