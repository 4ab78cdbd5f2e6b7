"""Pictures in and out: [-1, 1] and uint8, grids, PNG files, animations."""

import contextlib
import math
import numbers
import os
import pathlib
import shutil
import tempfile

import numpy as np
from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_UNFINISHED = ".unfinished_"
_FASTEST = 50  # frames a second; viewers slow a GIF down beyond this
_LONGEST_HOLD = 60  # seconds; an animated PNG can store 65 of them


def to_uint8(images):
    """Turns images in [-1, 1] into images in [0, 255].

    The range [-1, 1] is what a generator that ends in a tanh makes. Values are
    rounded to the nearest step; values outside the range are clipped to it and
    NaN becomes black, so that the pictures of a broken run can be looked at.

    Args:
        images: Array of floats in [-1, 1], of any shape.

    Returns:
        NumPy array of uint8 and the same shape: -1 is 0 and 1 is 255.

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


def from_uint8(images):
    """Turns images in [0, 255] into images in [-1, 1].

    The inverse of `to_uint8`, which gives back exactly what went in.

    Args:
        images: Array of uint8, of any shape.

    Returns:
        NumPy array of float32 and the same shape: 0 is -1 and 255 is 1.

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


def grid(images, rows=None, columns=None, scale=1):
    """Lays images out side by side in one picture.

    Tiles are filled row by row and touch each other. Tiles for which there is
    no image stay black (transparent when there are four channels).

    Args:
        images: Array of shape `(number, height, width, channels)`, floats in
            [-1, 1] or uint8, with 1 (grey), 3 (RGB) or 4 (RGBA) channels.
        rows: Number of rows. By default as many as the images need.
        columns: Number of columns. By default as many as the images need, in
            a grid that is square or one column wider when `rows` is not given
            either.
        scale: How many times to enlarge every pixel in each direction. Images
            of 28 pixels are easier to look at with a scale of 2 or 3. Defaults
            to 1, which keeps the pixels as they are.

    Returns:
        A `PIL.Image.Image` of `rows * height * scale` by
        `columns * width * scale` pixels.

    Raises:
        ValueError: If the shape of `images` is not the one above, there are
            more images than tiles, or `rows`, `columns` or `scale` is not a
            positive integer.

    Example:

    ```python
    import numpy as np

    from gan_blocks import images

    noise = np.random.default_rng(0).uniform(-1, 1, (6, 28, 28, 1))
    picture = images.grid(noise, columns=3)
    assert picture.size == (84, 56)
    ```
    """
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape or images.shape[3] not in _MODES:
        raise ValueError(
            "`images` must be a non-empty array of shape (number, height, "
            "width, channels) with 1, 3 or 4 channels. "
            f"Received: images of shape {images.shape}"
        )
    sizes = {"rows": rows, "columns": columns, "scale": scale}
    for name, value in sizes.items():
        if value is not None and not (
            isinstance(value, numbers.Integral) and value > 0
        ):
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={value}"
            )
    if images.dtype != np.uint8:
        images = to_uint8(images)
    rows, columns = _tiling(len(images), rows, columns)
    pixels = _tile(images, rows, columns)
    if scale > 1:
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(pixels)


def _tiling(number, rows, columns):
    if columns is None:
        columns = math.ceil(number / rows if rows else math.sqrt(number))
    if rows is None:
        rows = math.ceil(number / columns)
    if number > rows * columns:
        raise ValueError(
            "`rows` times `columns` must be at least the number of images. "
            f"Received: rows={rows}, columns={columns} and {number} images"
        )
    return rows, columns


def _tile(images, rows, columns):
    number, height, width, channels = images.shape
    tiles = np.zeros((rows * columns, height, width, channels), "uint8")
    tiles[:number] = images
    tiles = tiles.reshape(rows, columns, height, width, channels)
    tiles = tiles.transpose(0, 2, 1, 3, 4)
    return tiles.reshape(rows * height, columns * width, channels)


def save_png(image, path):
    """Saves a picture as a PNG file that is never seen half written.

    The file is written aside and then moved into place: whoever reads `path`
    meets either the old picture or the new one, and a write that fails leaves
    the old one and nothing else behind. Missing folders are made.

    Args:
        image: A `PIL.Image.Image`, as made by `grid`.
        path: Where to save it; the name must end in `.png`.

    Raises:
        ValueError: If the name does not end in `.png`.

    Example:

    ```python
    import tempfile

    import numpy as np

    from gan_blocks import images

    with tempfile.TemporaryDirectory() as folder:
        picture = images.grid(np.zeros((4, 28, 28, 1)))
        images.save_png(picture, f"{folder}/run/zeros.png")
    ```
    """
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(
            f"`path` must end in '.png'. Received: path={str(path)!r}"
        )
    with written_aside(path) as aside:
        image.save(aside, format="PNG")


