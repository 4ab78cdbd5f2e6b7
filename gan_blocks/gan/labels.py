"""Networks with labels, and the labels of the images to generate."""

from typing import Any

import keras
import numpy as np

from gan_blocks._types import Tensor


class LabelledNetwork:
    """A conditional network with fixed labels, called with one input.

    The training step, the losses and the penalties can then ignore the labels.
    """

    def __init__(self, network, labels):
        self.network = network
        self.labels = labels

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __call__(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.network([inputs, self.labels], training=training)


def with_labels(network, labels: Tensor | None):
    """Fixes the labels of a network, unless they are `None`."""
    return network if labels is None else LabelledNetwork(network, labels)


def labels_to_generate(
    labels: Any, number: int, num_classes: int | None, fill: int = 0
) -> np.ndarray | None:
    """Returns `number + fill` labels, or `None` without classes.

    Args:
        labels: See `GAN.generate`.
        number: Number of images.
        num_classes: Number of classes, or `None`.
        fill: Number of further images that fill the last batch.
    """
    if num_classes is None:
        if labels is not None:
            raise ValueError(
                "`labels` need a GAN with `num_classes`. Received: "
                f"labels={labels}"
            )
        return None
    in_turn = np.arange(number + fill, dtype="int32") % num_classes
    if labels is None:
        return in_turn
    labels = keras.ops.convert_to_numpy(labels)
    if labels.ndim == 0:
        labels = np.repeat(labels, number)
    if (
        labels.shape != (number,)
        or labels.dtype.kind not in "iu"
        or not 0 <= labels.min() <= labels.max() < num_classes
    ):
        raise ValueError(
            f"`labels` must be {number} integers from 0 to {num_classes - 1}, "
            f"or one integer. Received: labels={labels}"
        )
    return np.concatenate([labels.astype("int32"), in_turn[number:]])
