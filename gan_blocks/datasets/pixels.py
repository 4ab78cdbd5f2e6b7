"""Turns an opened image into pixels of the requested size and channels."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from gan_blocks.datasets import profiles, ranges, transparency

Opener: TypeAlias = Callable[[], AbstractContextManager[Image.Image]]
_SEARCH_LIMIT = 2**28  # pixels of blank frames
_BAD_PAGES = 100  # A file with more of them is read as one page.
_RESAMPLES = {
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
_LUMINANCE = np.array([[0.299], [0.587], [0.114]], np.float32)
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_BITS_PER_SAMPLE, _PLANAR_CONFIGURATION, _EXTRA_SAMPLES = 258, 284, 338

# Satellite images are often stored as bands without a color space, which Pillow
# does not open.
for _order, _byte in ((b"II", "L"), (b"MM", "B")):
    for _mode in ("RGB", "RGBA"):
        for _bits, _raw in ((8, _mode), (16, f"{_mode};16{_byte}")):
            _bands = len(_mode)
            _key = (_order, 1, (1,), 1, (_bits,) * _bands, (0,) * (_bands - 1))
            TiffImagePlugin.OPEN_INFO.setdefault(_key, (_mode, _raw))


@dataclasses.dataclass(frozen=True)
class Target:
    """The size and the kind of the images that `load` returns.

    The attributes are the arguments of `load`.
    """

    height: int
    width: int
    channels: int
    crop: str | float
    resample: str
    alpha: str
    min_size: int | None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


@dataclasses.dataclass
class Pixels:
    """The pixels of one image.

    Attributes:
        format: File format, or None.
        mode: Color mode of the file.
        size: Width and height of the upright image in the file.
        frames: Number of pages or frames of the file.
        array: Array of shape `(height, width, channels)`: uint8, or float32 if
            the image has more than 8 bits. Infinity stands for opaque.
        range: Lowest and highest value in the file, if `array` is float32.
        integers: If False, the file has floats.
        is_cut: If True, only the higher 8 of 16 bits were read.
        is_binary: If True, the file has only the values 0 and 1, which became
            0 and 255.
        alpha: Kind of the fourth channel, see `transparency.classify`.
        layers: The colors and the alpha of an image whose `array` is on white:
            uint8 array of shape `(height, width, channels + 1)`.
        hardly_visible: For each of `transparency.GROUNDS` if the image is
            hardly visible on it, if there are `layers`.
    """

    format: str | None
    mode: str
    size: tuple[int, int]
    frames: int = 1
    array: np.ndarray = dataclasses.field(init=False)
    range: tuple[float, float] | None = None
    integers: bool = True
    is_cut: bool = False
    is_binary: bool = False
    alpha: str = "opaque"
    layers: np.ndarray | None = None
    hardly_visible: list[bool] = dataclasses.field(default_factory=list)


class TooSmall(ValueError):
    """An image is smaller than `min_size`."""


def draft(image: Image.Image, mode: str, size: tuple[int, int]) -> Any:
    """Makes a JPEG decode to 1/2, 1/4 or 1/8 of its size, if that is enough.

    Returns what `PIL.Image.Image.draft` returns.
    """
    # A color profile applies to the colors of the file.
    keep_mode = profiles.has_other_colors(image)
    return image.draft(None if keep_mode else mode, size)


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts any image to 8-bit sRGB colors on a white ground."""
    if _is_deep_gray(image):
        values = np.asarray(image, np.float32)
        scale = ranges.find_scale(*_finite_range(values), image.mode != "F")
        image = Image.fromarray(scale.apply(values))
    image = profiles.to_srgb(image)
    if image.has_transparency_data:
        image, _ = _separate_alpha(image)
    if image.mode == "RGBA":
        image = transparency.put_on(image, "white")
    return image.convert("RGB")