@contextlib.contextmanager
def written_aside(path, flush=False):
    """Gives a path to write to, which becomes `path` if all goes well.

    For files that must never be seen half written. A write that fails, or is
    interrupted, leaves what was at `path` and nothing else behind;
    `remove_unfinished` clears up after a process that was killed in the middle
    of one. Missing folders are made.

    Args:
        path: `pathlib.Path` of the file, or of a new folder.
        flush: Whether to wait until the file is on the disk before it is
            moved, so that it is whole even after the power has failed. Takes
            milliseconds, or seconds if the disk is busy. Defaults to `False`.

    Yields:
        `pathlib.Path` of the same name, in a new folder on the same disk.

    Example:

    ```python
    import pathlib
    import tempfile

    from gan_blocks import images

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "notes.txt")
        with images.written_aside(path) as aside:
            aside.write_text("whole")
        assert path.read_text() == "whole"
    ```
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because only a move within one disk is atomic.
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=_UNFINISHED
    ) as folder:
        aside = pathlib.Path(folder, path.name)
        yield aside
        if flush:
            with open(aside, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(aside, path)


def remove_unfinished(folder):
    """Removes what a killed process left of files that it was writing.

    For folders in which nobody is writing now.

    Args:
        folder: `pathlib.Path` of the folder; it need not exist.

    Example:

    ```python
    import pathlib

    from gan_blocks import images

    images.remove_unfinished(pathlib.Path("a_folder_of_a_killed_run"))
    ```
    """
    for unfinished in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def animation(frames, path, frames_per_second=10, hold_last=2.0):
    """Makes an animation of pictures, which repeats for ever.

    Of the grids that were saved during a run, say, or of the images on a way
    through the latents. Files are read one at a time, but until the animation
    is written a byte of memory is needed for each pixel of each frame of a
    GIF, and one for each of its colours in other formats; of a very long run,
    give every tenth picture. A WebP is the smallest and quickest to make, a
    PNG keeps every pixel, a GIF is shown anywhere but has 256 colours a frame
    and takes about a fifth of a second for one of 256 by 256 colour pixels.

    Args:
        frames: The frames in order, all of one size: a list of image files or
            of `PIL.Image.Image`, as made by `grid`; or a folder, whose `.png`
            files are taken in the order of their names.
        path: Where to save the animation; the name must end in `.gif`,
            `.webp` or `.png`. Missing folders are made.
        frames_per_second: Speed, above 0 and at most 50. Defaults to 10.
        hold_last: Seconds that the last frame is shown longer than the
            others, from 0 to 60. Defaults to 2, so that the end of a run can
            be looked at; 0 is for frames that end where they began.

    Raises:
        ValueError: If there are no frames, they differ in size, `path` ends in
            something else or a number is out of range.
        FileNotFoundError: If a frame does not exist.

    Example:

    ```python
    import pathlib
    import tempfile

    import numpy as np

    from gan_blocks import images

    noise = np.random.default_rng(0).uniform(-1, 1, (3, 4, 8, 8, 1))
    pictures = [images.grid(four) for four in noise]
    with tempfile.TemporaryDirectory() as folder:
        images.animation(pictures, f"{folder}/run.gif")
        assert pathlib.Path(folder, "run.gif").exists()
    ```
    """
    path = pathlib.Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".webp", ".png"):
        raise ValueError(
            "`path` must end in '.gif', '.webp' or '.png'. "
            f"Received: path={str(path)!r}"
        )
    if not 0 < frames_per_second <= _FASTEST:
        raise ValueError(
            f"`frames_per_second` must be above 0 and at most {_FASTEST}. "
            f"Received: frames_per_second={frames_per_second}"
        )
    if not 0 <= hold_last <= _LONGEST_HOLD:
        raise ValueError(
            f"`hold_last` must be from 0 to {_LONGEST_HOLD} seconds. "
            f"Received: hold_last={hold_last}"
        )
    first, *others = _listed(frames, path)
    first = _read_frame(first)
    durations = [round(1000 / frames_per_second)] * (1 + len(others))
    durations[-1] += round(1000 * hold_last)
    with written_aside(path) as aside:
        _as_stored(first, kind).save(
            aside,
            save_all=True,
            append_images=_Frames(first, others, kind),
            duration=durations,
            loop=0,
        )


def _listed(frames, path):
    if isinstance(frames, str | os.PathLike):
        # An animated PNG may lie among its own frames.
        files = sorted(pathlib.Path(frames).glob("*.png"))
        listed = [file for file in files if file.absolute() != path.absolute()]
    else:
        listed = list(frames)
    if not listed:
        raise ValueError(
            "`frames` must give at least one frame: image files, pictures, or "
            f"a folder that holds '.png' files. Received: frames={frames!r}"
        )
    return listed


def _read_frame(frame):
    if not isinstance(frame, Image.Image):
        with Image.open(frame) as image:
            return _read_frame(image)
    return frame.convert("L" if frame.mode == "L" else "RGB")


def _as_stored(frame, kind):
    """Chooses the 256 colours of a GIF's frame; other kinds keep all colours.

    Pillow chooses them by median cut alone, which leaves bands on smooth
    surfaces and drops small patches of colour, such as eyes. K-means mends
    that; Pillow stops it once fewer pixels than `kmeans` change their colour.
    """
    if kind != ".gif" or frame.mode == "L":
        return frame
    return frame.quantize(kmeans=frame.width * frame.height // 20)


class _Frames:
    """The frames after the first, read when asked for.

    Not a generator, because Pillow goes through the frames of a PNG twice.
    """

    def __init__(self, first, others, kind):
        self.first = first
        self.others = others
        self.kind = kind

    def __iter__(self):
        for other in self.others:
            frame = _read_frame(other)
            if frame.size != self.first.size:
                raise ValueError(
                    "`frames` must be of one size. Received: "
                    f"{self.first.size} and {other} of {frame.size}"
                )
            yield _as_stored(frame.convert(self.first.mode), self.kind)
