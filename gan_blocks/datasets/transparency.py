"""Decides what the alpha channel of images means, and removes it."""

from typing import Any

import numpy as np
from PIL import Image

# Brightness of what is behind transparent pixels, in the order of preference.
GROUNDS = {"white": 255, "black": 0, "gray": 128}
_HIDDEN = 16  # levels; a lower alpha hides an image
_MANY = 64  # different levels, more than smooth edges usually have
_CONTRAST = 24  # levels; an image closer to the ground is hardly visible


def classify(image: Image.Image, values: np.ndarray | None = None) -> str:
    """Returns the kind of the alpha channel of an RGBA image.

    Args:
        image: Image of the mode RGBA.
        values: Its pixels, if they have 16 bits. They may use only the lower
            bits, and a constant alpha is then the highest value of the colors.

    Returns:
        - "opaque": the alpha is 255 everywhere, or constant with 16 bits.
        - "hidden": the alpha is one low value, which hides the image.
        - "data": the alpha is low everywhere, or it varies and few pixels are
          opaque or transparent, as in a channel of infrared. The more it
          varies, the more pixels may be opaque or transparent.
        - "transparent": any other alpha.
    """
    if values is not None and values.shape[-1] == 4:
        values = np.rint(values * (255 / max(1, values.max())))
        image = Image.fromarray(values.astype(np.uint8))
    alpha = image.getchannel("A")
    extrema: Any = alpha.getextrema()
    lowest, highest = extrema
    if lowest == 255 or (values is not None and lowest == highest >= _HIDDEN):
        return "opaque"
    if highest < _HIDDEN and not is_plain(image.convert("RGB")):
        return "hidden" if lowest == highest else "data"
    histogram = np.array(alpha.histogram())
    ends = histogram[:8].sum() + histogram[-8:].sum()
    share = ends / histogram.sum()
    varies = np.count_nonzero(histogram) > 3
    varies_much = np.count_nonzero(histogram[8:-8]) > _MANY
    if (varies and share < 0.25) or (varies_much and share < 0.5):
        return "data"
    return "transparent"


def is_plain(image: Image.Image) -> bool:
    """Returns whether all pixels of an image are equal."""
    if image.mode.startswith("I;16"):  # Pillow has no extrema for I;16B.
        values = np.asarray(image)
        return bool(values.min() == values.max())
    extrema: Any = image.getextrema()
    return all(low == high for low, high in np.reshape(extrema, (-1, 2)))


def put_on(image: Image.Image, ground: str) -> Image.Image:
    """Puts an RGBA image on a ground."""
    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image)


def move_to(pixels: np.ndarray, alpha: np.ndarray, ground: str) -> np.ndarray:
    """Replaces the white ground of pixels by another ground.

    Args:
        pixels: uint8 array of shape `(..., channels)` on white.
        alpha: uint8 array of shape `(..., 1)`.
        ground: Key of `GROUNDS`.
    """
    darker = (1 - alpha / np.float32(255)) * (255 - GROUNDS[ground])
    return np.clip(np.rint(pixels - darker), 0, 255).astype(np.uint8)


def is_hardly_visible(pixels: np.ndarray, alpha: np.ndarray) -> list[bool]:
    """Returns for each of `GROUNDS` if an image is hardly visible on it.

    Takes the same arguments as `move_to`.
    """
    opacity = alpha / np.float32(255)
    colors = pixels - 255 * (1 - opacity)  # multiplied by the opacity
    return [
        bool(
            np.abs(colors - ground * opacity).mean(axis=(0, 1)).max()
            < _CONTRAST * opacity.mean()
        )
        for ground in GROUNDS.values()
    ]
