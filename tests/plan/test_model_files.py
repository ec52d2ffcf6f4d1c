"""Where a model's files are found, and what is said when they are not there or broken."""

import json
import struct

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ModelError
from ppo_tui.plan import WeightCounts, read_architecture
from ppo_tui.plan.weights import read_header

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 10,
    "tie_word_embeddings": True,
}
TENSORS = {
    "model.embed_tokens.weight": [10, 8],
    "model.layers.0.self_attn.q_proj.weight": [8, 8],
    "model.layers.0.mlp.up_proj.weight": [16, 8],
    "model.layers.0.input_layernorm.weight": [8],
    "model.layers.0.self_attn.rotary_emb.inv_freq": [2],
    "h.0.attn.bias": [1, 1, 4, 4],
    "h.0.attn.masked_bias": [],
    "lm_head.weight": [10, 8],
}


def safetensors(tensors: dict[str, list[int]]) -> bytes:
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def read(name) -> object:
    return read_architecture(ModelConfig(name=str(name)))


def code_of(name) -> str:
    with pytest.raises(ModelError) as caught:
        read(name)
    assert "\n" not in caught.value.message
    return caught.value.code


def test_a_folder_without_weights_is_reckoned_from_its_config(folder):
    shape = read(folder)
    assert not shape.exact
    assert shape.counts.embeddings == 80


def test_weights_beside_the_config_are_counted(folder):
    (folder / "model.safetensors").write_bytes(safetensors(TENSORS))
    shape = read(folder)
    assert shape.exact
    assert shape.counts == WeightCounts(linear=64 + 128, embeddings=80, head=0, other=8)


def test_shards_are_counted_together(folder):
    names = list(TENSORS)
    for shard, part in (("a.safetensors", names[:3]), ("b.safetensors", names[3:])):
        (folder / shard).write_bytes(safetensors({name: TENSORS[name] for name in part}))
    index = {"weight_map": dict.fromkeys(names[:3], "a.safetensors") | {names[3]: "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read(folder).counts == WeightCounts(linear=192, embeddings=80, head=0, other=8)


def test_shards_that_are_not_all_there_are_not_counted(folder):
    index = {"weight_map": {"model.embed_tokens.weight": "gone.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert not read(folder).exact


def test_packed_weights_are_not_counted(folder):
    (folder / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": {}}))
    (folder / "model.safetensors").write_bytes(safetensors({"packed": [1]}))
    assert not read(folder).exact


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": 1}\xff',
        struct.pack("<Q", 8) + b'{"a": 1}',
        safetensors(TENSORS)[:-1],
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
def test_a_damaged_safetensors_file_is_named(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert code_of(folder) == "model.corrupt"


def test_an_index_that_is_none_is_named(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": [1]}')
    assert code_of(folder) == "model.corrupt"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
@example(struct.pack("<Q", 60) + b"[" * 60)
def test_any_bytes_are_a_header_or_damaged(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    code = "model.corrupt"
    try:
        read_header(path)
    except ModelError as error:
        code = error.code
    assert code == "model.corrupt"


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_config_that_is_not_json_is_named(folder, content):
    (folder / "config.json").write_bytes(content)
    assert code_of(folder) == "model.bad_config"


@pytest.mark.parametrize("content", ["[]", "null", "3"])
def test_a_config_that_is_no_object_is_named(folder, content):
    (folder / "config.json").write_text(content)
    assert code_of(folder) == "model.bad_config"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert code_of(tmp_path / "nowhere") == "model.missing"
    assert code_of("./nowhere") == "model.missing"


def test_a_folder_that_is_no_model_is_named(tmp_path):
    assert code_of(tmp_path) == "model.not_a_model"


def test_a_file_in_place_of_a_folder_is_named(folder):
    assert code_of(folder / "config.json") == "model.not_a_folder"


@pytest.mark.parametrize("name", ["no such model", "a--b/c", "/nul\0byte"])
def test_a_name_that_is_neither_a_folder_nor_a_hub_id_is_refused(name):
    assert code_of(name) == "model.missing"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_hub_model_in_the_cache_is_read_without_the_network(hub_cache):
    commit = "0" * 40
    repository = hub_cache / "models--someone--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "config.json").write_text(json.dumps(CONFIG))
    assert read("someone/small").hidden == 8


def test_offline_a_hub_model_that_is_not_in_the_cache_is_missing(hub_cache, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert code_of("someone/absent") == "model.missing"


def test_a_hub_that_cannot_be_reached_is_said_at_once(hub_cache, monkeypatch):
    from huggingface_hub import constants

    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://localhost:9")
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        read("someone/absent")
    assert caught.value.code == "model.missing"
