"""Finds duplicates, and images that look wrong, in a loaded set."""

import concurrent.futures
import hashlib
import os
import zlib

import numpy as np

from gan_blocks.datasets.report import Report

_CHUNK = 1024  # images
_SAMPLE = 256  # images
_SAMPLE_SIDE = 64  # pixels
_RARE = 0.001  # Share of the darkest, and of the brightest pixels to ignore.
_EXTREME = 0.1  # The same, if the range of the values was stretched.
_LEVELS = 32  # A set that uses fewer levels than this looks like one color.
_PLAIN_LEVELS = 8  # The same for a single image.
_SMALL = 8  # Sets of fewer images may hold images of one color.


def count_duplicates(images: np.ndarray) -> int:
    """Returns the number of images that equal an earlier image."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = range(0, len(images), _CHUNK)
        parts = pool.map(lambda i: _checksums(images[i : i + _CHUNK]), chunks)
        checksums = np.array([x for part in parts for x in part])
    _, places, counts = np.unique(
        checksums, return_inverse=True, return_counts=True
    )
    # Different images may have the same checksum.
    suspects = np.flatnonzero(counts[places] > 1)
    return len(suspects) - len({_digest(images[i]) for i in suspects})


def _checksums(images):
    return [zlib.crc32(np.ascontiguousarray(image).data) for image in images]


def _digest(image):
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def check_contrast(images: np.ndarray, report: Report) -> None:
    """Warns if the images use a small part of the range, or are one color."""
    size = max(images.shape[1:3])
    step = 1 + len(images) // _SAMPLE, 1 + size // _SAMPLE_SIDE
    sample = images[:: step[0], :: step[1], :: step[1]]
    if (sample[..., 3:] == 255).all():  # There is no transparency.
        sample = sample[..., :3]
    shares = np.bincount(sample.ravel(), minlength=256).cumsum() / sample.size
    is_stretched = any(x.startswith("Values from") for x in report.notes)
    rare = _EXTREME if is_stretched else _RARE
    low, high = map(int, np.searchsorted(shares, [rare, 1 - rare]))
    plain = np.ptp(sample, axis=(1, 2)).max(axis=-1) < _PLAIN_LEVELS
    if high - low < _LEVELS:
        look, advice = "gray", "Their contrast is very low."
        if high < 64:
            look = "black"
            advice = (
                "Likely causes: class numbers as pixels (a mask), or values "
                "that use only the lower bits. Rescale the values to 0 to 255."
            )
        elif low >= 192:
            look = "white"
            advice = (
                "Likely cause: white images on a transparent or white ground. "
                'Pass alpha="black", or change the images.'
            )
        if is_stretched:
            advice = (
                "Likely cause: a few extreme values, such as those for missing "
                "data, widen the range. Replace them in the files."
            )
        elif report.frames_left_out:
            advice = (
                "Likely cause: the first pages or frames are blank. Save the "
                "others as files of their own."
            )
        most = "Most" if is_stretched else "Nearly all"
        report.warnings.append(
            f"{most} pixels are from {low} to {high} of 255, so that the "
            f"images look {look}. {advice}"
        )
    elif len(images) >= _SMALL and plain.mean() > 0.5:
        report.warnings.append(
            f"{plain.mean():.0%} of the images are one color. Likely causes: "
            "blank pages or frames, or blank files. Remove them."
        )
