import numpy as np
import pytest
from support.image_sources import (
    BLUE,
    GREEN,
    RED,
    encode,
    encode_idx,
    is_color,
    noise,
    numbered,
    plain,
    write_folder,
    write_mnist,
    write_tfds,
    write_zip,
)

from gan_blocks import datasets


def test_labels_of_mnist_belong_to_the_split(tmp_path):
    train, test = noise(6, 28, 28), noise(4, 28, 28, seed=1)
    labels = {"train": [5, 0, 4, 1, 9, 255], "test": [7, 2, 1, 0]}
    write_mnist(tmp_path, train, test, labels["train"], labels["test"])
    for split, expected in labels.items():
        for size in (28, 14):
            plain = datasets.load(tmp_path, size, split=split)
            found, found_labels = datasets.load(
                tmp_path, size, split=split, labels=True
            )
            np.testing.assert_array_equal(found, plain)
            assert found_labels.tolist() == expected
            assert found_labels.dtype == np.int32


def test_labels_of_an_idx_file_come_from_the_file_next_to_it(tmp_path):
    single = tmp_path / "t10k-images.idx3-ubyte"
    single.write_bytes(encode_idx(noise(4, 28, 28)))
    with pytest.raises(ValueError, match="folder.*t10k-labels.idx1-ubyte "):
        datasets.load(single, 28, labels=True)
    beside = single.with_name("t10k-labels.idx1-ubyte")
    beside.write_bytes(encode_idx(np.uint8([7, 2, 1, 0])))
    _, labels = datasets.load(single, 28, labels=True)
    assert labels.tolist() == [7, 2, 1, 0]
    beside.write_bytes(single.read_bytes())
    with pytest.raises(ValueError, match="idx file of labels.*has rank 3"):
        datasets.load(single, 28, labels=True)


def test_labels_in_an_npz_file_belong_to_the_split(tmp_path):
    arrays = {
        "x_train": noise(5, 8, 8),
        "y_train": np.arange(5, dtype="uint8"),
        "x_test": noise(3, 8, 8, seed=1),
        "y_test": np.array([[2], [1], [0]]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    _, labels = datasets.load(tmp_path / "a.npz", 8, labels=True)
    assert labels.tolist() == [0, 1, 2, 3, 4]
    _, labels = datasets.load(tmp_path / "a.npz", 4, split="test", labels=True)
    assert labels.tolist() == [2, 1, 0]
    assert labels.dtype == np.int32
    np.savez(tmp_path / "b.npz", images=noise(2, 8, 8), labels=np.array([1, 0]))
    _, labels = datasets.load(tmp_path / "b.npz", 8, labels=True)
    assert labels.tolist() == [1, 0]


def test_labels_of_folders_number_their_sorted_names(tmp_path):
    colors = {"10": RED, "9": GREEN, "blue": BLUE}
    files = {
        f"{name}/{place}.png": encode(plain(color))
        for name, color in colors.items()
        for place in ("1", "2", "deep/er/1")
    }
    files["10/1.png"] = files["9/2.png"] = b"not an image"
    files |= {"0/none.png": b"not an image", "1/none.txt": b"", "a.txt": b""}
    wrapped = {f"all/{name}": content for name, content in files.items()}
    for source in (
        write_folder(tmp_path / "folder", files),
        write_folder(tmp_path / "wrapped", wrapped),
        write_zip(tmp_path / "a.zip", dict(reversed(files.items()))),
        write_zip(tmp_path / "wrapped.zip", wrapped),
    ):
        with pytest.warns(UserWarning, match="3 could not be read"):
            found, labels = datasets.load(source, 8, labels=True)
        assert labels.tolist() == [1, 1, 2, 2, 3, 3, 3]
        for pixels, label in zip(found, labels, strict=True):
            assert is_color(pixels, [None, RED, GREEN, BLUE][label])


@pytest.mark.parametrize(
    "names",
    [["a.png"], ["a/1.png", "a/2.png"], ["a/1.png", "b/1.png", "c.png"]],
)
def test_images_outside_of_label_folders_raise_an_error(tmp_path, names):
    files = dict.fromkeys(names, encode(plain(RED)))
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        assert len(datasets.load(source, 8)) == len(names)
        with pytest.raises(ValueError, match="two or more folders.*png is in"):
            datasets.load(source, 8, labels=True)


def test_labels_of_tfds_are_its_class_label_feature(tmp_path):
    expected = [3, 0, 5, 1, 1, 2]
    folder, pixels = write_tfds(tmp_path, labels=expected)
    found, labels = datasets.load(folder, 8, labels=True)
    np.testing.assert_array_equal(found, pixels)
    assert labels.tolist() == expected
    assert labels.dtype == np.int32
    _, labels = datasets.load(folder, 8, split="train[50%:]", labels=True)
    assert labels.tolist() == expected[3:]
    folder, _ = write_tfds(tmp_path, "unknown", labels=[0, 1, 2, 3, 4, -1])
    with pytest.raises(ValueError, match="`labels` must be.*from -1 to 4"):
        datasets.load(folder, 8, labels=True)


def test_tfds_without_a_single_label_feature_raises_an_error(tmp_path):
    for name, features in (("none", ()), ("two", ("kind", "color"))):
        folder, _ = write_tfds(tmp_path, name, label_features=features)
        assert len(datasets.load(folder, 8)) == 6
        with pytest.raises(ValueError, match=f"one ClassLabel.*{name}/.*photo"):
            datasets.load(folder, 8, labels=True)


def test_sources_without_labels_raise_an_error_that_names_others(tmp_path):
    array = noise(5, 8, 8)
    np.save(tmp_path / "a.npy", array)
    for source in (array, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match="must have labels. .*MNIST.*TFDS"):
            datasets.load(source, 8, labels=True)
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(ValueError, match="y_train or train_labels or labels"):
        datasets.load(tmp_path / "a.npz", 8, labels=True)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.arange(4), id="too few"),
        pytest.param(np.arange(5.0), id="floats"),
        pytest.param(np.arange(5) - 1, id="negative"),
        pytest.param(np.arange(5) + 2**31, id="beyond int32"),
        pytest.param(np.eye(5, dtype=int), id="one-hot"),
    ],
)
def test_labels_that_do_not_match_the_images_raise_an_error(tmp_path, labels):
    path = tmp_path / "a.npz"
    np.savez(path, images=numbered(5), labels=labels)
    message = "`labels` must be an array of integers of at .* 5 images"
    with pytest.raises(ValueError, match=f"{message}.*a.npz"):
        datasets.load(path, 4, labels=True)
    with pytest.raises(ValueError, match=message):
        datasets.batches(numbered(5), 2, labels=labels)
