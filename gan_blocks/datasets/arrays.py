"""Files of arrays, of images and labels: NumPy's, and MNIST's idx format."""

import contextlib
import functools
import gzip
import math
import os
import re
import struct
import warnings
import zipfile

import numpy as np
from PIL import Image

IDX_NAME = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")
_PACKED_LIMIT = 4 * 1024**3  # bytes; what is packed is unpacked in memory
_PART = 1024**2  # bytes
_PIXEL_LIMIT = 178_956_970  # of an image; Pillow's own for files


@contextlib.contextmanager
def reading(source, kind):
    """Answers whatever is wrong with a source with one error."""
    try:
        yield
    except Exception as error:  # damaged files make readers raise anything
        reason = shown(str(error) or repr(error))
        raise ValueError(
            f"`source` must be a whole {kind}. Received: "
            f"source={str(source)!r} ({reason[:300]})"
        ) from error


def shown(text):
    """Escapes what would break out of a message's line, as Python does."""
    return repr(text)[1:-1]


@contextlib.contextmanager
def _reading_numpy(path):
    kind = (
        "file of arrays as NumPy writes them (pickled objects are never read)"
    )
    # Of a damaged header Python's own parser may warn.
    with reading(path, kind), warnings.catch_warnings(action="ignore"):
        yield


def read_npy(path):
    """Returns the array in a `.npy` file, mapped from the disk."""
    with _reading_numpy(path):
        return np.lib.format.open_memmap(path, mode="r")


def read_npz(path, split):
    """Returns the only array in a `.npz` file, or the one for the split."""
    return _read_named(path, split, "x", "images")


def read_npz_labels(path, split):
    """Returns the array of labels in a `.npz` file for the split."""
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
                f"for split={split!r} this needs an array called "
                f"{' or '.join(names)} but holds "
                f"{', '.join(members) or 'none'}"
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
        raise ValueError(f"its format has the version {version}, not 1 or 2")
    shape, columns_first, dtype = header
    content = _read_packed(file, math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if columns_first else "C")


def read_idx(path):
    """Returns the images in a file of the format of MNIST's.

    What is not compressed is mapped from the disk.
    """
    return _read_idx(path, "images", (3, 4))


def read_idx_labels(path):
    """Returns the labels in the file beside one of images."""
    name = path.name.removesuffix(".gz").replace("images", "labels")
    name = re.sub(r"idx\d-ubyte$", "idx1-ubyte", name)
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.is_file():
            return _read_idx(beside, "labels", (1,))
    raise ValueError(
        f"`source` must have its labels beside it, in a file {name} or "
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
                    f"it holds {rest} pixels or labels for shape {shape}"
                )
            return np.memmap(file, np.uint8, "r", start, shape)


def _read_idx_header(file, ranks):
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise ValueError("it does not begin like an idx file of bytes")
    rank = magic[3]
    if rank not in ranks:
        raise ValueError(f"it has rank {rank}: labels have 1, images 3")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("it ends within its header")
    return struct.unpack(f">{rank}I", sizes)


def _read_packed(file, size):
    """Returns as many bytes as a header says, and checks that it is true."""
    if not 0 <= size <= _PACKED_LIMIT:
        raise ValueError(
            f"an array of {size} bytes is not unpacked, only up to "
            f"{_PACKED_LIMIT}: save it as .npy, which is read from the disk"
        )
    # In parts, since the header may ask for much where there is little.
    content = bytearray()
    while part := file.read(min(_PART, size + 1 - len(content))):
        content += part
    if len(content) != size:
        raise ValueError(f"it does not hold the {size} bytes its header says")
    return content


def as_images(array, source):
    """Checks an array and gives it the four dimensions of images."""
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


def as_labels(labels, number, name):
    """Checks the labels of so many images, which are called `name`."""
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
            "`labels` must be an array of integers from 0, one for each of "
            f"the {number} images. Received: {name} {found}"
        )
    return np.array(labels, np.int32).reshape(number)


def pictures(array, source):
    """Returns the number of images and `(name, opener)` of each."""
    height, width = array.shape[1:3]
    if height * width > _PIXEL_LIMIT:
        raise ValueError(
            f"`source` must hold images of at most {_PIXEL_LIMIT} pixels. "
            f"Received: source={source} with images of {height} by {width}"
        )
    factor, offset = 1, 0
    if array.dtype != np.uint8:
        factor, offset = _scaling(array, source)

    def picture(index):
        pixels = np.rint(array[index] * factor + offset).astype(np.uint8)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return Image.fromarray(pixels)

    return len(array), (
        (f"image {i}", functools.partial(picture, i)) for i in range(len(array))
    )


def _scaling(array, source):
    """Returns the factor and then the offset that lead to [0, 255]."""
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
