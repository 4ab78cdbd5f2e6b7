"""From a picture with landmarks to a face: upright, centred, of one size."""

import math
import numbers
import pathlib
import stat

import numpy as np
from PIL import Image

_POINTS = 9
_MARGIN = 0.1  # of the way from the middle to the farthest landmark
_LONGEST = 10_000  # bytes; a file of landmarks has about a hundred
_FARTHEST = 1e6  # pixels; no picture is as wide, and nothing overflows
_BORDER = 1  # pixel by which a square may miss the picture


class Unfit(ValueError):
    """A picture gives no face; the message begins with the reason and ':'."""


def read_landmarks(path):
    """Reads the nine landmarks of a face, in the format of the CAT dataset.

    They are the left eye, the right eye, the mouth, three points of the left
    ear and three of the right ear. Left is the viewer's left.

    Args:
        path: A text file such as `9 x1 y1 x2 y2 ... x9 y9`.

    Returns:
        Array of floats and shape `(9, 2)`: x to the right and y downwards, in
        pixels. (0, 0) is the centre of the pixel in the upper left corner.

    Raises:
        ValueError: If the file does not hold the number 9 and then 18 numbers
            between -1e6 and 1e6, and nothing else, or cannot be read.
        FileNotFoundError: If it does not exist.

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
    words = read_file(path).decode("ascii", errors="replace").split()
    try:
        coordinates = np.array(words[1:], float)
    except ValueError:
        found = "words that are no numbers"
    else:
        found = f"{len(coordinates)} numbers"
        if not _near(coordinates):
            found = f"numbers that are not finite or beyond {_FARTHEST:.0e}"
        elif words[:1] == [str(_POINTS)] and len(coordinates) == 2 * _POINTS:
            return coordinates.reshape(_POINTS, 2)
    raise _damaged(
        path, f"{words[0][:20]!r} and {found}" if words else "an empty file"
    )


def read_file(path):
    """Returns the bytes in a file of landmarks, if they are not too many."""
    path = pathlib.Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            # A pipe would be waited for, and a device has no end.
            raise _damaged(path, "no regular file")
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _damaged(path, error) from error
    if len(content) > _LONGEST:
        raise _damaged(path, f"more than {_LONGEST} bytes")
    return content


def _damaged(path, received):
    # No name of a file breaks out of its line.
    return Unfit(
        f"damaged landmarks: {repr(str(path))[1:-1]} must hold {_POINTS} and "
        f"then {2 * _POINTS} numbers. Received: {received}"
    )


def _near(coordinates):
    return (np.abs(coordinates) <= _FARTHEST).all()  # False for NaN, too


def align(image, landmarks, image_size):
    """Cuts a face out of a picture, upright, centred and of a given size.

    A GAN learns faces sooner when eyes are always in the same places. The
    picture is turned so that the eyes are level and the mouth is below them,
    and cut to a square around the point midway between the eyes. The square
    is as small as can be with all landmarks in it, ears too, and a margin of
    a tenth. Nothing is invented: faces that would have to be enlarged, or
    that the picture does not hold whole, are refused.

    Landmarks refer to the pixels as they are stored: an EXIF orientation is
    not heeded.

    Args:
        image: `PIL.Image.Image` with 8 bits a channel, which is left as it is.
        landmarks: Array of shape `(9, 2)`, as `read_landmarks` returns it.
        image_size: Height and width of the result, in pixels.

    Returns:
        RGB `PIL.Image.Image` of `image_size` by `image_size` pixels.

    Raises:
        ValueError: If the square is smaller than `image_size` pixels, a corner
            of it lies more than a pixel outside of the picture, the eyes are
            less than a pixel apart, or an argument is not as described.

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
    check_size(image_size)
    landmarks = np.asarray(landmarks, float)
    if landmarks.shape != (_POINTS, 2) or not _near(landmarks):
        raise ValueError(
            f"`landmarks` must be finite and of shape ({_POINTS}, 2), within "
            f"{_FARTHEST:.0e} pixels. "
            f"Received: landmarks={landmarks.tolist()}"
        )
    middle, across = square(landmarks, image.size, image_size)
    return cut(image, middle, across, image_size)


def check_size(image_size):
    """Raises an error unless the size is a positive integer."""
    if not (isinstance(image_size, numbers.Integral) and image_size > 0):
        raise ValueError(
            "`image_size` must be a positive integer. "
            f"Received: image_size={image_size!r}"
        )


def square(landmarks, size, image_size):
    """Returns a square's middle and the way from there to its right side."""
    landmarks = landmarks + 0.5  # from centres of pixels to their corners
    left_eye, right_eye, mouth = landmarks[:3]
    middle = (left_eye + right_eye) / 2
    apart = math.dist(left_eye, right_eye)
    if apart < 1:
        raise Unfit(
            "eyes coincide: `landmarks` must have them a pixel apart or more. "
            f"Received: {apart:.1f} pixels"
        )
    right = (right_eye - left_eye) / apart
    down = _turned(right)
    if (mouth - middle) @ down < 0:  # The eyes are the wrong way round.
        right, down = -right, -down
    offsets = (landmarks - middle) @ np.stack([right, down], axis=1)
    reach = (1 + _MARGIN) * np.abs(offsets).max()
    if 2 * reach < image_size:
        raise Unfit(
            "too small: the face's square must be at least `image_size` wide. "
            f"Received: image_size={image_size} and {2 * reach:.1f} pixels"
        )
    # The square on its corner is wider, equally in both directions.
    spread = np.abs(right).sum()
    room = min(*middle, *(size - middle))
    if reach * spread > room + _BORDER:
        raise Unfit(
            "cut off by the border: the face's square must lie in the picture. "
            f"Received: {reach * spread - room:.1f} pixels outside"
        )
    return middle, right * min(reach, room / spread)


def _turned(right):
    return np.array([-right[1], right[0]])


def shrinkage(across, image_size):
    """Returns by how much to shrink first, with enough pixels left over."""
    return max(1, int(2 * math.hypot(*across) / (3 * image_size)))


def cut(image, middle, across, image_size):
    """Returns what is in a square of a picture, at the given size."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            "`image` must have 8 bits a channel. "
            f"Received: image of mode {image.mode}"
        )
    image = image.convert("RGB")
    if (factor := shrinkage(across, image_size)) > 1:
        image = image.reduce(factor)
        middle, across = middle / factor, across / factor
    # Turned at its own size and resized afterwards: a turn does not average
    # over the pixels that it skips.
    side = math.ceil(2 * math.hypot(*across))
    corner = middle - across - _turned(across)
    x_step, y_step = 2 * across / side
    turn = (x_step, -y_step, corner[0], y_step, x_step, corner[1])
    face = image.transform(
        (side, side),
        Image.Transform.AFFINE,
        turn,
        resample=Image.Resampling.BICUBIC,
    )
    face = face.resize((image_size, image_size), Image.Resampling.LANCZOS)
    face.info.clear()  # What was said of the whole, such as its orientation.
    return face
