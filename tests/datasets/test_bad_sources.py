"""Sources that cannot be loaded raise a `ValueError` that names them."""

import gzip
import os
from unittest import mock

import numpy as np
import pytest
from support.bad_files import (
    PNG,
    change_zip,
    dangling_link,
    idx,
    link_to_device,
    link_to_itself,
    little_memory,
    needs_posix,
    no_permission,
    npy,
    npy_of_shape,
    zipped,
)

from gan_blocks import datasets
from gan_blocks.datasets import stacking

MEMBERS = {"a.png": PNG, "b.png": PNG}
ENCRYPTED = change_zip(zipped(MEMBERS), 6, 8, 1)
UNKNOWN_METHOD = change_zip(zipped(MEMBERS), 8, 10, 93)
FUTURE = change_zip(zipped(MEMBERS), 4, 6, 99)
IMAGES = np.zeros((4, 8, 8), "uint8")
NPY = npy(IMAGES)
IDX = idx(IMAGES.shape, bytes(IMAGES.size))
TERABYTES = (2**14, 2**14, 2**14)

# Name and content of the file, and the reason in the error.
REFUSED = {
    "npy, empty": ("a.npy", b"", "empty file: download it again"),
    "npy, text": ("a.npy", b"hello", "must be a valid NumPy file"),
    "npy, truncated": ("a.npy", npy(IMAGES)[:-1], "must be a valid NumPy file"),
    "npy, terabytes": ("a.npy", npy_of_shape(TERABYTES), "must be a valid"),
    "npy, overflow": ("a.npy", npy_of_shape((2**62, 8, 3)), "must be a valid"),
    "npy, damaged header": ("a.npy", NPY.replace(b"{", b"["), "be a valid"),
    "npy, no images": ("a.npy", npy(IMAGES[:0]), r"shape \(0, 8, 8\)"),
    "npy, wrong rank": ("a.npy", npy(np.zeros(9)), r"a.npy' of shape \(9,\)"),
    "npy, not square": ("a.npy", npy(np.zeros((5, 143))), r"shape \(5, 143\)"),
    "npy, 12 channels": ("a.npy", npy(IMAGES[None]), r"shape \(1, 4, 8, 8\)"),
    "npy, text dtype": ("a.npy", npy(IMAGES.astype("U3")), "dtype <U3"),
    "npy, NaN": ("a.npy", npy(IMAGES * np.nan), "a.npy' with NaN"),
    "npy, infinite": ("a.npy", npy(IMAGES - np.inf), "values from -inf"),
    "npz, not a zip": ("a.npz", NPY, "not a zip file"),
    "npz, no arrays": ("a.npz", zipped({}), "holds none"),
    "npz, terabytes": (
        "a.npz",
        zipped({"images.npy": npy_of_shape(TERABYTES)}),
        "4398046511104 bytes is larger than the limit of 4294967296 bytes",
    ),
    "npz, objects": (
        "a.npz",
        zipped({"x.npy": npy_of_shape((12,), "|O")}),
        "pickled objects are never read",
    ),
    "npz, encrypted": (
        "a.npz",
        change_zip(zipped({"x.npy": NPY}), 6, 8, 1),
        "encrypted",
    ),
    "idx, empty": ("a-idx3-ubyte", b"", "must be a valid idx file"),
    "idx, another start": ("a-idx3-ubyte", b"\1" + IDX[1:], "start like an"),
    "idx, floats": ("a-idx3-ubyte", b"\0\0\x0d" + IDX[3:], "start like an idx"),
    "idx, half a header": ("a-idx3-ubyte", IDX[:9], "within its header"),
    "idx, truncated": ("a-idx3-ubyte", IDX[:-1], "holds 255 pixels"),
    "idx, too long": ("a-idx3-ubyte", IDX + b"\0", "holds 257 pixels"),
    "idx, terabytes": ("a-idx3-ubyte", idx(TERABYTES, b"123"), "holds 3 pix"),
    "idx, no images": ("a-idx3-ubyte", idx((0, 8, 8), b""), "source="),
    "idx.gz, truncated": (
        "a-idx3-ubyte.gz",
        gzip.compress(IDX)[:-20],
        "must be a valid idx file",
    ),
    "idx.gz, terabytes": (
        "a-idx3-ubyte.gz",
        gzip.compress(idx(TERABYTES, b"123")),
        "is larger than the limit of 4294967296 bytes. Save it as .npy",
    ),
    "idx.gz, gigabytes": (
        "a-idx3-ubyte.gz",
        gzip.compress(idx((4, 2**15, 2**15), b"123")),
        "does not hold the 4294967296 bytes",
    ),
    "idx.gz, too long": (
        "a-idx3-ubyte.gz",
        gzip.compress(idx((1, 8, 8), bytes(2**26))),
        "does not hold the 64 bytes",
    ),
    "zip, empty": ("a.zip", b"", "empty file: download it again"),
    "zip, truncated": ("a.zip", zipped(MEMBERS)[:-9], "must be a valid zip"),
    "zip, future version": ("a.zip", FUTURE, "must be a valid zip.*9.9"),
    "zip, no images": ("a.zip", zipped({"a.txt": b""}), "holds no images.*png"),
    "zip, encrypted": ("a.zip", ENCRYPTED, "2 could not be .*encrypted"),
    "zip, unknown method": ("a.zip", UNKNOWN_METHOD, "2 could .*compression"),
    "TFDS, not JSON": ("dataset_info.json", b"\0{[", "prepared by TFDS"),
    "TFDS, other JSON": ("dataset_info.json", b"[1]", "prepared by TFDS"),
    "unreadable image": ("a.png", b"not an image", "one readable image"),
    "another file": ("a.txt", b"", "holds no images.*MNIST.*png"),
    "another format": ("a.mat", b"", "must be a folder"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_unusable_source_raises_an_error_that_names_it(kind, tmp_path):
    name, content, reason = REFUSED[kind]
    path = tmp_path / name
    path.write_bytes(content)
    in_folder = name in ("dataset_info.json", "a.png", "a.txt")
    source = tmp_path if in_folder else path
    with (
        little_memory(),
        pytest.raises(ValueError, match=f"`source` .*{reason}") as error,
    ):
        datasets.load(source, 8)
    text = str(error.value)
    assert str(source) in text and len(text) < 700 and text.isprintable()


@pytest.mark.parametrize(
    "name",
    ["secret", "secret.npy", "secret.npz", "secret.zip", "secret-idx3-ubyte"],
)
def test_a_source_without_permission_raises_an_error(name, tmp_path):
    if name == "secret":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    with (
        no_permission(),
        pytest.raises(ValueError, match="`source` .*secret.*Permission"),
    ):
        datasets.load(tmp_path / name, 8)


def test_an_uncompressed_idx_file_is_memory_mapped(tmp_path):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(idx((4, 8, 8), bytes(range(256))))
    assert isinstance(datasets.load(path, 8, channels=1).base, np.memmap)


@pytest.mark.parametrize("order", ["C", "F"])
def test_images_of_an_npz_file_keep_their_order(order, tmp_path):
    array = np.arange(6 * 4 * 4, dtype="uint8").reshape(6, 4, 4)
    np.savez_compressed(tmp_path / "a.npz", np.asarray(array, order=order))
    found = datasets.load(tmp_path / "a.npz", 4, channels=1)
    np.testing.assert_array_equal(found[..., 0], array)


def test_an_array_with_an_image_of_gigapixels_raises_an_error(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy_of_shape((1, 2**17, 2**17), "<f4"))
    os.truncate(path, 128 + 4 * 2**34)  # A sparse file, which needs no space.
    with pytest.raises(ValueError, match="at most 178956970 pixels"):
        datasets.load(path, 8)


@needs_posix
@pytest.mark.parametrize("make", [os.mkfifo, link_to_device])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.zip", "a-idx3-ubyte"])
def test_a_pipe_or_a_device_is_not_a_source(name, make, tmp_path):
    make(tmp_path / name)
    with pytest.raises(ValueError, match=f"not a pipe or a device.*{name}"):
        datasets.load(tmp_path / name, 8)


@needs_posix
def test_a_pipe_with_the_name_of_an_mnist_file_is_not_a_source(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(ValueError, match="not a pipe or a device"):
        datasets.load(tmp_path, 8)


@needs_posix
@pytest.mark.parametrize("make", [link_to_itself, dangling_link])
def test_a_broken_link_is_not_a_source(make, tmp_path):
    make(tmp_path / "a.zip")
    with pytest.raises(FileNotFoundError, match="`source` .*a.zip"):
        datasets.load(tmp_path / "a.zip", 8)


@pytest.mark.parametrize("source", ["~nobody-of-this-name/a", "a" * 5000])
def test_impossible_paths_raise_an_error(source):
    with pytest.raises(ValueError, match=f"`source` must be a .*{source}"):
        datasets.load(source, 8)


@pytest.mark.parametrize("source", [None, 7, b"a.zip", [[1, 2]], np.uint8(3)])
def test_a_source_must_be_a_path_or_an_array(source):
    with pytest.raises(ValueError, match="`source` must be a NumPy array"):
        datasets.load(source, 8)


def test_a_full_disk_is_an_error_before_images_are_read(tmp_path, monkeypatch):
    fail = mock.Mock(side_effect=OSError(28, "No space left on device"))
    (tmp_path / "good.png").write_bytes(PNG)
    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)
    monkeypatch.setattr(stacking, "_MEMORY_LIMIT", 100)
    with pytest.raises(OSError, match="no room in .*No space.*TMPDIR"):
        datasets.load(tmp_path, 8)


def test_an_image_size_too_large_for_any_disk_is_an_error(tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    with pytest.raises(OSError, match="no room in"):
        datasets.load(tmp_path, 10**12)
