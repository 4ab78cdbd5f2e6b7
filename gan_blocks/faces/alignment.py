"""Reads landmarks and crops an upright, centered face out of one image."""

import math

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import PathLike
from gan_blocks.datasets.errors import escape
from gan_blocks.datasets.listing import DiskFile, File

_POINTS = 9
_MARGIN = 0.1  # relative to the distance of the farthest landmark
_MAX_BYTES = 10_000  # a landmark file has about a hundred
_MAX_COORDINATE = 1e6  # pixels; wider than any image, and cannot overflow
_TOLERANCE = 1  # pixels; a square may exceed the image by this much


class UnusableFace(ValueError):
    """An image gives no face. The message starts with the reason and ':'."""


def read_landmarks(path: PathLike) -> np.ndarray:
    """Reads the nine landmarks of a face, in the format of the CAT dataset.

    The landmarks are the left eye, the right eye, the mouth, three points of
    the left ear and three points of the right ear. Left is the viewer's left.

    Args:
        path: A text file such as `9 x1 y1 x2 y2 ... x9 y9`.

    Returns:
        Array of floats of shape `(9, 2)`: x to the right and y downwards, in
        pixels. (0, 0) is the center of the top left pixel.

    Raises:
        ValueError: If the file cannot be read, or is not exactly the number 9
            and 18 numbers between -1e6 and 1e6.
        FileNotFoundError: If the file does not exist.

    Example:

    ```python
    import pathlib
    import tempfile

    from gan_blocks import faces

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "cat.jpg.cat")
        path.write_text("9 " + "120 80 " * 9)
        landmarks = faces.read_landmarks(path)
    assert landmarks.shape == (9, 2)
    assert landmarks[0].tolist() == [120, 80]
    ```

    Reference:
        Zhang, Sun and Tang, 2008, Cat Head Detection - How to Effectively
        Exploit Shape and Texture Features,
        https://www.kaggle.com/datasets/crawford/cat-dataset
    """
    return parse_landmarks(DiskFile(str(path)), str(path))


def parse_landmarks(file: File, name: str) -> np.ndarray:
    """Reads landmarks from a file in a folder or in an archive."""
    words = read_landmark_bytes(file, name).decode("ascii", "replace").split()
    try:
        coordinates = np.array(words[1:], float)
    except ValueError:
        found = "words that are not numbers"
    else:
        found = f"{len(coordinates)} numbers"
        if not _in_range(coordinates):
            found = f"numbers that are not finite or beyond {_MAX_COORDINATE:g}"
        elif words[:1] == [str(_POINTS)] and len(coordinates) == 2 * _POINTS:
            return coordinates.reshape(_POINTS, 2)
    raise _damaged(
        name, f"{words[0][:20]!r} and {found}" if words else "an empty file"
    )


def read_landmark_bytes(file: File, name: str) -> bytes:
    """Returns the content of a landmark file, if it is not too long."""
    try:
        file.size()  # Raises an error for a pipe, which could block.
        with file.open() as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise _damaged(name, error) from error
    if len(content) > _MAX_BYTES:
        raise _damaged(name, f"more than {_MAX_BYTES} bytes")
    return content


def _damaged(name: str, received: object) -> UnusableFace:
    return UnusableFace(
        f"damaged landmarks: {escape(name)} must hold {_POINTS} and "
        f"then {2 * _POINTS} numbers. Received: {received}"
    )


def _in_range(coordinates: np.ndarray) -> bool:
    return bool((np.abs(coordinates) <= _MAX_COORDINATE).all())  # no NaN either


