"""Images and labels in NumPy arrays, `.npy`, `.npz` and idx (MNIST) files."""

import contextlib
import functools
import gzip
import math
import os
import pathlib
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np
from PIL import Image

IDX_NAME = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")
# The number of images, and for each image a name and a function that opens it.
Openers: TypeAlias = tuple[
    int,
    Iterator[tuple[str, Callable[[], AbstractContextManager[Image.Image]]]],
]
_PACKED_LIMIT = 4 * 1024**3  # bytes; compressed data is unpacked in memory
_CHUNK = 1024**2  # bytes
_PIXEL_LIMIT = 178_956_970  # pixels per image, the limit of Pillow for files


@contextlib.contextmanager
def reading(source: object, kind: str) -> Iterator[None]:
    """Replaces any exception by a `ValueError` that names the source."""
    try:
        yield
    except Exception as error:  # Damaged files can cause any exception.
        reason = escape(str(error) or repr(error))
        raise ValueError(
            f"`source` must be a valid {kind}. Received: "
            f"source={str(source)!r} ({reason[:300]})"
        ) from error


def escape(text: str) -> str:
    """Escapes line breaks and unprintable characters, as `repr` does."""
    return repr(text)[1:-1]


@contextlib.contextmanager
def _reading_numpy(path):
    kind = "NumPy file (pickled objects are never read)"
    # Python may warn while it parses a damaged header.
    with reading(path, kind), warnings.catch_warnings(action="ignore"):
        yield


def read_npy(path: pathlib.Path) -> np.ndarray:
    """Maps the array in a `.npy` file into memory."""
    with _reading_numpy(path):
        return np.lib.format.open_memmap(path, mode="r")


def read_npz(path: pathlib.Path, split: str) -> np.ndarray:
    """Reads the images of a split from a `.npz` file.

    If the file holds a single array, its name does not matter.
    """
    return _read_named(path, split, "x", "images")


def read_npz_labels(path: pathlib.Path, split: str) -> np.ndarray:
    """Reads the labels of a split from a `.npz` file."""
    return _read_named(path, split, "y", "labels")


def _read_named(path, split, letter, word):
    with _reading_numpy(path), zipfile.ZipFile(path) as archive:
        members = {
            member.filename.removesuffix(".npy"): member
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }
        names = [f"{letter}_{split}", f"{split}_{word}"]
        if split == "train":
            names.append(word)
            if len(members) == 1 and word == "images":
                names.extend(members)
        found = [name for name in names if name in members]
        if not found:
            raise ValueError(
                f"split={split!r} needs an array named {' or '.join(names)}, "
                f"but the file holds {', '.join(members) or 'none'}"
            )
        with archive.open(members[found[0]]) as file:
            return _read_packed_npy(file)


def _read_packed_npy(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        header = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"format version {version} instead of 1 or 2")
    shape, fortran_order, dtype = header
    content = _read_packed(file, math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Reads the images in an idx file, the format of MNIST.

    An uncompressed file is mapped into memory instead.
    """
    return _read_idx(path, "images", (3, 4))


def read_idx_labels(path: pathlib.Path) -> np.ndarray:
    """Reads the file of labels that belongs to an idx file of images."""
    name = path.name.removesuffix(".gz").replace("images", "labels")
    name = re.sub(r"idx\d-ubyte$", "idx1-ubyte", name)
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.is_file():
            return _read_idx(beside, "labels", (1,))
    raise ValueError(
        f"`source` must have its labels in the same folder, in {name} or "
        f"{name}.gz. Received: source={str(path)!r}"
    )


def _read_idx(path, kind, ranks):
    with reading(path, f"idx file of {kind}"):
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                shape = _read_idx_header(file, ranks)
                content = _read_packed(file, math.prod(shape))
                return np.frombuffer(content, np.uint8).reshape(shape)
        with open(path, "rb") as file:
            shape = _read_idx_header(file, ranks)
            start = file.tell()
            rest = os.fstat(file.fileno()).st_size - start
            if rest != math.prod(shape):
                raise ValueError(
                    f"the file holds {rest} pixels or labels for shape {shape}"
                )
            return np.memmap(file, np.uint8, "r", start, shape)


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
    shape = array.shape
    if array.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
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
            f"source={source} of shape {shape} and dtype {array.dtype}"
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


def openers(array: np.ndarray, source: str) -> Openers:
    """Returns the number of images, and `(name, opener)` for each image."""
    height, width = array.shape[1:3]
    if height * width > _PIXEL_LIMIT:
        raise ValueError(
            f"`source` must hold images of at most {_PIXEL_LIMIT} pixels. "
            f"Received: source={source} with images of {height}x{width}"
        )
    factor, offset = 1, 0
    if array.dtype != np.uint8:
        factor, offset = _scaling(array, source)

    def open_image(index):
        pixels = np.rint(array[index] * factor + offset).astype(np.uint8)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return Image.fromarray(pixels)

    return len(array), (
        (f"image {i}", functools.partial(open_image, i))
        for i in range(len(array))
    )


def _scaling(array, source):
    """Returns the factor and the offset that map the values to [0, 255]."""
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    if 0 <= low and high <= 1:
        return np.float32(255), np.float32(0)
    if -1 <= low and high <= 1:
        return np.float32(127.5), np.float32(127.5)
    if 0 <= low and high <= 255:
        return np.float32(1), np.float32(0)
    found = "NaN" if np.isnan(low) else f"values from {low} to {high}"
    raise ValueError(
        "`source` must hold pixels in [0, 1], [-1, 1] or [0, 255]. Received: "
        f"source={source} with {found}"
    )
