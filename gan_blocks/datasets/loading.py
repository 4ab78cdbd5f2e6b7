"""Loads images from any source into one uint8 array."""

import concurrent.futures
import contextlib
import functools
import itertools
import math
import numbers
import os
import tempfile
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gan_blocks._types import PathLike
from gan_blocks.datasets import arrays, sources
from gan_blocks.datasets.progress import Progress

_MEMORY_LIMIT = 4 * 1024**3  # bytes; larger arrays are stored in a file
_CHUNK = 256  # number of images that are opened at a time


def load(
    source: np.ndarray | PathLike,
    image_size: int | tuple[int, int],
    channels: int = 3,
    split: str = "train",
    crop: float = 1.0,
    strict: bool = False,
    verbose: bool = False,
    labels: bool = False,
) -> Any:
    """Loads all images of a source at one size, with labels if requested.

    Supported sources:

    - A folder of images (AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TGA, TIFF,
      WebP) at any depth, or a `.zip` archive of such a folder.
    - MNIST's idx files, compressed or not: one of them or their folder.
    - A NumPy array, or a `.npy` or `.npz` file, of shape
      `(number, height, width)`, `(number, height, width, channels)`, or
      `(number, pixels)` for square images. Pixels are uint8, or numbers in
      [0, 1], [-1, 1] or [0, 255]. The arrays of an `.npz` file are named
      `x_train` or `train_images` (for the split `"train"` also `images`).
    - `"tfds:NAME"`: a dataset of TFDS (TensorFlow Datasets), for example
      `"tfds:mnist"` or `"tfds:celeb_a:2.1.0"`, or the folder of a prepared
      TFDS dataset.

    Images are sorted by path. Each image is cropped around its center to the
    aspect ratio of `image_size`, and resized with a Lanczos filter. Unreadable
    images are skipped, and one warning counts them.

    Labels are the names of the folders that hold the images, sorted and
    numbered from 0; or MNIST's files of labels; the array `y_train`,
    `train_labels` or `labels` of an `.npz` file; or the `ClassLabel` of a TFDS
    dataset. Other sources have no labels.

    All images are decoded before training, so that training itself reads only
    pixels. An array of more than 4 GiB is stored in a temporary file instead
    of in memory.

    Args:
        source: NumPy array, path or `"tfds:NAME"`, see above.
        image_size: `(height, width)` in pixels, or one integer for both.
        channels: 3 for color or 1 for gray. Defaults to 3.
        split: `"train"` or `"test"` for MNIST's files and `.npz` files, or any
            TFDS split such as `"train[:10%]"`. Other sources have no splits
            and accept only `"train"`. Defaults to `"train"`.
        crop: Fraction of the height and width of the centered crop to keep,
            above 0 and at most 1. `108 / 178` is common for CelebA. Defaults
            to 1.
        strict: If True, an unreadable image raises an error. Defaults to
            False.
        verbose: If True, shows a progress bar. Defaults to False.
        labels: If True, returns labels too. Defaults to False.

    Returns:
        uint8 array of shape `(number, height, width, channels)`, which may be
        read-only. If `labels` is True, a pair of this array and an int32 array
        of shape `(number,)`.

    Raises:
        ValueError: If an argument is invalid, the source is damaged, or has no
            readable images or no labels.
        FileNotFoundError: If the path does not exist.
        OSError: If the disk has no room for the temporary file.
        MemoryError: If there is not enough memory to decode an image.

    Example:

    ```python
    import os
    import tempfile

    from PIL import Image

    from gan_blocks import datasets

    with tempfile.TemporaryDirectory() as folder:
        for name in ("blue", "red"):
            os.mkdir(f"{folder}/{name}")
            Image.new("RGB", (300, 200), name).save(f"{folder}/{name}/1.png")
        images, labels = datasets.load(folder, image_size=64, labels=True)
    assert images.shape == (2, 64, 64, 3)
    assert images[1, 0, 0].tolist() == [255, 0, 0]
    assert labels.tolist() == [0, 1]
    ```
    """
    height, width = _height_and_width(image_size)
    if channels not in (1, 3):
        raise ValueError(
            f"`channels` must be 1 or 3. Received: channels={channels}"
        )
    if not 0 < crop <= 1:
        raise ValueError(
            f"`crop` must be above 0 and at most 1. Received: crop={crop}"
        )
    shape = (height, width, channels)
    fit = functools.partial(_fit, shape=shape, crop=crop)
    with contextlib.ExitStack() as stack:
        origin = sources.find(source, split, stack)
        found, name = origin.images, origin.report.source
        classes = None
        if labels:
            classes = _read_labels(found, origin.read_labels, name)
        if isinstance(found, np.ndarray):
            if (
                found.dtype == np.uint8
                and found.shape[1:] == shape
                and crop == 1
            ):
                return found if classes is None else (found, classes)
            found = arrays.openers(found, name)
        with warnings.catch_warnings():
            # Pillow's warnings are about metadata and do not name the image.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            images, kept, failures = _collect(
                found, fit, shape, name, strict, verbose
            )
    if not len(images):
        raise ValueError(
            "`source` must hold at least one readable image. Received: "
            f"source={name}, where {_summary(failures)}"
        )
    if failures:
        warnings.warn(
            f"{name}: {_summary(failures)}; {len(images)} were read.",
            stacklevel=2,
        )
    return images if classes is None else (images, classes[kept])


