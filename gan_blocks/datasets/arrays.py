"""Files that hold images as arrays: NumPy's, and MNIST's idx format."""

import contextlib
import functools
import gzip
import math
import re
import zipfile
import zlib

import numpy as np
from PIL import Image

IDX_NAME = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")


def read_npy(path):
    """Returns the array in a `.npy` file, mapped from the disk."""
    with _numpy_errors(path):
        return np.lib.format.open_memmap(path, mode="r")


def read_npz(path, split):
    """Returns the only array in a `.npz` file, or the one for the split."""
    with _numpy_errors(path), open(path, "rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("this is not an archive of arrays")
        names = [f"x_{split}", f"{split}_images"]
        if split == "train":
            names.append("images")
            if len(archive.files) == 1:
                names.extend(archive.files)
        found = [name for name in names if name in archive.files]
        if not found:
            raise ValueError(
                f"for split={split!r} this needs an array called "
                f"{' or '.join(names)} but holds "
                f"{', '.join(archive.files) or 'none'}"
            )
        return archive[found[0]]


@contextlib.contextmanager
def _numpy_errors(path):
    try:
        yield
    except (
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            "`source` must be a whole file of images as NumPy writes them "
            "(pickled objects are never read). Received: "
            f"source={str(path)!r}: {error}"
        ) from error


def read_idx(path):
    """Returns the images in a file of the format of MNIST's."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            return _parse_idx(file)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            "`source` must be a whole idx file of images. Received: "
            f"source={str(path)!r} ({error})"
        ) from error


def _parse_idx(file):
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise ValueError("it does not begin like an idx file of bytes")
    rank = magic[3]
    if rank not in (3, 4):
        raise ValueError(f"it has rank {rank}: labels have 1, images 3")
    shape = np.frombuffer(file.read(4 * rank), ">u4").tolist()
    pixels = np.frombuffer(file.read(), np.uint8)
    if len(shape) != rank or pixels.size != math.prod(shape):
        raise ValueError(f"it does not hold the pixels for its shape {shape}")
    return pixels.reshape(shape)


def as_images(array):
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
            f"shape {shape} and dtype {array.dtype}"
        )
    return array


def pictures(array):
    """Returns the number of images and `(name, opener)` of each."""
    factor, offset = 1, 0
    if array.dtype != np.uint8:
        factor, offset = _scaling(array)

    def picture(index):
        pixels = np.rint(array[index] * factor + offset).astype(np.uint8)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return Image.fromarray(pixels)

    return len(array), (
        (f"image {i}", functools.partial(picture, i)) for i in range(len(array))
    )


def _scaling(array):
    """Returns the factor and then the offset that lead to [0, 255]."""
    low, high = array.min(), array.max()
    if 0 <= low and high <= 1:
        return np.float32(255), np.float32(0)
    if -1 <= low and high <= 1:
        return np.float32(127.5), np.float32(127.5)
    if 0 <= low and high <= 255:
        return np.float32(1), np.float32(0)
    raise ValueError(
        "`source` must hold pixels in [0, 1], [-1, 1] or [0, 255]. Received: "
        f"values from {low} to {high}"
    )
