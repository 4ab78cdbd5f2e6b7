"""The pixels of images of unusual depth, transparency, colors and shape."""

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter
from support.deep_files import png, tiff
from support.image_sources import (
    BLUE,
    GREEN,
    RED,
    encode,
    is_color,
    noise,
    plain,
    write_folder,
)

from gan_blocks import datasets
from gan_blocks.datasets import pixels, stacking


def load(tmp_path, contents, size=8, **options):
    """Loads images, and returns them with their report."""
    folder = tmp_path / f"set {len(list(tmp_path.iterdir()))}"
    files = {f"{i:02}.png": content for i, content in enumerate(contents)}
    write_folder(folder, files)
    return datasets.load(folder, size, verbose=True, report=True, **options)


# More than 8 bits


def values(low, high, *channels, dtype="uint16", seed=0):
    """Returns 8 by 8 pixels with values from `low` to `high`, both included."""
    array = np.random.default_rng(seed).uniform(low, high, (8, 8, *channels))
    array[0, 0], array[-1, -1] = low, high
    return array.astype(dtype)


def two(low, high, *channels, dtype="uint16"):
    """Returns two images: only the second one has high values."""
    middle = (low + high) / 2
    return [
        values(low, middle, *channels, dtype=dtype, seed=1),
        values(low, high, *channels, dtype=dtype, seed=2),
    ]


def opaque(images):
    return [
        np.concatenate([x, np.full((8, 8, 1), 65535, "uint16")], axis=2)
        for x in images
    ]


CT, SATELLITE = two(8, 4095, 1), two(200, 1570, 3)
# Files, and their pixels.
DEEP = {
    "gray PNG": ([png(x) for x in CT], CT),
    "gray PNG with alpha": ([png(x) for x in opaque(CT)], CT),
    "color PNG": ([png(x) for x in SATELLITE], SATELLITE),
    "color PNG with alpha": ([png(x) for x in opaque(SATELLITE)], SATELLITE),
    "gray PGM": (
        [encode(Image.fromarray(x[..., 0]), "PPM") for x in CT],
        CT,
    ),
    "gray JPEG 2000": (
        [encode(Image.fromarray(x[..., 0]), "JPEG2000") for x in CT],
        CT,
    ),
    **{
        f"{name} {order}": ([tiff(x, order=order) for x in images], images)
        for order in "<>"
        for name, images in {
            "gray TIFF": CT,
            "signed TIFF": two(-1024, 3071, 1, dtype="int16"),
            "32-bit TIFF": two(-5, 99999, 1, dtype="int32"),
            "float TIFF": two(-2.5, 70.25, 1, dtype="float32"),
            "color TIFF": SATELLITE,
        }.items()
    },
    **{
        f"color TIFF {options}": (
            [tiff(x, **options) for x in SATELLITE],
            SATELLITE,
        )
        for options in (
            {"deflate": True},
            {"deflate": True, "order": ">"},
            {"planar": True},
            {"planar": True, "order": ">"},
            {"photometric": 1, "extra": (0, 0)},
        )
    },
}


def scaled(images):
    images = np.array(images, "float64")
    low, high = images.min(), images.max()
    return (images - low) / (high - low) * 255


@pytest.mark.parametrize("kind", DEEP)
def test_more_than_8_bits_are_scaled_by_the_range_of_the_set(kind, tmp_path):
    contents, images = DEEP[kind]
    found, report = load(tmp_path, contents)
    expected = np.broadcast_to(scaled(images), (2, 8, 8, 3))
    np.testing.assert_allclose(found, expected, atol=0.51)
    if "JPEG" in kind:
        return
    (note,) = report.notes
    low, high = np.min(images), np.max(images)
    assert f"Values from {low:,} to {high:,} became 0 to 255" in note
    assert not report.warning()
    gray, _ = load(tmp_path, contents, channels=1)
    expected = expected @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(gray[..., 0], expected, atol=0.51)


