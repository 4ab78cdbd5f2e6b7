"""Converts images, lays them out in grids, saves PNG files and animations."""

import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gan_blocks import files
from gan_blocks._checks import check_positive_integer
from gan_blocks._types import PathLike

__all__ = ["from_uint8", "grid", "save_animation", "save_png", "to_uint8"]

_CHANNELS = (1, 3, 4)  # Gray, RGB, RGBA.
_MAX_SPEED = 50  # Frames per second. Viewers slow down faster GIFs.
_MAX_HOLD = 60  # Seconds. An animated PNG can store at most 65.


def to_uint8(images: ArrayLike) -> np.ndarray:
    """Converts images from [-1, 1] to [0, 255].

    A generator that ends in tanh returns images in [-1, 1]. Values are rounded
    to the nearest integer and values outside the range are clipped. NaN
    becomes 0, so that the images of a diverged run can still be viewed.

    Args:
        images: Array of floats in [-1, 1], of any shape.

    Returns:
        Array of uint8 with the same shape. -1 becomes 0 and 1 becomes 255.

    Raises:
        ValueError: If `images` holds integers.

    Example:

    ```python
    from gan_blocks import images

    assert images.to_uint8([-1.0, 0.2, 7.0]).tolist() == [0, 153, 255]
    ```
    """
    images = np.asarray(images)
    if images.dtype.kind in "biu":
        raise ValueError(
            "`images` must hold floats in [-1, 1]. "
            f"Received: images of dtype {images.dtype}"
        )
    scaled = np.clip(images, -1, 1).astype("float32")
    scaled = np.nan_to_num(scaled, nan=-1.0)
    return np.rint((scaled + 1) * 127.5).astype("uint8")


