"""Checks of the data for training and evaluation."""

import keras
from keras import ops

from gan_blocks.gan.checks import compatible


def images_and_labels(data, image_shape, conditional):
    """Unpacks a batch of data and checks it."""
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if (
        isinstance(images, (list, tuple, dict))
        or conditional == (labels is None)
        or weights is not None
    ):
        expected = (
            "pairs of images and labels"
            if conditional
            else "images only. Remove the rest, for example with "
            "`dataset.map(lambda images, labels: images)`"
        )
        received = type(data).__name__
        if isinstance(data, (list, tuple, dict)):
            received += f" of {len(data)} elements"
        raise ValueError(
            f"The data for this `GAN` must yield {expected}. Received: a batch "
            f"of type {received}"
        )
    if not compatible(images.shape[1:], image_shape):
        raise ValueError(
            "The real images must have the shape of the generated images, "
            f"{image_shape}. Received: images of shape "
            f"{tuple(images.shape[1:])}"
        )
    images = ops.cast(images, keras.config.floatx())
    if not conditional:
        return images, None
    if len(labels.shape) != 1:
        raise ValueError(
            "The labels must be integers of shape (batch,). Received: labels "
            f"of shape {tuple(labels.shape)}"
        )
    return images, ops.cast(labels, "int32")
