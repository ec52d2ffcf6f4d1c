"""What models there are on this machine, and in which words one is refused."""

import json

import pytest
from model_folders import COMMIT, LLAMA, cached_model, model_folder, safetensors

from ppo_tui.errors import ModelError
from ppo_tui.prepare.hub import entry_of, search_hub, why_offline
from ppo_tui.prepare.models import (
    ModelEntry,
    Place,
    bundled_model,
    cached_models,
    check_model,
    folder_model,
)


def problem_of(tmp_path, without=(), **files) -> str:
    return folder_model(str(model_folder(tmp_path / "model", without, **files))).problem


def test_the_bundled_model_can_be_used():
    entry = bundled_model()
    assert entry.name == "bundled"
    assert entry.usable
    assert entry.weights == "687k"
    assert entry.model_type == "llama"
    assert entry.licence == "apache-2.0"


def test_a_folder_tells_its_weights_size_architecture_and_licence(tmp_path):
    card = "---\nlicense: other\nlicense_name: llama3\n---\n# A model\n"
    folder = model_folder(tmp_path / "model", README__md=card)
    entry = folder_model(str(folder))
    assert entry.usable
    assert entry.place is Place.FOLDER
    assert entry.name == str(folder)
    assert entry.parameters == 80 + 64 + 8
    assert entry.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert entry.model_type == "llama"
    assert entry.licence == "llama3"


def test_a_licence_file_is_read_where_the_card_names_none(tmp_path):
    folder = model_folder(tmp_path / "model", README__md="# No front matter", LICENSE="MIT License")
    assert folder_model(str(folder)).licence == "mit"


@pytest.mark.parametrize("card", ["---\nlicense: [", "---\n- a\n---\n", "---\nlicense: 3\n---\n"])
def test_a_card_that_is_no_card_names_no_licence(tmp_path, card):
    assert folder_model(str(model_folder(tmp_path / "model", README__md=card))).licence == ""


def test_a_folder_without_config_is_no_model(tmp_path):
    assert problem_of(tmp_path, ("config.json",)) == "it has no config.json"


def test_a_folder_of_gguf_files_says_what_is_needed(tmp_path):
    without = ("config.json", "model.safetensors")
    words = "only GGUF files; ppo-tui needs config.json and .safetensors weights"
    assert problem_of(tmp_path, without, model__gguf="x") == words


def test_gguf_weights_beside_a_config_are_refused_too(tmp_path):
    words = "its weights are GGUF only; ppo-tui reads .safetensors"
    assert problem_of(tmp_path, ("model.safetensors",), model__gguf="x") == words


def test_pickled_weights_are_refused_with_the_reason(tmp_path):
    words = "its weights are pickled (.bin), which can run code; ppo-tui reads .safetensors"
    assert problem_of(tmp_path, ("model.safetensors",), pytorch_model__bin="x") == words


def test_a_folder_without_weights_says_so(tmp_path):
    assert problem_of(tmp_path, ("model.safetensors",)) == (
        "it has no weights (no model.safetensors)"
    )


def test_a_missing_shard_is_an_incomplete_model(tmp_path):
    index = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "gone.safetensors"}})
    files = {"model__safetensors__index__json": index}
    assert problem_of(tmp_path, ("model.safetensors",), **files) == (
        "some of its .safetensors files are missing"
    )


def test_a_model_without_tokenizer_says_so(tmp_path):
    assert problem_of(tmp_path, ("tokenizer.json",)) == "it has no tokenizer (no tokenizer.json)"


def test_an_encoder_is_refused_by_its_class(tmp_path):
    bert = json.dumps({**LLAMA, "model_type": "bert", "architectures": ["BertForMaskedLM"]})
    assert problem_of(tmp_path, config__json=bert) == (
        "it is a BertForMaskedLM; ppo-tui trains causal language models"
    )


def test_damaged_weights_are_named(tmp_path):
    cut = safetensors()[:40]
    assert problem_of(tmp_path, model__safetensors=cut) == (
        "model.safetensors is damaged: its header is cut off or longer than the file"
    )


def test_a_broken_config_is_named(tmp_path):
    assert problem_of(tmp_path, config__json="[]") == (
        "its config.json holds a list, not an object"
    )


def test_a_folder_that_is_not_there_says_so(tmp_path):
    entry = folder_model(str(tmp_path / "nowhere"))
    assert entry.problem == "there is no such folder"
    assert entry.bytes is None


def test_a_path_with_a_nul_is_a_problem_and_no_crash():
    assert not folder_model("/models/\0").usable


def test_the_cache_lists_its_models_those_that_can_be_used_first(tmp_path):
    cached_model(tmp_path, "org/zebra")
    cached_model(tmp_path, "org/apple", without=("model.safetensors",), model__gguf="x")
    (tmp_path / "datasets--org--data" / "snapshots").mkdir(parents=True)
    cache = cached_models(tmp_path)
    assert [entry.name for entry in cache.models] == ["org/zebra", "org/apple"]
    assert [entry.usable for entry in cache.models] == [True, False]
    assert cache.warnings == ()


