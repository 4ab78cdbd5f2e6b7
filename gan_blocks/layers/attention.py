"""Attention between the positions of an image."""

import keras

from gan_blocks.layers.convolution import Conv2D
from gan_blocks.layers.data_format import known_channels, standardize
from gan_blocks.layers.spectral import SpectralNormalization


@keras.saving.register_keras_serializable(package="gan_blocks")
class SelfAttention2D(keras.layers.Layer):
    """Adds to each position what it looks for at all other positions.

    A convolution sees a few pixels around; with this layer, distant parts of
    an image can be made to fit each other, in a generator, or held against
    each other, in a discriminator. The part that is added is multiplied by a
    learned number, `gamma`, that starts at 0: the layer first hands its input
    through.

    Queries and keys have an eighth of the channels and values one half (at
    least one), and the softmax is taken in float32 at least. All positions are
    keys, as in the formulas of the paper; its authors' code takes the maxima
    of 2x2 positions instead. Memory grows with the square of the number of
    positions: at 32x32, 4 MB for each image (in float32, for one pass), and 64
    MB at 64x64. The paper found 32x32 and 64x64 to be better places than
    smaller ones.

    Args:
        spectral_normalization: Whether the kernels of the four 1x1
            convolutions are divided by their largest singular values, see
            `SpectralNormalization`; the paper's are. Defaults to False.
        data_format: As in `StridedConvBlock`. Defaults to None.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        That of the input.

    Raises:
        ValueError: If an argument is not one of the above, or the number of
            channels is unknown.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import SelfAttention2D

    features = np.random.normal(size=(2, 8, 8, 16)).astype("float32")
    outputs = SelfAttention2D()(features)
    assert outputs.shape == (2, 8, 8, 16)
    ```

    Reference:
        [Self-Attention Generative Adversarial
        Networks](https://arxiv.org/abs/1805.08318), section 3
    """

    def __init__(
        self, spectral_normalization=False, data_format=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.spectral_normalization = spectral_normalization
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        """Builds the four convolutions and `gamma`."""
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
        arguments = {
            "name": name,
            "dtype": self.dtype_policy,
            "trainable": self.trainable,
        }
        convolution = Conv2D(
            filters,
            kernel_size=1,
            data_format=self.data_format,
            use_bias=False,
            **arguments,
        )
        if self.spectral_normalization:
            convolution = SpectralNormalization(convolution, **arguments)
        convolution.build(input_shape)
        return convolution

    def call(self, inputs, training=None):
        """Returns the inputs and what was found; training moves estimates."""
        query, key, value = (
            self._positions(convolution(inputs))
            for convolution in (self.query, self.key, self.value)
        )
        scores = keras.ops.matmul(query, keras.ops.swapaxes(key, 1, 2))
        dtype = keras.backend.result_type(scores.dtype, "float32")
        weights = keras.ops.softmax(keras.ops.cast(scores, dtype))
        found = keras.ops.matmul(keras.ops.cast(weights, value.dtype), value)
        found = self.projection(self._image(found, keras.ops.shape(inputs)))
        return inputs + self.gamma * found

    def _positions(self, images):
        """Returns `(batch, positions, channels)`."""
        if self.data_format == "channels_first":
            images = keras.ops.transpose(images, (0, 2, 3, 1))
        shape = keras.ops.shape(images)
        return keras.ops.reshape(images, (shape[0], -1, images.shape[3]))

    def _image(self, positions, shape):
        """Returns positions in the data format, as images of `shape`."""
        channels = positions.shape[2]
        if self.data_format == "channels_last":
            return keras.ops.reshape(positions, (*shape[:3], channels))
        positions = keras.ops.swapaxes(positions, 1, 2)
        return keras.ops.reshape(positions, (shape[0], channels, *shape[2:]))

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return tuple(input_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "spectral_normalization": self.spectral_normalization,
            "data_format": self.data_format,
        }
