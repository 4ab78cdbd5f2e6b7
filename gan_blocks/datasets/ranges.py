"""Scales pixel values of any range to the range from 0 to 255."""

from typing import NamedTuple

import numpy as np

# Resized floats may leave their range by this share of what they span.
_TOLERANCE = 0.1
_SMALLEST_MAXIMUM = 128  # Floats below are not read as a part of [0, 255].
BINARY_NOTE = "Values 0 and 1 became 0 and 255"


class Scale(NamedTuple):
    """Maps values to the range from 0 to 255: `value * factor + offset`."""

    factor: np.floating | float
    offset: np.floating | float
    note: str = ""  # What the scale does, if that depends on the values.

    def apply(self, values: np.ndarray) -> np.ndarray:
        scaled = np.rint(values * self.factor + self.offset)
        return np.clip(scaled, 0, 255).astype(np.uint8)


def find_scale(low: float, high: float, integers: bool) -> Scale:
    """Returns the scale for values from `low` to `high`.

    Values in [0, 1], [-1, 1] and [0, 255] keep their meaning. Floats may leave
    these ranges a little. All other ranges are stretched to [0, 255].
    """
    low, high = float(low), float(high)

    def is_within(bottom, top):
        slack = 0 if integers else _TOLERANCE * min(high - low, top)
        return bottom - slack <= low and high <= top + slack

    if is_within(0, 1):
        return Scale(np.float32(255), np.float32(0))
    if is_within(-1, 1):
        return Scale(np.float32(127.5), np.float32(127.5))
    if is_within(0, 255) and (integers or high >= _SMALLEST_MAXIMUM):
        return Scale(np.float32(1), np.float32(0))
    factor = 255 / (high - low) if high > low else 1.0
    digits = ",.0f" if integers else ",.4g"
    note = f"Values from {low:{digits}} to {high:{digits}} became 0 to 255"
    return Scale(np.float64(factor), np.float64(-low * factor), note)
