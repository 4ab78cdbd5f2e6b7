"""Opens image files safely: known decoders, limited size and memory."""

import contextlib
import io
import threading
from collections.abc import Iterator
from typing import IO

from PIL import Image, UnidentifiedImageError

from gan_blocks.datasets import file_kinds
from gan_blocks.datasets.source_files import HEAD, File, check_size

# Large files and images take 0.1 GB or more to decode, so one thread at a time
# decodes them.
_LARGE = 2**25  # bytes or pixels
_large_lock = threading.RLock()
# Texts that often lie beside images, one for each. They are not opened.
TEXTS = {".cat", ".csv", ".json", ".txt", ".xml"}


def is_image(name: str, file: File) -> bool:
    """Returns whether a file is an image that can probably be decoded.

    Opens the file only if its ending does not tell. A file that cannot be
    opened counts as an image, so that its error is reported.
    """
    ending = file_kinds.ending(name)
    if ending in file_kinds.image_endings():
        return True
    if ending in TEXTS:
        return False
    try:
        return file_kinds.has_image_start(file.head())
    except Exception:  # Damaged archives can cause any exception.
        return True


@contextlib.contextmanager
def open_image(file: File) -> Iterator[Image.Image]:
    """Opens an image. Raises an error if it is too large or not an image."""
    size = file.size()
    check_size(size)
    with _lock_if_large(size), file.open() as stream:
        # From a file on the disk, Pillow would request as many bytes as a
        # damaged header states. From the stream of a zip member, Pillow rejects
        # an image with too many pixels before all of it is unpacked.
        if file.path:
            stream = io.BytesIO(stream.read())
        with decode(stream) as image:
            yield image


@contextlib.contextmanager
def decode(stream: IO[bytes]) -> Iterator[Image.Image]:
    """Decodes the content of an image file."""
    try:
        image = Image.open(stream, formats=file_kinds.image_formats())
    except UnidentifiedImageError as error:
        # Pillow's message names an object in memory instead of the file.
        stream.seek(0)
        kind = file_kinds.find_kind("", stream.read(HEAD))
        reason = str(kind) if kind else "not an image"
        raise UnidentifiedImageError(reason) from error
    with image, _lock_if_large(image.width * image.height):
        yield image


def _lock_if_large(size):
    return _large_lock if size > _LARGE else contextlib.nullcontext()
