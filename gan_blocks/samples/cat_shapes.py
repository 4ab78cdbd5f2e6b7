"""The shapes that make up the drawn cats.

A shape is an array of points `(number, 2)`. x runs from -1 (left border of the
image) to 1, y from -1 (top border) to 1. Shapes that come in pairs are a list:
the shape on the right of the image, then the shape on the left.
"""

import math

import numpy as np


def ellipse(
    x: float, y: float, width: float, height: float, points: int = 32
) -> np.ndarray:
    """Returns an ellipse with center `(x, y)` and these half-axes."""
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack(
        [x + width * np.cos(angles), y + height * np.sin(angles)], axis=1
    )


def rounded(*corners: tuple[float, float]) -> np.ndarray:
    """Returns a polygon whose corners are cut off three times (Chaikin)."""
    points = np.array(corners)
    for _ in range(3):
        ahead = np.roll(points, -1, axis=0)
        cuts = 0.75 * points + 0.25 * ahead, 0.25 * points + 0.75 * ahead
        points = np.stack(cuts, axis=1).reshape(-1, 2)
    return points


def arc(
    x: float,
    y: float,
    width: float,
    height: float,
    start: float,
    end: float,
    points: int = 13,
) -> np.ndarray:
    """Returns a part of an ellipse between two angles in degrees."""
    angles = np.radians(np.linspace(start, end, points))
    return np.stack(
        [x + width * np.cos(angles), y + height * np.sin(angles)], axis=1
    )


def grown(shape: np.ndarray, distance: float) -> np.ndarray:
    """Returns a closed shape with its outline moved outwards."""
    along = np.roll(shape, -1, axis=0) - np.roll(shape, 1, axis=0)
    outwards = np.stack([along[:, 1], -along[:, 0]], axis=1)
    return shape + distance * outwards / np.linalg.norm(
        outwards, axis=1, keepdims=True
    )


def ribbon(
    line: np.ndarray, width: float, end_width: float | None = None
) -> np.ndarray:
    """Returns the outline of a thick line, which may taper to `end_width`."""
    along = np.gradient(line, axis=0)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    end_width = width if end_width is None else end_width
    across *= np.linspace(width, end_width, len(line))[:, np.newaxis] / 2
    return np.concatenate([line + across, (line - across)[::-1]])


def mirrored(shape: np.ndarray) -> np.ndarray:
    """Returns the mirror image of a shape, with the same orientation."""
    return shape[::-1] * (-1, 1)


def pair(shape: np.ndarray) -> list[np.ndarray]:
    """Returns a shape and its mirror image."""
    return [shape, mirrored(shape)]


