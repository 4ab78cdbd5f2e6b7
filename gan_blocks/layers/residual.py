"""Residual blocks for deeper networks."""

from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.layers import _inner
from gan_blocks.layers._data_format import (
    DataFormat,
    Shape,
    channels_axis,
    known_channels,
    standardize,
)
from gan_blocks.layers._inner import Normalization, Pair
from gan_blocks.layers.blocks import StridedConvBlock

__all__ = ["ResidualDownBlock", "ResidualUpBlock"]


class _ResidualBlock(keras.layers.Layer):
    """A branch with two convolutions, added to a shortcut around it."""

    def __init__(
        self,
        filters: int,
        kernel_size: Pair = 3,
        strides: int = 2,
        normalization: Normalization = "batch",
        activation: str | None = "relu",
        spectral_normalization: bool = False,
        synchronized: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        data_format: DataFormat | None = None,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("strides", strides)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = int(strides)  # Keras refuses NumPy integers.
        self.normalization = normalization
        self.activation = activation
        self.spectral_normalization = spectral_normalization
        self.synchronized = synchronized
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.data_format = standardize(data_format)
        self.momentum = momentum
        self.epsilon = epsilon
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
            # An initializer returns the same values each time it is called.
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
            momentum=self.momentum,
            epsilon=self.epsilon,
            **_inner.arguments(self, name),
        )

    # The next three methods return a list of layers, which may be empty.

    def _resize(self, layer_class):
        if self.strides == 1:
            return []
        arguments = _inner.arguments(self, "resize")
        data_format = self.data_format
        return [layer_class(self.strides, data_format=data_format, **arguments)]

    def _preactivation(self, channels):
        activation = keras.layers.Activation(
            self.activation, **_inner.arguments(self, "preactivation")
        )
        if self.normalization is None:
            return [activation]
        normalization = _inner.normalizer(
            self, "prenormalization", channels, self.data_format
        )
        return [normalization, activation]

    def _projection(self, channels):
        if self.strides == 1 and channels == self.filters:
            return []
        return [self._convolution("projection", kernel_size=1)]

    def _paths(self, channels):
        """Returns the list of layers of the branch and of the shortcut."""
        raise NotImplementedError

    def _resized(self, side):
        """Returns the height or width of the outputs."""
        raise NotImplementedError

    def build(self, input_shape: Shape) -> None:
        channels = known_channels(input_shape, self.data_format)
        self.branch, self.shortcut = self._paths(channels)
        _inner.build(self.branch, input_shape)
        _inner.build(self.shortcut, input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        branch = _inner.call(self.branch, inputs)
        return branch + _inner.call(self.shortcut, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = [side and self._resized(side) for side in input_shape]
        shape[0] = input_shape[0]
        shape[channels_axis(self.data_format)] = self.filters
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {
            **super().get_config(),
            **_inner.attributes(
                self,
                "filters",
                "kernel_size",
                "strides",
                "normalization",
                "activation",
                "spectral_normalization",
                "synchronized",
                "data_format",
                "momentum",
                "epsilon",
            ),
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResidualDownBlock(_ResidualBlock):
    """Two convolutions and average pooling, added to a shortcut.

    Halves height and width, as the stages of the discriminators of SNGAN, SAGAN
    and BigGAN and WGAN-GP's deeper critic do.

    - Branch: activation, convolution, activation, convolution, average pooling.
    - Shortcut: average pooling and a 1x1 convolution. The opposite order gives
      the same result and is slower.

    With `strides=1` there is no pooling. If the number of channels does not
    change either, the shortcut returns its input, as in the last blocks of
    SNGAN.

    Args:
        filters: Number of output channels.
        kernel_size: Kernel size of the two convolutions, an integer or a pair.
            Defaults to 3.
        strides: Downsampling factor. Defaults to 2.
        preactivation: If True, the branch begins with an activation. Use False
            in the first block of a network, because a ReLU would remove the
            negative values of images. Defaults to True.
        normalization: See `StridedConvBlock`. It precedes each activation.
            Defaults to `None`.
        activation: Name of a Keras activation, or `None`. Defaults to `"relu"`.
        spectral_normalization: See `StridedConvBlock`. Defaults to False.
        synchronized: See `StridedConvBlock`. Defaults to False.
        kernel_initializer: Initializer, its name or its config. Defaults to
            `"glorot_uniform"`.
        data_format: See `StridedConvBlock`. Defaults to `None`.
        momentum: See `StridedConvBlock`. Defaults to 0.9.
        epsilon: See `StridedConvBlock`. Defaults to 1e-3.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        The same with `filters` channels. Height and width are divided by
        `strides` and rounded down.

    Raises:
        ValueError: If an argument is invalid, or if the number of channels is
            unknown.

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
        Miyato et al., 2018, Spectral Normalization for Generative Adversarial
        Networks, appendix B.4, https://arxiv.org/abs/1802.05957; Gulrajani et
        al., 2017, Improved Training of Wasserstein GANs,
        https://arxiv.org/abs/1704.00028
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Pair = 3,
        strides: int = 2,
        preactivation: bool = True,
        normalization: Normalization = None,
        activation: str | None = "relu",
        spectral_normalization: bool = False,
        synchronized: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        data_format: DataFormat | None = None,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            normalization,
            activation,
            spectral_normalization,
            synchronized,
            kernel_initializer,
            data_format,
            momentum,
            epsilon,
            **kwargs,
        )
        self.preactivation = preactivation

    def _paths(self, channels):
        pooling = self._resize(keras.layers.AveragePooling2D)
        before = self._preactivation(channels) if self.preactivation else []
        return (
            [*before, self.first, self.second, *pooling],
            [*pooling, *self._projection(channels)],
        )

    def _resized(self, side):
        return side // self.strides

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preactivation": self.preactivation}


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResidualUpBlock(_ResidualBlock):
    """Upsampling and two convolutions, added to a shortcut.

    Doubles height and width, as the stages of the generators of SNGAN, SAGAN
    and BigGAN and of WGAN-GP's deeper generator do.

    - Branch: normalization, activation, upsampling (nearest pixel),
      convolution, normalization, activation, convolution.
    - Shortcut: a 1x1 convolution and upsampling. The opposite order gives the
      same result and is slower.

    With `strides=1` there is no upsampling. If the number of channels does not
    change either, the shortcut returns its input.

    The output has no normalization and no activation. End the network with a
    normalization, an activation and a convolution to the image.

    Args:
        filters: Number of output channels.
        kernel_size: Kernel size of the two convolutions, an integer or a pair.
            Defaults to 3.
        strides: Upsampling factor. Defaults to 2.
        normalization: See `StridedConvBlock`. It precedes each activation.
            Defaults to `"batch"`.
        activation: Name of a Keras activation, or `None`. Defaults to `"relu"`.
        spectral_normalization: See `StridedConvBlock`. Defaults to False.
        synchronized: See `StridedConvBlock`. Defaults to False.
        kernel_initializer: Initializer, its name or its config. Defaults to
            `"glorot_uniform"`.
        data_format: See `StridedConvBlock`. Defaults to `None`.
        momentum: See `StridedConvBlock`. Defaults to 0.9.
        epsilon: See `StridedConvBlock`. Defaults to 1e-3.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        The same with `filters` channels. Height and width are multiplied by
        `strides`.

    Raises:
        ValueError: If an argument is invalid, or if the number of channels is
            unknown.

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
        Miyato et al., 2018, Spectral Normalization for Generative Adversarial
        Networks, appendix B.4, https://arxiv.org/abs/1802.05957; Gulrajani et
        al., 2017, Improved Training of Wasserstein GANs,
        https://arxiv.org/abs/1704.00028
    """

    def _paths(self, channels):
        upsampling = self._resize(keras.layers.UpSampling2D)
        before = self._preactivation(channels)
        return (
            [*before, *upsampling, self.first, self.second],
            [*self._projection(channels), *upsampling],
        )

    def _resized(self, side):
        return side * self.strides
