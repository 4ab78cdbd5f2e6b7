import gzip
import io
import socket
import struct
import subprocess
import sys
import time
import warnings
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from gan_blocks import datasets, images
from gan_blocks.datasets import loading

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def picture_bytes(image, format="PNG", **kwargs):
    stream = io.BytesIO()
    image.save(stream, format, **kwargs)
    return stream.getvalue()


def plain(colour, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, colour)


def idx_bytes(array):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)


def is_colour(pixels, colour, tolerance=0):
    return (np.abs(pixels.astype(int) - colour) <= tolerance).all()


# Arrays


@pytest.mark.parametrize("shape", [(5, 12, 12), (5, 12, 12, 1), (5, 144)])
def test_arrays_of_three_shapes_are_read_as_they_are(tmp_path, shape):
    array = noise(*shape)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for source in (array, tmp_path / "a.npy", str(tmp_path / "a.npz")):
        found = datasets.load(source, 12, channels=1)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array.reshape(5, 12, 12, 1))


def test_an_npy_file_as_asked_for_is_mapped_and_not_read(tmp_path):
    np.save(tmp_path / "a.npy", noise(5, 12, 12, 3))
    assert isinstance(datasets.load(tmp_path / "a.npy", 12), np.memmap)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (1 / 255, 0, "float32"),
        (1 / 255, 0, "float64"),
        (2 / 255, -1, "float32"),
        (1, 0, "float32"),
        (1, 0, "int64"),
    ],
)
def test_other_numbers_are_recognised_by_their_range(scale, offset, dtype):
    array = np.arange(256).reshape(1, 16, 16, 1)
    other = (array * scale + offset).astype(dtype)
    found = datasets.load(other, 16, channels=1)
    np.testing.assert_array_equal(found, array)


def test_booleans_are_black_and_white():
    array = np.array([[[True, False], [False, False]]])
    found = datasets.load(array, 2, channels=1)
    assert found.ravel().tolist() == [255, 0, 0, 0]


@pytest.mark.parametrize("worst", [256.0, -2.0, np.nan, np.inf])
def test_numbers_out_of_every_range_are_refused(worst):
    array = np.array([[[0.0, worst]]])
    with pytest.raises(ValueError, match="`source` must hold pixels in"):
        datasets.load(array, 2)


@pytest.mark.parametrize("shape", [(5,), (5, 143), (5, 3, 12, 12), (0, 4, 4)])
def test_arrays_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="`source` must hold numbers in an"):
        datasets.load(np.zeros(shape, "uint8"), 12)


def test_arrays_are_resized_and_turned_into_grey_or_colour():
    array = np.zeros((2, 8, 12, 3), "uint8")
    array[0] = RED
    array[1] = BLUE
    found = datasets.load(array, (4, 6))
    assert found.shape == (2, 4, 6, 3)
    assert is_colour(found[0], RED)
    assert is_colour(found[1], BLUE)
    grey = datasets.load(array, 4, channels=1)
    assert grey.shape == (2, 4, 4, 1)
    assert (grey[0] == 76).all()  # 0.299 of 255
    back = datasets.load(grey, 4, channels=3)
    assert is_colour(back[0], (76, 76, 76))


class Trap:
    def __reduce__(self):
        return (warnings.warn, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_never_unpickled(tmp_path, name):
    save = np.save if name == "a.npy" else np.savez
    save(tmp_path / name, np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled objects are never read"):
        datasets.load(tmp_path / name, 8)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.zip", "a-idx3-ubyte"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\3\4" + bytes(50)])
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="`source` must be a whole"):
        datasets.load(tmp_path / name, 8)


def test_a_truncated_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", noise(5, 12, 12))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-10])
    with pytest.raises(ValueError, match="`source` must be a whole file"):
        datasets.load(tmp_path / "a.npy", 12)


def test_an_npz_with_several_arrays_is_asked_by_name_and_split(tmp_path):
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


