"""Drawn faces with landmarks, in the format of the CAT dataset."""

import numpy as np
from PIL import Image

# Eyes, mouth, left ear and right ear of an upright face, relative to the point
# between the eyes. The farthest is 45 away, so the side of the square is 99.
FACE = np.array(
    [(-20, 0), (20, 0), (0, 32)]
    + [(-38, -8), (-30, -45), (-12, -28)]
    + [(12, -28), (34, -44), (40, -8)],
    float,
)
SIDE = 2 * 1.1 * 45
RED, GREEN, BLUE, YELLOW = (
    np.array(color) for color in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
)
COLORS = [RED, GREEN, BLUE] + [YELLOW] * 6


def place(center, scale=1.0, degrees=0.0):
    """Returns the landmarks of a face, rotated clockwise."""
    angle = np.deg2rad(degrees)
    x = np.array([np.cos(angle), np.sin(angle)])
    y = np.array([-np.sin(angle), np.cos(angle)])
    return scale * FACE @ np.stack([x, y]) + center


CENTERED = place((200, 150))


def draw(landmarks, size, radius=4.0):
    """Returns a black image with a soft colored disc on each landmark."""
    pixels = np.zeros((size[1], size[0], 3))
    for (x, y), color in zip(landmarks, COLORS, strict=True):
        top, left = (max(0, int(at - radius) - 1) for at in (y, x))
        around = pixels[top : int(y + radius) + 3, left : int(x + radius) + 3]
        rows, columns = np.indices(around.shape[:2])
        distance = np.hypot(columns + left - x, rows + top - y)
        disc = np.clip(radius + 0.5 - distance, 0, 1)
        np.maximum(around, disc[..., None] * color, out=around)
    return Image.fromarray(np.rint(255 * pixels).astype("uint8"))


def find(face, color):
    """Returns the center of a color, in pixels from the center of the face."""
    pixels = np.asarray(face).astype(float)
    weight = np.clip(pixels @ (2 * color - 1), 0, None)
    weight[weight < 60] = 0
    rows, columns = np.mgrid[: face.height, : face.width]
    center = [(weight * at).sum() / weight.sum() for at in (columns, rows)]
    return np.array(center) + 0.5 - face.width / 2


def check_positions(face, scale, tolerance=0.5):
    """Checks that the eyes and the mouth are where they should be."""
    for color, position in zip([RED, GREEN, BLUE], scale * FACE, strict=False):
        assert np.abs(find(face, color) - position).max() < tolerance


def save_cat(path, landmarks=CENTERED, size=(400, 300), radius=4.0, **options):
    """Writes an image of a face and its landmarks. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(landmarks, size, radius).save(path, **options)
    words = " ".join(f"{value:.0f}" for value in np.ravel(landmarks))
    path.with_name(f"{path.name}.cat").write_text(f"9 {words} ")
    return path