def rotated(shape: np.ndarray, degrees: float) -> np.ndarray:
    """Returns a shape rotated clockwise around the center of the image."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return shape @ np.array([[cos, sin], [-sin, cos]])


HEAD = rounded(
    (0.0, -0.60),
    (0.34, -0.55),
    (0.72, -0.36),
    (0.88, 0.10),
    (0.86, 0.54),
    (0.46, 0.90),
    (-0.46, 0.90),
    (-0.86, 0.54),
    (-0.88, 0.10),
    (-0.72, -0.36),
    (-0.34, -0.55),
)
CHEEKS = pair(
    np.array(
        [(0.70, 0.16), (0.94, 0.36), (0.83, 0.42), (0.89, 0.58), (0.5, 0.7)]
    )
)
EARS = {
    "pointed": pair(
        rounded(
            (0.02, -0.30),
            (0.30, -0.62),
            (0.58, -0.89),
            (0.70, -0.95),
            (0.79, -0.86),
            (0.87, -0.45),
            (0.86, 0.05),
            (0.40, 0.10),
        )
    ),
    "round": pair(
        rounded(
            (0.06, -0.30),
            (0.28, -0.72),
            (0.58, -0.90),
            (0.84, -0.78),
            (0.90, -0.45),
            (0.86, 0.05),
            (0.40, 0.10),
        )
    ),
    "folded": pair(
        rounded(
            (0.14, -0.40),
            (0.34, -0.64),
            (0.62, -0.78),
            (0.84, -0.66),
            (0.88, -0.36),
            (0.84, 0.05),
            (0.40, 0.10),
        )
    ),
}
INNER_EARS = {
    "pointed": pair(
        rounded(
            (0.36, -0.45),
            (0.58, -0.72),
            (0.69, -0.85),
            (0.76, -0.70),
            (0.77, -0.24),
            (0.50, -0.32),
        )
    ),
    "round": pair(
        rounded(
            (0.36, -0.48),
            (0.46, -0.68),
            (0.62, -0.78),
            (0.78, -0.68),
            (0.79, -0.26),
            (0.52, -0.34),
        )
    ),
}
# The tips of folded ears, which hang over the forehead.
FLAPS = pair(
    rounded(
        (0.26, -0.58),
        (0.60, -0.84),
        (0.88, -0.64),
        (0.88, -0.40),
        (0.72, -0.42),
        (0.54, -0.30),
        (0.47, -0.32),
        (0.42, -0.44),
    )
)

_EYE = np.array([0.38, 0.16])
_ROUND_EYE = ellipse(0, 0, 0.215, 0.235) + _EYE
_ALMOND_EYE = _EYE + rounded(
    (-0.29, 0.08),
    (-0.13, -0.20),
    (0.14, -0.26),
    (0.30, -0.14),
    (0.20, 0.16),
    (-0.06, 0.24),
)
# A sleepy eye is a round eye with a lid.
_LID_EDGE = arc(0, -0.10, 0.20, 0.07, 180, 0) + _EYE
_LID_TOP = arc(0, 0, 0.215, 0.235, 335, 205) + _EYE
EYES = {
    "round": pair(_ROUND_EYE),
    "almond": pair(_ALMOND_EYE),
    "sleepy": pair(_ROUND_EYE),
}
PUPILS = {
    "round": pair(ellipse(0, 0, 0.135, 0.155) + _EYE),
    "slit": pair(ellipse(0, 0, 0.055, 0.17) + _EYE),
}
# Light comes from the left, so the glints are not mirrored.
GLINTS = [
    glint + eye
    for glint in (
        ellipse(-0.065, -0.075, 0.065, 0.065, 16),
        ellipse(0.07, 0.09, 0.032, 0.032, 12),
    )
    for eye in (_EYE, _EYE * (-1, 1))
]
LIDS = pair(np.concatenate([_LID_EDGE, _LID_TOP]))
LASHES = pair(ribbon(_LID_EDGE, 0.045))

NOSE = rounded((-0.13, 0.35), (0.13, 0.35), (0.03, 0.48), (-0.03, 0.48))
LIPS = pair(arc(0.105, 0.49, 0.105, 0.085, 180, 10))
TONGUE = rounded((-0.09, 0.55), (0.09, 0.55), (0.10, 0.77), (-0.10, 0.77))
MUZZLE = [
    *pair(ellipse(0.155, 0.55, 0.21, 0.17)),
    ellipse(0, 0.68, 0.15, 0.12),
]
BLUSH = pair(ellipse(0.60, 0.48, 0.13, 0.09))
WHISKER = np.array([(0, 0), (0.52, 0)])  # starts at its root; not rotated yet
WHISKER_ROOTS = {-7: (0.44, 0.51), 7: (0.44, 0.60)}  # rotation in degrees: root

STRIPES = [
    rounded((-0.08, -0.70), (0.08, -0.70), (0.03, -0.16), (-0.03, -0.16)),
    *pair(rounded((0.18, -0.7), (0.36, -0.7), (0.19, -0.2), (0.13, -0.22))),
    *pair(rounded((1.0, 0.0), (1.0, 0.17), (0.62, 0.17), (0.62, 0.11))),
    *pair(rounded((1.0, 0.27), (1.0, 0.44), (0.64, 0.35), (0.64, 0.28))),
]
BIB = rounded(
    (-0.03, -0.54),
    (0.03, -0.54),
    (0.10, 0.08),
    (0.56, 0.34),
    (0.56, 1.10),
    (-0.56, 1.10),
    (-0.56, 0.34),
    (-0.10, 0.08),
)
PATCHES = [
    rounded(
        (0.04, -0.70),
        (0.40, -1.20),
        (1.20, -1.10),
        (1.10, 0.10),
        (0.66, 0.50),
        (0.16, 0.36),
        (0.16, -0.10),
    ),
    rounded(
        (-1.20, -1.10),
        (-0.40, -1.20),
        (-0.08, -0.70),
        (-0.16, -0.28),
        (-0.56, -0.12),
        (-1.10, 0.06),
    ),
]
MASK = rounded(
    (-0.12, -0.22),
    (0.12, -0.22),
    (0.62, 0.02),
    (0.66, 0.46),
    (0.40, 0.86),
    (-0.40, 0.86),
    (-0.66, 0.46),
    (-0.62, 0.02),
)
