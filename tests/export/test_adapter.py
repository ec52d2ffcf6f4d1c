"""An export is the newest whole adapter, complete or not there at all."""

import os
import shutil

import pytest

from ppo_tui.errors import CheckpointError, StorageError
from ppo_tui.export.adapter import export_adapter, suggested_folder

from .conftest import save_checkpoint


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_adapter_is_copied_with_its_config_and_a_readme(run, tmp_path):
    save_checkpoint(run, 20, b"old")
    save_checkpoint(run, 36, b"new")
    exported = export_adapter(run, tmp_path / "out")
    assert exported.folder == tmp_path / "out"
    assert exported.step == 36
    assert exported.base_model == "bundled"
    assert names(exported.folder) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.yaml",
    ]
    assert exported.files == tuple(names(exported.folder))
    assert exported.bytes == sum(path.stat().st_size for path in exported.folder.iterdir())
    assert (exported.folder / "adapter_model.safetensors").read_bytes() == b"new"
    assert (exported.folder / "config.yaml").read_text() == run.config_path.read_text()
    assert names(tmp_path) == ["out", "runs"]


def test_parents_are_made_and_an_empty_folder_is_taken(run, tmp_path):
    save_checkpoint(run, 1)
    (tmp_path / "empty").mkdir()
    assert export_adapter(run, tmp_path / "empty").files
    assert export_adapter(run, tmp_path / "a" / "b" / "c").files


def test_a_link_to_an_empty_folder_is_followed(run, tmp_path):
    save_checkpoint(run, 1)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert export_adapter(run, tmp_path / "link").folder == tmp_path / "real"
    assert "README.md" in names(tmp_path / "real")


def test_a_folder_that_is_not_empty_is_left_alone(run, tmp_path):
    save_checkpoint(run, 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(StorageError, match="is not empty") as caught:
        export_adapter(run, tmp_path / "out")
    assert caught.value.code == "export.not_empty"
    assert names(tmp_path / "out") == ["mine"]


def test_a_file_in_the_place_is_left_alone(run, tmp_path):
    save_checkpoint(run, 1)
    (tmp_path / "out").write_text("precious")
    with pytest.raises(StorageError, match="is a file") as caught:
        export_adapter(run, tmp_path / "out")
    assert caught.value.code == "export.is_file"


@pytest.mark.parametrize("inside", ["", "checkpoints/mine"])
def test_nothing_is_written_into_the_run_directory(run, inside):
    save_checkpoint(run, 1)
    with pytest.raises(StorageError, match="inside the run directory") as caught:
        export_adapter(run, run.path / inside)
    assert caught.value.code == "export.inside_run"


def test_without_a_checkpoint_there_is_nothing_to_export(run, tmp_path):
    with pytest.raises(CheckpointError, match="glad has no checkpoint yet"):
        export_adapter(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_passed_over(run, tmp_path):
    save_checkpoint(run, 20, b"good")
    (save_checkpoint(run, 36) / "policy" / "adapter_model.safetensors").write_bytes(b"broken")
    assert export_adapter(run, tmp_path / "out").step == 20


def test_a_checkpoint_without_a_manifest_is_passed_over(run, tmp_path):
    (save_checkpoint(run, 36) / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="step-000036 is damaged"):
        export_adapter(run, tmp_path / "out")


def test_a_checkpoint_may_be_named(run, tmp_path):
    save_checkpoint(run, 20, b"old")
    save_checkpoint(run, 36, b"new")
    assert export_adapter(run, tmp_path / "out", 20).step == 20
    with pytest.raises(CheckpointError, match="of step 30; there are those of step 20, 36"):
        export_adapter(run, tmp_path / "other", 30)


def test_a_checkpoint_that_the_run_removes_meanwhile_gives_way_to_a_newer_one(
    run, tmp_path, monkeypatch
):
    old = save_checkpoint(run, 20, b"old")
    usage = shutil.disk_usage

    def and_the_run_goes_on(path):
        if old.exists():
            save_checkpoint(run, 40, b"new")
            shutil.rmtree(old)
        return usage(path)

    monkeypatch.setattr(shutil, "disk_usage", and_the_run_goes_on)
    assert export_adapter(run, tmp_path / "out").step == 40
    assert names(tmp_path) == ["out", "runs"]


def test_a_full_disk_is_said_before_anything_is_written(run, tmp_path, monkeypatch):
    save_checkpoint(run, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(StorageError, match=r"has 0\.0 MiB left") as caught:
        export_adapter(run, tmp_path / "out")
    assert caught.value.code == "storage.full"
    assert names(tmp_path) == ["runs"]


def test_a_disk_that_fills_up_leaves_no_half(run, tmp_path, monkeypatch):
    save_checkpoint(run, 1)
    sync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        sync(fd)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full") as caught:
        export_adapter(run, tmp_path / "out")
    assert caught.value.code == "storage.full"
    assert "--run-dir" not in caught.value.hint
    assert names(tmp_path) == ["runs"]


def test_a_place_that_may_not_be_written_to_is_named(run, tmp_path):
    save_checkpoint(run, 1)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/out cannot be made, because .*/file is a file"):
        export_adapter(run, tmp_path / "file" / "out")


def test_the_suggested_folder_is_free(run, tmp_path):
    first = suggested_folder(run, tmp_path)
    assert first == tmp_path / "glad-adapter"
    first.mkdir()
    assert suggested_folder(run, tmp_path) == tmp_path / "glad-adapter-2"
