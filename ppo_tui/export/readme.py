"""The README of an exported adapter: what it is, how to load it, and the run's numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import CHUNK, JournalTail, read_last
from ppo_tui.runs.records import Event
from ppo_tui.text.figures import number, percent
from ppo_tui.text.plain import plain

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig

_STEP_ROWS = (
    ("Reward (score)", "reward/score"),
    ("KL to the base, nats a response", "kl/ref"),
    ("Response length, tokens", "response/length"),
    ("Responses that end by themselves", "response/eos_rate"),
)
_SHARE = "eval/share_of_optimum"


def readme(run: RunDirectory, config: RunConfig, step: int) -> str:
    """The README of the adapter that a run had after a step."""
    from ppo_tui.config.schema import BUNDLED

    title = plain(run.name)
    parts = [
        _front_matter(config),
        f"# {title}\n",
        f"A LoRA adapter, trained with PPO by ppo-tui: {step} of {config.steps} steps.",
    ]
    if config.description.strip():
        parts.append(f"\n{plain(config.description)}")
    revision = f", revision `{plain(config.model.revision)}`" if config.model.revision else ""
    held = config.model.quantization
    weights = "" if held == "none" else f", whose weights were held in {held} while training"
    name = "the model that comes with ppo-tui"
    if config.model.name != BUNDLED:
        name = f"`{plain(config.model.name)}`"
    parts += [
        f"\nIt belongs on {name}{revision}{weights}.\n"
        "The licence of that model holds for what is made from it.\n",
        "## Load it\n",
        f"```python\n{loading_code(config, '.')}```\n",
        "The path of the adapter is relative to this folder. `config.yaml` is the run's whole\n"
        "configuration; `ppo-tui train config.yaml` trains such an adapter anew.\n",
        *_numbers(run, step),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def loading_code(config: RunConfig, adapter: str) -> str:
    """Python that loads the base model and an adapter, and answers one prompt as the run did."""
    from ppo_tui.config.schema import BUNDLED

    model, rollout = config.model, config.rollout
    imports = ["from peft import PeftModel"]
    arguments = ['dtype="auto"' if model.dtype == "auto" else f'dtype="{model.dtype}"']
    given = ["name"]
    if model.revision is not None:
        given.append(f"revision={model.revision!r}")
    if model.trust_remote_code:
        given.append("trust_remote_code=True")
    classes = "AutoModelForCausalLM, AutoTokenizer"
    setup: list[str] = []
    if model.quantization != "none":
        classes += ", BitsAndBytesConfig"
        arguments.append("quantization_config=quantization")
        how = (
            "load_in_8bit=True"
            if model.quantization == "int8"
            else 'load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True'
        )
        setup.append(f"quantization = BitsAndBytesConfig({how})")
    imports.append(f"from transformers import {classes}")
    if model.name == BUNDLED:
        imports.append("from ppo_tui.assets import model_dir")
        setup.insert(0, "name = str(model_dir())  # the model that comes with ppo-tui")
    else:
        setup.insert(0, f"name = {model.name!r}")
    sampling = f"do_sample=True, temperature={rollout.temperature:g}"
    sampling += f", top_k={rollout.top_k}, top_p={rollout.top_p:g}"
    lines = [
        *imports,
        "",
        *setup,
        f"tokenizer = AutoTokenizer.from_pretrained({', '.join(given)})",
        f"base = AutoModelForCausalLM.from_pretrained({', '.join([*given, *arguments])})",
        f"model = PeftModel.from_pretrained(base, {adapter!r})",
        "",
        *_prompt_code(config),
        f"written = model.generate(**inputs, {sampling},",
        f"                         max_new_tokens={rollout.response_tokens})",
        'print(tokenizer.decode(written[0, inputs["input_ids"].shape[1] :]))',
    ]
    return "\n".join(lines) + "\n"


def _prompt_code(config: RunConfig) -> list[str]:
    """What puts around a prompt what the training put around it."""
    data = config.data
    lines = ['prompt = "Once upon a time"']
    if data.template == "chat":
        system = f"{{'role': 'system', 'content': {data.system!r}}}, " if data.system else ""
        lines += [
            f"messages = [{system}{{'role': 'user', 'content': prompt}}]",
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"',
            ").to(model.device)",
        ]
        return lines
    if data.template is not None:
        lines.append(f"prompt = {data.template!r}.replace('{{prompt}}', prompt)")
    lines.append('inputs = tokenizer(prompt, return_tensors="pt").to(model.device)')
    return lines


def _front_matter(config: RunConfig) -> str:
    """What the hub reads of a model: what it was made from."""
    from ppo_tui.config.schema import BUNDLED

    name = config.model.name
    lines = ["---", "library_name: peft", "tags: [lora, ppo, ppo-tui]"]
    # A folder of this machine means nothing to anybody else.
    if name != BUNDLED and not Path(name).is_absolute() and name.count("/") <= 1:
        from ppo_tui.config.yaml_io import dump_yaml

        lines.append(dump_yaml({"base_model": name}).rstrip("\n"))
    return "\n".join([*lines, "---", ""])


def _numbers(run: RunDirectory, step: int) -> list[str]:
    trained, evaluated = _events(run, step)
    rows = []
    if trained is not None:
        rows = [
            (title, number(trained.metrics[name]))
            for title, name in _STEP_ROWS
            if name in trained.metrics
        ]
    if evaluated is not None and _SHARE in evaluated.metrics:
        title = f"Share of the optimum, evaluated after step {evaluated.step}"
        rows.append((title, percent(evaluated.metrics[_SHARE])))
    if not rows:
        return []
    table = "\n".join(f"| {title} | {value} |" for title, value in rows)
    return [f"## The run's numbers\n\n| After step {step} | |\n|---|---|\n{table}\n"]


def _events(run: RunDirectory, step: int) -> tuple[Event | None, Event | None]:
    """The step's event, and the last evaluation up to that step."""
    with contextlib.suppress(OSError):  # a README without numbers is one all the same
        found = _among(map(Event.from_json, read_last(run.events_path, CHUNK)), step)
        if found[0] is not None:
            return found
        tail, found = JournalTail(run.events_path), (None, None)
        while records := tail.poll().records:
            one, other = _among(map(Event.from_json, records), step)
            found = (one or found[0], other or found[1])
        return found
    return None, None


def _among(events: Iterable[Event], step: int) -> tuple[Event | None, Event | None]:
    trained = evaluated = None
    for event in events:
        if event.kind == "step" and event.step == step:
            trained = event
        elif event.kind == "eval" and event.step is not None and event.step <= step:
            evaluated = event
    return trained, evaluated