def _read_labels(found, read, source):
    if read is None:
        raise ValueError(
            "`source` must have labels. Labels come from MNIST's idx files, "
            ".npz files, TFDS datasets, and folders or .zip archives with one "
            f"folder per label. Received: source={source}"
        )
    number = len(found) if isinstance(found, np.ndarray) else found[0]
    return arrays.as_labels(read(), number, f"labels of source={source}")


def _height_and_width(image_size):
    if isinstance(image_size, numbers.Integral):
        image_size = (image_size, image_size)
    if not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(isinstance(x, numbers.Integral) and x >= 1 for x in image_size)  # pyright: ignore[reportOperatorIssue]
    ):
        raise ValueError(
            "`image_size` must be a positive integer or a pair of them, "
            f"(height, width). Received: image_size={image_size!r}"
        )
    return tuple(image_size)


def _allocate(shape):
    size = math.prod(shape)
    if size <= _MEMORY_LIMIT:
        return np.empty(shape, np.uint8)
    # The file has no name, so it vanishes with the process, even if the process
    # is killed.
    with tempfile.TemporaryFile() as file:
        try:
            # Without this, a full disk would kill the process later.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)
        except (OSError, OverflowError, ValueError) as error:
            raise OSError(
                f"The images need {size / 1e9:.1f} GB, and there is no room in "
                f"{tempfile.gettempdir()} ({error}). Set the environment "
                "variable `TMPDIR` to a folder with more room, or reduce "
                "`image_size`."
            ) from error


def _collect(found, fit, shape, source, strict, verbose):
    """Returns the images, their indices, and messages about unreadable ones."""
    count, items = found
    images = _allocate((count, *shape))
    kept, failures = [], []
    with (
        Progress(count, verbose) as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        while chunk := list(itertools.islice(items, _CHUNK)):
            names, openers = zip(*chunk, strict=True)
            results = pool.map(functools.partial(_attempt, fit), openers)
            for name, result in zip(names, results, strict=True):
                if not isinstance(result, Exception):
                    images[len(kept)] = result
                    kept.append(len(kept) + len(failures))
                elif strict:
                    raise ValueError(
                        "`source` has an image that cannot be read: "
                        f"{_failure(name, result)} in source={source}"
                    ) from result
                else:
                    failures.append(_failure(name, result))
                progress.advance()
    return images[: len(kept)], kept, failures


def _attempt(fit, opener):
    try:
        with opener() as image:
            return fit(image)
    except MemoryError as error:
        raise MemoryError("There is too little memory for an image.") from error
    except Exception as error:  # Damaged files can cause any exception.
        return error


def _fit(image, shape, crop):
    """Crops and resizes an image to an array of the given shape."""
    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    # Decodes a JPEG at 1/2, 1/4 or 1/8 of its size if that is large enough.
    draft_size = math.ceil(2 * max(height, width) / crop)
    image.draft(mode, (draft_size, draft_size))
    ImageOps.exif_transpose(image, in_place=True)
    image = _to_8_bits(image, mode)
    scale = crop * min(image.width / width, image.height / height)
    left = (image.width - scale * width) / 2
    top = (image.height - scale * height) / 2
    image = image.resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(left, top, image.width - left, image.height - top),
        reducing_gap=3.0,
    )
    return np.asarray(image).reshape(shape)


def _to_8_bits(image, mode):
    """Converts any kind of pixels to `mode` and transparency to white."""
    if image.mode == "F":
        raise ValueError("pixels are floats, and their range is unknown")
    if image.mode.startswith("I"):
        pixels = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
        image = Image.fromarray(pixels)
    if image.has_transparency_data:
        if image.mode != "RGBA":  # Otherwise `convert` copies the image.
            image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _failure(name, error):
    return f"{arrays.escape(name)} ({repr(error)[:200]})"


def _summary(failures):
    shown = failures[:3] + ["..."] * (len(failures) > 3)
    return f"{len(failures)} could not be read: {', '.join(shown)}"