def read(opener: Opener, target: Target) -> Pixels:
    """Decodes, crops and resizes an image."""
    with opener() as image:
        if target.min_size and min(image.size) < target.min_size:
            raise TooSmall(f"{image.width} x {image.height} pixels")
        pixels = Pixels(image.format, image.mode, image.size)
        crop = 1 if isinstance(target.crop, str) else target.crop
        side = math.ceil(2 * max(target.height, target.width) / crop)
        draft(image, "L" if target.channels == 1 else "RGB", (side, side))
        pixels.frames = _choose_frame(image)
        has_16_bits = _has_16_bit_colors(image)
        pixels.is_cut = has_16_bits and _has_compressed_planes(image)
        if image.format == "TIFF" and image.mode in ("RGB", "RGBA"):
            _set_raw_modes(image)
        frame = image.tell()
        stored_size = image.size
        _turn_upright(image)
        if image.size != stored_size:  # It is turned by 90 degrees.
            width, height = pixels.size
            pixels.size = height, width
        if _is_deep_gray(image):
            pixels.integers = image.mode != "F"
            values = np.asarray(image)
            if image.mode.startswith("I;16") and (
                _tags(image).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
            ):
                values = 65535 - values
            _add_values(pixels, values[..., np.newaxis], target)
            return pixels
        values, has_other_colors = None, profiles.has_other_colors(image)
        if has_16_bits and not pixels.is_cut:
            high = np.float32(256) * np.asarray(image)
            values = high + _read_low_bytes(opener, frame)
        image = profiles.to_srgb(image)
        if image.mode == "LAB":  # Pillow converts it to RGB only.
            image = image.convert("RGB")
        if image.has_transparency_data:
            image, pixels.alpha = _separate_alpha(image, values)
        drop = target.alpha == "drop" or (
            target.alpha == "auto" and pixels.alpha in ("hidden", "data")
        )
        if has_16_bits:
            pixels.mode += ";16"
        # A color profile and transparency refer to the whole range of 16 bits.
        if (
            values is not None
            and not has_other_colors
            and (drop or target.channels == 4 or pixels.alpha == "opaque")
        ):
            keep = target.channels == 4 and pixels.alpha != "opaque"
            _add_values(pixels, values[..., : 3 + keep], target)
        else:
            _add_bytes(pixels, image, target)
        return pixels


def _choose_frame(image):
    """Selects the first frame that is not blank, and counts the frames."""
    frames = _count_frames(image)
    if frames == 1 or image.format == "MPO":  # Its other images are previews.
        return 1
    limit = _SEARCH_LIMIT // (image.width * image.height)
    for frame in range(min(frames, max(1, limit))):
        with _ignoring_bad_pages(image):
            image.seek(frame)
            if not transparency.is_plain(image):
                break
    else:
        frame = 0
    if image.format == "TIFF":  # `read` changes how the frame is decoded.
        with _ignoring_bad_pages(image):
            image.seek(frame - 1 if frame else 1)
    image.seek(frame)
    return frames


def _count_frames(image):
    for _ in range(_BAD_PAGES):  # Each attempt ends at a bad page, or succeeds.
        with _ignoring_bad_pages(image):
            return getattr(image, "n_frames", 1)
    image.seek(0)
    return 1


@contextlib.contextmanager
def _ignoring_bad_pages(image):
    """Ignores errors of TIFF files, because their pages are independent."""
    try:
        yield
    except Exception as error:  # Damaged files can cause any exception.
        if image.format != "TIFF" or isinstance(error, MemoryError):
            raise


def _turn_upright(image):
    """Turns an image as its EXIF data says."""
    image.load()
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:
        # The EXIF data is damaged. If it has an orientation, Pillow has turned
        # the pixels before it fails to write the rest of the data.
        pass


def _is_deep_gray(image):
    return image.mode.startswith(("I", "F"))


def _tags(image):
    return getattr(image, "tag_v2", {})


def _has_16_bit_colors(image):
    bits = _tags(image).get(_BITS_PER_SAMPLE, ())
    return (
        image.mode in ("RGB", "RGBA")
        and bool(getattr(image, "tile", None))  # not an array
        and (bits[:1] == (16,) or ";16" in str(image.tile[0].args))
    )


def _has_compressed_planes(image):
    is_planar = _tags(image).get(_PLANAR_CONFIGURATION) == 2
    return is_planar and image.tile[0].codec_name == "libtiff"


def _set_raw_modes(image, low=False):
    """Makes a file decode all of its bands, and to the low bytes if requested.

    Pillow ignores some fourth bands of TIFF files, and keeps the high bytes of
    colors with 16 bits.
    """
    tags = _tags(image)
    native = "BL"[sys.byteorder == "little"]
    for index, tile in enumerate(image.tile):
        is_text = isinstance(tile.args, str)
        raw, *options = [tile.args] if is_text else tile.args
        name, _, depth = raw.partition(";")
        if tags and len(name) < 2 and 16 in tags[_BITS_PER_SAMPLE]:
            # One tile per band: Pillow takes the bytes for bands of 8 bits.
            depth = "16L" if tags.prefix == b"II" else "16B"
        if tags and name in ("RGBX", "RGBa", "", "a"):
            image._mode = "RGBA"
            name = "RGBA" if len(name) == 4 else "A"
        if low:
            order = depth[-1].replace("N", native)
            depth = f"16{'L' if order == 'B' else 'B'}"
        raw = f"{name};{depth}" if depth else name
        args = raw if is_text else (raw, *options)
        image.tile[index] = tile._replace(args=args)


def _read_low_bytes(opener, frame):
    with opener() as image:
        image.seek(frame)
        if image.tile[0].args == "LA;16B":  # There is no such mode for "16L".
            image.tile = [image.tile[0]._replace(args="RGBA")]
            return np.asarray(image)[..., [1, 1, 1, 3]]
        _set_raw_modes(image, low=True)
        _turn_upright(image)
        return np.asarray(image)


