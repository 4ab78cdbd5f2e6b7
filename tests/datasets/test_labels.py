import gzip
import json
import warnings

import numpy as np
import pytest
from PIL import Image
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
    colors = {"10": GREEN, "9": RED, "blue": BLUE}
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
        assert labels.tolist() == [2, 2, 1, 1, 3, 3, 3]
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


# Folders


def picture(seed):
    return encode(Image.fromarray(noise(8, 8, 3, seed=seed)))


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["10", "9", "0", "11"], ["0", "9", "10", "11"]),
        (["01", "10", "2"], ["01", "2", "10"]),
        (["10", "9", "cats"], ["9", "10", "cats"]),
        (["class_10", "class_2"], ["class_2", "class_10"]),
        (["b", "A", "a"], ["A", "a", "b"]),
        (["1" * 200, "2"], ["2", "1" * 200]),
    ],
)
def test_numeric_names_of_folders_are_sorted_as_numbers(
    folders, expected, tmp_path
):
    files = {f"{name}/x.png": picture(i) for i, name in enumerate(folders)}
    write_folder(tmp_path, files)
    _, labels, report = datasets.load(tmp_path, 8, labels=True, report=True)
    assert report.class_names == expected
    found = [report.class_names[label] for label in labels]
    assert [f"{name}/x.png" for name in found] == report.names


def test_labels_and_names_belong_to_the_images_that_were_kept(tmp_path):
    files = {f"{name}/{i}.png": picture(i) for name in "ab" for i in range(3)}
    files["a/1.png"] = b"damaged"
    write_folder(tmp_path, files)
    with pytest.warns(UserWarning, match="1 could not be read: a/1.png"):
        images, labels, report = datasets.load(
            tmp_path, 8, labels=True, report=True
        )
    assert len(images) == 5 and labels.tolist() == [0, 0, 1, 1, 1]
    assert report.names == ["a/0.png", "a/2.png"] + [
        f"b/{i}.png" for i in range(3)
    ]


@pytest.mark.parametrize("wrapped", ["", "mnist/"])
def test_splits_above_the_classes_are_not_labels(wrapped, tmp_path):
    files = {
        f"{wrapped}{split}/{label}/{i}.png": picture(i)
        for split, number in (("training", 3), ("testing", 2))
        for label in ("0", "1", "7")
        for i in range(number)
    }
    del files[f"{wrapped}testing/0/0.png"], files[f"{wrapped}testing/0/1.png"]
    write_folder(tmp_path, files)
    for split, expected in (
        ("train", [0, 0, 0, 1, 1, 1, 2, 2, 2]),
        # A class has the same label in all splits.
        ("test", [1, 1, 2, 2]),
    ):
        with pytest.warns(UserWarning, match="in the split"):
            images, labels, report = datasets.load(
                tmp_path, 8, split=split, labels=True, report=True
            )
        assert labels.tolist() == expected
        assert report.class_names == ["0", "1", "7"]
    _, labels = datasets.load(tmp_path, 8, split="train+test", labels=True)
    assert sorted(labels) == [0] * 3 + [1] * 5 + [2] * 5