def test_deep_images_are_cropped_and_resized_like_others(tmp_path):
    array = np.asarray(Image.fromarray(noise(9, 7, 3)).resize((60, 40)))
    (ordinary,), _ = load(tmp_path, [encode(Image.fromarray(array))])
    (deep,), _ = load(tmp_path, [png(array.astype("uint16") * 16)])
    low, high = array.min() / 255, array.max() / 255
    expected = ordinary / 255 - low
    np.testing.assert_allclose(
        deep, np.clip(expected / (high - low), 0, 1) * 255, atol=2
    )


def test_the_pixels_of_an_8_bit_image_do_not_depend_on_deep_images(tmp_path):
    ordinary = noise(8, 8, 3)
    contents = [png(values(0, 4095, 1)), encode(Image.fromarray(ordinary))]
    found, report = load(tmp_path, contents)
    np.testing.assert_array_equal(found[1], ordinary)
    assert found[0].max() == 255
    assert "(images with more than 8 bits: 1)" in report.notes[0]


def test_deep_images_within_8_bits_keep_their_values(tmp_path):
    array = values(0, 255, 1)
    (found,), report = load(tmp_path, [png(array)], channels=1)
    np.testing.assert_array_equal(found, array)
    assert not report.notes


def test_floats_from_0_to_1_become_0_to_255(tmp_path):
    array = values(0, 1, 1, dtype="float32")
    (found,), report = load(tmp_path, [tiff(array)], channels=1)
    np.testing.assert_allclose(found, array * 255, atol=0.51)
    assert not report.notes


def test_16_bit_colors_with_a_profile_are_converted_to_srgb(tmp_path):
    array = values(0, 4095, 3)
    image = Image.fromarray(np.uint8(array >> 8))
    content = encode(image, icc_profile=gamma_profile(1.8))
    (expected,), _ = load(tmp_path, [content])
    deep = png(array)
    start = content.index(b"iCCP") - 4
    end = content.index(b"IDAT") - 4
    place = deep.index(b"IDAT") - 4
    deep = deep[:place] + content[start:end] + deep[place:]
    (found,), _ = load(tmp_path, [deep])
    np.testing.assert_array_equal(found, expected)


def test_16_bit_colors_with_an_srgb_profile_use_the_whole_range(tmp_path):
    array = values(0, 4095, 3)
    deep = png(array)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    content = encode(plain(RED), icc_profile=profile.tobytes())
    start, end = content.index(b"iCCP") - 4, content.index(b"IDAT") - 4
    place = deep.index(b"IDAT") - 4
    deep = deep[:place] + content[start:end] + deep[place:]
    (found,), _ = load(tmp_path, [deep])
    np.testing.assert_allclose(found, scaled(array), atol=0.51)


def test_compressed_planes_of_16_bits_are_read_with_8_bits(tmp_path):
    array = values(0, 65535, 3)
    content = tiff(array, planar=True, deflate=True)
    (found,), report = load(tmp_path, [content])
    np.testing.assert_array_equal(found, array >> 8)
    assert "Only the higher 8 of 16 bits" in report.warning()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_binary_files_become_black_and_white(dtype, tmp_path):
    arrays = [values(0, 1, 1, dtype=dtype).round() for _ in range(2)]
    found, report = load(tmp_path, [tiff(x) for x in arrays], channels=1)
    np.testing.assert_array_equal(found, np.array(arrays) * 255)
    larger, _ = load(tmp_path, [tiff(x) for x in arrays], 32, channels=1)
    assert ((larger > 64) & (larger < 192)).any()  # Edges are smooth.
    if dtype == "uint8":
        assert "Values 0 and 1 became 0 and 255." in report.notes


def test_dark_images_of_an_ordinary_set_stay_dark(tmp_path):
    dark = values(0, 1, dtype="uint8")
    contents = [encode(Image.fromarray(x)) for x in (dark, noise(8, 8))]
    found, report = load(tmp_path, contents, channels=1)
    np.testing.assert_array_equal(found[0, ..., 0], dark)
    assert not report.notes


def test_masks_of_zeros_and_ones_are_scaled_with_four_channels(tmp_path):
    mask = values(0, 1.99, dtype="uint8")
    content = encode(Image.fromarray(mask))
    (found,), report = load(tmp_path, [content], channels=4)
    assert (found[..., :3] == 255 * mask[..., np.newaxis]).all()
    assert (found[..., 3] == 255).all() and report.notes
    bright = encode(Image.fromarray(noise(8, 8)))
    found, _ = load(tmp_path, [content, bright], channels=4)
    assert (found[0, ..., :3] == mask[..., np.newaxis]).all()
    assert (found[..., 3] == 255).all()