def from_uint8(images: ArrayLike) -> np.ndarray:
    """Converts images from [0, 255] to [-1, 1].

    `to_uint8` is the exact inverse.

    Args:
        images: Array of uint8, of any shape.

    Returns:
        Array of float32 with the same shape. 0 becomes -1 and 255 becomes 1.

    Raises:
        ValueError: If `images` is not of dtype uint8.

    Example:

    ```python
    import numpy as np
    from gan_blocks import images

    pixels = np.arange(256, dtype="uint8")
    assert (images.to_uint8(images.from_uint8(pixels)) == pixels).all()
    ```
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            "`images` must be of dtype uint8. "
            f"Received: images of dtype {images.dtype}"
        )
    return images.astype("float32") / np.float32(127.5) - np.float32(1)


def grid(
    images: ArrayLike,
    rows: int | None = None,
    columns: int | None = None,
    scale: int = 1,
) -> Image.Image:
    """Combines images into one image, row by row and without gaps.

    Empty tiles are black, or transparent if the images have four channels.

    Args:
        images: Array of shape `(number, height, width, channels)`, floats in
            [-1, 1] or uint8, with 1 (gray), 3 (RGB) or 4 (RGBA) channels. The
            shape can be `(number, channels, height, width)` if
            `keras.config.image_data_format()` is "channels_first".
        rows: Number of rows. Defaults to the number that the images need.
        columns: Number of columns. Defaults to the number that the images
            need. If `rows` is not given either, the grid is square or has one
            more column than rows.
        scale: Width and height in pixels of each pixel of the images. A scale
            of 2 or 3 makes images of 28 pixels easier to view. Defaults to 1.

    Returns:
        A `PIL.Image.Image`, `rows * height * scale` pixels high and
        `columns * width * scale` pixels wide.

    Raises:
        ValueError: If `images` has another shape, if there are more images
            than tiles, or if `rows`, `columns` or `scale` is not a positive
            integer.

    Example:

    ```python
    import numpy as np
    from gan_blocks import images

    noise = np.random.default_rng(0).uniform(-1, 1, (6, 28, 28, 1))
    assert images.grid(noise, columns=3).size == (84, 56)
    ```
    """
    tiles = np.asarray(images)
    channels_first = keras.config.image_data_format() == "channels_first"
    if channels_first and tiles.ndim == 4 and tiles.shape[1] in _CHANNELS:
        tiles = np.moveaxis(tiles, 1, -1)
    if tiles.ndim != 4 or not tiles.size or tiles.shape[3] not in _CHANNELS:
        raise ValueError(
            "`images` must be a non-empty array of shape (number, height, "
            "width, channels) with 1, 3 or 4 channels. "
            f"Received: images of shape {tiles.shape}"
        )
    for name, value in (("rows", rows), ("columns", columns), ("scale", scale)):
        if value is not None:
            check_positive_integer(name, value)
    if tiles.dtype != np.uint8:
        tiles = to_uint8(tiles)
    number, height, width, channels = tiles.shape
    if columns is None:
        columns = math.ceil(number / rows if rows else math.sqrt(number))
    if rows is None:
        rows = math.ceil(number / columns)
    if number > rows * columns:
        raise ValueError(
            "`rows` times `columns` must be at least the number of images. "
            f"Received: rows={rows}, columns={columns} and {number} images"
        )
    pixels = np.zeros((rows * columns, height, width, channels), "uint8")
    pixels[:number] = tiles
    pixels = pixels.reshape(rows, columns, height, width, channels)
    pixels = pixels.transpose(0, 2, 1, 3, 4)
    pixels = pixels.reshape(rows * height, columns * width, channels)
    if scale > 1:
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def save_png(image: Image.Image | ArrayLike, path: PathLike) -> None:
    """Saves an image as a PNG file.

    The file is written atomically: other processes never see a part of it, and
    a failed write keeps the old file. Missing folders are created.

    Args:
        image: A `PIL.Image.Image`, such as the result of `grid`, or an array
            of shape `(height, width, channels)`, floats in [-1, 1] or uint8,
            with 1 (gray), 3 (RGB) or 4 (RGBA) channels.
        path: File to write. Its name must end in `.png`.

    Raises:
        ValueError: If the name does not end in `.png`, or if the array has
            another shape.

    Example:

    ```python
    import numpy as np
    from gan_blocks import images

    images.save_png(np.zeros((28, 28, 1)), "pictures/gray.png")
    ```
    """
    path = _check_ending(path, ".png")
    if not isinstance(image, Image.Image):
        pixels = np.asarray(image)
        if pixels.ndim != 3:
            raise ValueError(
                "`image` must be a PIL image or an array of shape (height, "
                f"width, channels). Received: image of shape {pixels.shape}"
            )
        image = grid(pixels[np.newaxis])
    with files.atomic_write(path) as temporary:
        image.save(temporary, format="PNG")


def _check_ending(path: PathLike, *endings: str) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix.lower() not in endings:
        raise ValueError(
            f"`path` must end in {' or '.join(map(repr, endings))}. "
            f"Received: path={str(path)!r}"
        )
    return path


def save_animation(
    frames: PathLike | Iterable[PathLike | Image.Image],
    path: PathLike,
    frames_per_second: float = 10,
    hold_last: float = 2.0,
) -> None:
    """Saves an animation that repeats forever.

    Frames can be the grids saved during training, or images along a latent
    path. The file is written atomically, as in `save_png`.

    - WebP is the smallest and fastest format.
    - PNG keeps every pixel.
    - GIF works in every viewer, but has 256 colors per frame. A color frame of
      256 by 256 pixels takes about 0.2 seconds.

    Transparent frames stay transparent. In a GIF, a pixel is either opaque or
    invisible: it becomes invisible if its alpha is below 128.

    All frames are in memory at once: one byte per pixel for a GIF, one byte per
    pixel and channel for the other formats. If a run has saved thousands of
    grids, pass every tenth.

    Args:
        frames: The frames in order, all of the same size: image files or
            `PIL.Image.Image` objects; or a folder, whose `.png` files are
            sorted by the numbers in their names.
        path: File to write. Its name must end in `.gif`, `.webp` or `.png`.
        frames_per_second: Speed, above 0 and at most 50. Defaults to 10.
        hold_last: Extra time in seconds for the last frame, from 0 to 60. Use
            0 if the last frame leads back to the first. Defaults to 2.

    Raises:
        ValueError: If there are no frames, if their sizes differ, or if an
            argument is out of range.
        FileNotFoundError: If a frame does not exist.

    Example:

    ```python
    import numpy as np
    from gan_blocks import images

    noise = np.random.default_rng(0).uniform(-1, 1, (3, 4, 8, 8, 1))
    images.save_animation([images.grid(four) for four in noise], "run.gif")
    ```
    """
    path = _check_ending(path, ".gif", ".webp", ".png")
    if not 0 < frames_per_second <= _MAX_SPEED:
        raise ValueError(
            f"`frames_per_second` must be above 0 and at most {_MAX_SPEED}. "
            f"Received: frames_per_second={frames_per_second}"
        )
    if not 0 <= hold_last <= _MAX_HOLD:
        raise ValueError(
            f"`hold_last` must be from 0 to {_MAX_HOLD} seconds. "
            f"Received: hold_last={hold_last}"
        )
    first, *others = _list_frames(frames, path)
    first = _read_frame(first)
    durations = [round(1000 / frames_per_second)] * (1 + len(others))
    durations[-1] += round(1000 * hold_last)
    with files.atomic_write(path) as temporary:
        _reduce_colors(first, path).save(
            temporary,
            save_all=True,
            append_images=_Frames(first, others, path),
            duration=durations,
            loop=0,
        )


def _list_frames(
    frames: PathLike | Iterable[PathLike | Image.Image], path: pathlib.Path
) -> Sequence[PathLike | Image.Image]:
    if isinstance(frames, str | os.PathLike):
        # An animated PNG may be in the folder of its own frames.
        found = files.list_by_number(frames, "*.png")
        listed = [file for file in found if file.absolute() != path.absolute()]
    else:
        listed = list(frames)
    if not listed:
        raise ValueError(
            "`frames` must have at least one frame: image files, PIL images, "
            f"or a folder of '.png' files. Received: frames={frames!r}"
        )
    return listed


def _read_frame(frame: PathLike | Image.Image) -> Image.Image:
    if not isinstance(frame, Image.Image):
        with Image.open(frame) as image:
            return _read_frame(image)
    if frame.has_transparency_data:
        return frame.convert("RGBA")
    return frame.convert("L" if frame.mode == "L" else "RGB")


def _reduce_colors(frame: Image.Image, path: pathlib.Path) -> Image.Image:
    """Reduces a frame of a GIF to 256 colors; other formats keep all colors.

    Pillow's default (median cut) makes bands on smooth surfaces and drops small
    patches of color, such as eyes. K-means corrects both. It stops when fewer
    pixels than `kmeans` change their color.
    """
    if path.suffix.lower() != ".gif" or frame.mode == "L":
        return frame
    rarely = frame.width * frame.height // 20
    if frame.mode != "RGBA":
        return frame.quantize(kmeans=rarely)
    hidden = frame.getchannel("A").point([255] * 128 + [0] * 128)
    reduced = frame.convert("RGB").quantize(255, kmeans=rarely)
    reduced.paste(255, mask=hidden)
    # Disposal 2 removes a frame before the next one is drawn.
    reduced.info |= {"transparency": 255, "disposal": 2}
    return reduced


class _Frames:
    """Reads the frames after the first, one at a time.

    This is a class, because Pillow iterates twice over the frames of a PNG.
    """

    def __init__(
        self,
        first: Image.Image,
        others: list[PathLike | Image.Image],
        path: pathlib.Path,
    ) -> None:
        self.first = first
        self.others = others
        self.path = path

    def __iter__(self) -> Iterator[Image.Image]:
        for other in self.others:
            frame = _read_frame(other)
            if frame.size != self.first.size:
                raise ValueError(
                    "`frames` must all have the same size. Received: "
                    f"{self.first.size} and {other} of {frame.size}"
                )
            yield _reduce_colors(frame.convert(self.first.mode), self.path)