def test_a_repeated_folder_of_a_split_is_not_a_class(tmp_path):
    names = [
        f"{split}/{split}/{label}/1.png"
        for split in ("seg_train", "seg_test")
        for label in ("forest", "sea")
    ]
    write_folder(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    for split, expected in (
        ("train", [0, 1]),
        ("test", [0, 1]),
        ("test+train", [0, 1, 0, 1]),
    ):
        with warnings.catch_warnings(action="ignore"):
            _, labels, report = datasets.load(
                tmp_path, 8, split=split, labels=True, report=True
            )
        assert report.class_names == ["forest", "sea"]
        assert labels.tolist() == expected


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    names = [
        f"{split}/{label}/1.png"
        for split in ("train", "test")
        for label in ("car", "train")
    ]
    write_folder(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    with pytest.warns(UserWarning, match="2 in the split 'test'"):
        _, labels, report = datasets.load(tmp_path, 8, labels=True, report=True)
    assert report.class_names == ["car", "train"] and labels.tolist() == [0, 1]


def test_a_split_without_folders_of_classes_has_no_labels(tmp_path):
    names = ["train/cat/1.png", "train/dog/1.png", "test/1.png"]
    write_folder(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    with pytest.warns(UserWarning, match="1 in the split 'test'"):
        _, labels = datasets.load(tmp_path, 8, labels=True)
    assert labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="test/1.png is in none of them"):
        datasets.load(tmp_path, 8, split="test", labels=True)


@pytest.mark.parametrize("names", [["cats/1.png", "cats/2.png"], ["a/1.png"]])
def test_images_in_a_single_folder_have_no_labels(names, tmp_path):
    write_folder(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    with pytest.raises(
        ValueError, match=f"{names[0]} is in the same folder as all others"
    ):
        datasets.load(tmp_path, 8, labels=True)


def test_the_error_for_folders_of_a_class_and_a_split_is_true(tmp_path):
    names = ["cat_train/1.png", "dog_train/1.png", "cat_test/1.png"]
    write_folder(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    with pytest.raises(ValueError, match="in none of them. Move the images"):
        datasets.load(tmp_path, 8, labels=True)


# StyleGAN's dataset.json


def write_stylegan(folder, labels, top=""):
    names = ["00000/img0.png", "00000/img1.png", "00001/img2.png"]
    files = {f"{top}{name}": picture(i) for i, name in enumerate(names)}
    files[f"{top}dataset.json"] = json.dumps({"labels": labels}).encode()
    write_zip(folder / "a.zip", files)
    return write_folder(folder / "folder", files), folder / "a.zip"


@pytest.mark.parametrize("top", ["", "ffhq/"])
def test_labels_in_a_dataset_json_are_read(top, tmp_path):
    pairs = [
        *(["00001/img2.png", 5], ["00000\\img1.png", 0]),
        *(["00000/img0.png", 3], ["00009/unused.png", 9]),
    ]
    for source in write_stylegan(tmp_path, pairs, top):
        _, labels = datasets.load(source, 8, labels=True)
        assert labels.tolist() == [3, 0, 5]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "no label for 00000/img0.png"),
        ([["00000/img0.png", 1]], "no label for 00000/img1.png"),
        ([[f"0000{i // 2}/img{i}.png", [1, 0]] for i in range(3)], "integers"),
        ([[f"0000{i // 2}/img{i}.png", "cat"] for i in range(3)], "integers"),
        ([1, 2], "valid source with a dataset.json"),
        ("cats", "valid source with a dataset.json"),
    ],
)
def test_labels_in_a_dataset_json_must_fit_the_images(labels, reason, tmp_path):
    for source in write_stylegan(tmp_path, labels):
        assert len(datasets.load(source, 8)) == 3
        with pytest.raises(ValueError, match=reason) as error:
            datasets.load(source, 8, labels=True)
        assert str(source) in str(error.value)


def test_each_split_may_have_its_own_dataset_json(tmp_path):
    files = {}
    for number, split in enumerate(("train", "test")):
        content = json.dumps({"labels": [["0/1.png", number]]})
        files[f"{split}/dataset.json"] = content.encode()
        files[f"{split}/0/1.png"] = picture(number)
    write_folder(tmp_path, files)
    for number, split in enumerate(("train", "test")):
        with pytest.warns(UserWarning, match="in the split"):
            _, labels = datasets.load(tmp_path, 8, split=split, labels=True)
        assert labels.tolist() == [number]


def test_a_dataset_json_of_another_program_is_ignored(tmp_path):
    files = {"a/1.png": picture(1), "b/1.png": picture(2)}
    write_folder(tmp_path, files | {"dataset.json": b'{"images": []}'})
    _, labels = datasets.load(tmp_path, 8, labels=True)
    assert labels.tolist() == [0, 1]


# EMNIST


def write_emnist(folder, sets=("letters", "digits")):
    """Writes files as EMNIST's, with rows and columns exchanged."""
    for number, name in enumerate(sets):
        for split, count in (("train", 4), ("test", 2)):
            images = noise(count, 28, 28, seed=number)
            (
                folder / f"emnist-{name}-{split}-images-idx3-ubyte.gz"
            ).write_bytes(gzip.compress(encode_idx(images.transpose(0, 2, 1))))
            (
                folder / f"emnist-{name}-{split}-labels-idx1-ubyte.gz"
            ).write_bytes(
                gzip.compress(encode_idx(np.arange(count, dtype="uint8")))
            )


def test_letters_of_emnist_stand_upright(tmp_path):
    write_emnist(tmp_path, ["letters"])
    single = tmp_path / "emnist-letters-train-images-idx3-ubyte.gz"
    for source in (tmp_path, single):
        images, labels, report = datasets.load(
            source, 28, 1, labels=True, report=True
        )
        np.testing.assert_array_equal(images[..., 0], noise(4, 28, 28))
        assert labels.tolist() == [0, 1, 2, 3]
        assert "upright" in report.notes[0]


def test_one_of_several_sets_of_idx_files_must_be_chosen(tmp_path):
    write_emnist(tmp_path)
    with pytest.raises(ValueError, match="emnist-digits-train.*letters-train"):
        datasets.load(tmp_path, 28)
    images, labels = datasets.load(
        f"{tmp_path}/emnist-digits-*", 28, 1, split="test", labels=True
    )
    np.testing.assert_array_equal(images[..., 0], noise(2, 28, 28, seed=1))
    assert labels.tolist() == [0, 1]
