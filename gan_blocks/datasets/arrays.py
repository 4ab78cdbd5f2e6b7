"""Images and labels in NumPy arrays, `.npy`, `.npz` and idx (MNIST) files."""

import contextlib
import gzip
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import TypeAlias

import numpy as np
from PIL import Image

from gan_blocks.datasets import file_kinds
from gan_blocks.datasets.errors import escape, reading
from gan_blocks.datasets.source_files import File

# The number of images, and for each image a name and a function that opens it.
Openers: TypeAlias = tuple[
    int,
    Iterator[tuple[str, Callable[[], AbstractContextManager[Image.Image]]]],
]
# Names of the arrays in an `.npz` file.
_NAME = re.compile(r"[xy]_\w+|(\w+_)?(images|labels)", re.IGNORECASE)
_PACKED_LIMIT = 4 * 1024**3  # bytes; compressed data is unpacked in memory
_CHUNK = 1024**2  # bytes
_PIXEL_LIMIT = 178_956_970  # pixels per image, the limit of Pillow for files


@contextlib.contextmanager
def _reading_numpy(source):
    kind = "NumPy file (pickled objects are never read)"
    # Python may warn while it parses a damaged header.
    with reading(source, kind), warnings.catch_warnings(action="ignore"):
        yield


def is_named(name: str) -> bool:
    """Returns whether a file has the name of images or labels of a split."""
    return bool(_NAME.fullmatch(PurePosixPath(name).stem))


def read_named_images(
    files: Mapping[str, File], split: str, source: str
) -> np.ndarray:
    """Reads the images of a split from one of several `.npy` files.

    If there is only one file, its name does not matter.
    """
    if len(files) == 1 and split == "train":
        (file,) = files.values()
        return read_npy(file, source)
    return _read_named(files, split, source, "x", "images")


def read_named_labels(
    files: Mapping[str, File], split: str, source: str
) -> np.ndarray:
    """Reads the labels of a split from one of several `.npy` files."""
    return _read_named(files, split, source, "y", "labels")


def _read_named(files, split, source, letter, word):
    names = [f"{letter}_{split}", f"{split}_{word}"]
    names += [word] * (split == "train")
    stems = {PurePosixPath(name).stem: file for name, file in files.items()}
    found = {stem.lower(): file for stem, file in stems.items()}
    for name in names:
        if name in found:
            return read_npy(found[name], source)
    held = ", ".join(map(escape, stems)) or "none"
    raise ValueError(
        f"`source` must hold an array named {' or '.join(names)}. Received: "
        f"source={source} for split={split!r}, which holds {held[:300]}"
    )


def read_npy(file: File, source: str) -> np.ndarray:
    """Maps the array in a `.npy` file into memory, or unpacks it."""
    with _reading_numpy(source):
        file.size()  # Reading from a pipe could block.
        if file.path:
            return np.lib.format.open_memmap(file.path, mode="r")
        with file.open() as stream:
            shape, fortran_order, dtype = _read_npy_header(stream)
            content = _read_packed(stream, math.prod(shape) * dtype.itemsize)
        array = np.frombuffer(content, dtype)
        return array.reshape(shape, order="F" if fortran_order else "C")


def _read_npy_header(stream):
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        header = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"format version {version} instead of 1 or 2")
    if min(header[0], default=0) < 0:
        raise ValueError(f"negative shape {header[0]}")
    return header


