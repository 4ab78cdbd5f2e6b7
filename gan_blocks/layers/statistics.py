"""Layers without weights that use statistics of their inputs."""

from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.layers._data_format import (
    DataFormat,
    Shape,
    channels_axis,
    standardize,
)

__all__ = ["MinibatchStdDev", "PixelNormalization"]


@keras.saving.register_keras_serializable(package="gan_blocks")
class MinibatchStdDev(keras.layers.Layer):
    """Appends a channel that shows how much the images of a batch differ.

    Near the end of a discriminator it reduces mode collapse, because the
    discriminator can detect that generated images are nearly identical. The
    layer computes the standard deviation of every feature at every pixel over
    a group of images. The new channel contains the mean of these deviations,
    one number per group.

    In a batch with `n` groups, every `n`-th image belongs to the same group. A
    batch that cannot be divided into groups of `group_size` (such as the last
    batch of a dataset) is one group, as in the paper. The deviation of a
    single image is 0, so the logits of a discriminator with this layer mean
    little for single images.

    Args:
        group_size: Number of images in a group, at least 2.
            Defaults to 4, as in StyleGAN.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: the image data format of Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`, or vectors, `(batch, features)`.

    Output shape:
        The same with one more channel.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import MinibatchStdDev

    features = np.random.normal(size=(8, 4, 4, 16)).astype("float32")
    outputs = MinibatchStdDev()(features)
    assert outputs.shape == (8, 4, 4, 17)
    ```

    Reference:
        Karras et al., 2017, Progressive Growing of GANs for Improved Quality,
        Stability, and Variation, section 3, https://arxiv.org/abs/1710.10196
    """

    def __init__(
        self,
        group_size: int = 4,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("group_size", group_size, minimum=2)
        self.group_size = group_size
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        shape: Any = list(keras.ops.shape(inputs))  # pyright: ignore
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        features = keras.ops.reshape(
            keras.ops.cast(inputs, dtype),
            (-1, self._number_of_groups(shape[0]), *shape[1:]),
        )
        features = features - keras.ops.mean(features, 0, keepdims=True)
        variance = keras.ops.mean(keras.ops.square(features), 0)
        # The square root has no derivative at 0.
        deviation = keras.ops.mean(
            keras.ops.sqrt(variance + 1e-8),
            axis=list(range(1, len(shape))),
            keepdims=True,
        )
        members, groups = keras.ops.shape(features)[:2]
        axis = channels_axis(self.data_format)
        shape[axis] = 1
        channel = keras.ops.reshape(
            keras.ops.broadcast_to(deviation, (members, groups, *shape[1:])),
            (-1, *shape[1:]),
        )
        channel = keras.ops.cast(channel, inputs.dtype)
        return keras.ops.concatenate([inputs, channel], axis)

    def _number_of_groups(self, batch_size):
        size = self.group_size
        groups, rest = batch_size // size, batch_size % size
        if isinstance(batch_size, int):
            return 1 if rest else groups
        # In a TensorFlow graph the batch size may be a tensor.
        return keras.ops.where(rest == 0, groups, 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        axis = channels_axis(self.data_format)
        channels = shape[axis]
        shape[axis] = None if channels is None else channels + 1
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "group_size": self.group_size,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class PixelNormalization(keras.layers.Layer):
    """Scales the features of each pixel to a mean square of 1.

    It prevents features of a generator from growing or shrinking from layer to
    layer. It has no weights and does not depend on the batch. Place it after
    the activations. As the first layer it projects normal latents onto a
    sphere.

    Args:
        axis: Axis of the features. Defaults to -1.
        epsilon: Positive number that is added to the mean square. Defaults to
            1e-8.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        Any, such as `(batch, height, width, channels)` or `(batch,
        latent_dim)`.

    Output shape:
        Same as the input.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import PixelNormalization

    outputs = PixelNormalization()(np.array([[3.0, 4.0, 0.0, 0.0]], "float32"))
    np.testing.assert_allclose(outputs, [[1.2, 1.6, 0.0, 0.0]], rtol=1e-5)
    ```

    Reference:
        Karras et al., 2017, Progressive Growing of GANs for Improved Quality,
        Stability, and Variation, section 4.2, https://arxiv.org/abs/1710.10196
    """

    def __init__(
        self, axis: int = -1, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if epsilon <= 0:
            raise ValueError(
                f"`epsilon` must be positive. Received: epsilon={epsilon}"
            )
        self.axis = axis
        self.epsilon = epsilon

    def call(self, inputs: Tensor) -> Tensor:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        outputs = keras.ops.cast(inputs, dtype)
        square = keras.ops.mean(
            keras.ops.square(outputs), self.axis, keepdims=True
        )
        outputs = outputs * keras.ops.rsqrt(square + self.epsilon)
        return keras.ops.cast(outputs, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
        }
