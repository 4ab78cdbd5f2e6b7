"""Converts colors to sRGB with the color profile that an image embeds."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_TOLERANCE = 2  # levels; a profile with smaller effects is an sRGB profile


def has_other_colors(image: Image.Image) -> bool:
    """Returns whether an image embeds a profile other than sRGB."""
    return _transform(image.info.get("icc_profile")) is not None


def to_srgb(image: Image.Image) -> Image.Image:
    """Converts an image with 8 bits per channel to sRGB.

    An image without a profile, or with a damaged one, is returned unchanged.
    Transparency is kept.
    """
    found = _transform(image.info.get("icc_profile"))
    if found is None:
        return image
    mode, transform = found
    is_gray = image.mode in ("1", "L", "LA")
    if (
        (image.mode == "CMYK") != (mode == "CMYK")
        or mode == "L"
        and not is_gray
    ):
        return image  # The profile belongs to another kind of image.
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    converted: Any = ImageCms.applyTransform(image.convert(mode), transform)
    if alpha:
        converted.putalpha(alpha)
    return converted


@functools.lru_cache(maxsize=16)  # A set rarely has more than a few profiles.
def _transform(profile):
    """Returns a mode and the transform from it, or None if none is needed."""
    try:
        source: Any = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES[source.profile.xcolor_space.strip()]
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB")
    except Exception:  # Damaged profiles cause many kinds of exceptions.
        return None
    if mode == "CMYK":
        return mode, transform
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    colors = Image.fromarray(colors.reshape(64, 64, 3)).convert(mode)
    converted = ImageCms.applyTransform(colors, transform)
    before = np.asarray(colors.convert("RGB"), int)
    change = np.abs(np.asarray(converted, int) - before).max()
    return (mode, transform) if change > _TOLERANCE else None
