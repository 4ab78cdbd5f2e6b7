"""Stages of networks: linear layer, normalization, activation, dropout."""

import random

import keras

from gan_blocks.layers.convolution import Conv2D, Conv2DTranspose
from gan_blocks.layers.data_format import channels_axis
from gan_blocks.layers.normalization import NORMALIZATIONS, normalizer
from gan_blocks.layers.spectral import SpectralNormalization


def _is_activation(name):
    try:
        return isinstance(name, str) and keras.activations.get(name)
    except ValueError:
        return False


def _convolution_config(layer):
    return {
        name: getattr(layer, name)
        for name in (
            "filters",
            "kernel_size",
            "strides",
            "padding",
            "data_format",
        )
    }


class _Block(keras.layers.Layer):
    """A linear layer, then normalization, activation and dropout."""

    def __init__(
        self,
        normalization="batch",
        activation="leaky_relu",
        negative_slope=0.2,
        dropout=0.0,
        use_bias=None,
        kernel_initializer=None,
        spectral_normalization=False,
        synchronized=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"`normalization` must be one of {NORMALIZATIONS}. "
                f"Received: normalization={normalization!r}"
            )
        self.normalization = normalization
        if activation is not None and not _is_activation(activation):
            raise ValueError(
                "`activation` must be None or the name of an activation of "
                "Keras, such as 'leaky_relu', 'relu' or 'tanh'. "
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
        # Never one default object for all: an initializer without a seed
        # gives the same values each time it is called.
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or keras.initializers.RandomNormal(stddev=0.02)
        )
        self.spectral_normalization = spectral_normalization
        self.synchronized = synchronized

    def _arguments(self, name):
        """Returns the arguments that every inner layer takes."""
        return {
            "name": name,
            "dtype": self.dtype_policy,
            "trainable": self.trainable,
        }

    def _linear_arguments(self):
        """Returns the arguments that every linear inner layer takes."""
        use_bias = self.use_bias
        if use_bias is None:
            use_bias = self.normalization is None
        return {
            "use_bias": use_bias,
            "kernel_initializer": self.kernel_initializer,
            **self._arguments("linear"),
        }

    def _set_layers(self, *layers):
        """Sets what `call` runs: these, the last one linear, then the rest."""
        *layers, linear = layers
        if self.spectral_normalization:
            arguments = self._arguments("spectral_normalization")
            layers.append(SpectralNormalization(linear, **arguments))
        else:
            layers.append(linear)
        if self.normalization is not None:
            layers.append(self._normalizer(linear))
        arguments = self._arguments("activation")
        if self.activation == "leaky_relu":
            layers.append(
                keras.layers.LeakyReLU(self.negative_slope, **arguments)
            )
        elif self.activation is not None:
            layers.append(keras.layers.Activation(self.activation, **arguments))
        if self.dropout:
            # The seed that Keras would draw, but drawn here: without one, torch
            # takes the numbers from its global generator, which is in no
            # checkpoint.
            layers.append(
                keras.layers.Dropout(
                    self.dropout,
                    seed=random.randint(1, 10**9),
                    **self._arguments("dropout"),
                )
            )
        self.layers = layers

    def _normalizer(self, linear):
        # Dense layers have neither channels nor a data format.
        return normalizer(
            self.normalization,
            getattr(linear, "filters", None),
            self.synchronized,
            axis=channels_axis(getattr(linear, "data_format", None)),
            **self._arguments("normalization"),
        )

    def build(self, input_shape):
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        outputs = inputs
        for layer in self.layers:
            # Keras hands `training` on to those that know it.
            outputs = layer(outputs)
        return outputs

    def compute_output_shape(self, input_shape):
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "normalization": self.normalization,
            "activation": self.activation,
            "negative_slope": self.negative_slope,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "spectral_normalization": self.spectral_normalization,
            "synchronized": self.synchronized,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class StridedConvBlock(_Block):
    """Halves images: strided convolution, normalization, activation, dropout.

    The stage of a DCGAN discriminator. It learns how to shrink, where pooling
    would be fixed.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair. Defaults to 4.
        strides: Integer or pair, the factor to shrink by. Defaults to 2.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to None,
            the one set in Keras. Without a GPU, TensorFlow convolves
            `"channels_first"` on x86 and in float32 and bfloat16 only, and
            raises its own error elsewhere.
        normalization: `"batch"`, `"layer"` (each image on its own, over
            channels, height and width), `"group"` (each image in groups of
            channels: as many groups as divide `filters`, at most 32),
            `"instance"` (each channel of each image) or None. All have one
            scale and one offset per channel, so that height and width may be
            unknown. Layer normalization is the one that WGAN-GP uses in its
            critic. Defaults to `"batch"`.
        activation: Name of an activation of Keras, or None. Defaults to
            `"leaky_relu"`.
        negative_slope: Float, for `"leaky_relu"` only. Defaults to 0.2.
        dropout: Float in [0, 1), the share of values dropped. Defaults to 0.
        use_bias: Whether the convolution has a bias. Defaults to None: only
            where no normalization follows, whose offset would replace it.
        kernel_initializer: Initializer, its name or its config. Defaults to
            None, DCGAN's normal distribution of standard deviation 0.02.
        spectral_normalization: Whether the kernel is divided by its largest
            singular value, see `SpectralNormalization`. Discriminators that
            use it mostly do so with `normalization=None`. Defaults to False.
        synchronized: Whether batch normalization takes its mean and variance
            of the whole batch where several devices share it, see
            `BatchNormalization`. Not for a discriminator with a lazy penalty
            on TensorFlow. Defaults to False.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        The same with `filters` channels; height and width are divided by
        `strides` and rounded up, if `padding` is `"same"`.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import StridedConvBlock

    features = StridedConvBlock(16)(np.zeros((2, 28, 28, 1)))
    assert features.shape == (2, 14, 14, 16)
    ```

    Reference:
        [Unsupervised Representation Learning with Deep Convolutional
        Generative Adversarial Networks](https://arxiv.org/abs/1511.06434)
    """

    def __init__(
        self,
        filters,
        kernel_size=4,
        strides=2,
        padding="same",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.linear = Conv2D(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            **self._linear_arguments(),
        )
        self._set_layers(self.linear)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), **_convolution_config(self.linear)}


