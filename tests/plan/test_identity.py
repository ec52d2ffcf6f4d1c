"""By what a base model is known again."""

import json
import shutil
import struct

import pytest

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ModelError
from ppo_tui.plan.identity import base_identity

CONFIG = {"model_type": "llama", "hidden_size": 8, "vocab_size": 10}


def numbers(seed: int, count: int) -> bytes:
    return bytes((seed * 31 + place * 7) % 251 for place in range(4 * count))


TENSORS = {
    "embed": ([10, 8], numbers(1, 80)),
    "layer.0": ([8, 8], numbers(2, 64)),
    "layer.1": ([64, 1024], numbers(3, 64 * 1024)),
}


def write(path, tensors, dtype="F32", **metadata) -> None:
    header, data = {"__metadata__": metadata}, b""
    for name, (shape, content) in tensors.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text(json.dumps(CONFIG))
    write(place / "model.safetensors", TENSORS)
    return place


def identity(folder, **config) -> str:
    return base_identity(ModelConfig(name=str(folder), **config))


def changed(tensors, name, place) -> dict:
    shape, content = tensors[name]
    other = bytearray(content)
    other[place] ^= 1
    return {**tensors, name: (shape, bytes(other))}


def test_it_is_a_digest_in_words(folder):
    assert len(identity(folder)) == len("sha256:") + 64
    assert identity(folder).startswith("sha256:")


def test_the_bundled_model_is_known_and_has_not_changed():
    expected = "sha256:dd316a0f7cce20612397b5cb2b7fe73f26c87a91119880448369298cdfefbf23"
    assert base_identity(ModelConfig(name="bundled")) == expected


def test_a_folder_may_be_moved_and_hold_other_files(folder, tmp_path):
    before = identity(folder)
    (folder / "README.md").write_text("a model")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "transformers_version": "5.1"}))
    moved = folder.rename(tmp_path / "elsewhere")
    assert identity(moved) == before


def test_the_weights_may_be_quantised_when_they_are_loaded(folder):
    assert identity(folder, quantization="nf4", dtype="bfloat16") == identity(folder)


def test_the_same_weights_may_be_split_over_files(folder, tmp_path):
    split = tmp_path / "split"
    shutil.copytree(folder, split)
    (split / "model.safetensors").unlink()
    write(split / "b.safetensors", {"embed": TENSORS["embed"]}, format="pt")
    rest = {name: TENSORS[name] for name in ("layer.1", "layer.0")}
    write(split / "a.safetensors", rest)
    index = {"weight_map": dict.fromkeys(rest, "a.safetensors") | {"embed": "b.safetensors"}}
    (split / "model.safetensors.index.json").write_text(json.dumps(index))
    assert identity(split) == identity(folder)


@pytest.mark.parametrize(
    ("name", "place"),
    [("embed", 0), ("layer.0", 255), ("layer.1", 0), ("layer.1", 131_072), ("layer.1", 262_143)],
)
def test_a_tuned_copy_is_another_even_if_one_layer_alone_was_trained(folder, name, place):
    before = identity(folder)
    write(folder / "model.safetensors", changed(TENSORS, name, place))
    assert identity(folder) != before


def test_another_type_shape_name_or_configuration_is_another(folder):
    seen = {identity(folder)}
    write(folder / "model.safetensors", TENSORS, dtype="I32")
    seen.add(identity(folder))
    write(folder / "model.safetensors", {**TENSORS, "embed": ([8, 10], TENSORS["embed"][1])})
    seen.add(identity(folder))
    renamed = {"embed2" if name == "embed" else name: it for name, it in TENSORS.items()}
    write(folder / "model.safetensors", renamed)
    seen.add(identity(folder))
    write(folder / "model.safetensors", TENSORS)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "model_type": "mistral"}))
    seen.add(identity(folder))
    assert len(seen) == 5


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_model_that_is_not_there_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ModelError) as caught:
        identity(folder)
    codes = {"model.safetensors": "model.no_safetensors", "config.json": "model.not_a_model"}
    assert caught.value.code == codes[missing]
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_folder_that_is_gone_is_named(folder, tmp_path):
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError) as caught:
        identity(folder)
    assert caught.value.code == "model.missing"


@pytest.mark.parametrize("cut", [0, 7, 40, -1])
def test_a_damaged_file_is_named(folder, cut):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(ModelError) as caught:
        identity(folder)
    assert caught.value.code == "model.corrupt"


@pytest.mark.parametrize("offsets", [[-8, 4], [8, 4], ["0", 4], [None, 4]])
def test_offsets_that_are_none_do_no_harm(folder, offsets):
    header = {"embed": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}
    text = json.dumps(header).encode()
    weights = struct.pack("<Q", len(text)) + text + bytes(8)
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelError) as caught:
        identity(folder)
    assert caught.value.code == "model.corrupt"


def test_a_model_in_the_hubs_cache_is_the_same_as_the_folder(folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--some--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    shutil.copytree(folder, repository / "snapshots" / revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert base_identity(ModelConfig(name="some/model")) == identity(folder)