def test_an_opaque_alpha_stays_opaque_beside_zeros_and_ones():
    array = np.full((3, 8, 8, 4), 255, "uint8")
    array[..., :3] = values(0, 1.99, 3, dtype="uint8")
    found = datasets.load(array, 8, channels=4)
    np.testing.assert_array_equal(found[..., :3], 255 * array[..., :3])
    assert (found[..., 3] == 255).all()


# Arrays


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint16", 0, 4095),
        ("int16", -1024, 3071),
        ("uint32", 10, 2**32 - 1),
        ("float16", -2.5, 2.75),
        ("float64", -1e6, -1e6 + 10),
    ],
)
def test_arrays_of_any_range_are_scaled(dtype, low, high, order):
    array = np.stack([values(low, high, 3, dtype="float64")] * 2).astype(dtype)
    array = np.asarray(array, order=order)
    found, report = datasets.load(array, 8, report=True)
    np.testing.assert_allclose(found, scaled(array), atol=0.51)
    assert "became 0 to 255" in str(report)


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [
        (0, 1.0000002, 0, 1),
        (-0.02, 1.03, 0, 1),
        (-1.04, 1.01, -1, 1),
        (-9.5, 263.0, 0, 255),
    ],
)
def test_floats_may_leave_their_range_a_little(low, high, black, white):
    array = values(low, high, dtype="float32")[np.newaxis]
    found, report = datasets.load(array, 8, channels=1, report=True)
    expected = (array - black) / (white - black) * 255
    expected = np.clip(expected, 0, 255)[..., np.newaxis]
    np.testing.assert_allclose(found, expected, atol=0.51)
    assert not report.notes


@pytest.mark.parametrize("size", [8, 16])
def test_uint8_arrays_of_zeros_and_ones_become_black_and_white(size):
    sprites = np.zeros((600, 8, 8), "uint8")
    sprites[300:, 2:6, 2:6] = 1
    found, report = datasets.load(sprites, size, channels=1, report=True)
    assert found.max() == 255 and found[300:].mean() > 60
    assert report.notes == ["Values 0 and 1 became 0 and 255."]
    sprites[-1, 0, 0] = 2
    with pytest.warns(UserWarning, match="look black. Likely causes: class"):
        assert datasets.load(sprites, 8, channels=1).max() == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_refused(bad, tmp_path):
    array = values(0, 1, 1, dtype="float32")
    array[3, 3] = bad
    with pytest.raises(ValueError, match="must hold finite pixels"):
        datasets.load(array[np.newaxis], 8)
    _, report = load(tmp_path, [tiff(array), encode(plain(RED))])
    assert "pixels are NaN or infinite" in report.warning()


# Pages and frames


def drawing(color=RED):
    image = plain("white")
    image.paste(color, (2, 2, 6, 6))
    return image


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "raw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_the_first_frame_that_is_not_blank_is_read(format, options, tmp_path):
    options["save_all"] = True
    frames = [plain("white"), drawing(RED), drawing(BLUE)]
    content = encode(plain("black"), format, append_images=frames, **options)
    (found,), report = load(tmp_path, [content])
    np.testing.assert_array_equal(found, np.asarray(drawing(RED)))
    assert report.frames_left_out == 3
    assert "3 after the first page or frame" in report.warning()


def test_a_deep_page_after_blank_ones_is_read(tmp_path):
    page = values(0, 4095, 3)
    content = tiff(page * 0, page, page[::-1])
    (found,), report = load(tmp_path, [content])
    np.testing.assert_allclose(found, scaled(page), atol=0.51)
    assert report.frames_left_out == 2


@pytest.mark.parametrize("order", "<>")
def test_a_gray_page_of_16_bits_after_a_blank_one_is_read(order, tmp_path):
    page = values(0, 4095, 1)
    content = tiff(page * 0, page, order=order)
    (found,), report = load(tmp_path, [content], channels=1)
    np.testing.assert_allclose(found, scaled(page), atol=0.51)
    assert report.frames_left_out == 1


