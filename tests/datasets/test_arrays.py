import warnings

import numpy as np
import pytest
from support.image_sources import (
    BLUE,
    RED,
    encode_idx,
    is_color,
    noise,
    write_mnist,
)

from gan_blocks import datasets


@pytest.mark.parametrize("shape", [(5, 12, 12), (5, 12, 12, 1), (5, 144)])
def test_arrays_of_all_three_shapes_are_loaded_unchanged(tmp_path, shape):
    array = noise(*shape)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for source in (array, tmp_path / "a.npy", str(tmp_path / "a.npz")):
        found = datasets.load(source, 12, channels=1)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array.reshape(5, 12, 12, 1))


def test_a_matching_npy_file_is_memory_mapped(tmp_path):
    np.save(tmp_path / "a.npy", noise(5, 12, 12, 3))
    assert isinstance(datasets.load(tmp_path / "a.npy", 12), np.memmap)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (1 / 255, 0, "float64"),
        (2 / 255, -1, "float32"),
        (1, 0, "float32"),
        (1, 0, "int64"),
    ],
)
def test_the_range_of_other_numbers_is_detected(scale, offset, dtype):
    array = np.arange(256).reshape(1, 16, 16, 1)
    other = (array * scale + offset).astype(dtype)
    found = datasets.load(other, 16, channels=1)
    np.testing.assert_array_equal(found, array)


def test_booleans_become_black_and_white():
    array = np.array([[[True, False], [False, False]]])
    found = datasets.load(array, 2, channels=1)
    assert found.ravel().tolist() == [255, 0, 0, 0]


def test_arrays_are_resized_and_converted_to_gray_or_color():
    array = np.zeros((2, 8, 12, 3), "uint8")
    array[0] = RED
    array[1] = BLUE
    found = datasets.load(array, (4, 6))
    assert found.shape == (2, 4, 6, 3)
    assert is_color(found[0], RED)
    assert is_color(found[1], BLUE)
    gray = datasets.load(array, 4, channels=1)
    assert gray.shape == (2, 4, 4, 1)
    assert (gray[0] == 76).all()  # 0.299 * 255
    back = datasets.load(gray, 4, channels=3)
    assert is_color(back[0], (76, 76, 76))


class Trap:
    def __reduce__(self):
        return (warnings.warn, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled objects are never read"):
        datasets.load(tmp_path / name, 8)


def test_arrays_of_an_npz_file_are_found_by_name_and_split(tmp_path):
    train, test = noise(5, 8, 8), noise(3, 8, 8, seed=1)
    labels = np.zeros(5)
    np.savez(tmp_path / "a.npz", y_train=labels, x_train=train, x_test=test)
    np.savez(tmp_path / "b.npz", labels=labels, images=train)
    np.savez(tmp_path / "c.npz", labels=labels, pictures=train)

    def load(name, split="train"):
        return datasets.load(tmp_path / name, 8, channels=1, split=split)

    np.testing.assert_array_equal(load("a.npz")[..., 0], train)
    np.testing.assert_array_equal(load("a.npz", "test")[..., 0], test)
    np.testing.assert_array_equal(load("b.npz")[..., 0], train)
    with pytest.raises(ValueError, match="split='test'.* holds labels, images"):
        load("b.npz", "test")
    with pytest.raises(ValueError, match="holds labels, pictures"):
        load("c.npz")


# MNIST's format


def test_a_folder_of_mnist_files_has_a_train_and_a_test_split(tmp_path):
    train, test = noise(6, 28, 28), noise(4, 28, 28, seed=1)
    write_mnist(tmp_path, train, test, noise(6), noise(4))
    # A file may be present both compressed and uncompressed.
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode_idx(train))
    found = datasets.load(tmp_path, 28, channels=1)
    np.testing.assert_array_equal(found[..., 0], train)
    found = datasets.load(tmp_path, 28, channels=1, split="test")
    np.testing.assert_array_equal(found[..., 0], test)
    with pytest.raises(ValueError, match="`split` must be 'train' or 'test'"):
        datasets.load(tmp_path, 28, split="validation")
    single = tmp_path / "t10k-images-idx3-ubyte.gz"
    np.testing.assert_array_equal(
        datasets.load(single, 28, channels=1)[..., 0], test
    )
    with pytest.raises(ValueError, match="rank 1: labels"):
        datasets.load(tmp_path / "t10k-labels-idx1-ubyte.gz", 28)
