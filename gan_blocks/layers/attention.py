"""Attention between the positions of an image."""

from typing import Any

import keras

from gan_blocks._types import Tensor
from gan_blocks.layers import _inner
from gan_blocks.layers._data_format import (
    DataFormat,
    Shape,
    known_channels,
    standardize,
)
from gan_blocks.layers.convolution import Conv2D
from gan_blocks.layers.spectral import SpectralNormalization

__all__ = ["SelfAttention2D"]


@keras.saving.register_keras_serializable(package="gan_blocks")
class SelfAttention2D(keras.layers.Layer):
    """Adds a weighted sum over all positions to each position.

    A convolution sees only nearby pixels. With this layer, a generator can
    coordinate distant parts of an image, and a discriminator can compare them.
    The sum is multiplied by a learned number, `gamma`, which starts at 0, so
    the layer returns its input unchanged at first.

    Queries and keys have one eighth of the channels, and values one half (at
    least one channel each). The softmax is computed in float32 or higher
    precision. All positions are keys, as in the formulas of the paper. The
    authors' code pools the keys 2x2. Memory grows with the square of the
    number of positions: 4 MB per image at 32x32 (float32, one forward pass),
    64 MB at 64x64. The paper found 32x32 and 64x64 to work better than smaller
    sizes.

    Args:
        spectral_normalization: If True, `SpectralNormalization` divides the
            kernels of the four 1x1 convolutions by their largest singular
            values, as in the paper. Defaults to False.
        data_format: See `StridedConvBlock`. Defaults to `None`.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        Same as the input.

    Raises:
        ValueError: If an argument is invalid, or if the number of channels is
            unknown.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import SelfAttention2D

    features = np.random.normal(size=(2, 8, 8, 16)).astype("float32")
    outputs = SelfAttention2D()(features)
    assert outputs.shape == (2, 8, 8, 16)
    ```

    Reference:
        Zhang et al., 2018, Self-Attention Generative Adversarial Networks,
        section 3, https://arxiv.org/abs/1805.08318
    """

    def __init__(
        self,
        spectral_normalization: bool = False,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spectral_normalization = spectral_normalization
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        channels = known_channels(input_shape, self.data_format)
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)
        self.query = self._convolution("query", narrow, input_shape)
        self.key = self._convolution("key", narrow, input_shape)
        self.value = self._convolution("value", half, input_shape)
        shape = self.value.compute_output_shape(input_shape)
        self.projection = self._convolution("projection", channels, shape)
        self.gamma = self.add_weight(
            shape=(), initializer="zeros", name="gamma"
        )

    def _convolution(self, name, filters, input_shape):
        convolution = Conv2D(
            filters,
            kernel_size=1,
            data_format=self.data_format,
            use_bias=False,
            **_inner.arguments(self, name),
        )
        if self.spectral_normalization:
            convolution = SpectralNormalization(
                convolution, name=name, trainable=self.trainable
            )
        convolution.build(input_shape)
        return convolution

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        query, key, value = (
            self._to_positions(convolution(inputs))
            for convolution in (self.query, self.key, self.value)
        )
        scores = keras.ops.matmul(query, keras.ops.swapaxes(key, 1, 2))
        dtype = keras.backend.result_type(scores.dtype, "float32")
        weights = keras.ops.softmax(keras.ops.cast(scores, dtype))
        sums = keras.ops.matmul(keras.ops.cast(weights, value.dtype), value)
        images = self._to_images(sums, keras.ops.shape(inputs))
        return inputs + self.gamma * self.projection(images)

    def _to_positions(self, images):
        """Returns images as `(batch, positions, channels)`."""
        if self.data_format == "channels_first":
            images = keras.ops.transpose(images, (0, 2, 3, 1))
        shape = keras.ops.shape(images)
        return keras.ops.reshape(images, (shape[0], -1, images.shape[3]))

    def _to_images(self, positions, shape):
        """Inverts `_to_positions`, for images with the size in `shape`."""
        channels = positions.shape[2]
        if self.data_format == "channels_last":
            return keras.ops.reshape(positions, (*shape[:3], channels))
        positions = keras.ops.swapaxes(positions, 1, 2)
        return keras.ops.reshape(positions, (shape[0], channels, *shape[2:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spectral_normalization": self.spectral_normalization,
            "data_format": self.data_format,
        }
