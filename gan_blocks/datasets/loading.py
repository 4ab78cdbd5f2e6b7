"""Every source of images becomes one array of uint8."""

import concurrent.futures
import contextlib
import functools
import itertools
import math
import numbers
import os
import tempfile
import warnings

import keras
import numpy as np
from PIL import Image, ImageOps

from gan_blocks.datasets import arrays, sources

_MEMORY_LIMIT = 4 * 1024**3  # bytes; larger arrays live in a temporary file
_CHUNK = 256  # images that are decoded before the next are looked for


def load(
    source,
    image_size,
    channels=3,
    split="train",
    crop=1.0,
    strict=False,
    verbose=False,
    labels=False,
):
    """Reads all images of a source, at one size, into one array.

    Everything is decoded and resized once, before training, so that training
    itself reads nothing but pixels: give the array to `batches`. 100,000
    images of 64 by 64 pixels in colour take 1.2 GB. An array of more than
    4 GiB is kept in a temporary file (in the folder that the environment
    variable `TMPDIR` names) which vanishes with the process; a `.npy` or an
    unpacked idx file which is already as asked for stays on the disk.

    A source is one of:

    - An array, or a `.npy` or `.npz` file of one (never unpickled), of shape
      `(number, height, width)`, `(number, height, width, channels)` or
      `(number, pixels)` for square images. Of the arrays in an `.npz` it takes
      the only one, or the one named `x_train`, `train_images` or `images`.
      Pixels are uint8, taken as they are, or other numbers whose smallest and
      largest value tell their range: [0, 1], else [-1, 1], else [0, 255].
      An array in an `.npz` is unpacked in memory and may take 4 GiB.
    - A file in MNIST's idx format, compressed (`.gz`, up to 4 GiB of pixels)
      or not.
    - A `.zip` archive of images, stored or packed with Deflate or bzip2, which
      is read in place.
    - A folder that holds MNIST's files, a dataset prepared by TFDS (the folder
      with `dataset_info.json`) or, at any depth, images.
    - `"tfds:NAME"`, such as `"tfds:mnist"` or `"tfds:celeb_a:2.1.0"`: a
      dataset in the TFDS catalogue, downloaded if it is not yet prepared in
      `~/tensorflow_datasets` or the folder that `TFDS_DATA_DIR` names.

    Images are AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TGA, TIFF or WebP
    files; hidden and other files are passed over, as are links to folders.
    They come in the order of their paths. Of animations the first frame is
    taken; pictures are turned as their EXIF orientation says; what is
    transparent becomes white; 16 bits become 8. Each picture is cropped around
    its centre to the shape of `image_size` and then resized (Lanczos).

    Pictures that cannot be read are left out, and one warning names the first
    and counts all: what is damaged (inside of a JPEG, GIF or WebP few damages
    can be told from a picture; those beside the pixels, in EXIF for example,
    do no harm), no picture in spite of its name, encrypted, a dangling link,
    no regular file or without permission, a file of more than 1 GiB, and a
    picture of more than 178,956,970 pixels, twice
    `PIL.Image.MAX_IMAGE_PIXELS`. So are folders without permission.

    Labels are numbers from 0, which some sources have:

    - An `.npz` file with an array named `y_train`, `train_labels` or `labels`
      (`y_test` or `test_labels`), of shape `(number,)` or `(number, 1)`.
    - MNIST's format, with the file of labels beside that of the images.
    - A folder or a `.zip` archive in which every image is in one of several
      folders: the label is the place of its folder's name among those of all
      that hold images, sorted as text. Folders in these make no difference,
      and neither does a folder around them.
    - TFDS, where a dataset has a `ClassLabel` called `label`, or only one. Its
      files are then read twice.

    Args:
        source: Where the images are; see above.
        image_size: Height and width in pixels, or one integer for both.
        channels: 3 for colour, 1 for grey. Defaults to 3.
        split: Which part to take of a source that has parts: `"train"` or
            `"test"` for MNIST's files and an `.npz` (`x_test`, `test_images`),
            any TFDS split such as `"train[:10%]"`. Sources without parts
            allow `"train"` only. Defaults to `"train"`.
        crop: How much of the height and width of the centred crop to keep,
            above 0 and at most 1. CelebA's faces are usually cropped with
            `108 / 178`. Defaults to 1.
        strict: Whether to stop at the first file which cannot be read. By
            default such files are left out and counted in one warning.
        verbose: Whether to show a progress bar. Defaults to False.
        labels: Whether to return the labels too. Defaults to False.

    Returns:
        Array of uint8 and shape `(number, height, width, channels)`, which
        may be read-only. With `labels` a pair of it and an array of int32 and
        shape `(number,)`, without those of pictures that were left out.

    Raises:
        ValueError: If there are no images, the source is none of the above or
            damaged or lacks the labels asked for, TFDS cannot get it, an
            argument is out of its range, or with `strict` a file cannot be
            read.
        FileNotFoundError: If the path does not exist.
        OSError: If the disk has no room for the temporary file.
        MemoryError: If the memory does not suffice, even for one picture.

    Example:

    ```python
    import os
    import tempfile

    from PIL import Image

    from gan_blocks import datasets

    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (300, 200), "red").save(f"{folder}/red.png")
        images = datasets.load(folder, image_size=64)
    assert images.shape == (1, 64, 64, 3)
    assert images[0, 0, 0].tolist() == [255, 0, 0]

    with tempfile.TemporaryDirectory() as folder:
        for name in ("blue", "red"):
            os.mkdir(f"{folder}/{name}")
            Image.new("RGB", (64, 64), name).save(f"{folder}/{name}/1.png")
        images, labels = datasets.load(folder, image_size=64, labels=True)
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
        found, read_labels = sources.find(source, split, stack)
        name = sources.described(source)
        classes = _labels(found, read_labels, name) if labels else None
        if isinstance(found, np.ndarray):
            as_asked = found.dtype == np.uint8 and found.shape[1:] == shape
            if as_asked and crop == 1:
                return (found, classes) if labels else found
            found = arrays.pictures(found, name)
        with warnings.catch_warnings():
            # Of what is beside the pixels, and without the picture's name.
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
    return (images, classes[kept]) if labels else images


def _labels(found, read, source):
    if read is None:
        raise ValueError(
            "`source` must have labels: MNIST's idx files, an .npz file, a "
            "folder or a .zip archive of folders of images, or a TFDS "
            f"dataset, but no array alone. Received: source={source}"
        )
    number = len(found) if isinstance(found, np.ndarray) else found[0]
    return arrays.as_labels(read(), number, f"those of source={source}")


def _height_and_width(image_size):
    pair = image_size
    if isinstance(pair, numbers.Integral):
        pair = (pair, pair)
    if not (
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and all(isinstance(x, numbers.Integral) and x > 0 for x in pair)
    ):
        raise ValueError(
            "`image_size` must be a positive integer or a pair of them, "
            f"(height, width). Received: image_size={image_size!r}"
        )
    return tuple(pair)


def _allocate(shape):
    size = math.prod(shape)
    if size <= _MEMORY_LIMIT:
        return np.empty(shape, np.uint8)
    # The mapping outlives the file's name: nothing to clean up, even if the
    # process is killed.
    with tempfile.TemporaryFile() as file:
        try:
            # A mapping that found the disk full later would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)
        except (OSError, OverflowError, ValueError) as error:
            raise OSError(
                f"The images take {size / 1e9:.1f} GB, for which there is no "
                f"room in {tempfile.gettempdir()} ({error}). Set `TMPDIR` to "
                "a folder with more room, or make `image_size` smaller."
            ) from error


def _collect(found, fit, shape, source, strict, verbose):
    """Returns the images, their places, and what to say of the others."""
    count, items = found
    images = _allocate((count, *shape))
    kept, failures = [], []
    bar = keras.utils.Progbar(count, unit_name="image") if verbose else None
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
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
            if bar:
                bar.update(len(kept) + len(failures))
    return images[: len(kept)], kept, failures


def _attempt(fit, opener):
    try:
        with opener() as image:
            return fit(image)
    except MemoryError as error:
        raise MemoryError("There is too little memory for an image.") from error
    except Exception as error:  # a damaged file makes Pillow raise anything
        return error


def _fit(image, shape, crop):
    """Turns a picture into an array of the given shape."""
    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8.
    enough = math.ceil(2 * max(height, width) / crop)
    image.draft(mode, (enough, enough))
    ImageOps.exif_transpose(image, in_place=True)
    image = _plain(image, mode)
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


def _plain(image, mode):
    """Converts any kind of pixels to 8 bits without transparency."""
    if image.mode == "F":
        raise ValueError("pixels are floats, whose range is unknown")
    if image.mode.startswith("I"):
        pixels = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)
        image = Image.fromarray(pixels)
    if image.has_transparency_data:
        if image.mode != "RGBA":  # It would be copied.
            image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _failure(name, error):
    return f"{arrays.shown(name)} ({repr(error)[:200]})"


def _summary(failures):
    shown = failures[:3] + ["..."] * (len(failures) > 3)
    return f"{len(failures)} could not be read: {', '.join(shown)}"