def test_16_bits_of_which_zero_is_white_are_read(tmp_path):
    page = values(0, 65535, 1)
    content = tiff(65535 - page, photometric=0)
    (found,), _ = load(tmp_path, [content], channels=1)
    np.testing.assert_allclose(found, scaled(page), atol=0.51)


def test_blank_frames_are_a_likely_cause_of_a_black_set(tmp_path):
    content = encode(
        plain("black"), "TIFF", save_all=True, append_images=[plain("black")]
    )
    _, report = load(tmp_path, [content])
    assert "look black" in report.warning()
    assert "first pages or frames are blank" in report.warning()


@pytest.mark.parametrize("order", ["+-", "+--+", "0-+", "0--+-0"])
def test_pages_that_cannot_be_decoded_are_ignored(order, tmp_path):
    image = np.asarray(drawing())
    # Pillow has no mode for colors of 64 bits.
    pages = {"+": image, "0": image * 0, "-": image.astype("float64")}
    content = tiff(*(pages[page] for page in order))
    (found,), report = load(tmp_path, [content])
    np.testing.assert_array_equal(found, image)
    assert "could not be read" not in report.warning()


# Transparency


def icon(color, alpha=255):
    """Returns a square of one color on a transparent ground."""
    image = plain((*BLUE, 0), mode="RGBA")
    image.paste((*color, alpha), (2, 2, 6, 6))
    return image


def shape_of_icons(found, color, ground):
    inside = found[:, 2:6, 2:6]
    return is_color(inside, color) and is_color(found[:, :2], ground)


def test_white_icons_get_a_black_ground(tmp_path):
    contents = [encode(icon((255, 255, 255)))] * 3
    found, report = load(tmp_path, contents)
    assert shape_of_icons(found, (255, 255, 255), (0, 0, 0))
    assert "became black" in report.notes[0]
    gray, _ = load(tmp_path, contents, channels=1)
    assert shape_of_icons(gray, 255, 0)


def test_white_and_black_icons_get_a_gray_ground(tmp_path):
    colors = [(255, 255, 255), (0, 0, 0)] * 2
    found, report = load(tmp_path, [encode(icon(color)) for color in colors])
    assert is_color(found[:, 0], (128, 128, 128))
    assert is_color(found[0, 3:5, 3:5], (255, 255, 255))
    assert is_color(found[1, 3:5, 3:5], (0, 0, 0))


def test_a_few_white_icons_among_many_others_stay_on_white(tmp_path):
    colors = [RED] * 30 + [(255, 255, 255)]
    found, report = load(tmp_path, [encode(icon(color)) for color in colors])
    assert shape_of_icons(found[:-1], RED, (255, 255, 255))
    assert not report.notes


@pytest.mark.parametrize(
    ("alpha", "ground"),
    [
        ("white", (255, 255, 255)),
        ("black", (0, 0, 0)),
        ("gray", (128, 128, 128)),
        ("drop", BLUE),
    ],
)
def test_the_ground_of_transparent_pixels_can_be_chosen(
    alpha, ground, tmp_path
):
    white = encode(icon((255, 255, 255)))
    opaque = encode(plain(RED))
    found, _ = load(tmp_path, [white, opaque], alpha=alpha)
    assert shape_of_icons(found[:1], (255, 255, 255), ground)
    assert is_color(found[1], RED)


def test_palettes_with_transparent_white_get_a_visible_ground(tmp_path):
    image = plain(0, mode="P")
    image.putpalette([255, 255, 255, 255, 255, 255])
    image.paste(1, (2, 2, 6, 6))
    content = encode(image, transparency=0)
    found, _ = load(tmp_path, [content, encode(icon((255,) * 3).convert("LA"))])
    assert shape_of_icons(found, (255, 255, 255), (0, 0, 0))


