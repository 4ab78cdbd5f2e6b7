"""Blocks: a linear layer, normalization, activation and dropout."""

import random
from typing import Any, Literal

import keras

from gan_blocks import backend
from gan_blocks._types import Tensor
from gan_blocks.layers import _inner
from gan_blocks.layers._data_format import DataFormat, Shape
from gan_blocks.layers._inner import (
    NORMALIZATIONS,
    Normalization,
    Padding,
    Pair,
)
from gan_blocks.layers.convolution import (
    Conv2D,
    Conv2DTranspose,
    upsample_and_convolve,
)
from gan_blocks.layers.spectral import SpectralNormalization

__all__ = [
    "DenseBlock",
    "ResizeConvBlock",
    "StridedConvBlock",
    "TransposedConvBlock",
]


def _is_activation(name):
    try:
        return isinstance(name, str) and keras.activations.get(name)
    except ValueError:
        return False


class _Block(keras.layers.Layer):
    """A linear layer, then normalization, activation and dropout."""

    def __init__(
        self,
        normalization: Normalization,
        activation: str | None,
        negative_slope: float,
        dropout: float,
        use_bias: bool | None,
        kernel_initializer: Any,
        spectral_normalization: bool,
        synchronized: bool,
        momentum: float,
        epsilon: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"`normalization` must be one of {NORMALIZATIONS}. "
                f"Received: normalization={normalization!r}"
            )
        self.normalization = normalization
        if activation is not None and not _is_activation(activation):
            raise ValueError(
                "`activation` must be None or the name of a Keras activation, "
                "such as 'leaky_relu', 'relu' or 'tanh'. "
                f"Received: activation={activation!r}"
            )
        self.activation = activation
        self.negative_slope = negative_slope
        if not 0 <= dropout < 1:
            raise ValueError(
                "`dropout` must be at least 0 and less than 1. "
                f"Received: dropout={dropout}"
            )
        self.dropout = dropout
        self.use_bias = use_bias
        # The default is a new object for each block, because an initializer
        # without a seed returns the same values each time it is called.
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.spectral_normalization = spectral_normalization
        self.synchronized = synchronized
        self.momentum = momentum
        self.epsilon = epsilon

    def _linear_arguments(self):
        use_bias = self.use_bias
        if use_bias is None:
            use_bias = self.normalization is None
        return {
            "use_bias": use_bias,
            "kernel_initializer": self.kernel_initializer,
            **_inner.arguments(self, "linear"),
        }

    def _set_layers(self, linear):
        """Sets the list of layers, which run one after another."""
        self.linear = linear
        layers = [linear]
        if self.spectral_normalization:
            normalized = SpectralNormalization(
                linear, name="spectral_normalization", trainable=self.trainable
            )
            layers = [normalized]
        if self.normalization is not None:
            # Dense layers have neither filters nor a data format.
            normalizer = _inner.normalizer(
                self,
                "normalization",
                getattr(linear, "filters", None),
                getattr(linear, "data_format", None),
            )
            layers.append(normalizer)
        arguments = _inner.arguments(self, "activation")
        if self.activation == "leaky_relu":
            layers.append(
                keras.layers.LeakyReLU(self.negative_slope, **arguments)
            )
        elif self.activation is not None:
            layers.append(keras.layers.Activation(self.activation, **arguments))
        if self.dropout:
            # Without a seed, torch would draw from its global generator, whose
            # state no checkpoint contains.
            seed = random.randint(1, 10**9)
            arguments = _inner.arguments(self, "dropout")
            layers.append(
                keras.layers.Dropout(self.dropout, seed=seed, **arguments)
            )
        self.layers = layers

    def build(self, input_shape: Shape) -> None:
        _inner.build(self.layers, input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return _inner.call(self.layers, inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return _inner.output_shape(self.layers, input_shape)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {
            **super().get_config(),
            **_inner.attributes(
                self,
                "normalization",
                "activation",
                "negative_slope",
                "dropout",
                "use_bias",
                "spectral_normalization",
                "synchronized",
                "momentum",
                "epsilon",
            ),
            "kernel_initializer": initializer,
        }


class _ConvBlock(_Block):
    """A block whose linear layer is a convolution."""

    _convolution: Any = Conv2D

    def __init__(
        self,
        filters: int,
        kernel_size: Pair = 4,
        strides: Pair = 2,
        padding: Padding = "same",
        data_format: DataFormat | None = None,
        normalization: Normalization = "batch",
        activation: str | None = "leaky_relu",
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        use_bias: bool | None = None,
        kernel_initializer: Any = None,
        spectral_normalization: bool = False,
        synchronized: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            normalization=normalization,
            activation=activation,
            negative_slope=negative_slope,
            dropout=dropout,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            spectral_normalization=spectral_normalization,
            synchronized=synchronized,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
        convolution = self._convolution(
            filters,
            kernel_size,
            strides,
            padding,
            data_format=data_format,
            **self._linear_arguments(),
        )
        self.filters = convolution.filters
        self.kernel_size = convolution.kernel_size
        self.strides = convolution.strides
        self.padding = convolution.padding
        self.data_format = convolution.data_format
        self._set_layers(convolution)

    def get_config(self) -> dict[str, Any]:
        names = "filters", "kernel_size", "strides", "padding", "data_format"
        return {**super().get_config(), **_inner.attributes(self, *names)}


@keras.saving.register_keras_serializable(package="gan_blocks")
class StridedConvBlock(_ConvBlock):
    """Strided convolution, normalization, activation and dropout.

    Halves height and width, as the stages of a DCGAN discriminator do. Unlike
    pooling, a strided convolution learns how to downsample.

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair. Defaults to 4.
        strides: Downsampling factor, an integer or a pair. Defaults to 2.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: the image data format of Keras. Without a GPU, TensorFlow
            convolves `"channels_first"` on x86 in float32 and bfloat16 only,
            and raises its own error elsewhere.
        normalization: One of the following, or `None`. Each has one scale and
            one offset per channel, so height and width may be unknown.
            Defaults to `"batch"`.

            - `"batch"`: over the batch, per channel.
            - `"layer"`: per image, over channels, height and width. The critic
              of WGAN-GP uses it.
            - `"group"`: per image and group of channels. The number of groups
              is the largest divisor of `filters` up to 32.
            - `"instance"`: per image and channel.
        activation: Name of a Keras activation, or `None`. Defaults to
            `"leaky_relu"`.
        negative_slope: Slope of `"leaky_relu"` for negative inputs. Other
            activations ignore it. Defaults to 0.2.
        dropout: Share of the outputs that are set to 0 in training, in [0, 1).
            Defaults to 0.
        use_bias: If True, the linear layer has a bias. Defaults to `None`: a
            bias only without normalization, whose offset would replace it.
        kernel_initializer: Initializer, its name or its config. Defaults to
            `None`: normal with a standard deviation of 0.02, as in DCGAN.
        spectral_normalization: If True, `SpectralNormalization` divides the
            kernel by its largest singular value. Discriminators usually combine
            it with `normalization=None`. Defaults to False.
        synchronized: If True, batch normalization uses the statistics of the
            whole batch when several devices share it: see `BatchNormalization`.
            Do not use it on TensorFlow in a discriminator with a lazy penalty.
            Defaults to False.
        momentum: See `BatchNormalization`. The other normalizations have no
            moving averages and ignore it. Defaults to 0.9.
        epsilon: Small number that the normalization adds to the variance.
            PyTorch's default is 1e-5. A DCGAN on MNIST did not train better
            with it. Defaults to 1e-3, as in Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        The same with `filters` channels. With `padding="same"`, height and
        width are divided by `strides` and rounded up.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import StridedConvBlock

    features = StridedConvBlock(16)(np.zeros((2, 28, 28, 1)))
    assert features.shape == (2, 14, 14, 16)
    ```

    Reference:
        Radford et al., 2015, Unsupervised Representation Learning with Deep
        Convolutional Generative Adversarial Networks,
        https://arxiv.org/abs/1511.06434
    """


@keras.saving.register_keras_serializable(package="gan_blocks")
class TransposedConvBlock(_ConvBlock):
    """Transposed convolution, normalization, activation and dropout.

    Doubles height and width, as the stages of a DCGAN generator do. If
    `kernel_size` is not divisible by `strides`, the windows of the kernel
    overlap unevenly and leave a checkerboard pattern. This is allowed, because
    well-known networks use a kernel size of 5 and strides of 2. The default and
    `ResizeConvBlock` leave no pattern.

    `StridedConvBlock` describes the other arguments.

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair, preferably a multiple of `strides`.
            Defaults to 4.
        strides: Upsampling factor, an integer or a pair. Defaults to 2.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        The same with `filters` channels. With `padding="same"`, height and
        width are multiplied by `strides`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import TransposedConvBlock

    latents = np.zeros((2, 1, 1, 100))
    features = TransposedConvBlock(32, 7, strides=1, padding="valid")(latents)
    assert features.shape == (2, 7, 7, 32)
    features = TransposedConvBlock(16)(features)
    assert features.shape == (2, 14, 14, 16)
    ```

    Reference:
        Radford et al., 2015, Unsupervised Representation Learning with Deep
        Convolutional Generative Adversarial Networks,
        https://arxiv.org/abs/1511.06434; Odena et al., 2016, Deconvolution and
        Checkerboard Artifacts, https://distill.pub/2016/deconv-checkerboard/
    """

    _convolution = Conv2DTranspose


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResizeConvBlock(_ConvBlock):
    """Upsampling, convolution, normalization, activation and dropout.

    Use it instead of `TransposedConvBlock` when checkerboard patterns must not
    appear: every output pixel depends on the same number of weights, for every
    kernel size. In our measurements, generators of photographs learned faster
    with it. Without a GPU, a step takes about as long: for `"nearest"`,
    `padding="same"` and an odd kernel size, resizing and convolution become one
    transposed convolution.

    `StridedConvBlock` describes the other arguments.

    Args:
        filters: Number of output channels.
        kernel_size: Integer or pair. Defaults to 3.
        strides: Upsampling factor, an integer or a pair. Defaults to 2.
        interpolation: `"nearest"` or `"bilinear"`. Defaults to `"nearest"`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be `None`.

    Output shape:
        The same with `filters` channels. With `padding="same"`, height and
        width are multiplied by `strides`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import ResizeConvBlock

    features = ResizeConvBlock(16)(np.zeros((2, 7, 7, 32)))
    assert features.shape == (2, 14, 14, 16)
    ```

    Reference:
        Odena et al., 2016, Deconvolution and Checkerboard Artifacts,
        https://distill.pub/2016/deconv-checkerboard/
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Pair = 3,
        strides: Pair = 2,
        padding: Padding = "same",
        data_format: DataFormat | None = None,
        interpolation: Literal["nearest", "bilinear"] = "nearest",
        normalization: Normalization = "batch",
        activation: str | None = "leaky_relu",
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        use_bias: bool | None = None,
        kernel_initializer: Any = None,
        spectral_normalization: bool = False,
        synchronized: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(
                "`interpolation` must be 'nearest' or 'bilinear'. "
                f"Received: interpolation={interpolation!r}"
            )
        is_pair = isinstance(strides, (list, tuple))
        pair = tuple(strides) if is_pair else (strides,) * 2
        if len(pair) != 2 or not all(type(n) is int and n > 0 for n in pair):
            raise ValueError(
                "`strides` must be a positive integer or a pair of them. "
                f"Received: strides={strides}"
            )
        super().__init__(
            filters=filters,
            kernel_size=kernel_size,
            strides=1,
            padding=padding,
            data_format=data_format,
            normalization=normalization,
            activation=activation,
            negative_slope=negative_slope,
            dropout=dropout,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            spectral_normalization=spectral_normalization,
            synchronized=synchronized,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
        self.strides = pair
        self.interpolation = interpolation
        resize = keras.layers.UpSampling2D(
            pair,
            data_format,
            interpolation,
            **_inner.arguments(self, "resize"),
        )
        self.layers.insert(0, resize)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        # On a GPU, two operations are faster.
        if not self._can_join() or backend.gpu_names():
            return super().call(inputs)
        _, convolution, *others = self.layers
        outputs = upsample_and_convolve(
            inputs, convolution.kernel, self.strides
        )
        if convolution.use_bias:
            outputs = outputs + convolution.bias
        return _inner.call(others, outputs)

    def _can_join(self):
        """Returns whether resizing and convolution can be one operation."""
        return (
            self.interpolation == "nearest"
            and self.padding == "same"
            and all(size % 2 for size in self.kernel_size)
            and self.data_format == "channels_last"
            and not self.spectral_normalization
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "interpolation": self.interpolation}


@keras.saving.register_keras_serializable(package="gan_blocks")
class DenseBlock(_Block):
    """Dense layer, normalization, activation and dropout.

    Use it in networks for vectors, small images or two-dimensional toy data.

    `StridedConvBlock` describes the other arguments.

    Args:
        units: Number of outputs.
        normalization: `"batch"`, `"layer"` or `None`. Defaults to `"batch"`.

    Input shape:
        `(batch, features)`.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If an argument is invalid. Group and instance normalization
            need the height and width of an image.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import DenseBlock

    features = DenseBlock(16, activation="relu")(np.zeros((2, 100)))
    assert features.shape == (2, 16)
    ```
    """

    def __init__(
        self,
        units: int,
        normalization: Literal["batch", "layer"] | None = "batch",
        activation: str | None = "leaky_relu",
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        use_bias: bool | None = None,
        kernel_initializer: Any = None,
        spectral_normalization: bool = False,
        synchronized: bool = False,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            normalization=normalization,
            activation=activation,
            negative_slope=negative_slope,
            dropout=dropout,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            spectral_normalization=spectral_normalization,
            synchronized=synchronized,
            momentum=momentum,
            epsilon=epsilon,
            **kwargs,
        )
        if self.normalization in ("group", "instance"):
            raise ValueError(
                "`normalization` of a DenseBlock must be 'batch', 'layer' or "
                f"None. Received: normalization={self.normalization!r}"
            )
        self.units = units
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self._set_layers(keras.layers.Dense(units, **self._linear_arguments()))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
