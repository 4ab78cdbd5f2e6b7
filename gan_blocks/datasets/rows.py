"""Opens the rows of an array as images."""

import functools

import numpy as np
from PIL import Image

from gan_blocks.datasets import arrays, ranges

_CHUNK = 256  # images


def openers(array: np.ndarray, scale: ranges.Scale) -> arrays.Openers:
    """Returns the number of images, and `(name, opener)` for each image."""

    def open_image(index):
        pixels = array[index]
        if not (array.dtype == np.uint8 and scale.factor == 1):
            pixels = scale.apply(pixels)
        if pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        return Image.fromarray(pixels)

    return len(array), (
        (f"image {i}", functools.partial(open_image, i))
        for i in range(len(array))
    )


def find_scale(array: np.ndarray, source: str) -> ranges.Scale:
    """Returns the scale for an array of images of rank 4."""
    if array.shape[3] == 4 and array[..., 3].min() == array[..., 3].max():
        array = array[..., :3]  # A constant alpha may have another range.
    if array.dtype == np.uint8:
        if _highest_is_one(array):
            # Not in uint8, where an alpha of 255 would overflow.
            factor = np.float32(255)
            return ranges.Scale(factor, np.float32(0), ranges.BINARY_NOTE)
        return ranges.Scale(1, 0)
    with np.errstate(invalid="ignore"):
        low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        found = "NaN" if np.isnan(low) else f"values from {low} to {high}"
        raise ValueError(
            "`source` must hold finite pixels. Received: "
            f"source={source} with {found}"
        )
    return ranges.find_scale(low, high, array.dtype.kind != "f")


def _highest_is_one(array):
    highest = 0
    for start in range(0, len(array), _CHUNK):
        highest = max(highest, array[start : start + _CHUNK].max())
        if highest > 1:  # Ordinary arrays need only their first chunk.
            break
    return highest == 1