def _separate_alpha(image, values=None):
    """Returns an image and the kind of its alpha.

    The image has the mode RGBA, or RGB if it is opaque. `values` are its pixels
    with 16 bits.
    """
    if image.mode != "RGBA":  # Otherwise `convert` copies the image.
        image = image.convert("RGBA")
    kind = transparency.classify(image, values)
    if kind == "opaque":
        image = image.convert("RGB")
    elif kind == "transparent" and _tags(image).get(_EXTRA_SAMPLES) == (1,):
        # The colors in the file are multiplied by the alpha.
        image = _divide_by_alpha(np.asarray(image))
    return image, kind


def _divide_by_alpha(array):
    """Returns an RGBA image, from colors that are multiplied by the alpha."""
    size = array.shape[1::-1]
    return Image.frombytes("RGBa", size, array.tobytes()).convert("RGBA")


def _finite_range(values):
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("pixels are NaN or infinite")
    return low, high


def _add_values(pixels, values, target):
    """Adds the pixels of an image with more than 8 bits."""
    pixels.range = _finite_range(values)
    bands = [
        Image.fromarray(np.ascontiguousarray(band, np.float32))
        for band in np.moveaxis(values, -1, 0)
    ]
    array = _resize(bands, target)
    bands = array.shape[2]
    if target.channels == 1 and bands > 1:
        array = array[..., :3] @ _LUMINANCE
    elif target.channels > 1 and bands == 1:
        array = array.repeat(3, axis=2)
    if array.shape[2] < target.channels:
        array = np.pad(array, ((0, 0), (0, 0), (0, 1)), constant_values=np.inf)
    pixels.array = array


def _add_bytes(pixels, image, target):
    """Adds the pixels of an image with 8 bits, in the mode RGBA or others."""
    mode = "L" if target.channels == 1 else "RGB"
    has_alpha = image.mode == "RGBA"
    if target.channels == 4 and pixels.alpha == "transparent":
        # Invisible pixels have any color, which must not blend into others.
        array = _resize([image.convert("RGBa")], target)
        pixels.array = np.asarray(_divide_by_alpha(array))
        return
    flat, alpha = image, []
    if target.channels == 4:
        opaque = Image.new("L", image.size, 255)
        alpha = [image.getchannel("A") if has_alpha else opaque]
    elif has_alpha and target.alpha != "drop":
        ground = "white" if target.alpha == "auto" else target.alpha
        flat = transparency.put_on(image, ground)
    flat = flat.convert(mode)
    pixels.array = _resize([flat, *alpha], target)
    if has_alpha and not alpha and target.alpha == "auto":
        layers = [image.convert("RGB").convert(mode), image.getchannel("A")]
        pixels.layers = _resize(layers, target)
        pixels.hardly_visible = transparency.is_hardly_visible(
            pixels.array, pixels.layers[..., -1:]
        )
    elif pixels.array.item(0) <= 1 and pixels.array[..., :3].max() <= 1:
        extrema: Any = flat.getextrema()
        pixels.is_binary = np.max(extrema) == 1
        if pixels.is_binary:
            flat = flat.point(lambda x: 255 * x)
            pixels.array = _resize([flat, *alpha], target)


def _resize(images, target):
    """Crops and resizes images of equal size, and stacks their channels."""
    width, height = images[0].size
    size, box = (target.width, target.height), None
    if target.crop == "pad":
        scale = max(width / target.width, height / target.height)
        size = max(1, round(width / scale)), max(1, round(height / scale))
    else:
        scale = min(width / target.width, height / target.height)
        if not isinstance(target.crop, str):
            scale *= target.crop
        # Rounding can make the sides of the box a little too long.
        left = max(0.0, (width - scale * target.width) / 2)
        top = max(0.0, (height - scale * target.height) / 2)
        box = (left, top, width - left, height - top)
        if target.crop == "top":
            box = (left, 0, width - left, height - 2 * top)
    arrays = [
        np.asarray(
            image.resize(size, _RESAMPLES[target.resample], box, 3.0)
        ).reshape(size[1], size[0], -1)
        for image in images
    ]
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=2)
    return _pad(array, target) if target.crop == "pad" else array


def _pad(array, target):
    """Adds a border in the median color of the outermost pixels."""
    height, width, channels = array.shape
    edges = [array[0], array[-1], array[:, 0], array[:, -1]]
    border = np.median(np.concatenate(edges), axis=0)
    padded = np.empty((target.height, target.width, channels), array.dtype)
    padded[:] = border
    top = (target.height - height) // 2
    left = (target.width - width) // 2
    padded[top : top + height, left : left + width] = array
    return padded
