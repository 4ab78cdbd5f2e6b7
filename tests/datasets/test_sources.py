import socket
import sys
from unittest import mock

import numpy as np
import pytest
from support.image_sources import (
    BLUE,
    GREEN,
    RED,
    image_files,
    is_color,
    noise,
    write_folder,
    write_tfds,
    write_zip,
)

from gan_blocks import datasets

# Folders and archives of images


def test_a_folder_and_an_archive_have_the_same_order(tmp_path):
    folder = write_folder(tmp_path / "folder", image_files())
    (folder / "folder.png").mkdir()
    shuffled = {"folder.png/": b"", **dict(reversed(image_files().items()))}
    archive = write_zip(tmp_path / "archive.zip", shuffled)
    found = datasets.load(folder, 4)
    assert found.shape == (4, 4, 4, 3)
    for pixels, color in zip(
        found, [(255, 255, 255), RED, GREEN, BLUE], strict=True
    ):
        assert is_color(pixels, color, tolerance=2)
    np.testing.assert_array_equal(found, datasets.load(archive, 4))
    assert {*tmp_path.iterdir()} == {folder, archive}  # Nothing is unpacked.


@pytest.mark.parametrize("skipped", ["a.npy", "a.npz", "b/a-idx3-ubyte"])
def test_files_of_arrays_beside_images_cause_a_warning(skipped, tmp_path):
    write_folder(tmp_path, {**image_files(), skipped: b""})
    with pytest.warns(UserWarning, match=f"1 skipped .*path.*{skipped}"):
        datasets.load(tmp_path, 4)


def test_files_beside_arrays_are_reported(tmp_path):
    write_folder(tmp_path, {"a.npz": b"", "a.txt": b""})
    np.save(tmp_path / "a.npy", noise(3, 8, 8))
    np.savez(tmp_path / "a.npz", noise(3, 8, 8))
    with pytest.warns(UserWarning, match="1 skipped .*a.npy"):
        _, report = datasets.load(tmp_path, 8, report=True)
    assert report.other_files == {".txt": 1}


def test_a_missing_source_raises_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        datasets.load(tmp_path / "nowhere", 4)


# TFDS


def test_a_prepared_tfds_dataset_is_found_by_folder_and_by_name(
    tmp_path, monkeypatch, capfd
):
    folder, pixels = write_tfds(tmp_path)
    capfd.readouterr()
    by_folder = datasets.load(folder, 8)
    np.testing.assert_array_equal(by_folder, pixels)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for name in ("tfds:tiny_pictures", "tfds:tiny_pictures:1.0.0"):
        np.testing.assert_array_equal(datasets.load(name, 8), pixels)
    some = datasets.load("tfds:tiny_pictures", 4, 1, split="train[:50%]")
    assert some.shape == (3, 4, 4, 1)
    with pytest.raises(ValueError, match="`split` must be a split of .*train"):
        datasets.load(folder, 8, split="test")
    assert capfd.readouterr().out == ""


def test_the_tfds_feature_called_image_is_used_if_there_are_several(tmp_path):
    folder, pixels = write_tfds(tmp_path, "masked", image="image", mask="mask")
    np.testing.assert_array_equal(datasets.load(folder, 8), pixels)
    folder, _ = write_tfds(tmp_path, "two", image="photo", mask="mask")
    with pytest.raises(ValueError, match="must have one Image feature.*photo"):
        datasets.load(folder, 8)


def test_unknown_tfds_names_raise_an_error_of_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="pass a path") as raised:
        datasets.load("tfds:no_such_dataset", 8)
    assert "no_such_dataset not found" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_without_tfds_an_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="pip install .*tensorflow-datasets"):
        datasets.load("tfds:mnist", 8)


def test_a_failed_tfds_download_says_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("importlib_resources")
    from tensorflow_datasets.core.download import downloader

    no_network = mock.Mock(side_effect=socket.gaierror(-2, "unknown name"))
    monkeypatch.setattr(downloader, "MAX_RETRIES", 1)  # 10 take 3 minutes.
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="Otherwise pass a path") as raised:
        datasets.load("tfds:mnist", 8)
    assert no_network.called
    assert "Connection" in type(raised.value.__cause__).__name__
    assert "\n" not in str(raised.value)