def read_slices(
    files: Mapping[str, File], source: str
) -> tuple[np.ndarray, list[int]]:
    """Reads `.npy` files that hold one image or several images each.

    Arrays of two dimensions are one image each if all have the same shape, and
    otherwise rows of pixels. Arrays of three dimensions are one image if the
    last dimension is 1, 3 or 4.

    Returns:
        An array of all images, and the number of images of each file.
    """
    headers = {}
    with _reading_numpy(source):
        for name, file in files.items():
            file.size()  # Reading from a pipe could block.
            with file.open() as stream:
                headers[name] = _read_npy_header(stream)
    same = len({shape for shape, _, _ in headers.values()}) == 1
    for name, (shape, _, _) in headers.items():
        advice = ""
        if same and _is_channels_first(shape):
            advice = (
                "an image with its channels first as `np.moveaxis(array, 0, "
                "-1)`, and gray images as `array[..., np.newaxis]`"
            )
        elif same and len(shape) == 2 and shape[0] > shape[1] >= 64:
            if _is_square(shape[1]):
                side = math.isqrt(shape[1])
                advice = (
                    "one image as `array[np.newaxis]`, and rows of pixels as "
                    f"`array.reshape(-1, {side}, {side})`"
                )
        if advice:
            raise ValueError(
                "`source` must hold .npy files of images. Received: "
                f"source={source} with {escape(name)} of shape {shape}. Save "
                f"{advice}"
            )
    counts, kinds = [], {}
    for name, (shape, _, dtype) in headers.items():
        single = _is_color(shape) or len(shape) == 2 and same
        counts.append(1 if single else shape[0] if shape else 0)
        kinds.setdefault((shape if single else shape[1:], dtype), name)
    if len(kinds) > 1:
        first, second = [
            f"{escape(name)} of shape {headers[name][0]} and dtype {dtype}"
            for (_, dtype), name in [*kinds.items()][:2]
        ]
        raise ValueError(
            "`source` must hold .npy files with images of one shape and dtype. "
            f"Received: source={source} with {first} and {second}"
        )
    ((shape, dtype),) = kinds
    size = sum(counts) * math.prod(shape) * dtype.itemsize
    if not 0 < size <= _PACKED_LIMIT:
        raise ValueError(
            f"`source` must hold .npy files of 1 to {_PACKED_LIMIT} bytes. "
            f"Received: source={source} with {size} bytes. Save all images as "
            "one .npy file, which has no limit"
        )
    images, start = np.empty((sum(counts), *shape), dtype), 0
    for count, file in zip(counts, files.values(), strict=True):
        images[start : start + count] = read_npy(file, source)
        start += count
    return images, counts


def _is_color(shape):
    """Returns whether an array has the shape of one image with channels."""
    return len(shape) == 3 and shape[2] in (1, 3, 4) and shape[1] != shape[2]


def _is_channels_first(shape):
    """Returns whether an array is probably one color image, not gray images."""
    return len(shape) == 3 and shape[0] in (3, 4) and min(shape[1:]) >= 32


def _is_gray(shape):
    """Returns whether an array is one image rather than rows of pixels."""
    if len(shape) != 2 or shape[0] == shape[1]:
        return len(shape) == 2
    return not _is_square(shape[1]) and max(shape) <= 4 * min(shape)


def _is_square(number):
    return math.isqrt(number) ** 2 == number


def read_idx(file: File, source: str) -> np.ndarray:
    """Reads the images in an idx file, the format of MNIST.

    An uncompressed file is mapped into memory instead.
    """
    images = _read_idx(file, source, "images", (3, 4))
    return images if images.ndim == 4 else images[..., np.newaxis]


def read_idx_labels(
    files: Mapping[str, File], images: str, source: str
) -> np.ndarray:
    """Reads the file of labels that belongs to an idx file of images."""
    labels = idx_set(images).replace("images", "labels")
    for name, file in files.items():
        if idx_set(name) == labels:
            return _read_idx(file, source, "labels", (1,))
    name = PurePosixPath(images).name.removesuffix(".gz")
    name = re.sub(r"idx\d-ubyte$", "idx1-ubyte", name)
    name = name.replace("images", "labels")
    raise ValueError(
        f"`source` must have its labels in the same folder, in {name} or "
        f"{name}.gz. Received: source={source}"
    )


def idx_set(name: str) -> str:
    """Returns the name of an idx file without its ending, or an empty text.

    Variants of the same file have the same name: compressed or not, with a
    period or a hyphen, and in a folder of the same name.
    """
    if not (match := file_kinds.IDX_NAME.search(name)):
        return ""
    folder, _, stem = name[: match.start()].rpartition("/")
    above, _, inner = folder.rpartition("/")
    if file_kinds.IDX_NAME.sub("", inner) == stem:
        folder = above
    return f"{folder}/{stem}".lstrip("/")


