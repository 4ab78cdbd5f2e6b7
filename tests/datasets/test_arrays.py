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
from gan_blocks.datasets import arrays


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
    save(tmp_path / name, np.array([Trap()], dtype=object))
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
    np.savez(tmp_path / "d.npz", Y_train=labels, X_train=train, X_test=test)
    np.testing.assert_array_equal(load("d.npz", "test")[..., 0], test)
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


# One image


@pytest.mark.parametrize("shape", [(64, 64, 3), (48, 64, 4), (9, 9, 1), (9, 9)])
def test_one_image_as_an_array_raises_an_error_that_asks(tmp_path, shape):
    np.save(tmp_path / "a.npy", noise(*shape))
    for source in (noise(*shape), tmp_path / "a.npy"):
        with pytest.raises(ValueError, match=r"one image\?.*array\[np.newaxis"):
            datasets.load(source, 8)
    channels = shape[2] if len(shape) == 3 else 1
    assert len(datasets.load(noise(*shape)[np.newaxis], 8, channels)) == 1


def test_one_image_that_is_not_square_raises_an_error_that_asks():
    with pytest.raises(ValueError, match=r"one image\?.*array\[np.newaxis"):
        datasets.load(noise(48, 60), 8)
    with pytest.raises(ValueError, match=r"channels first\?.*moveaxis"):
        datasets.load(noise(3, 48, 60), 8)
    assert len(datasets.load(noise(3, 48, 60, 1), 8)) == 3


def test_an_array_with_the_channels_first_raises_an_error_that_asks():
    with pytest.raises(ValueError, match=r"channels first\? .*np.moveaxis"):
        datasets.load(noise(5, 3, 32, 32), 8)


# Folders of `.npy` files


@pytest.mark.parametrize("shape", [(9, 12), (9, 9), (9, 12, 3), (9, 9, 1)])
def test_a_npy_file_for_each_image_is_read(tmp_path, shape):
    slices = noise(4, *shape)
    for i, array in enumerate(slices):
        (tmp_path / "ab"[i // 2]).mkdir(exist_ok=True)
        np.save(tmp_path / "ab"[i // 2] / f"{i}.npy", array)
    channels = shape[2] if len(shape) == 3 else 1
    images, labels, report = datasets.load(
        tmp_path, shape[:2], channels, labels=True, report=True
    )
    np.testing.assert_array_equal(images, slices.reshape(images.shape))
    assert labels.tolist() == [0, 0, 1, 1] and report.class_names == ["a", "b"]
    assert "4 .npy files hold 4 images" in report.notes[0]


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 1)])
def test_a_npy_file_for_each_class_is_read(tmp_path, shape):
    np.save(tmp_path / "cat.npy", noise(3, *shape))
    np.save(tmp_path / "dog.npy", noise(2, *shape, seed=1))
    images, labels, report = datasets.load(
        tmp_path, 28, 1, labels=True, report=True
    )
    expected = np.concatenate([noise(3, *shape), noise(2, *shape, seed=1)])
    np.testing.assert_array_equal(images, expected.reshape(5, 28, 28, 1))
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert report.class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((100, 64), r"newaxis.*reshape\(-1, 8, 8\)"), ((3, 40, 32), "moveaxis")],
)
def test_npy_files_of_an_unclear_shape_raise_an_error(shape, advice, tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", noise(*shape))
    with pytest.raises(ValueError, match=advice):
        datasets.load(tmp_path, 8)


def test_three_files_or_gray_images_are_not_three_channels(tmp_path):
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", noise(40, 36))
    assert len(datasets.load(tmp_path, 8)) == 3
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(encode_idx(noise(3, 40, 36)))
    assert len(datasets.load(path, 8)) == 3


def test_npy_files_of_several_shapes_raise_an_error(tmp_path):
    np.save(tmp_path / "a.npy", noise(3, 8, 8))
    np.save(tmp_path / "b.npy", noise(3, 9, 9))
    with pytest.raises(ValueError, match=r"a.npy of shape \(3, 8, 8\).*b.npy"):
        datasets.load(tmp_path, 8)
    np.save(tmp_path / "b.npy", noise(3, 8, 8).astype("f4"))
    with pytest.raises(ValueError, match="uint8 and .*b.npy .*float32"):
        datasets.load(tmp_path, 8)


def test_npy_files_that_are_too_large_together_raise_an_error(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(arrays, "_PACKED_LIMIT", 300)
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", noise(3, 8, 8))
    with pytest.raises(ValueError, match="384 bytes. Save all images as one"):
        datasets.load(tmp_path, 8)


# Folders of idx files


def test_the_files_of_mnist_are_found_in_the_layout_of_kaggle(tmp_path):
    train, labels = noise(6, 28, 28), np.arange(6, dtype="uint8")
    for stem, array in (
        ("train-images{}idx3-ubyte", train),
        ("train-labels{}idx1-ubyte", labels),
        ("t10k-images{}idx3-ubyte", train[:2]),
        ("t10k-labels{}idx1-ubyte", labels[:2]),
    ):
        folder = tmp_path / stem.format("-")
        folder.mkdir()
        for path in (folder / folder.name, tmp_path / stem.format(".")):
            path.write_bytes(encode_idx(array))
    for _ in range(2):
        images, found = datasets.load(tmp_path, 28, 1, labels=True)
        np.testing.assert_array_equal(images[..., 0], train)
        assert found.tolist() == labels.tolist()
        assert len(datasets.load(tmp_path, 28, 1, split="test")) == 2
        for path in tmp_path.glob("*.idx?-ubyte"):
            path.unlink()


def test_idx_files_of_two_data_sets_must_be_chosen(tmp_path):
    for name in ("FashionMNIST", "MNIST"):
        folder = tmp_path / name / "raw"
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte").write_bytes(
            encode_idx(noise(3, 28, 28))
        )
    with pytest.raises(ValueError, match="FashionMNIST/raw/tr.* MNIST/raw/tr"):
        datasets.load(tmp_path, 28)
    assert len(datasets.load(tmp_path / "MNIST", 28)) == 3
