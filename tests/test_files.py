import logging
import os
import stat

import pytest
from support.processes import process_that_writes

from gan_blocks import files


def test_an_atomic_write_replaces_the_file_and_creates_folders(tmp_path):
    path = tmp_path / "a" / "b" / "notes.txt"
    for text in ("old", "new"):
        with files.atomic_write(str(path)) as temporary:
            temporary.write_text(text)
            assert temporary.name == path.name
            assert path.exists() == (text == "new")
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["notes.txt"]


def test_an_atomic_write_can_create_a_folder(tmp_path):
    with files.atomic_write(tmp_path / "faces") as temporary:
        temporary.mkdir()
        (temporary / "notes.txt").write_text("whole")
    assert (tmp_path / "faces" / "notes.txt").read_text() == "whole"
    assert os.listdir(tmp_path) == ["faces"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        with files.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("flush", [True, False])
def test_flush_writes_a_file_to_the_disk_before_it_is_moved(
    tmp_path, monkeypatch, flush
):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def call(*arguments, name=name, original=original):
            calls.append(name)
            original(*arguments)

        monkeypatch.setattr(os, name, call)
    with files.atomic_write(tmp_path / "notes.txt", flush=flush) as temporary:
        temporary.write_text("whole")
    assert calls == ["fsync"] * flush + ["replace"]


def test_an_atomic_write_gives_a_file_the_usual_permissions(tmp_path):
    plain, written = tmp_path / "plain.txt", tmp_path / "written.txt"
    plain.write_text("")
    with files.atomic_write(written) as temporary:
        temporary.write_text("")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (plain, written)]
    assert modes[0] == modes[1]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / "whole.txt").touch()
    write = files.atomic_write(tmp_path / "notes.txt")
    write.__enter__().write_text("half")  # Never left, as in a killed process.
    assert len(os.listdir(tmp_path)) == 2
    files.remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["whole.txt"]
    files.remove_leftovers(tmp_path / "missing")


def test_a_file_that_another_process_is_writing_is_no_leftover(tmp_path):
    with process_that_writes(tmp_path / "notes.txt") as process:
        files.remove_leftovers(tmp_path)
        process.stdin.close()
        assert process.wait() == 0
    assert os.listdir(tmp_path) == ["notes.txt"]
    with process_that_writes(tmp_path / "more.txt"):
        pass  # It is killed.
    assert len(os.listdir(tmp_path)) == 2
    files.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_files_are_listed_by_the_numbers_in_their_names(tmp_path):
    names = ["9.png", "a_2_9.png", "a_2_10.png", "a_10_1.png", "b.png"]
    for name in reversed([*names, "a_1.txt"]):
        (tmp_path / name).touch()
    found = files.list_by_number(str(tmp_path), "*.png")
    assert [path.name for path in found] == names
    assert files.list_by_number(tmp_path / "missing", "*") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[1]",
        b"{" * 9,
        b"[" * 100_000,
        b"9" * 10_000,
        b"\xff",
        b" " * 2**25,
    ],
    ids=["empty", "list", "cut off", "deep", "long", "no text", "large"],
)
def test_damaged_json_is_a_value_error_that_names_the_file(tmp_path, data):
    path = tmp_path / "odd.json"
    path.write_bytes(data)
    with open(path, "rb") as file, pytest.raises(ValueError, match="odd.json"):
        files.read_json(file)


def test_best_effort_warns_once_and_continues(caplog):
    best_effort = files.BestEffort("Images cannot be written to runs/cats")
    for number in range(3):
        with best_effort():
            raise OSError(28, f"disk full {number}")
    with best_effort():
        done = True
    assert done
    (record,) = caplog.records
    assert record.name == "gan_blocks.files"
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "Images cannot be written to runs/cats ([Errno 28] disk full 0); "
        "training continues."
    )


def test_best_effort_warns_through_the_given_logger(caplog):
    logger = logging.getLogger("gan_blocks.callbacks")
    with files.BestEffort("No table", logger)():
        raise OSError
    assert [record.name for record in caplog.records] == [logger.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_best_effort_does_not_catch_other_errors(error, caplog):
    with pytest.raises(error):
        with files.BestEffort("No table")():
            raise error
    assert not caplog.records