@keras.saving.register_keras_serializable(package="gan_blocks")
class TransposedConvBlock(_Block):
    """Doubles images: transposed convolution, normalization, activation.

    The stage of a DCGAN generator; dropout, if any, comes last. A kernel size
    that is not divisible by the stride is allowed, since well-known networks
    use 5 with 2, but its windows overlap unevenly and leave a checkerboard
    pattern. The default does not, and neither does `ResizeConvBlock`.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair, best a multiple of `strides`. Defaults
            to 4.
        strides: Integer or pair, the factor to grow by. Defaults to 2.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        data_format: As in `StridedConvBlock`. Defaults to None.
        **kwargs: `normalization`, `activation`, `negative_slope`, `dropout`,
            `use_bias`, `kernel_initializer`, `spectral_normalization`,
            `synchronized`, `name`, `dtype` and `trainable`, as in
            `StridedConvBlock`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        The same with `filters` channels; height and width are multiplied by
        `strides` if `padding` is `"same"`.

    Raises:
        ValueError: If an argument is not one of the above.

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
        [Unsupervised Representation Learning with Deep Convolutional
        Generative Adversarial Networks](https://arxiv.org/abs/1511.06434);
        [Deconvolution and Checkerboard
        Artifacts](https://distill.pub/2016/deconv-checkerboard/)
    """

    def __init__(
        self,
        filters,
        kernel_size=4,
        strides=2,
        padding="same",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.linear = Conv2DTranspose(
            filters,
            kernel_size,
            strides,
            padding,
            data_format=data_format,
            **self._linear_arguments(),
        )
        self._set_layers(self.linear)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), **_convolution_config(self.linear)}


@keras.saving.register_keras_serializable(package="gan_blocks")
class ResizeConvBlock(_Block):
    """Enlarges images, then convolves, normalizes and activates them.

    Takes the place of `TransposedConvBlock` where checkerboards must not
    appear: each output pixel is reached by equally many weights, whatever the
    kernel size. It computes more for the same number of filters.

    Args:
        filters: Integer, the number of output channels.
        kernel_size: Integer or pair. Defaults to 3.
        strides: Integer or pair, the factor to grow by. Defaults to 2.
        padding: `"same"` or `"valid"`, of the convolution. Defaults to
            `"same"`.
        data_format: As in `StridedConvBlock`. Defaults to None.
        interpolation: `"nearest"` or `"bilinear"`. Defaults to `"nearest"`.
        **kwargs: `normalization`, `activation`, `negative_slope`, `dropout`,
            `use_bias`, `kernel_initializer`, `spectral_normalization`,
            `synchronized`, `name`, `dtype` and `trainable`, as in
            `StridedConvBlock`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Height and width may be None.

    Output shape:
        The same with `filters` channels; height and width are multiplied by
        `strides` if `padding` is `"same"`.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import ResizeConvBlock

    features = ResizeConvBlock(16)(np.zeros((2, 7, 7, 32)))
    assert features.shape == (2, 14, 14, 16)
    ```

    Reference:
        [Deconvolution and Checkerboard
        Artifacts](https://distill.pub/2016/deconv-checkerboard/)
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=2,
        padding="same",
        data_format=None,
        interpolation="nearest",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if interpolation not in ("nearest", "bilinear"):
            raise ValueError(
                "`interpolation` must be 'nearest' or 'bilinear'. "
                f"Received: interpolation={interpolation!r}"
            )
        pair = (strides,) * 2 if isinstance(strides, int) else tuple(strides)
        if len(pair) != 2 or min(pair) < 1:
            raise ValueError(
                "`strides` must be a positive integer or a pair of them. "
                f"Received: strides={strides}"
            )
        self.resize = keras.layers.UpSampling2D(
            pair, data_format, interpolation, **self._arguments("resize")
        )
        self.linear = Conv2D(
            filters,
            kernel_size,
            padding=padding,
            data_format=data_format,
            **self._linear_arguments(),
        )
        self._set_layers(self.resize, self.linear)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            **_convolution_config(self.linear),
            "strides": self.resize.size,
            "interpolation": self.resize.interpolation,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class DenseBlock(_Block):
    """Dense layer, then normalization, activation and dropout.

    The stage of networks for vectors, small images or two-dimensional toy
    data.

    Args:
        units: Integer, the number of outputs.
        **kwargs: `normalization` (`"batch"`, `"layer"` or None),
            `activation`, `negative_slope`, `dropout`, `use_bias`,
            `kernel_initializer`, `spectral_normalization`, `synchronized`,
            `name`, `dtype` and `trainable`, as in `StridedConvBlock`.

    Input shape:
        `(batch, features)`.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If an argument is not one of the above. `"group"` and
            `"instance"` are refused: a vector has no height and width to take
            the mean of a channel over.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import DenseBlock

    features = DenseBlock(16, activation="relu")(np.zeros((2, 100)))
    assert features.shape == (2, 16)
    ```
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        if self.normalization in ("group", "instance"):
            raise ValueError(
                "`normalization` of a DenseBlock must be 'batch', 'layer' or "
                f"None. Received: normalization={self.normalization!r}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.linear = keras.layers.Dense(units, **self._linear_arguments())
        self._set_layers(self.linear)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "units": self.linear.units}