def test_an_alpha_that_hides_whole_images_is_ignored(tmp_path):
    photo = Image.fromarray(noise(8, 8, 3))
    photo.putalpha(0)
    found, report = load(tmp_path, [encode(photo)] * 2)
    np.testing.assert_array_equal(found[0], np.asarray(photo)[..., :3])
    assert "hides whole images" in report.warning()
    blank = encode(icon(RED, 0))
    found, report = load(tmp_path, [encode(icon(RED)), blank])
    assert is_color(found[0, 3:5, 3:5], RED)


# Four channels


def bands(low, high, dtype):
    array = np.stack(
        [
            np.asarray(
                Image.fromarray(noise(4, 4, seed=i)).resize((8, 8)), "float32"
            )
            for i in range(4)
        ],
        axis=-1,
    )
    array -= array.min()
    return (low + array / array.max() * (high - low)).round().astype(dtype)


INFRARED_8, INFRARED_16 = bands(20, 230, "uint8"), bands(200, 1570, "uint16")
FOUR = {
    "8-bit PNG": (encode(Image.fromarray(INFRARED_8)), INFRARED_8),
    "16-bit PNG": (png(INFRARED_16), INFRARED_16),
    **{
        f"{array.dtype} TIFF {options}": (tiff(array, **options), array)
        for array in (INFRARED_8, INFRARED_16)
        for options in (
            {},
            {"extra": (0,)},
            {"extra": (1,)},
            {"extra": (2,)},
            {"extra": (2,), "deflate": True, "order": ">"},
            {"extra": (1,), "deflate": True},
            {"extra": (0, 0, 0), "photometric": 1},
        )
    },
    "8-bit array": (INFRARED_8[None], INFRARED_8),
    "16-bit array": (INFRARED_16[None], INFRARED_16),
}


@pytest.mark.parametrize("kind", FOUR)
def test_four_channels_are_kept_or_the_fourth_is_dropped(kind, tmp_path):
    source, array = FOUR[kind]

    def load_four(**options):
        if isinstance(source, np.ndarray):
            return datasets.load(
                source, 8, report=True, verbose=True, **options
            )
        return load(tmp_path, [source], **options)

    found, _ = load_four(channels=4)
    is_deep = array.dtype == np.uint16
    expected = scaled(array) if is_deep else array
    np.testing.assert_allclose(found[0], expected, atol=0.51)
    found, report = load_four()
    if is_deep and not isinstance(source, np.ndarray):
        expected = scaled(array[..., :3])
    np.testing.assert_allclose(found[0], expected[..., :3], atol=0.51)
    assert "looks like picture data" in report.warning()
    assert "channels=4" in report.warning()


@pytest.mark.parametrize("kind", ["low bits", "saturated", "holes"])
def test_infrared_and_depth_of_unusual_ranges_are_data(kind, tmp_path):
    array = noise(32, 32, 4)
    if kind == "saturated":
        array[:10, :, 3] = 255
    elif kind == "holes":
        array[:10, :, 3] = 0
    else:
        array = array.astype("uint16")
    (found,), report = load(tmp_path, [tiff(array, extra=(0,))], 32)
    np.testing.assert_array_equal(found, array[..., :3])
    assert "looks like picture data" in report.warning()


def test_soft_shadows_are_transparency(tmp_path):
    image = Image.new("RGBA", (64, 64))
    image.paste((0, 0, 0, 255), (16, 16, 48, 48))
    image = image.filter(ImageFilter.GaussianBlur(4))
    (found,), report = load(tmp_path, [encode(image)], 64)
    assert is_color(found[:2], (255, 255, 255)) and not report.warning()


@pytest.mark.parametrize("highest", [16383, 65535])
def test_a_constant_alpha_of_16_bits_is_opaque(highest, tmp_path):
    array = values(0, highest, 4)
    array[..., 3] = 16383
    (found,), report = load(tmp_path, [png(array)])
    expected = scaled(array[..., :3])
    np.testing.assert_allclose(found, expected, atol=0.51)
    assert not report.warning()


def test_images_without_a_fourth_channel_get_an_opaque_one(tmp_path):
    contents = [encode(plain(RED)), png(values(0, 4095, 3)), encode(icon(RED))]
    found, _ = load(tmp_path, contents, channels=4)
    assert is_color(found[0], (*RED, 255))
    assert (found[1, ..., 3] == 255).all() and found[1, ..., :3].max() == 255
    np.testing.assert_array_equal(found[2, ..., 3], icon(RED).getchannel("A"))
    assert is_color(found[2, 2:6, 2:6], (*RED, 255))


