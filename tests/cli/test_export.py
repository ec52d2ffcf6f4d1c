"""`ppo-tui export`: the adapter in a folder, and how to load it."""

import pytest
from export.conftest import save_checkpoint


@pytest.fixture
def finished(run):
    save_checkpoint(run, 4)
    return run


def test_the_folder_is_the_answer_and_how_to_load_it_is_talk(here, finished, tmp_path):
    said = here("export", "first-run", "--to", str(tmp_path / "out"))
    assert said.code == 0
    assert said.out == f"{tmp_path / 'out'}\n"
    assert "The adapter after step 4" in said.err
    assert f"PeftModel.from_pretrained(base, '{tmp_path / 'out'}')" in said.err
    assert (tmp_path / "out" / "README.md").is_file()


def test_as_json(here, finished, tmp_path):
    said = here("export", "last", "--to", str(tmp_path / "out"), "--json")
    assert said.code == 0
    assert said.err == ""
    assert said.json == {
        "folder": str(tmp_path / "out"),
        "step": 4,
        "base_model": "bundled",
        "files": ["README.md", "adapter_config.json", "adapter_model.safetensors", "config.yaml"],
        "bytes": sum(path.stat().st_size for path in (tmp_path / "out").iterdir()),
    }


def test_a_folder_that_is_taken_is_refused(here, finished, tmp_path):
    said = here("export", "last", "--to", str(tmp_path), "--json")
    assert said.code == 1
    assert said.json["error"]["code"] == "export.not_empty"


def test_a_run_without_a_checkpoint_says_how_to_get_one(here, run, tmp_path):
    said = here("export", "last", "--to", str(tmp_path / "out"))
    assert said.code == 1
    assert "first-run has no checkpoint yet" in said.err
    assert "`ppo-tui checkpoint first-run`" in said.err
    assert not (tmp_path / "out").exists()


def test_the_folder_has_to_be_named(here, finished):
    said = here("export", "last")
    assert said.code == 2
    assert "--to" in said.err