def align(
    image: Image.Image, landmarks: ArrayLike, image_size: int
) -> Image.Image:
    """Crops an upright, centered face of a given size out of an image.

    A GAN learns faces faster if the eyes are always in the same places. The
    image is rotated so that the eyes are level and the mouth is below the
    eyes. The crop is a square around the point midway between the eyes. It is
    the smallest square that holds all landmarks, including the ears, with a
    margin of 10%. Faces that would have to be enlarged, or that the image
    does not show completely, are refused.

    Landmarks refer to the stored pixels. An EXIF orientation is ignored.

    Args:
        image: `PIL.Image.Image` with 8 bits per channel. It is not changed.
        landmarks: Array of shape `(9, 2)`, as returned by `read_landmarks`.
        image_size: Height and width of the result, in pixels.

    Returns:
        RGB `PIL.Image.Image` of `image_size` by `image_size` pixels.

    Raises:
        ValueError: If the square is smaller than `image_size` pixels, if one
            of its corners is more than a pixel outside the image, if the eyes
            are less than a pixel apart, or if an argument is not as described.

    Example:

    ```python
    from PIL import Image

    from gan_blocks import faces

    eyes_and_mouth = [(80, 90), (120, 90), (100, 130)]
    left_ear = [(60, 80), (65, 50), (80, 60)]
    right_ear = [(120, 60), (135, 50), (140, 80)]
    landmarks = eyes_and_mouth + left_ear + right_ear
    face = faces.align(Image.new("RGB", (200, 180)), landmarks, image_size=64)
    assert face.size == (64, 64)
    ```
    """
    check_positive_integer("image_size", image_size)
    points = np.asarray(landmarks, float)
    if points.shape != (_POINTS, 2) or not _in_range(points):
        raise ValueError(
            f"`landmarks` must be finite and of shape ({_POINTS}, 2), within "
            f"{_MAX_COORDINATE:g} pixels. "
            f"Received: landmarks={points.tolist()}"
        )
    center, to_right = find_square(points, image.size, image_size)
    return crop(image, center, to_right, image_size)


def find_square(
    landmarks: np.ndarray, size: tuple[int, int], image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the center of a face's square and the vector to its right side.

    Args:
        landmarks: Array of shape `(9, 2)`.
        size: Width and height of the image.
        image_size: Smallest allowed side of the square, in pixels.
    """
    landmarks = landmarks + 0.5  # from pixel centers to pixel corners
    left_eye, right_eye, mouth = landmarks[:3]
    center = (left_eye + right_eye) / 2
    distance = math.dist(left_eye, right_eye)
    if distance < 1:
        raise UnusableFace(
            "eyes coincide: the eyes in `landmarks` must be at least a pixel "
            f"apart. Received: {distance:.1f} pixels"
        )
    right = (right_eye - left_eye) / distance
    down = _quarter_turn(right)
    if (mouth - center) @ down < 0:  # The left and right eye are swapped.
        right, down = -right, -down
    offsets = (landmarks - center) @ np.stack([right, down], axis=1)
    half_side = (1 + _MARGIN) * np.abs(offsets).max()
    if 2 * half_side < image_size:
        raise UnusableFace(
            "too small: the face's square must be at least `image_size` wide. "
            f"Received: image_size={image_size} and {2 * half_side:.1f} pixels"
        )
    # A rotated square is wider, by the same factor in x and y.
    widening = np.abs(right).sum()
    room = min(*center, *(size - center))
    if half_side * widening > room + _TOLERANCE:
        raise UnusableFace(
            "cut off by the border: the face's square must be inside the image."
            f" Received: {half_side * widening - room:.1f} pixels outside"
        )
    return center, right * min(half_side, room / widening)


def _quarter_turn(right: np.ndarray) -> np.ndarray:
    return np.array([-right[1], right[0]])


def reduction_factor(to_right: np.ndarray, image_size: int) -> int:
    """Returns how much the image can be reduced before it is rotated."""
    return max(1, int(2 * math.hypot(*to_right) / (3 * image_size)))


def crop(
    image: Image.Image,
    center: np.ndarray,
    to_right: np.ndarray,
    image_size: int,
) -> Image.Image:
    """Crops a rotated square out of an image and resizes it."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            "`image` must have 8 bits per channel. "
            f"Received: image of mode {image.mode}"
        )
    image = image.convert("RGB")
    if (factor := reduction_factor(to_right, image_size)) > 1:
        image = image.reduce(factor)
        center, to_right = center / factor, to_right / factor
    # Rotated first and resized afterwards, because `transform` does not
    # average over the pixels between its samples.
    side = math.ceil(2 * math.hypot(*to_right))
    corner = center - to_right - _quarter_turn(to_right)
    x_step, y_step = 2 * to_right / side
    rotation = (x_step, -y_step, corner[0], y_step, x_step, corner[1])
    face = image.transform(
        (side, side),
        Image.Transform.AFFINE,
        rotation,
        resample=Image.Resampling.BICUBIC,
    )
    face = face.resize((image_size, image_size), Image.Resampling.LANCZOS)
    face.info.clear()  # Metadata of the whole image, such as its orientation.
    return face
