"""Small data sets that come with other packages."""

from typing import Any, Literal, overload

import numpy as np
from PIL import Image

# Each of the 8 original pixels becomes 2.5 pixels. The digit is then 20 pixels
# wide, as in MNIST, and centered in 28 pixels.
_CELLS_ACROSS = 28 / 2.5


@overload
def digits(labels: Literal[False] = False) -> np.ndarray: ...


@overload
def digits(labels: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...


def digits(
    labels: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Returns 1,797 handwritten digits in the format of MNIST.

    A small real data set that needs no download and trains a GAN in minutes.
    The digits come with scikit-learn, as 8 by 8 pixels with 17 shades of gray.
    They are smoothly enlarged to 20 by 20 pixels and framed, white on black,
    like MNIST, so code for MNIST runs unchanged. They are blurrier than MNIST,
    which has 33 times as many training images.

    Args:
        labels: If True, also returns the labels. Defaults to False.

    Returns:
        Array of uint8 of shape `(1797, 28, 28, 1)`. With `labels`, a tuple of
        this array and an array of int32 of shape `(1797,)` with values from 0
        to 9.

    Raises:
        ImportError: If scikit-learn is not installed.

    Example:

    ```python
    from gan_blocks import samples

    digits = samples.digits()
    assert digits.shape == (1797, 28, 28, 1)
    digits, labels = samples.digits(labels=True)
    assert labels[:3].tolist() == [0, 1, 2]
    ```

    Reference:
        Alpaydin and Kaynak, 1998, Optical Recognition of Handwritten Digits,
        UCI Machine Learning Repository, https://doi.org/10.24432/C50P49
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "`digits` needs scikit-learn. Install it with: "
            "pip install scikit-learn"
        ) from error
    packaged: Any = load_digits()
    small = np.rint(packaged.images * (255 / 16)).astype(np.uint8)
    # Framed before the resize, so that strokes at the edge end smoothly.
    framed = np.pad(small, ((0, 0), (2, 2), (2, 2)))
    first = (framed.shape[1] - _CELLS_ACROSS) / 2
    last = first + _CELLS_ACROSS
    box = first, first, last, last
    images = np.stack([_enlarged(image, box) for image in framed])
    images = images[..., np.newaxis]
    return (images, packaged.target.astype(np.int32)) if labels else images


def faces() -> np.ndarray:
    """Returns 100 gray photographs of faces.

    Far too few to train a good GAN, but enough to test within a minute,
    without a download, that a GAN for faces runs. The photographs come with
    scikit-image, cropped to the face at 25 by 25 pixels. They are smoothly
    enlarged, and the gray values are repeated in three channels, so code for
    color photographs runs unchanged.

    Returns:
        Array of uint8 of shape `(100, 28, 28, 3)`.

    Raises:
        ImportError: If scikit-image is not installed.

    Example:

    ```python
    from gan_blocks import samples

    faces = samples.faces()
    assert faces.shape == (100, 28, 28, 3)
    ```

    Reference:
        Huang et al., 2007, Labeled Faces in the Wild: A Database for Studying
        Face Recognition in Unconstrained Environments,
        http://vis-www.cs.umass.edu/lfw/ and the subset in scikit-image,
        https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.lfw_subset
    """
    try:
        from skimage.data import lfw_subset
    except ImportError as error:
        raise ImportError(
            "`faces` needs scikit-image. Install it with: "
            "pip install scikit-image"
        ) from error
    # The second half of the subset does not show faces.
    small = np.rint(lfw_subset()[:100] * 255).astype(np.uint8)
    large = np.stack([_enlarged(image) for image in small])
    return np.stack([large] * 3, axis=-1)


def _enlarged(
    image: np.ndarray, box: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """Returns a part of an image, enlarged to 28 by 28 pixels."""
    large = Image.fromarray(image).resize(
        (28, 28), Image.Resampling.BICUBIC, box=box
    )
    return np.asarray(large)
