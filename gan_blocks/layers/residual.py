"""Residual blocks, of which deeper networks are made."""

import keras

from gan_blocks.layers.blocks import StridedConvBlock
from gan_blocks.layers.data_format import (
    channels_axis,
    known_channels,
    standardize,
)
from gan_blocks.layers.normalization import normalizer


class _ResidualBlock(keras.layers.Layer):
    """A branch of two convolutions, added to a shortcut around it."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides,
        normalization,
        activation="relu",
        spectral_normalization=False,
        synchronized=False,
        kernel_initializer="glorot_uniform",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(strides, int) or strides < 1:
            raise ValueError(
                "`strides` must be a positive integer. "
                f"Received: strides={strides}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.normalization = normalization
        self.activation = activation
        self.spectral_normalization = spectral_normalization
        self.synchronized = synchronized
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.first = self._convolution(
            "first", kernel_size, normalization, activation
        )
        self.second = self._convolution("second", kernel_size)

    def _convolution(
        self, name, kernel_size, normalization=None, activation=None
    ):
        initializer = self.kernel_initializer
        if isinstance(initializer, keras.initializers.Initializer):
            # One object gives the same values each time it is called.
            initializer = initializer.clone()
        return StridedConvBlock(
            self.filters,
            kernel_size,
            strides=1,
            data_format=self.data_format,
            normalization=normalization,
            activation=activation,
            kernel_initializer=initializer,
            spectral_normalization=self.spectral_normalization,
            synchronized=self.synchronized,
            **self._arguments(name),
        )

    def _arguments(self, name):
        """Returns the arguments that every inner layer takes."""
        return {
            "name": name,
            "dtype": self.dtype_policy,
            "trainable": self.trainable,
        }

    def _resizing(self, layer):
        """Returns the layers, one or none, that change height and width."""
        if self.strides == 1:
            return []
        arguments = self._arguments("resize")
        return [layer(self.strides, data_format=self.data_format, **arguments)]

    def _preactivation(self, channels):
        """Returns the normalization, if any, and the activation of inputs."""
        activation = keras.layers.Activation(
            self.activation, **self._arguments("preactivation")
        )
        if self.normalization is None:
            return [activation]
        normalization = normalizer(
            self.normalization,
            channels,
            self.synchronized,
            axis=channels_axis(self.data_format),
            **self._arguments("prenormalization"),
        )
        return [normalization, activation]

    def _projection(self, channels):
        """Returns the layers, one or none, that change the channels."""
        if self.strides == 1 and channels == self.filters:
            return []
        return [self._convolution("projection", kernel_size=1)]

    def _paths(self, channels):
        """Returns the layers of the branch, and those of the shortcut."""
        raise NotImplementedError

    def _resized(self, side):
        """Returns the height or width of the outputs."""
        raise NotImplementedError

    def build(self, input_shape):
        """Builds the branch and the shortcut."""
        channels = known_channels(input_shape, self.data_format)
        self.branch, self.shortcut = self._paths(channels)
        for path in (self.branch, self.shortcut):
            shape = input_shape
            for layer in path:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=None):
        """Returns the sum of the branch and the shortcut."""
        branch = shortcut = inputs
        # Keras hands `training` on to those that know it.
        for layer in self.branch:
            branch = layer(branch)
        for layer in self.shortcut:
            shortcut = layer(shortcut)
        return branch + shortcut

    def compute_output_shape(self, input_shape):
        """Returns the shape of the outputs."""
        shape = [side and self._resized(side) for side in input_shape]
        shape[0] = input_shape[0]
        shape[channels_axis(self.data_format)] = self.filters
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "normalization": self.normalization,
            "activation": self.activation,
            "spectral_normalization": self.spectral_normalization,
            "synchronized": self.synchronized,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResidualDownBlock(_ResidualBlock):
    """Halves images: two convolutions and average pooling, with a shortcut.

    The stage of the discriminators of SNGAN, SAGAN and BigGAN, and of WGAN-GP's
    deeper critic. The branch: activation, convolution, activation, convolution,
    average pooling. The shortcut: average pooling and a 1x1 convolution, which
    gives the same as the other way round and is cheaper. With `strides=1`
    nothing is pooled, and where the channels do not change either, the
    shortcut is the input itself; so are the last blocks of SNGAN.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair, of the two convolutions. Defaults to 3.
        strides: Integer, the factor to shrink by. Defaults to 2.
        preactivation: Whether the branch begins with an activation. False for
            the first block of a network: images are not to be cut off at 0.
            Defaults to True.
        normalization: As in `StridedConvBlock`; it stands before each
            activation. Defaults to None.
        **kwargs: `activation`, the name of an activation of Keras or None,
            by default `"relu"`; `spectral_normalization` and
            `synchronized`, by default False; `kernel_initializer`, by default
            `"glorot_uniform"`; `data_format`, `name`, `dtype` and `trainable`,
            as in `StridedConvBlock`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        The same with `filters` channels; height and width are divided by
        `strides` and rounded down.

    Raises:
        ValueError: If an argument is not one of the above, or the number of
            channels is unknown.

    Example:
    ```python
    import keras
    from gan_blocks.layers import ResidualDownBlock

    discriminator = keras.Sequential([
        keras.Input((8, 8, 3)),
        ResidualDownBlock(16, preactivation=False, spectral_normalization=True),
        ResidualDownBlock(16, strides=1, spectral_normalization=True),
    ])
    assert discriminator.output_shape == (None, 4, 4, 16)
    ```

    Reference:
        [Spectral Normalization for Generative Adversarial
        Networks](https://arxiv.org/abs/1802.05957), appendix B.4;
        [Improved Training of Wasserstein
        GANs](https://arxiv.org/abs/1704.00028)
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=2,
        preactivation=True,
        normalization=None,
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, normalization, **kwargs)
        self.preactivation = preactivation

    def _paths(self, channels):
        pooling = self._resizing(keras.layers.AveragePooling2D)
        before = self._preactivation(channels) if self.preactivation else []
        return (
            [*before, self.first, self.second, *pooling],
            [*pooling, *self._projection(channels)],
        )

    def _resized(self, side):
        return side // self.strides

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "preactivation": self.preactivation}


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResidualUpBlock(_ResidualBlock):
    """Doubles images: upsampling and two convolutions, with a shortcut.

    The stage of the generators of SNGAN, SAGAN and BigGAN, and of WGAN-GP's
    deeper generator. The branch: normalization, activation, upsampling (nearest
    pixel), convolution, normalization, activation, convolution. The shortcut:
    a 1x1 convolution and upsampling, which gives the same as the other way
    round and is cheaper. With `strides=1` nothing is upsampled, and where the
    channels do not change either, the shortcut is the input itself.

    As the last convolution is neither normalized nor activated, a network ends
    in a normalization, an activation and a convolution to the image.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair, of the two convolutions. Defaults to 3.
        strides: Integer, the factor to grow by. Defaults to 2.
        normalization: As in `StridedConvBlock`; it stands before each
            activation. Defaults to `"batch"`.
        **kwargs: As in `ResidualDownBlock`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        The same with `filters` channels; height and width are multiplied by
        `strides`.

    Raises:
        ValueError: If an argument is not one of the above, or the number of
            channels is unknown.

    Example:
    ```python
    import keras
    from gan_blocks.layers import ResidualUpBlock

    generator = keras.Sequential([
        keras.Input((16,)),
        keras.layers.Dense(4 * 4 * 16),
        keras.layers.Reshape((4, 4, 16)),
        ResidualUpBlock(8),
    ])
    assert generator.output_shape == (None, 8, 8, 8)
    ```

    Reference:
        [Spectral Normalization for Generative Adversarial
        Networks](https://arxiv.org/abs/1802.05957), appendix B.4;
        [Improved Training of Wasserstein
        GANs](https://arxiv.org/abs/1704.00028)
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=2,
        normalization="batch",
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, normalization, **kwargs)

    def _paths(self, channels):
        upsampling = self._resizing(keras.layers.UpSampling2D)
        before = self._preactivation(channels)
        return (
            [*before, *upsampling, self.first, self.second],
            [*self._projection(channels), *upsampling],
        )

    def _resized(self, side):
        return side * self.strides
