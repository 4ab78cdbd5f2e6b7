"""Stacks the pixels of all images, and decides what depends on all of them."""

import math
import os
import shutil
import tempfile
from typing import Any

import numpy as np

from gan_blocks.datasets import ranges, transparency
from gan_blocks.datasets.pixels import Pixels, Target
from gan_blocks.datasets.report import Report

_MEMORY_LIMIT = 4 * 1024**3  # bytes; larger arrays are stored in a file
_HIDDEN_SHARE = 0.05  # At most so many images may be hardly visible on white.


class ImageStack:
    """The images of a set in one array.

    Some decisions are the same for all images and depend on all of them: the
    scale of images with more than 8 bits, the meaning of a fourth channel, and
    the ground behind transparent pixels. The stack stores what they need, so
    that each image is decoded only once.

    Args:
        number: Largest number of images.
        target: Size and kind of the images.
    """

    def __init__(self, number: int, target: Target):
        self._shape = number, *target.shape
        self._interprets_alpha = target.alpha == "auto" and target.channels < 4
        self._images = _allocate(self._shape, np.uint8)
        # Allocated when they are needed.
        self._values: Any = None
        self._layers: Any = None
        self._size = self._frames_left_out = self._cut = 0
        self._integers = True
        # For some of the images, by their index:
        self._ranges: dict[int, tuple[float, float]] = {}
        self._kinds: dict[int, str] = {}
        self._hidden: dict[int, list[bool]] = {}
        self._binary: set[int] = set()

    def __len__(self) -> int:
        return self._size

    def add(self, pixels: Pixels) -> None:
        """Adds the next image."""
        index = self._size
        self._size += 1
        self._frames_left_out += pixels.frames - 1
        self._cut += pixels.is_cut
        if pixels.alpha != "opaque":
            self._kinds[index] = pixels.alpha
        if pixels.range:
            if self._values is None:
                self._values = _allocate(self._shape, np.float32)
            self._values[index] = pixels.array
            self._ranges[index] = pixels.range
            self._integers &= pixels.integers
            return
        self._images[index] = pixels.array
        if pixels.is_binary:
            self._binary.add(index)
        if pixels.layers is not None:
            if self._layers is None:
                shape = *self._shape[:-1], self._shape[-1] + 1
                self._layers = _allocate(shape, np.uint8)
            self._layers[index] = pixels.layers
            self._hidden[index] = pixels.hardly_visible

    def finish(self, report: Report) -> np.ndarray:
        """Returns all images, and reports the decisions about them."""
        report.frames_left_out += self._frames_left_out
        if self._cut:
            report.warnings.append(
                "Only the higher 8 of 16 bits were read from compressed TIFF "
                f"files with separate color planes (images: {self._cut:,}). "
                "Save them with interleaved colors."
            )
        self._scale_values(report)
        self._scale_binary(report)
        if self._interprets_alpha and self._kinds:
            self._interpret_alpha(report)
        return self._images[: self._size]

    def _scale_values(self, report):
        if self._values is None:
            return
        low = min(low for low, _ in self._ranges.values())
        high = max(high for _, high in self._ranges.values())
        scale = ranges.find_scale(low, high, self._integers)
        for index in self._ranges:
            self._images[index] = scale.apply(self._values[index])
        if scale.note:
            report.notes.append(
                f"{scale.note} (images with more than 8 bits: "
                f"{len(self._ranges):,})."
            )

    def _scale_binary(self, report):
        if not self._binary:
            return
        others = (i for i in range(self._size) if i not in self._binary)
        if any(
            i in self._ranges or self._images[i, ..., :3].any() for i in others
        ):
            for index in self._binary:  # Dark images of an ordinary set.
                colors = self._images[index, ..., :3]
                colors[:] = np.rint(colors / 255)
        else:
            report.notes.append(f"{ranges.BINARY_NOTE}.")

    def _interpret_alpha(self, report):
        kinds = list(self._kinds.values())
        hidden, data = kinds.count("hidden"), kinds.count("data")
        drop_all = data > 0 and 2 * (data + hidden) > len(kinds)
        ground = "white" if drop_all else self._choose_ground()
        for index in self._hidden:
            layers = self._layers[index]
            if drop_all or self._kinds[index] == "hidden":
                self._images[index] = layers[..., :-1]
            elif ground != "white":
                self._images[index] = transparency.move_to(
                    self._images[index], layers[..., -1:], ground
                )
        if drop_all:
            report.warnings.append(
                "The fourth channel looks like picture data, such as infrared, "
                f"and was left out (images: {len(kinds):,}). channels=4 keeps "
                'it. Pass alpha="white" if it is transparency.'
            )
        elif hidden:
            report.warnings.append(
                "Transparency that hides whole images was ignored (images: "
                f'{hidden:,}). Pass alpha="white" to apply it.'
            )
        if ground != "white":
            report.notes.append(
                f"Transparent pixels became {ground}, because white hides "
                'images. Pass alpha="white" for white.'
            )

    def _choose_ground(self):
        hidden = [
            hidden
            for index, hidden in self._hidden.items()
            if self._kinds[index] != "hidden"
        ]
        if not hidden or np.mean(hidden, axis=0)[0] <= _HIDDEN_SHARE:
            return "white"
        return list(transparency.GROUNDS)[np.sum(hidden, axis=0).argmin()]


def _allocate(shape, dtype):
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= _MEMORY_LIMIT:
        return np.empty(shape, dtype)
    # The file has no name, so it vanishes with the process, even if the process
    # is killed.
    with tempfile.TemporaryFile() as file:
        try:
            # Without this, a full disk would kill the process later.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            elif shutil.disk_usage(tempfile.gettempdir()).free < size:
                raise OSError("No space left on device")  # macOS, Windows.
            return np.memmap(file, dtype, "w+", shape=shape)
        except (OSError, OverflowError, ValueError) as error:
            raise OSError(
                f"The images need {size / 1e9:.1f} GB, and there is no room in "
                f"{tempfile.gettempdir()} ({error}). Set the environment "
                "variable `TMPDIR` to a folder with more room, or reduce "
                "`image_size`."
            ) from error