@pytest.mark.parametrize("resample", ["lanczos", "nearest"])
def test_the_color_of_invisible_pixels_is_not_read(resample, tmp_path):
    icons = [plain((*color, 0), (30, 30), "RGBA") for color in (GREEN, BLUE)]
    for image in icons:
        image.paste((*RED, 255), (0, 0, 13, 30))
    contents = [encode(image) for image in icons]
    found, report = load(tmp_path, contents, resample=resample, channels=4)
    np.testing.assert_array_equal(found[0], found[1])
    visible = found[..., 3] > 32
    assert is_color(found[visible][:, :3], RED, 4)
    assert not found[found[..., 3] == 0].any()


def test_the_color_of_invisible_pixels_of_an_array_is_not_kept():
    array = noise(3, 8, 8, 4)
    array[:, :4, :, 3] = 0
    found = datasets.load(array, 8, channels=4)
    assert not found[:, :4].any()


def test_black_icons_with_transparency_do_not_look_like_masks(tmp_path):
    contents = [encode(icon((0, 0, 0)))] * 2
    _, report = load(tmp_path, contents, channels=4)
    assert "look black" not in str(report)


def test_colors_multiplied_by_their_alpha_are_restored(tmp_path):
    array = np.zeros((8, 8, 4), "uint8")
    array[:4] = 128, 0, 0, 128
    found, _ = load(tmp_path, [tiff(array, extra=(1,))])
    assert is_color(found[0, :4], (255, 127, 127), 1)
    assert is_color(found[0, 4:], (255, 255, 255))


# Color profiles