def _read_idx(file, source, kind, ranks):
    with reading(source, f"idx file of {kind}"):
        packed = file.head().startswith(b"\x1f\x8b")
        with file.open() as stream:
            content = gzip.GzipFile(fileobj=stream) if packed else stream
            shape = _read_idx_header(content, ranks)
            size = math.prod(shape)
            if packed or not file.path:
                content = _read_packed(content, size)
                return np.frombuffer(content, np.uint8).reshape(shape)
            start = stream.tell()
            if file.size() - start != size:
                raise ValueError(
                    f"the file holds {file.size() - start} pixels or labels "
                    f"for shape {shape}"
                )
            return np.memmap(stream, np.uint8, "r", start, shape)


def _read_idx_header(file, ranks):
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise ValueError("the file does not start like an idx file of bytes")
    rank = magic[3]
    if rank not in ranks:
        raise ValueError(
            f"the array has rank {rank}: labels have 1, images 3 or 4"
        )
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("the file ends within its header")
    return struct.unpack(f">{rank}I", sizes)


def _read_packed(file, size):
    """Reads a file to its end, which must be after exactly `size` bytes."""
    if not 0 <= size <= _PACKED_LIMIT:
        raise ValueError(
            f"a compressed array of {size} bytes is larger than the limit of "
            f"{_PACKED_LIMIT} bytes. Save it as .npy, which has no limit"
        )
    # Reading in chunks, because a damaged header may state a huge size.
    content = bytearray()
    while chunk := file.read(min(_CHUNK, size + 1 - len(content))):
        content += chunk
    if len(content) != size:
        raise ValueError(
            f"the file does not hold the {size} bytes that its header states"
        )
    return content


def as_images(array: np.ndarray, source: str) -> np.ndarray:
    """Checks images and returns them with the rank 4."""
    shape, advice = array.shape, ""
    if _is_gray(shape) or _is_color(shape):
        advice = ". Is this one image? Pass `array[np.newaxis]`"
    elif _is_channels_first(shape):
        advice = (
            ". Is this one image with its channels first? Pass "
            "`np.moveaxis(array, 0, -1)[np.newaxis]`. Are these gray images? "
            "Pass `array[..., np.newaxis]`"
        )
    elif len(shape) == 4 and shape[1] in (1, 3, 4):
        advice = ". Are the channels first? Pass `np.moveaxis(array, 1, -1)`"
    elif array.ndim == 2 and _is_square(shape[1]):
        side = math.isqrt(shape[1])
        array = array.reshape(shape[0], side, side, 1)
    elif array.ndim == 3:
        array = array[..., np.newaxis]
    if (
        array.ndim != 4
        or array.shape[3] not in (1, 3, 4)
        or 0 in shape
        or array.dtype.kind not in "buif"
    ):
        raise ValueError(
            "`source` must hold numbers in an array of shape (number, height, "
            "width), (number, height, width, channels) with 1, 3 or 4 "
            "channels, or (number, pixels) for square images. Received: "
            f"source={source} of shape {shape} and dtype {array.dtype}{advice}"
        )
    height, width = array.shape[1:3]
    if height * width > _PIXEL_LIMIT:
        raise ValueError(
            f"`source` must hold images of at most {_PIXEL_LIMIT} pixels. "
            f"Received: source={source} with images of {height}x{width}"
        )
    return array


def as_labels(labels: object, number: int, name: str) -> np.ndarray:
    """Checks the labels of `number` images and converts them to int32.

    `name` describes the labels in the error message.
    """
    if (
        not isinstance(labels, np.ndarray)
        or labels.shape not in ((number,), (number, 1))
        or labels.dtype.kind not in "bui"
        or labels.min(initial=0) < 0
        or labels.max(initial=0) > np.iinfo(np.int32).max
    ):
        found = f"of type {type(labels).__name__}"
        if isinstance(labels, np.ndarray):
            found = f"of shape {labels.shape} and dtype {labels.dtype}"
            if labels.size and labels.dtype.kind in "bui":
                found += f" from {labels.min()} to {labels.max()}"
        raise ValueError(
            "`labels` must be an array of integers of at least 0, one for each "
            f"of the {number} images. Received: {name} {found}"
        )
    return np.array(labels, np.int32).reshape(number)