def test_a_model_in_the_cache_is_named_as_the_hub_names_it(tmp_path):
    snapshot = cached_model(tmp_path, "org/model")
    entry = cached_models(tmp_path).models[0]
    assert entry.name == "org/model"
    assert entry.revision is None
    assert entry.path == snapshot
    assert entry.bytes == sum(path.stat().st_size for path in snapshot.iterdir())


def test_a_snapshot_without_the_main_branch_is_pinned_to_its_commit(tmp_path):
    cached_model(tmp_path, "org/model", ref=None)
    assert cached_models(tmp_path).models[0].revision == COMMIT


def test_half_a_download_is_a_problem_where_the_hub_may_not_be_asked(tmp_path):
    cached_model(tmp_path, "org/model", without=("model.safetensors",))
    assert cached_models(tmp_path).models[0].problem == (
        "incomplete download: it has no weights (no model.safetensors)"
    )


def test_half_a_download_is_completed_where_the_hub_may_be_asked(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    cached_model(tmp_path, "org/model", without=("model.safetensors",))
    entry = cached_models(tmp_path).models[0]
    assert entry.usable
    assert entry.note == "only a part is here; the rest is downloaded at the start"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({**LLAMA, "architectures": ["BertForMaskedLM"]}, "it is a BertForMaskedLM; "),
        ([], "its config.json holds a list"),
    ],
)
def test_what_no_download_would_mend_is_refused_though_only_a_part_is_here(
    tmp_path, monkeypatch, config, problem
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    cached_model(
        tmp_path, "org/model", without=("model.safetensors",), config__json=json.dumps(config)
    )
    assert cached_models(tmp_path).models[0].problem.startswith(problem)


def test_a_broken_snapshot_is_shown_with_its_reason_and_hides_no_other(tmp_path):
    cached_model(tmp_path, "org/good")
    broken = cached_model(tmp_path, "org/broken")
    (broken / "model.safetensors").unlink()
    (broken / "model.safetensors").symlink_to("../../blobs/gone")
    cache = cached_models(tmp_path)
    assert [entry.name for entry in cache.models] == ["org/good", "org/broken"]
    assert cache.models[1].problem == (
        "its files in the cache are damaged: blob missing (broken symlink)"
    )
    assert len(cache.warnings) == 1


def test_a_cache_whose_scan_fails_is_listed_all_the_same(tmp_path):
    cached_model(tmp_path, "org/good")
    cached_model(tmp_path, "org/odd")
    (tmp_path / "models--org--odd" / "refs" / "main").write_bytes(b"\xff\xfe")
    (tmp_path / "models--org--none").mkdir()
    cache = cached_models(tmp_path)
    assert [(entry.name, entry.problem) for entry in cache.models] == [
        ("org/good", ""),
        ("org/none", "its files in the cache cannot be read"),
        ("org/odd", ""),
    ]
    assert "cannot be scanned" in cache.warnings[0]


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cached_models(tmp_path / "none").models == ()


def test_a_cache_that_is_a_file_is_a_warning(tmp_path):
    file = tmp_path / "cache"
    file.write_text("")
    assert "found a file" in cached_models(file).warnings[0]


def test_a_name_that_is_nowhere_here_is_refused_with_the_way_out():
    with pytest.raises(ModelError) as caught:
        check_model("org/nowhere")
    assert caught.value.code == "model.missing"
    assert "ppo-tui models search" in caught.value.hint


def test_the_hub_is_not_asked_offline():
    assert why_offline() == "offline (HF_HUB_OFFLINE is set)"
    with pytest.raises(ModelError) as caught:
        search_hub("llama")
    assert caught.value.code == "hub.offline"


def hub_answer(**facts) -> ModelEntry:
    from huggingface_hub import ModelInfo

    return entry_of(ModelInfo(id="org/model", **facts))


def test_what_the_hub_says_of_a_model_becomes_an_entry():
    entry = hub_answer(
        safetensors={"parameters": {"BF16": 494032768}, "total": 494032768},
        config={"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
        cardData={"license": "apache-2.0"},
        usedStorage=1_000_000,
        gated="auto",
    )
    assert entry.usable
    assert entry.place is Place.HUB
    assert (entry.weights, entry.model_type, entry.licence) == ("494M", "qwen2", "apache-2.0")
    assert entry.bytes == 1_000_000
    assert entry.note == "gated: accept its terms on the hub and log in"


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"tags": ["gguf"]}, "only GGUF files; ppo-tui needs .safetensors weights"),
        ({"tags": []}, "its weights are not in .safetensors"),
        (
            {
                "safetensors": {"parameters": {}, "total": 1},
                "config": {"model_type": "bert", "architectures": ["BertModel"]},
            },
            "it is a BertModel; ppo-tui trains causal language models",
        ),
        ({"safetensors": {"parameters": {}, "total": 1}}, "it has no config.json"),
    ],
)
def test_the_hub_shows_why_a_model_cannot_be_used(facts, problem):
    assert hub_answer(**facts).problem == problem


def test_a_licence_that_stands_in_the_tags_alone_is_found():
    assert hub_answer(tags=["license:mit"]).licence == "mit"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [(None, ""), (12, "12"), (686_720, "687k"), (1_540_000_000, "1.5B"), (124_439_808, "124M")],
)
def test_weights_are_counted_as_people_write_them(parameters, words):
    assert ModelEntry("x", Place.HUB, parameters=parameters).weights == words