def gamma_profile(gamma, kind=b"RGB "):
    """Returns the sRGB profile of Pillow with another gamma."""
    content = bytearray(
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    number = int.from_bytes(content[128:132], "big")
    for start in range(132, 132 + 12 * number, 12):
        if content[start + 1 : start + 4] == b"TRC":
            place = int.from_bytes(content[start + 4 : start + 8], "big")
            curve = b"curv" + bytes(4) + b"\0\0\0\1"
            curve += int(gamma * 256).to_bytes(2, "big")
            content[place : place + len(curve)] = curve
    return bytes(content)


def srgb(values, gamma):
    """Converts values in [0, 1] of a gamma curve to sRGB in [0, 255]."""
    light = values**gamma
    dark = light <= 0.0031308
    curve = np.where(dark, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * curve


def test_a_color_profile_is_converted_to_srgb(tmp_path):
    ramp = np.repeat(np.arange(0, 256, 4, dtype="uint8"), 3).reshape(8, 8, 3)
    for mode in ("RGB", "RGBA", "L", "P"):
        image = Image.fromarray(ramp).convert("L").convert(mode)
        content = encode(image, icc_profile=gamma_profile(1.8))
        found, _ = load(tmp_path, [content])
        np.testing.assert_allclose(found[0], srgb(ramp / 255, 1.8), atol=2)


def gray_profile(gamma):
    """Returns a gray profile: a header and a curve."""
    header = bytearray(gamma_profile(gamma)[:128])
    header[16:20] = b"GRAY"
    white = b"XYZ " + bytes(4)
    white += b"".join(
        round(x * 65536).to_bytes(4, "big") for x in (0.9642, 1, 0.8249)
    )
    curve = b"curv" + bytes(4) + b"\0\0\0\1"
    curve += int(gamma * 256).to_bytes(2, "big") + b"\0\0"
    tags = ((b"wtpt", 156, len(white)), (b"kTRC", 156 + len(white), 14))
    table = (2).to_bytes(4, "big") + b"".join(
        name + place.to_bytes(4, "big") + size.to_bytes(4, "big")
        for name, place, size in tags
    )
    content = header + table + white + curve
    content[:4] = len(content).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_gray_profile_is_converted_to_srgb(mode, tmp_path):
    ramp = np.arange(0, 256, 4, dtype="uint8").reshape(8, 8)
    image = Image.fromarray(ramp).convert(mode)
    content = encode(image, icc_profile=gray_profile(1.8))
    (found,), _ = load(tmp_path, [content])
    expected = srgb(ramp / 255, 1.8)[..., None].repeat(3, axis=2)
    np.testing.assert_allclose(found, expected, atol=2)


def test_a_large_jpeg_with_a_profile_is_resized_like_a_png(tmp_path):
    detail = Image.fromarray(noise(64, 64, 3))
    image = detail.resize((1024, 1024), Image.Resampling.BICUBIC)
    options = {"icc_profile": gamma_profile(1.4)}
    jpeg = encode(image, "JPEG", quality=100, subsampling=0, **options)
    for channels in (1, 3):
        found, _ = load(
            tmp_path, [encode(image, **options), jpeg], 64, channels=channels
        )
        png, other = found.astype(int)
        # The difference is 31 if the profile of one of them is ignored.
        assert np.abs(png - other).mean() < 3


@pytest.mark.parametrize(
    "profile",
    [b"damaged", b"", gamma_profile(1.8)[:300], gray_profile(1.8)],
    ids=["damaged", "empty", "cut off", "gray"],  # A profile has a date.
)
def test_a_profile_that_cannot_be_used_does_no_harm(profile, tmp_path):
    array = noise(8, 8, 3)
    content = encode(Image.fromarray(array), icc_profile=profile)
    (found,), report = load(tmp_path, [content])
    np.testing.assert_array_equal(found, array)
    assert not report.warning()


def test_an_srgb_profile_changes_no_pixel(tmp_path):
    array = noise(8, 8, 3)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    content = encode(Image.fromarray(array), icc_profile=profile.tobytes())
    (found,), _ = load(tmp_path, [content])
    np.testing.assert_array_equal(found, array)


def test_one_image_is_converted_to_srgb_on_white():
    ramp = np.arange(0, 256, 4, dtype="uint8").reshape(8, 8)
    gray = Image.fromarray(ramp.astype("uint16") * 16)
    found = np.asarray(pixels.to_rgb(gray))
    np.testing.assert_allclose(found[..., 0], ramp / 252 * 255, atol=0.51)
    found = np.asarray(pixels.to_rgb(icon(RED)))[np.newaxis]
    assert shape_of_icons(found, RED, (255, 255, 255))
    image = Image.fromarray(ramp).convert("RGB")
    assert (np.asarray(pixels.to_rgb(image))[..., 0] == ramp).all()
    image.info["icc_profile"] = gamma_profile(1.4)
    assert (np.asarray(pixels.to_rgb(image))[2:7] > ramp[2:7, :, None]).all()


# Sizes


def stripes(size):
    """Returns a red image with a green first and a blue last quarter."""
    width, height = size
    image = plain(RED, size)
    image.paste(GREEN, (0, 0, width, height // 4))
    image.paste(BLUE, (0, 3 * height // 4, width, height))
    return image


def test_the_top_of_tall_images_can_be_kept(tmp_path):
    tall, wide = stripes((8, 16)), stripes((16, 8))
    found, _ = load(tmp_path, [encode(tall), encode(wide)], crop="top")
    np.testing.assert_array_equal(found[0], np.asarray(tall)[:8])
    np.testing.assert_array_equal(found[1], np.asarray(wide)[:, 4:12])


def test_whole_images_can_be_kept_with_a_border(tmp_path):
    tall, wide = plain(RED, (4, 8)), plain(RED, (8, 4))
    tall.paste(GREEN, (1, 1, 3, 7))
    wide.paste(GREEN, (1, 0, 7, 3))
    deep = tiff(np.asarray(tall, "uint16") * 16)
    contents = [encode(tall), encode(wide), encode(plain(BLUE, (1, 99))), deep]
    found, _ = load(tmp_path, contents, crop="pad")
    np.testing.assert_array_equal(found[0, :, 2:6], np.asarray(tall))
    assert is_color(found[0, :, [0, 1, 6, 7]], RED)
    np.testing.assert_array_equal(found[1, 2:6], np.asarray(wide))
    assert is_color(found[2], BLUE)
    np.testing.assert_array_equal(found[3], found[0])


def test_images_smaller_than_the_smallest_size_are_left_out(tmp_path):
    sizes = [(8, 8), (7, 99), (99, 7), (1, 1), (9, 9)]
    contents = [encode(stripes(size)) for size in sizes]
    found, report = load(tmp_path, contents, min_size=8)
    assert len(found) == 2 and report.names == ["00.png", "04.png"]
    assert "3 smaller than min_size=8: 01.png (7 x 99 pixels)" in str(report)
    with pytest.raises(ValueError, match="3 smaller than min_size=10"):
        datasets.load(noise(3, 8, 8), 8, min_size=10)


def test_pixel_art_keeps_its_colors_with_nearest(tmp_path):
    image = stripes((8, 8))
    (found,), _ = load(tmp_path, [encode(image)], 32, resample="nearest")
    expected = np.asarray(image).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crop", "left"),
        ("crop", -1),
        ("min_size", 0),
        ("min_size", 1.5),
        ("resample", "bicubic"),
        ("alpha", "red"),
        ("channels", 5),
    ],
)
def test_invalid_options_are_named(name, value):
    with pytest.raises(
        ValueError, match=f"`{name}` must be .*{name}=.?{value}"
    ):
        datasets.load(noise(1, 8, 8), 8, **{name: value})


# The whole set


def test_sets_above_the_memory_limit_are_decided_in_the_same_way(
    tmp_path, monkeypatch
):
    contents = [png(x) for x in SATELLITE]
    contents += [encode(icon((255, 255, 255))), encode(plain(RED))]
    expected, _ = load(tmp_path, contents)
    monkeypatch.setattr(stacking, "_MEMORY_LIMIT", 100)
    found, _ = load(tmp_path, contents)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, expected)


def test_the_report_describes_the_images(tmp_path):
    contents = [encode(stripes((8, 8))), encode(stripes((9, 20)), "JPEG")]
    contents += [contents[0], b"text", contents[0]]
    found, report = load(tmp_path, contents)
    assert len(found) == 4 and report.duplicates == 2
    assert report.names == ["00.png", "01.png", "02.png", "04.png"]
    assert report.formats == {"PNG": 3, "JPEG": 1}
    assert report.modes == {"RGB": 4}
    assert report.sizes == {(8, 8): 3, (9, 20): 1}
    assert "1 could not be read: 03.png" in report.warning()


def test_duplicates_in_arrays_are_counted():
    array = noise(5, 8, 8)
    array[3:] = array[0]
    for size in (8, 4):
        found, report = datasets.load(array, size, channels=1, report=True)
        assert report.duplicates == 2 and len(report.names) == 5
    labels_and_report = datasets.load(array, 8, channels=3, report=True)
    assert len(labels_and_report) == 2


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 3, "look black. Likely causes: class numbers"),
        (110, 120, "look gray. Their contrast is very low"),
        (240, 256, 'look white. .*alpha="black"'),
    ],
)
def test_a_set_with_a_small_part_of_the_range_is_a_warning(low, high, text):
    array = np.random.default_rng(0).integers(low, high, (9, 8, 8), "uint8")
    with pytest.warns(UserWarning, match=f"array of shape .*{text}"):
        datasets.load(array, 8, channels=1)


def test_extreme_values_are_a_likely_cause_of_a_small_range():
    array = np.random.default_rng(0).integers(0, 255, (9, 40, 40)) * 16
    array[0, 0, 0] = 65535
    with pytest.warns(UserWarning, match="a few extreme values"):
        datasets.load(array, 40, channels=1)


def test_a_value_for_missing_data_is_a_likely_cause_of_a_small_range():
    array = np.random.default_rng(0).integers(0, 255, (9, 40, 40))
    array[:, :2] = -9999  # 5% of the pixels
    with pytest.warns(UserWarning, match="look white.*a few extreme values"):
        datasets.load(array, 40, channels=1)


def test_a_set_with_mostly_blank_images_is_a_warning():
    array = noise(10, 8, 8)
    array[:6] = np.arange(6).reshape(6, 1, 1) * 40
    with pytest.warns(UserWarning, match="60% of the images are one color"):
        datasets.load(array, 8, channels=1)