def test_a_folder_of_mnist_files_gives_the_images_of_the_split(tmp_path):
    train, test = noise(6, 28, 28), noise(4, 28, 28, seed=1)
    for name, array in {
        "train-images-idx3-ubyte.gz": train,
        "train-labels-idx1-ubyte.gz": noise(6),
        "t10k-images-idx3-ubyte.gz": test,
        "t10k-labels-idx1-ubyte.gz": noise(4),
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(idx_bytes(array)))
    # A compressed file may lie next to what was unpacked from it.
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(train))
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:9],
        lambda content: b"\1" + content[1:],
        lambda content: content[:2] + b"\x0d" + content[3:],
        lambda content: content[:4] + b"\xff" * 12 + content[16:],
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, damage):
    path = tmp_path / "train-images.idx3-ubyte"
    content = idx_bytes(noise(6, 8, 8))
    path.write_bytes(content)
    assert datasets.load(path, 8).shape == (6, 8, 8, 3)
    path.write_bytes(damage(content))
    with pytest.raises(ValueError, match="`source` must be a whole idx file"):
        datasets.load(path, 8)


def test_a_truncated_gz_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx_bytes(noise(6, 8, 8)))[:-20])
    with pytest.raises(ValueError, match="`source` must be a whole idx file"):
        datasets.load(path, 8)


# Folders and archives of images


def image_files():
    return {
        "b/2.png": picture_bytes(plain(GREEN)),
        "b/10.JPG": picture_bytes(plain(RED), "JPEG", quality=95),
        "c/deep/er/x.webp": picture_bytes(plain(BLUE), "WEBP", lossless=True),
        "a.bmp": picture_bytes(plain("white"), "BMP"),
        "notes.txt": b"not an image",
        ".hidden.png": b"not an image",
        ".cache/x.png": b"not an image",
        "__MACOSX/b/._2.png": b"not an image",
        "__MACOSX/2.png": b"not an image",
    }


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_folder_and_an_archive_give_the_same_images_in_one_order(tmp_path):
    folder = write_folder(tmp_path / "folder", image_files())
    (folder / "folder.png").mkdir()
    shuffled = {"folder.png/": b"", **dict(reversed(image_files().items()))}
    archive = write_zip(tmp_path / "archive.zip", shuffled)
    found = datasets.load(folder, 4)
    assert found.shape == (4, 4, 4, 3)
    for pixels, colour in zip(
        found, [(255, 255, 255), RED, GREEN, BLUE], strict=True
    ):
        assert is_colour(pixels, colour, tolerance=2)
    np.testing.assert_array_equal(found, datasets.load(archive, 4))


def test_an_archive_is_read_in_place(tmp_path):
    archive = write_zip(tmp_path / "archive.zip", image_files())
    datasets.load(archive, 4)
    assert list(tmp_path.iterdir()) == [archive]


