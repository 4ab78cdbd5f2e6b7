"""Pictures that come with other packages."""

import numpy as np
from PIL import Image

# 2.5 pixels for each of theirs: 20 for all 8, as MNIST's, centred in 28.
_CELLS_ACROSS = 28 / 2.5


def digits(labels=False):
    """Returns 1,797 handwritten digits in the format of MNIST.

    A real data set to try a GAN on within minutes and without a network. The
    digits come with scikit-learn, at 8 by 8 pixels and 17 shades of grey. They
    are enlarged to 20 by 20 smoothly and framed, white on black, as MNIST's
    are, so that what was written for one runs with the other; they stay
    blurrier than MNIST's, and are 33 times fewer.

    Args:
        labels: Whether to return too which digit each is. Defaults to False.

    Returns:
        Array of uint8 and shape `(1797, 28, 28, 1)`. With `labels` a pair of
        it and an array of int32 and shape `(1797,)`, with values from 0 to 9.

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
            "`digits` needs scikit-learn: pip install 'gan-blocks[samples]'"
        ) from error
    packaged = load_digits()
    small = np.rint(packaged.images * (255 / 16)).astype(np.uint8)
    # Framed first, so that strokes end softly at the edge too.
    framed = np.pad(small, ((0, 0), (2, 2), (2, 2)))
    first = (framed.shape[1] - _CELLS_ACROSS) / 2
    last = first + _CELLS_ACROSS
    large = [
        Image.fromarray(image).resize(
            (28, 28), Image.Resampling.BICUBIC, box=(first, first, last, last)
        )
        for image in framed
    ]
    images = np.stack(large)[..., np.newaxis]
    return (images, packaged.target.astype(np.int32)) if labels else images


def faces():
    """Returns 100 photographs of faces, in grey.

    Far too few to train on in earnest, but real: to try whether a GAN for
    faces runs, within a minute and without a network. They come with
    scikit-image, cut out closely around the face at 25 by 25 pixels. They are
    enlarged smoothly, and their grey is repeated in three channels, so that
    what was written for colour photographs runs with them.

    Returns:
        Array of uint8 and shape `(100, 28, 28, 3)`.

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
            "`faces` needs scikit-image: pip install 'gan-blocks[samples]'"
        ) from error
    # The second half of the subset is of other things.
    small = np.rint(lfw_subset()[:100] * 255).astype(np.uint8)
    large = [
        Image.fromarray(image).resize((28, 28), Image.Resampling.BICUBIC)
        for image in small
    ]
    return np.stack([large] * 3, axis=-1)
