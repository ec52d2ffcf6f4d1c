"""A run may be resumed from another folder: the paths in its configuration are absolute."""

from pathlib import Path

from ppo_tui.config.paths import with_absolute_paths
from ppo_tui.config.resolve import resolve

TERMS = "reward.terms=[{kind: sentiment}, {kind: python, path: mine.py}]"


def test_what_was_typed_is_relative_to_the_current_folder(tmp_path):
    resolved = resolve("demo", ["data.prompts=p.txt", TERMS])
    config = with_absolute_paths(resolved, tmp_path).config
    assert config.data.prompts == str(tmp_path / "p.txt")
    assert config.reward.terms[1].path == str(tmp_path / "mine.py")


def test_what_stands_in_a_file_is_relative_to_that_file(tmp_path):
    file = tmp_path / "sub" / "run.yaml"
    (tmp_path / "sub" / "model").mkdir(parents=True)
    file.write_text(
        "data: {prompts: p.txt}\nmodel: {name: model}\n"
        "reward: {terms: [{kind: python, path: ../mine.py}]}\n"
    )
    config = with_absolute_paths(resolve(str(file)), Path("/elsewhere")).config
    assert config.data.prompts == str(tmp_path / "sub" / "p.txt")
    assert config.model.name == str(tmp_path / "sub" / "model")
    assert config.reward.terms[0].path == str(tmp_path / "mine.py")
    typed = with_absolute_paths(resolve(str(file), ["data.prompts=p.txt"]), Path("/elsewhere"))
    assert typed.config.data.prompts == "/elsewhere/p.txt"


def test_hub_names_and_what_is_bundled_are_left_alone(tmp_path):
    config = with_absolute_paths(resolve("demo"), tmp_path).config
    assert (config.model.name, config.data.prompts) == ("bundled", "bundled")
    hub = resolve("demo", ["model.name=owner/model"])
    assert with_absolute_paths(hub, tmp_path).config.model.name == "owner/model"
    missing = resolve("demo", ["model.name=./model"])
    assert with_absolute_paths(missing, tmp_path).config.model.name == str(tmp_path / "model")


def test_the_origins_stay_as_they_were(tmp_path):
    resolved = resolve("demo", ["data.prompts=p.txt"])
    assert with_absolute_paths(resolved, tmp_path).origins == resolved.origins
