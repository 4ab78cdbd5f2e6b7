import errno
import os

import pytest
from support.processes import process_that_locks

from gan_blocks import _locks


def test_a_folder_is_reserved_until_its_process_is_killed(tmp_path):
    folder = tmp_path / "checkpoints"
    with process_that_locks(folder):
        for _ in range(2):
            with pytest.raises(ValueError, match=f"training in {folder}"):
                _locks.lock(folder)
        _locks.lock(tmp_path / "other")
    _locks.lock(folder)
    _locks.unlock(folder)
    _locks.unlock(tmp_path / "other")
    assert os.listdir(tmp_path) == []


def test_a_process_that_ends_leaves_no_file(tmp_path):
    with process_that_locks(tmp_path / "checkpoints") as process:
        assert os.listdir(tmp_path) == [".checkpoints.lock"]
        process.stdin.close()
        assert process.wait() == 0
    assert os.listdir(tmp_path) == []


def test_a_process_can_reserve_its_folder_again(tmp_path):
    for _ in range(2):
        _locks.lock(tmp_path / "checkpoints")
    _locks.unlock(tmp_path / "checkpoints")
    _locks.unlock(tmp_path / "checkpoints")
    assert os.listdir(tmp_path) == []


def test_training_needs_no_locks(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")  # Windows has other locks.

    def fail(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", fail)
    _locks.lock(tmp_path / "checkpoints")
    _locks.unlock(tmp_path / "checkpoints")
    (tmp_path / "file").touch()
    _locks.lock(tmp_path / "file" / "checkpoints")
