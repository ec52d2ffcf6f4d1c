"""What cannot be loaded is named in one sentence, with a code, whatever the libraries raised."""

import shutil

import pytest
import torch
from models import CPU, edit_json, make_tokenizer, save_model
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, T5Config

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import DeviceError, ModelError
from ppo_tui.policy.devices import choose_device, choose_dtype
from ppo_tui.policy.loading import load_base


@pytest.fixture
def folder(model_folder, tmp_path):
    return shutil.copytree(model_folder("llama"), tmp_path / "model")


def refused(name, **more):
    """The code of the error, once its sentence has been looked at."""
    with pytest.raises(ModelError) as caught:
        load_base(ModelConfig(name=str(name), **more), CPU)
    message = caught.value.message
    assert "\n" not in message
    assert "\n" not in caught.value.hint
    assert len(message) < 500
    assert caught.value.exit_code == 4
    return caught.value.code, message


def test_a_missing_folder(tmp_path):
    code, message = refused(tmp_path / "nothing")
    assert code == "model.missing"
    assert "nothing" in message


@pytest.mark.parametrize("name", ["./nothing", "~/no/such/folder", "a/b/c"])
def test_what_looks_like_a_path_is_never_looked_for_on_the_hub(name):
    assert refused(name) == ("model.missing", f"There is no model folder {name}.")


def test_a_file(folder):
    assert refused(folder / "config.json")[0] == "model.not_a_folder"


def test_a_folder_that_is_no_model(tmp_path):
    assert refused(tmp_path)[0] == "model.not_a_model"


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code, message = refused(folder)
    assert code == "model.corrupt"
    assert "damaged" in message


@pytest.mark.parametrize("content", [b"", b"\xff" * 4096, b"not weights at all", b"\0" * 64])
def test_weights_that_are_garbage(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert refused(folder)[0] == "model.corrupt"


def test_weights_that_lack_a_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    code, message = refused(folder)
    assert code == "model.incomplete"
    assert "'model.layers.1.mlp.up_proj.weight'" in message


def test_weights_that_lack_a_tensor_in_4_bits(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert refused(folder, quantization="nf4")[0] == "model.incomplete"


def test_weights_of_another_shape_than_the_config_says(folder):
    edit_json(folder / "config.json", intermediate_size=96)
    code, message = refused(folder)
    assert code == "model.incomplete"
    assert "mlp" in message


def test_weights_that_are_not_safetensors(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert refused(folder)[0] == "model.no_safetensors"


def test_no_weights_at_all(folder):
    (folder / "model.safetensors").unlink()
    assert refused(folder)[0] == "model.no_safetensors"


@pytest.mark.parametrize("content", ["", "{", "not json", "[1]", "null"])
def test_a_config_that_is_not_a_json_object(folder, content):
    (folder / "config.json").write_text(content)
    code, message = refused(folder)
    assert code == "model.bad_config"
    assert "config.json" in message


def test_a_config_that_is_not_utf_8(folder):
    (folder / "config.json").write_bytes(b"\xff\xfe{")
    assert refused(folder)[0] == "model.bad_config"


def test_a_config_without_a_model_type(folder):
    edit_json(folder / "config.json", model_type=None)
    assert refused(folder)[0] in ("model.unusable", "model.bad_config")


def test_a_model_type_that_nobody_knows(folder):
    edit_json(folder / "config.json", model_type="cassandra")
    code, message = refused(folder)
    assert code == "model.unusable"
    assert "cassandra" in message


def test_a_tokenizer_that_is_missing(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert refused(folder)[0] == "model.unusable"


def test_an_encoder(tmp_path):
    config = BertConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=0.15,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    code, message = refused(tmp_path)
    assert code == "model.not_causal"
    assert "bert" in message


def test_an_encoder_decoder(tmp_path):
    T5Config(vocab_size=300, d_model=32, num_layers=1).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    code, message = refused(tmp_path)
    assert code == "model.not_causal"
    assert "t5" in message


def test_a_hub_model_that_is_not_in_the_cache_while_offline():
    code, message = refused("nobody/no-such-model-at-all")
    assert code == "model.missing"
    assert message.startswith("nobody/no-such-model-at-all is neither a local folder")


def test_a_name_that_no_hub_model_can_have():
    assert refused("what is this?")[0] == "model.missing"


def test_code_of_the_models_own_is_not_run(folder):
    edit_json(folder / "config.json", auto_map={"AutoConfig": "mine.Config"}, model_type="mine")
    (folder / "mine.py").write_text("raise SystemExit('it was run')")
    code, message = refused(folder)
    assert code == "model.remote_code"
    assert "trust_remote_code" in message


def test_a_tokenizer_without_an_end_token(tmp_path):
    folder = save_model(tmp_path, "llama", eos_token_id=None)
    edit_json(folder / "tokenizer_config.json", eos_token=None)
    assert refused(folder)[0] == "model.no_eos"


def test_cuda_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(DeviceError, match="cuda was asked for") as caught:
        choose_device("cuda")
    assert caught.value.code == "device.missing"
    assert caught.value.exit_code == 4


def test_auto_takes_the_cpu_where_there_is_nothing_better():
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is something better")
    assert choose_device("auto") == CPU


def test_4_bits_on_mps_are_refused_before_anything_is_loaded():
    with pytest.raises(DeviceError, match="nf4 needs cuda or cpu") as caught:
        load_base(ModelConfig(name="anything", quantization="nf4"), torch.device("mps"))
    assert caught.value.code == "device.quantization"


def test_the_cpu_computes_in_float32_unless_told_otherwise():
    assert choose_dtype(ModelConfig(), CPU) == torch.float32
    assert choose_dtype(ModelConfig(dtype="bfloat16"), CPU) == torch.bfloat16


def test_a_base_that_is_an_adapter_is_refused(folder):
    """transformers would load another model in its place, from wherever the file says."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    assert refused(folder)[0] == "model.adapter"