def test_sources_without_images_say_what_was_looked_for(tmp_path):
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


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    jpeg = picture_bytes(Image.fromarray(noise(64, 64, 3)), "JPEG")
    files = {f"{i}.jpg": jpeg[: len(jpeg) // 2] for i in range(4)}
    files["broken.png"] = b"not an image"
    files["good.png"] = picture_bytes(plain(RED))
    folder = write_folder(tmp_path / "folder", files)
    archive = write_zip(tmp_path / "a.zip", files)
    for source in (folder, archive):
        with pytest.warns(UserWarning, match="5 could not be read: 0.jpg .*1 "):
            found = datasets.load(source, 8)
        assert len(found) == 1
        assert is_colour(found[0], RED)
        with pytest.raises(ValueError, match="cannot be read: 0.jpg"):
            datasets.load(source, 8, strict=True)


def test_a_source_with_unreadable_images_only_is_refused(tmp_path):
    folder = write_folder(tmp_path, {"a.png": b"not an image"})
    with pytest.raises(ValueError, match="at least one readable image"):
        datasets.load(folder, 8)


def test_a_damaged_member_of_an_archive_is_left_out(tmp_path):
    files = {
        "a.png": picture_bytes(plain(RED, (40, 40))),
        "b.bmp": picture_bytes(plain(BLUE, (40, 40)), "BMP"),
    }
    path = write_zip(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    content = path.read_bytes()
    last_pixel = content.rindex(bytes(BLUE[::-1]))
    damaged = bytearray(content)
    damaged[last_pixel] ^= 1
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="b.bmp .*CRC"):
        assert len(datasets.load(path, 8)) == 1


def test_a_decompression_bomb_is_left_out(tmp_path, monkeypatch):
    files = {
        "bomb.png": picture_bytes(plain("white", (300, 300))),
        "good.png": picture_bytes(plain(RED)),
    }
    source = write_zip(tmp_path / "a.zip", files)
    assert len(datasets.load(source, 8)) == 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.warns(UserWarning, match="bomb.png .*DecompressionBombError"):
        assert len(datasets.load(source, 8)) == 1


def test_a_format_that_would_start_a_program_is_not_opened(tmp_path):
    postscript = picture_bytes(plain(RED), "EPS")
    folder = write_folder(
        tmp_path,
        {
            "a.eps": postscript,
            "b.png": postscript,
            "c.png": picture_bytes(plain(RED)),
        },
    )
    with pytest.warns(UserWarning, match="read: b.png .Unidentified"):
        assert len(datasets.load(folder, 8)) == 1


# Every kind of picture


def load_one(tmp_path, content, name="a.png", **kwargs):
    write_folder(tmp_path, {name: content})
    (found,) = datasets.load(tmp_path, kwargs.pop("image_size", 8), **kwargs)
    return found


def test_pictures_are_turned_as_their_orientation_says(tmp_path):
    image = plain(RED, (80, 80))
    image.paste(BLUE, (0, 0, 80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    content = picture_bytes(image, "JPEG", quality=95, exif=exif)
    found = load_one(tmp_path, content, "a.jpg")
    assert is_colour(found[:, :3], RED, 4)
    assert is_colour(found[:, 5:], BLUE, 4)


def test_transparency_becomes_white(tmp_path):
    image = plain((*RED, 255), mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    image.paste((0, 0, 0, 128), (0, 4, 8, 6))
    found = load_one(tmp_path, picture_bytes(image))
    assert is_colour(found[:4], (255, 255, 255))
    assert is_colour(found[4:6], (127, 127, 127))
    assert is_colour(found[6:], RED)


def test_a_palette_with_transparency_becomes_white_too(tmp_path):
    image = plain(0, mode="P")
    image.putpalette([*RED, *GREEN])
    image.paste(1, (0, 0, 8, 4))
    found = load_one(tmp_path, picture_bytes(image, transparency=1))
    assert is_colour(found[:4], (255, 255, 255))
    assert is_colour(found[4:], RED)


def test_grey_with_transparency_becomes_white_too(tmp_path):
    image = plain((0, 255), mode="LA")
    image.paste((0, 0), (0, 0, 8, 4))
    found = load_one(tmp_path, picture_bytes(image), channels=1)
    assert (found[:4] == 255).all()
    assert (found[4:] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight(tmp_path, channels):
    values = np.linspace(0, 65535, 64).reshape(8, 8)
    image = Image.fromarray(values.astype("uint16"))
    found = load_one(tmp_path, picture_bytes(image), channels=channels)
    expected = np.repeat(values[..., None] / 257, channels, axis=2)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_the_colours_of_a_printer_become_those_of_a_screen(tmp_path):
    image = plain((0, 255, 255, 0), mode="CMYK")
    found = load_one(tmp_path, picture_bytes(image, "JPEG"), "a.jpg")
    assert is_colour(found, RED, 4)


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    content = picture_bytes(
        plain(RED), "GIF", save_all=True, append_images=[plain(BLUE)]
    )
    assert is_colour(load_one(tmp_path, content, "a.gif"), RED)


def test_black_and_white_becomes_grey(tmp_path):
    image = plain(0, mode="1")
    image.paste(1, (0, 0, 8, 4))
    found = load_one(tmp_path, picture_bytes(image), channels=1)
    assert (found[:4] == 255).all()
    assert (found[4:] == 0).all()


# Sizes


def test_pictures_are_cropped_around_their_centre(tmp_path):
    image = plain(GREEN, (30, 10))
    image.paste(RED, (10, 0, 20, 10))
    middle = load_one(tmp_path, picture_bytes(image), image_size=10)
    np.testing.assert_array_equal(middle, np.asarray(image)[:, 10:20])
    wide = load_one(tmp_path, picture_bytes(image), image_size=(10, 30))
    assert wide.shape == (10, 30, 3)
    np.testing.assert_array_equal(wide, np.asarray(image))
    tall = load_one(tmp_path, picture_bytes(image), image_size=(30, 10))
    assert tall.shape == (30, 10, 3)
    assert is_colour(tall[:, 2:-2], RED, 2)


def test_crop_keeps_a_fraction_around_the_centre(tmp_path):
    image = plain(GREEN, (178, 218))
    image.paste(RED, (35, 55, 143, 163))  # the centred 108 by 108 pixels
    content = picture_bytes(image)
    found = load_one(tmp_path, content, image_size=108, crop=108 / 178)
    assert is_colour(found, RED)
    array = np.asarray(image.resize((108, 108)))
    assert not is_colour(datasets.load(array[None], 108), RED)
    assert is_colour(datasets.load(array[None], 108, crop=0.4), RED)
    more = load_one(tmp_path, content, image_size=108, crop=112 / 178)
    assert is_colour(more[[0, -1]], GREEN, 5)
    assert is_colour(more[:, [0, -1]], GREEN, 5)
    assert is_colour(more[3:-3, 3:-3], RED, 20)


@pytest.mark.parametrize("crop", [1.0, 0.5])
def test_a_large_jpeg_is_reduced_like_a_png(tmp_path, crop):
    detail = Image.fromarray(noise(256, 256, 3))
    image = detail.resize((1024, 1024), Image.Resampling.BICUBIC)
    png, jpeg = (
        load_one(
            tmp_path / format,
            picture_bytes(image, format, **quality),
            f"a.{format}",
            image_size=128,
            crop=crop,
        ).astype(int)
        for format, quality in (
            ("png", {}),
            ("jpeg", {"quality": 100, "subsampling": 0}),
        )
    )
    assert np.abs(png - jpeg).mean() < 3  # 5 if decoded one step smaller


def test_fine_detail_is_averaged_and_not_picked(tmp_path):
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype("uint8")
    found = load_one(tmp_path, picture_bytes(Image.fromarray(board)))
    assert is_colour(found, (128, 128, 128), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 0),
        ("image_size", (8,)),
        ("image_size", (8, 8.5)),
        ("channels", 2),
        ("crop", 0),
        ("crop", 1.1),
        ("split", "test"),
    ],
)
def test_arguments_out_of_range_are_named(name, value):
    arguments = {"image_size": 8, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        datasets.load(np.zeros((1, 8, 8), "uint8"), **arguments)


def test_what_is_too_large_for_memory_lives_in_a_file(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "folder", image_files())
    in_memory = datasets.load(folder, 4)
    assert not isinstance(in_memory, np.memmap)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(loading.tempfile, "tempdir", tmp_path / "temporary")
    monkeypatch.setattr(loading, "_MEMORY_LIMIT", 4 * 4 * 4 * 3 - 1)
    in_file = datasets.load(folder, 4)
    assert isinstance(in_file, np.memmap)
    np.testing.assert_array_equal(in_file, in_memory)
    if sys.platform != "win32":
        assert not list((tmp_path / "temporary").iterdir())


def test_order_and_pixels_do_not_depend_on_the_chunks(tmp_path, monkeypatch):
    files = {
        f"{i:02}.png": picture_bytes(Image.fromarray(noise(8, 8, 3, seed=i)))
        for i in range(20)
    }
    files["05.png"] = b"not an image"
    folder = write_folder(tmp_path, files)
    monkeypatch.setattr(loading, "_CHUNK", 3)
    with pytest.warns(UserWarning, match="1 could not be read: 05.png"):
        found = datasets.load(folder, 8)
    expected = [noise(8, 8, 3, seed=i) for i in range(20) if i != 5]
    np.testing.assert_array_equal(found, expected)


def test_a_progress_bar_is_shown_when_asked_for(tmp_path, capfd):
    folder = write_folder(tmp_path, image_files())
    datasets.load(folder, 4)
    assert "4/4" not in capfd.readouterr().out
    datasets.load(folder, 4, verbose=True)
    assert "4/4" in capfd.readouterr().out


# TFDS


def write_tfds(
    data_dir,
    name="tiny_pictures",
    image="photo",
    mask=None,
    labels=(1,) * 6,
    label_features=("label",),
):
    """Writes a prepared dataset and returns its folder and its images."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder = data_dir / name / "1.0.0"
    folder.mkdir(parents=True)
    features = {
        feature: tfds.features.ClassLabel(num_classes=6)
        for feature in label_features
    }
    features[image] = tfds.features.Image(shape=(None, None, 3))
    if mask:
        features[mask] = tfds.features.Image(shape=(None, None, 1))
    serializer = tfds.features.FeaturesDict(features)
    pixels = noise(6, 8, 8, 3)
    rows = list(zip(pixels, labels, strict=True))
    for shard, half in enumerate((rows[:3], rows[3:])):
        path = folder / f"{name}-train.tfrecord-{shard:05}-of-00002"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for picture, label in half:
                example = dict.fromkeys(label_features, label)
                example[image] = picture
                if mask:
                    example[mask] = picture[..., :1]
                writer.write(serializer.serialize_example(example))
    tfds.folder_dataset.write_metadata(
        data_dir=str(folder), features=features, check_data=False
    )
    return folder, pixels


def test_a_prepared_tfds_dataset_is_read_by_folder_and_by_name(
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


def test_tfds_is_read_whole_and_quietly_by_a_fresh_process(tmp_path):
    folder, _ = write_tfds(tmp_path)
    code = (
        "from gan_blocks import datasets\n"
        f"print(len(datasets.load({str(folder)!r}, 8, strict=True)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["6"]
    assert "FeatureConnector" not in done.stderr


def test_of_several_images_in_tfds_the_one_called_image_is_taken(tmp_path):
    folder, pixels = write_tfds(tmp_path, "masked", image="image", mask="mask")
    np.testing.assert_array_equal(datasets.load(folder, 8), pixels)
    folder, _ = write_tfds(tmp_path, "two", image="photo", mask="mask")
    with pytest.raises(ValueError, match="must have one Image feature.*photo"):
        datasets.load(folder, 8)


def test_tfds_names_that_do_not_exist_are_refused_in_one_line(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="pass a path") as raised:
        datasets.load("tfds:no_such_dataset", 8)
    assert "no_such_dataset not found" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_without_a_network_tfds_fails_soon_and_says_what_to_do(
    tmp_path, monkeypatch, caplog
):
    pytest.importorskip("importlib_resources")

    def no_network(host, *args, **kwargs):
        tried.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    tried = []
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ValueError, match="otherwise pass a path") as raised:
        datasets.load("tfds:mnist", 8)
    assert time.monotonic() - start < 20
    assert 4 <= len(tried) <= 4 * 5  # files, and the times each is tried
    assert not caplog.records
    assert "Connection" in type(raised.value.__cause__).__name__
    assert "\n" not in str(raised.value)


# Labels


def test_labels_of_mnist_files_are_those_beside_the_images(tmp_path):
    train, test = noise(6, 28, 28), noise(4, 28, 28, seed=1)
    labels = {"train": [5, 0, 4, 1, 9, 255], "test": [7, 2, 1, 0]}
    for name, array in {
        "train-images-idx3-ubyte.gz": train,
        "train-labels-idx1-ubyte.gz": np.uint8(labels["train"]),
        "t10k-images-idx3-ubyte.gz": test,
        "t10k-labels-idx1-ubyte.gz": np.uint8(labels["test"]),
    }.items():
        (tmp_path / name).write_bytes(gzip.compress(idx_bytes(array)))
    for split, expected in labels.items():
        for size in (28, 14):
            plain = datasets.load(tmp_path, size, split=split)
            found, of_each = datasets.load(
                tmp_path, size, split=split, labels=True
            )
            np.testing.assert_array_equal(found, plain)
            assert of_each.tolist() == expected
            assert of_each.dtype == np.int32
    (tmp_path / "dots").mkdir()
    single = tmp_path / "dots" / "t10k-images.idx3-ubyte"
    single.write_bytes(idx_bytes(test))
    with pytest.raises(ValueError, match="beside it.*t10k-labels.idx1-ubyte "):
        datasets.load(single, 28, labels=True)
    beside = single.with_name("t10k-labels.idx1-ubyte")
    beside.write_bytes(idx_bytes(np.uint8(labels["test"])))
    _, of_each = datasets.load(single, 28, labels=True)
    assert of_each.tolist() == labels["test"]
    beside.write_bytes(idx_bytes(test))
    with pytest.raises(ValueError, match="idx file of labels.*has rank 3"):
        datasets.load(single, 28, labels=True)


def test_labels_in_an_npz_go_with_the_images_of_the_split(tmp_path):
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


def test_labels_of_folders_count_their_names_and_stay_with_their_images(
    tmp_path,
):
    colours = {"10": RED, "9": GREEN, "blue": BLUE}
    files = {
        f"{name}/{place}.png": picture_bytes(plain(colour))
        for name, colour in colours.items()
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
            assert is_colour(pixels, [None, RED, GREEN, BLUE][label])


@pytest.mark.parametrize(
    "names",
    [["a.png"], ["a/1.png", "a/2.png"], ["a/1.png", "b/1.png", "c.png"]],
)
def test_images_in_no_folder_of_several_have_no_labels(tmp_path, names):
    files = dict.fromkeys(names, picture_bytes(plain(RED)))
    for source in (
        write_folder(tmp_path / "folder", files),
        write_zip(tmp_path / "a.zip", files),
    ):
        assert len(datasets.load(source, 8)) == len(names)
        with pytest.raises(ValueError, match="two or more folders.*png is in"):
            datasets.load(source, 8, labels=True)


def test_labels_of_tfds_are_its_class_labels(tmp_path):
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


def test_tfds_without_one_feature_of_labels_is_refused(tmp_path):
    for name, features in (("none", ()), ("two", ("kind", "colour"))):
        folder, _ = write_tfds(tmp_path, name, label_features=features)
        assert len(datasets.load(folder, 8)) == 6
        with pytest.raises(ValueError, match=f"one ClassLabel.*{name}/.*photo"):
            datasets.load(folder, 8, labels=True)


def test_sources_without_labels_say_which_have_some(tmp_path):
    array = noise(5, 8, 8)
    np.save(tmp_path / "a.npy", array)
    for source in (array, tmp_path / "a.npy"):
        with pytest.raises(ValueError, match="must have labels: MNIST's.*TFDS"):
            datasets.load(source, 8, labels=True)
    np.savez(tmp_path / "a.npz", array)
    with pytest.raises(ValueError, match="y_train or train_labels or labels"):
        datasets.load(tmp_path / "a.npz", 8, labels=True)


UNSUITABLE = [
    np.arange(4),
    np.arange(6),
    np.arange(5.0),
    np.arange(5) - 1,
    np.arange(5) + 2**31,
    np.eye(5, dtype=int),
    np.array(list("abcde")),
]


@pytest.mark.parametrize("labels", UNSUITABLE)
def test_labels_that_do_not_fit_the_images_are_refused(tmp_path, labels):
    path = tmp_path / "a.npz"
    np.savez(path, images=numbered(5), labels=labels)
    refused = "`labels` must be an array of integers from 0, one .* 5 images"
    with pytest.raises(ValueError, match=f"{refused}.*a.npz"):
        datasets.load(path, 4, labels=True)
    with pytest.raises(ValueError, match=refused):
        datasets.batches(numbered(5), 2, labels=labels)


# Batches


def numbered(count, size=4):
    """Images of which each holds nothing but its own number."""
    array = np.zeros((count, size, size, 1), "uint8")
    array += np.arange(count, dtype="uint8").reshape(-1, 1, 1, 1)
    return array


def first(dataset, count):
    return np.stack([np.asarray(batch) for batch in dataset.take(count)])


def seen(dataset, count):
    """The numbers of the images in the first batches."""
    return images.to_uint8(first(dataset, count))[:, :, 0, 0, 0].tolist()


def test_batches_are_floats_from_minus_one_to_one_exactly():
    every_value = np.arange(256, dtype="uint8").reshape(4, 8, 8, 1)
    dataset = datasets.batches(every_value, 4, shuffle=False)
    assert tuple(dataset.element_spec.shape) == (4, 8, 8, 1)
    assert dataset.element_spec.dtype == "float32"
    (batch,) = dataset
    expected = every_value.astype("float32") / np.float32(127.5) - 1
    np.testing.assert_array_equal(batch, expected)
    assert np.min(batch) == -1
    assert np.max(batch) == 1


def test_a_pass_is_an_epoch_without_its_remainder():
    dataset = datasets.batches(numbered(10), 3)
    assert len(dataset) == 3
    epochs = [sum(seen(dataset, 9), []) for _ in range(20)]
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert {number for epoch in epochs for number in epoch} == set(range(10))


def test_without_shuffling_images_come_in_their_order():
    dataset = datasets.batches(numbered(7), 3, shuffle=False, repeat=True)
    assert seen(dataset, 4) == [[0, 1, 2], [3, 4, 5]] * 2


def test_repeating_has_no_end_and_gives_the_epochs_of_the_passes():
    endless = datasets.batches(numbered(10), 3, repeat=True)
    assert int(endless.cardinality()) == -1  # infinite
    passes = datasets.batches(numbered(10), 3)
    assert seen(endless, 6) == seen(passes, 9) + seen(passes, 9)


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        return seen(datasets.batches(numbered(50), 10, seed=seed), 5)

    assert order(3) == order(3)
    assert order(3) != order(4)


RESUMED = """
import numpy as np
from gan_blocks import datasets
images = np.random.default_rng(0).integers(0, 256, (11, 6, 5, 3), "uint8")
dataset = datasets.batches(images, 3, seed=7, repeat=True, skip=4, flip=True)
np.save({path!r}, np.stack([np.asarray(b) for b in dataset.take(6)]))
"""


def test_a_resumed_run_sees_what_was_still_to_come(tmp_path):
    kwargs = {"batch_size": 3, "seed": 7, "repeat": True, "flip": True}
    array = noise(11, 6, 5, 3)
    whole = first(datasets.batches(array, **kwargs), 10)
    for skip in range(10):
        rest = datasets.batches(array, skip=skip, **kwargs)
        np.testing.assert_array_equal(first(rest, 10 - skip), whole[skip:])
    path = str(tmp_path / "rest.npy")
    subprocess.run(
        [sys.executable, "-c", RESUMED.format(path=path)], check=True
    )
    np.testing.assert_array_equal(np.load(path), whole[4:])


def test_skipping_reads_no_images_and_costs_nothing():
    class Counting(np.ndarray):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    read = []
    array = numbered(10).view(Counting)
    dataset = datasets.batches(array, 5, repeat=True, skip=10**15 + 1)
    start = time.monotonic()
    (batch,) = dataset.take(1)
    assert time.monotonic() - start < 2
    assert 1 <= len(read) <= 10  # those that are fetched ahead


def test_flipping_mirrors_about_half_of_the_images_anew_in_each_epoch():
    array = noise(200, 6, 6, 1)
    plain = first(datasets.batches(array, 100), 2)
    dataset = datasets.batches(array, 100, flip=True)
    flipped = first(dataset, 2)
    same = (plain == flipped).all(axis=(2, 3, 4))
    mirrored = (plain[:, :, :, ::-1] == flipped).all(axis=(2, 3, 4))
    assert (same ^ mirrored).all()
    assert 70 < mirrored.sum() < 130
    again = datasets.batches(array, 200, flip=True, shuffle=False)
    assert (first(again, 1) != first(again, 1)).any()
    np.testing.assert_array_equal(array, noise(200, 6, 6, 1))


def test_a_mapped_file_can_be_batched(tmp_path):
    np.save(tmp_path / "a.npy", numbered(10))
    mapped = datasets.load(tmp_path / "a.npy", 4, channels=1)
    assert isinstance(mapped, np.memmap)
    dataset = datasets.batches(mapped, 5, flip=True)
    assert sorted(sum(seen(dataset, 2), [])) == list(range(10))


@pytest.mark.parametrize("kwargs", [{}, {"shuffle": False}, {"flip": True}])
def test_labels_come_with_their_images_and_change_nothing(kwargs):
    array, labels = numbered(22), np.arange(22)[::-1]
    plain = first(datasets.batches(array, 5, repeat=True, **kwargs), 9)
    for skip in (0, 6):
        dataset = datasets.batches(
            array, 5, repeat=True, skip=skip, labels=labels, **kwargs
        )
        found, of_each = zip(*dataset.take(9 - skip), strict=True)
        np.testing.assert_array_equal(np.stack(found), plain[skip:])
        numbers = images.to_uint8(np.stack(found))[:, :, 0, 0, 0]
        np.testing.assert_array_equal(np.stack(of_each), 21 - numbers)
    assert tuple(dataset.element_spec[1].shape) == (5,)
    assert dataset.element_spec[1].dtype == "int32"


def test_passes_with_labels_are_epochs_too():
    dataset = datasets.batches(numbered(10), 3, labels=np.arange(10))
    plain = datasets.batches(numbered(10), 3)
    assert len(dataset) == 3
    for _ in range(2):
        labels = [of_each.numpy().tolist() for _, of_each in dataset]
        assert labels == seen(plain, 3)


def test_labels_in_a_list_are_refused():
    with pytest.raises(ValueError, match="`labels` must be .*type list"):
        datasets.batches(numbered(2), 2, labels=[0, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", np.zeros((10, 4, 4, 1), "float32")),
        ("images", np.zeros((10, 4, 4), "uint8")),
        ("images", [[1, 2]]),
        ("batch_size", 0),
        ("batch_size", 11),
        ("batch_size", 2.0),
        ("seed", -1),
        ("seed", None),
        ("skip", -1),
    ],
)
def test_arguments_of_batches_out_of_range_are_named(name, value):
    arguments = {"images": numbered(10), "batch_size": 2, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        datasets.batches(**arguments)


def test_skip_without_repeat_is_refused():
    with pytest.raises(ValueError, match="`skip` needs `repeat=True`"):
        datasets.batches(numbered(10), 2, skip=1)


class Recorder(keras.Model):
    """Counts how often it has been given each image, and in what order."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="zeros")
        self.step = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False
        )
        self.seen = self.add_weight(
            shape=(8, 5), initializer="zeros", trainable=False
        )

    def compute_loss(self, x, y, y_pred, *args, **kwargs):
        return keras.ops.sum(y_pred) * self.scale

    def call(self, x):
        numbers = keras.ops.round((x[:, 0, 0, 0] + 1) * 127.5)
        row = keras.ops.one_hot(self.step, 8)[:, None] * numbers[None]
        self.seen.assign_add(row)
        self.step.assign_add(1)
        return x


@pytest.mark.every_backend
@pytest.mark.parametrize("skip", [0, 3])
def test_fit_takes_exactly_the_batches_in_their_order(skip):
    dataset = datasets.batches(numbered(22), 5, repeat=True, skip=skip)
    model = Recorder()
    model.built = True
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    model.fit(dataset, epochs=2, steps_per_epoch=4, shuffle=False, verbose=0)
    found = keras.ops.convert_to_numpy(model.seen).astype(int).tolist()
    assert found == seen(dataset, 8)


@pytest.mark.every_backend
def test_fit_knows_how_long_an_epoch_is():
    model = Recorder()
    model.built = True
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    model.fit(
        datasets.batches(numbered(22), 5), epochs=2, shuffle=False, verbose=0
    )
    found = keras.ops.convert_to_numpy(model.seen).astype(int)
    assert keras.ops.convert_to_numpy(model.step) == 8
    for epoch in (found[:4], found[4:]):
        assert len(set(epoch.ravel().tolist())) == 20
    assert (found[:4] != found[4:]).any()


class Pairs(Recorder):
    """Records the labels and not the images."""

    def compute_loss(self, x, y, y_pred, *args, **kwargs):
        row = keras.ops.one_hot(self.step - 1, 8)[:, None]
        self.seen.assign_add(row * keras.ops.cast(y, "float32")[None])
        return super().compute_loss(x, y, y_pred)

    def call(self, x):
        self.step.assign_add(1)
        return x


@pytest.mark.every_backend
def test_fit_takes_labels_with_the_images():
    model = Pairs()
    model.built = True
    model.compile(optimizer=keras.optimizers.SGD(0.0))
    dataset = datasets.batches(
        numbered(22), 5, repeat=True, labels=np.arange(22)
    )
    model.fit(dataset, steps_per_epoch=8, shuffle=False, verbose=0)
    found = keras.ops.convert_to_numpy(model.seen).astype(int).tolist()
    assert found == seen(datasets.batches(numbered(22), 5, repeat=True), 8)
