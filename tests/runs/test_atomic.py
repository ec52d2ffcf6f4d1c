import errno
import os

import pytest

from ppo_tui.errors import StorageError
from ppo_tui.runs.atomic import open_regular, storage_error, write_atomic


def raising(number):
    def call(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return call


def test_the_new_content_replaces_the_old(tmp_path):
    file = tmp_path / "state.json"
    write_atomic(file, "old")
    write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["state.json"]


def test_the_file_is_private_to_its_owner(tmp_path):
    write_atomic(tmp_path / "f", "x")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["replace", "fsync", "write"])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, call):
    file = tmp_path / "f"
    file.write_text("old")
    monkeypatch.setattr(os, call, raising(errno.ENOSPC))
    with pytest.raises(StorageError) as caught:
        write_atomic(file, "new")
    monkeypatch.undo()
    assert caught.value.code == "storage.full"
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "storage.full"),
        (errno.EDQUOT, "storage.full"),
        (errno.EACCES, "storage.permission"),
        (errno.EPERM, "storage.permission"),
        (errno.EROFS, "storage.permission"),
        (errno.EIO, "storage.failed"),
    ],
)
def test_each_cause_has_its_code_and_names_the_file(number, code):
    error = storage_error("/runs/demo/state.json", OSError(number, os.strerror(number)))
    assert error.code == code
    assert "/runs/demo/state.json" in error.message


def test_a_folder_that_is_not_there_is_one_clear_sentence(tmp_path):
    with pytest.raises(StorageError, match="its folder is not there") as caught:
        write_atomic(tmp_path / "gone" / "f", "x")
    assert caught.value.code == "storage.gone"


def test_a_link_is_replaced_not_written_through(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "f").symlink_to(tmp_path / "precious")
    write_atomic(tmp_path / "f", "x")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "f").read_text() == "x"


def test_a_really_full_disk_keeps_the_old_content(small_disk):
    file = small_disk / "f"
    write_atomic(file, "old")
    with pytest.raises(StorageError) as caught:
        write_atomic(file, b"x" * 1_000_000)
    assert caught.value.code == "storage.full"
    assert file.read_text() == "old"
    assert os.listdir(small_disk) == ["f"]


def test_text_with_lone_surrogates_can_be_written(tmp_path):
    write_atomic(tmp_path / "f", "a\ud800b")
    assert (tmp_path / "f").read_text("utf-8") == "a\ufffdb"


def test_a_pipe_in_the_place_of_a_file_does_not_block_the_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        open_regular(tmp_path / "pipe")
