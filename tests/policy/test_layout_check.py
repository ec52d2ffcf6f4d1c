"""A model whose tokens depend on how they lie is found out, and trains as a padded batch."""

import math

import pytest
import torch
from models import ARCHITECTURES, BOS, EOS, PAD, VOCAB, load_roles, save_model
from training.toys import make_config, make_trainer
from transformers import AutoModelForCausalLM, FalconConfig, LlamaConfig, MambaConfig

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.policy.attention import attention_config, layout_in_force
from ppo_tui.policy.loading import load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.trunk import Trunk


def look_at_the_token_before(module, inputs, output):
    """Make a layer one that mixes neighbours of a row, as a short convolution does."""
    return output + torch.nn.functional.pad(output, (0, 0, 1, 0))[:, :-1]


def made(config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


def test_an_attention_that_is_not_transformers_own_is_refused_with_its_name(model_folder):
    roles = load_roles(model_folder("gemma2"))
    assert roles.trunk.cannot_lay_out == "its attention is eager"
    assert not roles.packs
    assert not roles.decoder.uses_slots


def test_layers_that_mix_neighbours_are_found_out_by_their_numbers(model_folder, small_config):
    config = small_config("llama", steps=1)
    base = load_base(config.model, torch.device("cpu"))
    for layer in base.model.model.layers:
        layer.mlp.register_forward_hook(look_at_the_token_before)
    roles = Roles(base, AdapterConfig(rank=4))
    assert roles.trunk.cannot_lay_out == "its tokens depend on how they are laid out"
    assert not roles.packs
    assert not roles.decoder.uses_slots


def test_a_model_with_a_state_along_the_row_is_refused():
    sizes = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    assert Trunk(made(MambaConfig(**sizes))).cannot_lay_out == "it takes no positions"


def test_a_model_that_fails_without_a_mask_is_refused_and_not_an_error():
    sizes = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2}
    trunk = Trunk(made(FalconConfig(**sizes, num_attention_heads=4)))
    assert trunk.cannot_lay_out == "it fails without a mask (TypeError)"
    assert layout_in_force() is None


def test_a_model_that_fails_without_a_mask_trains_as_a_padded_batch(
    tmp_path, prompts_file, monkeypatch
):
    sizes = {"vocab_size": VOCAB, "hidden_size": 64, "num_hidden_layers": 2}
    ends = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
    monkeypatch.setitem(
        ARCHITECTURES, "falcon", lambda: FalconConfig(**sizes, **ends, num_attention_heads=4)
    )
    trainer = make_trainer(make_config(save_model(tmp_path, "falcon"), prompts_file))
    record = next(trainer.steps())
    assert not trainer.roles.packs
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert record.metrics["rollout/logprob_gap"] < 1e-4


def test_memory_that_runs_out_in_the_check_is_not_taken_for_a_refusal():
    model = made(
        LlamaConfig(
            vocab_size=300,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
        )
    )

    def run_out(module, inputs):
        if layout_in_force() is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    model.model.layers[1].mlp.register_forward_pre_hook(run_out)
    with pytest.raises(torch.OutOfMemoryError):
        Trunk(model)


@pytest.mark.parametrize("architecture", ["llama", "mistral", "gemma3", "gpt2", "opt"])
def test_the_check_leaves_the_model_as_it_was(model_folder, architecture):
    roles = load_roles(model_folder(architecture))
    assert roles.trunk.cannot_lay_out == ""
    assert attention_config(roles.base.model)._attn_implementation == "sdpa"
    assert layout_in_force() is None


def test_what_cannot_be_laid_out_still_trains(small_config):
    trainer = make_trainer(small_config("gemma2", steps=1))
    (record,) = trainer.steps()
    assert math.isfinite(record.metrics["policy/loss"])
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert "over a growing cache (its attention is eager)" in trainer.engine_in_words()
    assert "run padded" in trainer.engine_in_words()


def test_slots_that_were_asked_for_and_cannot_be_are_a_word_before_the_start(small_config):
    asked = {"rollout": "slots"}
    (note,) = make_trainer(small_config("gemma2", engine=asked)).check_start()
    assert "its attention is eager" in note.message
    assert make_trainer(small_config("llama", engine=asked)).check_start() == []
