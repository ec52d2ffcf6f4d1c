"""The README says what the adapter is, and its code loads it."""

import json
import re

import pytest

from ppo_tui.config.resolve import parse_config
from ppo_tui.export.adapter import export_adapter
from ppo_tui.export.readme import loading_code, readme
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.records import eval_event, step_event


def config_of(run):
    return parse_config(run.config_path.read_text(), "config.yaml")


def record(run, steps, evaluated):
    with JournalWriter(run.events_path) as journal:
        for step in range(1, steps + 1):
            journal.append(step_event(step, {"reward/score": step / 100, "kl/ref": 2.5}).to_json())
        for step in evaluated:
            metrics = {"eval/share_of_optimum": step / 100}
            journal.append(eval_event(step, metrics).to_json())


def test_the_numbers_are_those_of_the_checkpoints_step(run):
    record(run, 36, [10, 20, 36])
    text = readme(run, config_of(run), 20)
    assert "20 of 36 steps" in text
    assert "| Reward (score) | 0.200 |" in text
    assert "| KL to the base, nats a response | 2.50 |" in text
    assert "| Share of the optimum, evaluated after step 20 | 20 % |" in text


def test_the_step_is_found_far_from_the_end_of_a_long_journal(run, monkeypatch):
    monkeypatch.setattr("ppo_tui.export.readme.CHUNK", 1 << 10)
    record(run, 300, [2])
    text = readme(run, config_of(run), 3)
    assert "| Reward (score) | 0.030 |" in text
    assert "evaluated after step 2" in text


def test_without_a_journal_the_numbers_are_left_out(run):
    assert "The run's numbers" not in readme(run, config_of(run), 20)


def test_the_base_model_is_named_to_the_hub_only_if_it_has_it(make_run):
    hub = make_run("model.name=org/name", "model.revision=v1", name="hub")
    text = readme(hub, config_of(hub), 1)
    assert "\nbase_model: org/name\n" in text
    assert "`org/name`, revision `v1`" in text
    for number, name in enumerate(("bundled", "/home/me/model")):
        run = make_run(f"model.name={name}", name=str(number))
        assert "base_model:" not in readme(run, config_of(run), 1)


def test_text_of_the_configuration_cannot_break_the_code(make_run):
    odd = 'it\'s "odd"\n```\\x'
    run = make_run(
        f"model.name={json.dumps(odd)}",
        f"data.template={json.dumps(odd + '{prompt}')}",
        "model.trust_remote_code=true",
    )
    code = loading_code(config_of(run), odd)
    compile(code, "README.md", "exec")
    assert "trust_remote_code=True" in code
    assert "\n```" not in code
    assert readme(run, config_of(run), 1).count("\n```") == 2


@pytest.mark.parametrize(
    ("quantization", "how"), [("int8", "load_in_8bit=True"), ("nf4", "load_in_4bit=True")]
)
def test_a_quantised_base_is_loaded_as_in_the_training(make_run, quantization, how):
    run = make_run(f"model.quantization={quantization}")
    code = loading_code(config_of(run), ".")
    compile(code, "README.md", "exec")
    assert how in code
    assert f"whose weights were held in {quantization}" in readme(run, config_of(run), 1)


@pytest.mark.slow
@pytest.mark.parametrize("template", [None, "Q: {prompt} A:", "chat"])
def test_the_code_of_the_readme_loads_the_adapter_and_writes(
    tmp_path, small_config, template, monkeypatch, capsys
):
    from models import CHAT_TEMPLATE, make_tokenizer, perturb, save_model
    from training.toys import make_trainer

    from ppo_tui.config.resolve import config_to_yaml
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.training import checkpoint

    model = save_model(tmp_path / "model", "llama", make_tokenizer(chat_template=CHAT_TEMPLATE))
    system = "Be brief." if template == "chat" else None
    config = small_config(model={"name": str(model)}, data={"template": template, "system": system})
    run = RunDirectory.create(tmp_path / "run", config_to_yaml(config))
    trainer = make_trainer(config)
    perturb(trainer.roles)
    trainer.step = 4
    checkpoint.save_checkpoint(run.checkpoints_path, trainer, {})
    folder = export_adapter(run, tmp_path / "out").folder
    monkeypatch.chdir(folder)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    trained = dict(trainer.roles.peft.named_parameters())
    loaded = {
        name.replace(".default.", ".policy."): parameter
        for name, parameter in names["model"].named_parameters()
        if "lora_" in name
    }
    assert loaded
    assert all(parameter.equal(trained[name]) for name, parameter in loaded.items())
    assert capsys.readouterr().out
