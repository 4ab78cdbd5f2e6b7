"""Loads images from any source into one uint8 array."""

import concurrent.futures
import contextlib
import functools
import itertools
import numbers
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan_blocks._checks import check_positive_integer, height_and_width
from gan_blocks._types import PathLike
from gan_blocks.datasets import (
    arrays,
    inspection,
    rows,
    sources,
    transparency,
)
from gan_blocks.datasets.errors import escape
from gan_blocks.datasets.pixels import Pixels, Target, TooSmall, read
from gan_blocks.datasets.progress import Progress
from gan_blocks.datasets.stacking import ImageStack

_CHUNK = 256  # number of images that are opened at a time
# Larger arrays that need no decoding are not searched for duplicates.
_COMPARED = 256 * 1024**2  # bytes


def load(
    source: np.ndarray | PathLike | Sequence[PathLike],
    image_size: int | tuple[int, int],
    channels: int = 3,
    split: str = "train",
    crop: str | float = "center",
    strict: bool = False,
    verbose: bool = False,
    labels: bool = False,
    *,
    number: int | None = None,
    min_size: int | None = None,
    resample: str = "lanczos",
    alpha: str = "auto",
    report: bool = False,
) -> Any:
    """Loads all images of a source at one size, with labels if requested.

    Supported sources:

    - A folder of images (AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TGA, TIFF,
      WebP) at any depth, or a zip or tar archive of such a folder. The content
      of a file decides whether it is an image. HEIC needs the package
      `pillow-heif`.
    - A list of paths, or a pattern such as `"pictures/*.jpg"`.
    - MNIST's or EMNIST's idx files, compressed or not: one of them, or their
      folder or archive.
    - A NumPy array, or a `.npy` or `.npz` file, of shape
      `(number, height, width)`, `(number, height, width, channels)`, or
      `(number, pixels)` for square images. The arrays of an `.npz` file are
      named `x_train` or `train_images` (for the split `"train"` also `images`).
    - A folder or archive of `.npy` files, with one or more images each.
    - `"tfds:NAME"`: a dataset of TFDS (TensorFlow Datasets), for example
      `"tfds:mnist"` or `"tfds:celeb_a:2.1.0"`, or the folder of a prepared
      TFDS dataset.

    Hidden files, links to folders, and the folders of training runs are not
    read.

    Images are sorted by path. Each image is cropped around its center to the
    aspect ratio of `image_size`, and resized with a Lanczos filter. Unreadable
    images are left out. A warning, or the report, says what was left out and
    which images look wrong.

    All images have the same scale of pixels:

    - Images with 8 bits per channel keep their values. Embedded color profiles
      are converted to sRGB. If all values of the set are 0 and 1, they become
      0 and 255.
    - Other numbers in [0, 1], [-1, 1] or [0, 255] keep their meaning. Floats
      may leave these ranges by a tenth of what they span.
    - All other ranges, such as those of medical and satellite images with 12
      or 16 bits, become [0, 255]. The lowest and the highest value of the whole
      set define the range.
    - A file with several pages or frames gives one image: the first page or
      frame that is not blank.

    Labels are the names of the folders that hold the images, sorted and
    numbered from 0; or those in a `dataset.json` of StyleGAN; MNIST's files of
    labels; the array `y_train`, `train_labels` or `labels` of an `.npz` file;
    or the `ClassLabel` of a TFDS dataset. Other sources have no labels.

    All images are decoded before training, so that training itself reads only
    pixels. An array of more than 4 GiB is stored in a temporary file instead
    of in memory.

    Args:
        source: NumPy array, path or `"tfds:NAME"`, see above.
        image_size: `(height, width)` in pixels, or one integer for both.
        channels: 3 for color, 1 for gray, or 4 for colors and a fourth channel,
            which is alpha or any other data, such as infrared. Images without
            a fourth channel get 255. Invisible pixels become black. Defaults
            to 3.
        split: `"train"` or `"test"` for MNIST's files and `.npz` files, or any
            TFDS split such as `"train[:10%]"`. If a folder or archive of images
            has folders such as `train`, `test` and `validation`, also several
            of them: `"train+test"`. Other sources accept only `"train"`.
            Defaults to `"train"`.
        crop: Part of each image to keep. `"center"` is the largest possible
            part around the center. `"top"` keeps the top of tall images, where
            heads are. `"pad"` keeps the whole image and adds borders in the
            median color of its outermost pixels. A number above 0 and at most 1
            is a fraction of the height and width of `"center"`: `108 / 178` is
            common for CelebA. Defaults to `"center"`.
        strict: If True, an unreadable image raises an error. Defaults to
            False.
        verbose: If True, shows the progress and prints the report, instead of
            a warning. Defaults to False.
        labels: If True, returns labels too. Defaults to False.
        number: Reads at most so many images, evenly spaced over the source,
            for a quick look at a large one. Defaults to None: all images are
            read.
        min_size: Images with a smaller height or width, in pixels, are left
            out. Defaults to None: all images are read.
        resample: `"lanczos"`, or `"nearest"` to keep the colors of pixel art.
            Defaults to `"lanczos"`.
        alpha: Treatment of a fourth channel if `channels` is 1 or 3. `"white"`,
            `"black"` and `"gray"` are colors for transparent pixels. `"drop"`
            ignores the channel. `"auto"` is white, or another color if many
            images are hardly visible on white. It drops a channel that hides
            whole images, or that looks like data instead of transparency.
            Defaults to `"auto"`.
        report: If True, returns a `Report` too. Defaults to False.

    Returns:
        uint8 array of shape `(number, height, width, channels)`, which may be
        read-only. If `labels` or `report` is True, a tuple of this array, the
        labels (an int32 array of shape `(number,)`) and the `Report`.

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
    height, width = height_and_width(image_size)
    target = Target(height, width, channels, crop, resample, alpha, min_size)
    _check(target)
    if number is not None:
        check_positive_integer("number", number)
    with contextlib.ExitStack() as stack:
        found = sources.find(source, split, stack)
        classes = _read_labels(found) if labels else None
        images, kept = _read_images(found, target, number, strict, verbose)
    if not len(images):
        raise ValueError(
            "`source` must hold at least one readable image. Received: "
            f"source={found.report.warning()}"
        )
    inspection.check_contrast(images, found.report)
    if verbose:
        print(found.report)
    elif text := found.report.warning():
        warnings.warn(text, stacklevel=2)
    results: list[Any] = [images]
    if classes is not None:
        results.append(classes[kept])
    if report:
        results.append(found.report)
    return tuple(results) if len(results) > 1 else images


def _read_labels(found):
    source = found.report.source
    if found.read_labels is None:
        raise ValueError(
            "`source` must have labels. Labels come from MNIST's idx files, "
            ".npz files, TFDS datasets, and folders or .zip archives with one "
            f"folder per label. Received: source={source}"
        )
    images = found.images
    number = len(images) if isinstance(images, np.ndarray) else images[0]
    labels = found.read_labels()
    return arrays.as_labels(labels, number, f"labels of source={source}")


def _check(target):
    choices = {
        "channels": (1, 3, 4),
        "resample": ("lanczos", "nearest"),
        "alpha": ("auto", "drop", *transparency.GROUNDS),
    }
    for name, values in choices.items():
        if (value := getattr(target, name)) not in values:
            raise ValueError(
                f"`{name}` must be one of {values}. Received: {name}={value!r}"
            )
    crop, min_size = target.crop, target.min_size
    is_fraction = isinstance(crop, numbers.Real) and 0 < float(crop) <= 1
    if not is_fraction and crop not in ("center", "top", "pad"):
        raise ValueError(
            "`crop` must be 'center', 'top', 'pad', or a number above 0 and at "
            f"most 1. Received: crop={crop!r}"
        )
    if min_size is not None:
        check_positive_integer("min_size", min_size)


def _read_images(found, target, number, strict, verbose):
    """Returns the images and their indices in the source."""
    images = found.images
    is_array = isinstance(images, np.ndarray)
    count = len(images) if is_array else images[0]
    step = -(-count // (number or max(1, count)))
    if is_array:
        images = images[::step]
        scale = rows.find_scale(images, found.report.source)
        if scale.note:
            found.report.notes.append(f"{scale.note}.")
        if (
            scale.factor == 1
            and images.dtype == np.uint8
            and images.shape[1:] == target.shape
            and min(target.shape[:2]) >= (target.min_size or 1)
            and (isinstance(target.crop, str) or target.crop == 1)
            # The colors of transparent pixels change.
            and (target.channels < 4 or images[..., 3].min() == 255)
        ):
            mode = {1: "L", 3: "RGB", 4: "RGBA"}[target.channels]
            size = images.shape[2:0:-1]
            for i in range(len(images)):
                found.report.add(f"image {i}", mode=mode, size=size)
            if images.nbytes <= _COMPARED:
                found.report.duplicates = inspection.count_duplicates(images)
            return images, slice(None, None, step)
        images = rows.openers(images, scale)
    else:
        images = -(-count // step), itertools.islice(images[1], 0, None, step)
    with warnings.catch_warnings():
        # Pillow's warnings are about metadata and do not name the image.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        images, kept = _decode(images, target, found.report, strict, verbose)
    return images, np.multiply(kept, step)


def _decode(openers, target, report, strict, verbose):
    """Returns the images and their indices."""
    count, items = openers
    stack, kept, index = ImageStack(count, target), [], 0
    with (
        Progress(count, verbose) as progress,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        while chunk := list(itertools.islice(items, _CHUNK)):
            names, openers = zip(*chunk, strict=True)
            results = pool.map(functools.partial(_attempt, target), openers)
            for name, result in zip(names, results, strict=True):
                if isinstance(result, Pixels):
                    stack.add(result)
                    kept.append(index)
                    report.add(name, result.format, result.mode, result.size)
                elif isinstance(result, TooSmall):
                    reason = f"smaller than min_size={target.min_size}"
                    report.leave_out(name, reason, result)
                elif strict:
                    raise ValueError(
                        "`source` has an image that cannot be read: "
                        f"{escape(name)} ({repr(result)[:200]}) in "
                        f"source={report.source}"
                    ) from result
                else:
                    report.leave_out(name, "could not be read", repr(result))
                index += 1
                progress.advance()
    images = stack.finish(report)
    report.duplicates = inspection.count_duplicates(images)
    return images, kept


def _attempt(target, opener):
    try:
        return read(opener, target)
    except MemoryError as error:
        raise MemoryError("There is too little memory for an image.") from error
    except Exception as error:  # Damaged files can cause any exception.
        return error
