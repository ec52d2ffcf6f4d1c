"""Every preset that ppo-tui ships is valid, explained, and fits the card it is named after."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_tui.config.presets import load_preset, preset_names
from ppo_tui.config.resolve import resolve
from ppo_tui.config.schema import EngineConfig
from ppo_tui.plan import architecture_from_config, plan_memory

MIB = 2**20
KNOWN_MODELS = json.loads((Path(__file__).parent.parent / "plan/known_models.json").read_text())
SHIPPED = ["chat-12gb", "chat-16gb", "chat-24gb", "chat-8gb", "demo", "sentiment", "taste"]

# The smallest memory that a card sold under this size reports.
CARDS = {"chat-8gb": 8188, "chat-12gb": 12_282, "chat-16gb": 15_360, "chat-24gb": 23_028}


@pytest.fixture(autouse=True)
def _no_presets_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path))


def test_these_presets_are_shipped():
    assert preset_names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_preset_is_valid(name):
    resolved = resolve(name)
    assert resolved.name == name
    assert resolved.config.task == "generate"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_preset_says_what_it_is_for(name):
    preset = load_preset(name)
    assert preset.shipped
    assert 20 <= len(preset.description) <= 80
    assert preset.description.endswith(".")
    assert preset.text.startswith("# ")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "demo"])
def test_a_shipped_preset_says_why_its_numbers_are_what_they_are(name):
    comments = [line for line in load_preset(name).text.splitlines() if line.startswith("#")]
    assert "# Why these numbers:" in comments
    assert len(comments) >= 10
    assert "arXiv:" in "\n".join(comments)


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_chat_preset_fits_its_card(name):
    config = resolve(name).config
    architecture = architecture_from_config(KNOWN_MODELS[config.model.name]["config"])
    plan = plan_memory(architecture, config, CARDS[name] * MIB, "cuda")
    assert plan.verdict == "fits"
    assert plan.total > 0.6 * CARDS[name] * MIB, "a card that size could hold a larger model"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_only_the_memory_asks_for_is_left_to_the_plan(name):
    config = resolve(name).config
    assert config.ppo.micro_batch_size is None
    assert config.engine == EngineConfig()


@pytest.mark.parametrize(("name", "sequences"), [("chat-8gb", 6), ("chat-12gb", 4)])
def test_the_plan_chooses_what_a_preset_says_it_does(name, sequences):
    config = resolve(name).config
    architecture = architecture_from_config(KNOWN_MODELS[config.model.name]["config"])
    assert plan_memory(architecture, config, CARDS[name] * MIB, "cuda").micro_batch == sequences


def test_the_sentiment_preset_fits_an_8_gb_card_unquantised():
    config = resolve("sentiment").config
    architecture = architecture_from_config(KNOWN_MODELS[config.model.name]["config"])
    assert plan_memory(architecture, config, 8188 * MIB, "cuda").verdict == "fits"


@pytest.mark.parametrize("name", sorted(CARDS))
def test_a_chat_preset_asks_a_chat_model_and_wants_its_answer_to_end(name):
    config = resolve(name).config
    assert config.data.template == "chat"
    assert config.model.quantization == "nf4"
    assert config.rollout.missing_eos_penalty == 1.0
    assert not config.model.trust_remote_code


def test_every_model_of_a_preset_is_one_whose_shape_is_known():
    names = {resolve(name).config.model.name for name in SHIPPED} - {"bundled"}
    assert names <= KNOWN_MODELS.keys()


@given(st.sampled_from(SHIPPED), st.integers(1, 500))
def test_a_setting_on_a_preset_wins(name, steps):
    resolved = resolve(name, [f"steps={steps + 10}"])
    assert resolved.config.steps == steps + 10
    assert resolved.origins["steps"] == "--set"
