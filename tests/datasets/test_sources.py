import socket
import subprocess
import sys
import zipfile

from gan_blocks import datasets
import numpy as np
from PIL import Image
import pytest
from support.image_sources import (
    BLUE,
    GREEN,
    RED,
    encode,
    image_files,
    is_color,
    noise,
    plain,
    write_folder,
    write_tfds,
    write_zip,
)

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


def test_an_archive_is_not_unpacked_on_the_disk(tmp_path):
    archive = write_zip(tmp_path / "archive.zip", image_files())
    datasets.load(archive, 4)
    assert list(tmp_path.iterdir()) == [archive]


def test_sources_without_images_raise_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images.*MNIST.*png"):
        datasets.load(tmp_path / "empty", 4)
    archive = write_zip(tmp_path / "empty.zip", {"a.txt": b""})
    with pytest.raises(ValueError, match="holds no images.*png"):
        datasets.load(archive, 4)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        datasets.load(tmp_path / "nowhere", 4)
    (tmp_path / "a.mat").write_bytes(b"")
    with pytest.raises(ValueError, match="`source` must be a folder.*a.mat"):
        datasets.load(tmp_path / "a.mat", 4)


def test_unreadable_images_are_skipped_and_counted(tmp_path):
    jpeg = encode(Image.fromarray(noise(64, 64, 3)), "JPEG")
    files = {f"{i}.jpg": jpeg[: len(jpeg) // 2] for i in range(4)}
    files["broken.png"] = b"not an image"
    files["good.png"] = encode(plain(RED))
    folder = write_folder(tmp_path / "folder", files)
    archive = write_zip(tmp_path / "a.zip", files)
    for source in (folder, archive):
        with pytest.warns(UserWarning, match="5 could not be read: 0.jpg .*1 "):
            found = datasets.load(source, 8)
        assert len(found) == 1
        assert is_color(found[0], RED)
        with pytest.raises(ValueError, match="cannot be read: 0.jpg"):
            datasets.load(source, 8, strict=True)


def test_a_source_without_readable_images_raises_an_error(tmp_path):
    folder = write_folder(tmp_path, {"a.png": b"not an image"})
    with pytest.raises(ValueError, match="at least one readable image"):
        datasets.load(folder, 8)


def test_a_damaged_member_of_an_archive_is_skipped(tmp_path):
    files = {
        "a.png": encode(plain(RED, (40, 40))),
        "b.bmp": encode(plain(BLUE, (40, 40)), "BMP"),
    }
    path = write_zip(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    content = path.read_bytes()
    last_pixel = content.rindex(bytes(BLUE[::-1]))
    damaged = bytearray(content)
    damaged[last_pixel] ^= 1
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="b.bmp .*CRC"):
        assert len(datasets.load(path, 8)) == 1


def test_a_decompression_bomb_is_skipped(tmp_path, monkeypatch):
    files = {
        "bomb.png": encode(plain("white", (300, 300))),
        "good.png": encode(plain(RED)),
    }
    source = write_zip(tmp_path / "a.zip", files)
    assert len(datasets.load(source, 8)) == 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.warns(UserWarning, match="bomb.png .*DecompressionBombError"):
        assert len(datasets.load(source, 8)) == 1


def test_formats_that_start_a_program_are_not_opened(tmp_path):
    postscript = encode(plain(RED), "EPS")
    folder = write_folder(
        tmp_path,
        {
            "a.eps": postscript,
            "b.png": postscript,
            "c.png": encode(plain(RED)),
        },
    )
    with pytest.warns(UserWarning, match="read: b.png .Unidentified"):
        assert len(datasets.load(folder, 8)) == 1


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


@pytest.mark.slow
def test_tfds_is_read_without_warnings_in_a_new_process(tmp_path):
    folder, _ = write_tfds(tmp_path)
    code = (
        "from gan_blocks import datasets\n"
        f"print(len(datasets.load({str(folder)!r}, 8, strict=True)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["6"]
    assert "deprecated" not in done.stderr


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


def test_a_failed_tfds_download_says_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("importlib_resources")
    from tensorflow_datasets.core.download import downloader

    def no_network(host, *args, **kwargs):
        tried.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    tried = []
    monkeypatch.setattr(downloader, "MAX_RETRIES", 1)  # 10 take 3 minutes.
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="Otherwise pass a path") as raised:
        datasets.load("tfds:mnist", 8)
    assert tried
    assert "Connection" in type(raised.value.__cause__).__name__
    assert "\n" not in str(raised.value)
