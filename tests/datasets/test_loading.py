import sys

import numpy as np
import pytest
from PIL import Image
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
)

from gan_blocks import datasets
from gan_blocks.datasets import loading, stacking


def load_one(tmp_path, content, name="a.png", **kwargs):
    write_folder(tmp_path, {name: content})
    (found,) = datasets.load(tmp_path, kwargs.pop("image_size", 8), **kwargs)
    return found


# Pixel formats


def test_exif_orientation_is_applied(tmp_path):
    image = plain(RED, (80, 80))
    image.paste(BLUE, (0, 0, 80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # Rotate by 90 degrees clockwise.
    content = encode(image, "JPEG", quality=95, exif=exif)
    found = load_one(tmp_path, content, "a.jpg")
    assert is_color(found[:, :3], RED, 4)
    assert is_color(found[:, 5:], BLUE, 4)


def test_transparent_pixels_become_white(tmp_path):
    image = plain((*RED, 255), mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    image.paste((0, 0, 0, 128), (0, 4, 8, 6))
    found = load_one(tmp_path, encode(image))
    assert is_color(found[:4], (255, 255, 255))
    assert is_color(found[4:6], (127, 127, 127))
    assert is_color(found[6:], RED)


@pytest.mark.parametrize(
    ("mode", "black", "white"),
    [("1", 0, 1), ("LA", (0, 255), (0, 0))],
    ids=["1 bit", "transparent gray"],
)
def test_black_and_white_are_kept(mode, black, white, tmp_path):
    image = plain(black, mode=mode)
    image.paste(white, (0, 0, 8, 4))
    found = load_one(tmp_path, encode(image), channels=1)
    assert (found[:4] == 255).all()
    assert (found[4:] == 0).all()


def test_transparent_colors_of_a_palette_become_white(tmp_path):
    image = plain(0, mode="P")
    image.putpalette([*RED, *GREEN])
    image.paste(1, (0, 0, 8, 4))
    found = load_one(tmp_path, encode(image, transparency=1))
    assert is_color(found[:4], (255, 255, 255))
    assert is_color(found[4:], RED)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_to_8_bits(tmp_path, channels):
    values = np.linspace(0, 65535, 64).reshape(8, 8)
    image = Image.fromarray(values.astype("uint16"))
    found = load_one(tmp_path, encode(image), channels=channels)
    expected = np.repeat(values[..., None] / 257, channels, axis=2)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_cmyk_is_converted_to_rgb(tmp_path):
    image = plain((0, 255, 255, 0), mode="CMYK")
    found = load_one(tmp_path, encode(image, "JPEG"), "a.jpg")
    assert is_color(found, RED, 4)


# Sizes


def test_images_are_cropped_around_their_center(tmp_path):
    image = plain(GREEN, (30, 10))
    image.paste(RED, (10, 0, 20, 10))
    middle = load_one(tmp_path, encode(image), image_size=10)
    np.testing.assert_array_equal(middle, np.asarray(image)[:, 10:20])
    wide = load_one(tmp_path, encode(image), image_size=(10, 30))
    assert wide.shape == (10, 30, 3)
    np.testing.assert_array_equal(wide, np.asarray(image))
    tall = load_one(tmp_path, encode(image), image_size=(30, 10))
    assert tall.shape == (30, 10, 3)
    assert is_color(tall[:, 2:-2], RED, 2)


@pytest.mark.parametrize(("size", "side"), [(28, 225), (100, 109), (224, 450)])
def test_squares_of_every_size_are_read(size, side):
    # In floats, 225 / 28 * 28 is more than 225.
    pixels = np.full((1, side, side, 3), RED, "uint8")
    assert is_color(datasets.load(pixels, size)[0], RED)


def test_crop_keeps_a_fraction_around_the_center(tmp_path):
    image = plain(GREEN, (178, 218))
    image.paste(RED, (35, 55, 143, 163))  # the centered 108 by 108 pixels
    content = encode(image)
    found = load_one(tmp_path, content, image_size=108, crop=108 / 178)
    assert is_color(found, RED)
    array = np.asarray(image.resize((108, 108)))
    assert not is_color(datasets.load(array[None], 108), RED)
    assert is_color(datasets.load(array[None], 108, crop=0.4), RED)
    more = load_one(tmp_path, content, image_size=108, crop=112 / 178)
    assert is_color(more[[0, -1]], GREEN, 5)
    assert is_color(more[:, [0, -1]], GREEN, 5)
    assert is_color(more[3:-3, 3:-3], RED, 20)


@pytest.mark.parametrize("crop", [1.0, 0.5])
def test_a_large_jpeg_is_resized_like_a_png(tmp_path, crop):
    detail = Image.fromarray(noise(256, 256, 3))
    image = detail.resize((1024, 1024), Image.Resampling.BICUBIC)
    jpeg = encode(image, "JPEG", quality=100, subsampling=0)
    write_folder(tmp_path, {"a.png": encode(image), "b.jpg": jpeg})
    png, jpeg = datasets.load(tmp_path, 128, crop=crop).astype(int)
    # The difference is 5 if the JPEG is decoded at a smaller size.
    assert np.abs(png - jpeg).mean() < 3


def test_fine_detail_is_averaged(tmp_path):
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype("uint8")
    with pytest.warns(UserWarning, match="images look gray"):
        found = load_one(tmp_path, encode(Image.fromarray(board)))
    assert is_color(found, (128, 128, 128), 1)


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
def test_invalid_arguments_are_named(name, value):
    arguments = {"image_size": 8, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        datasets.load(np.zeros((1, 8, 8), "uint8"), **arguments)


def test_arrays_above_the_memory_limit_are_stored_in_a_file(
    tmp_path, monkeypatch
):
    folder = write_folder(tmp_path / "folder", image_files())
    in_memory = datasets.load(folder, 4)
    assert not isinstance(in_memory, np.memmap)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(stacking.tempfile, "tempdir", tmp_path / "temporary")
    monkeypatch.setattr(stacking, "_MEMORY_LIMIT", 4 * 4 * 4 * 3 - 1)
    in_file = datasets.load(folder, 4)
    assert isinstance(in_file, np.memmap)
    np.testing.assert_array_equal(in_file, in_memory)
    if sys.platform != "win32":
        assert not list((tmp_path / "temporary").iterdir())


def test_the_order_does_not_depend_on_the_chunk_size(tmp_path, monkeypatch):
    files = {
        f"{i:02}.png": encode(Image.fromarray(noise(8, 8, 3, seed=i)))
        for i in range(20)
    }
    files["05.png"] = b"not an image"
    folder = write_folder(tmp_path, files)
    monkeypatch.setattr(loading, "_CHUNK", 3)
    with pytest.warns(UserWarning, match="1 could not be read: 05.png"):
        found = datasets.load(folder, 8)
    expected = [noise(8, 8, 3, seed=i) for i in range(20) if i != 5]
    np.testing.assert_array_equal(found, expected)


def test_a_progress_bar_is_shown_on_request(tmp_path, capfd):
    folder = write_folder(tmp_path, image_files())
    datasets.load(folder, 4)
    assert "4/4" not in capfd.readouterr().out
    datasets.load(folder, 4, verbose=True)
    assert "4/4" in capfd.readouterr().out
