"""Keras' convolutions, computed faster at the two ends of a GAN.

On a CPU, TensorFlow computes convolutions for 16 output channels at a time.
Images have 1 or 3 channels, so most of this work is wasted if the output is an
image. GANs have two such places: the last layer of a generator, which is a
transposed convolution, and the gradient of a discriminator's first convolution
with respect to its input, which is a transposed convolution too. This module
computes both in blocks of pixels.

In one dimension, a transposed convolution adds feature `i`, multiplied by the
weight `kernel[tap]`, to the pixel

    stride * i + tap,    0 <= tap < kernel_size,

of an image that `"same"` padding then crops. Blocks of `block` pixels, where
`block` is a multiple of `stride`, contain the pixels `block * b + q` with
`0 <= q < block`. So feature `i` reaches pixel `q` of block `b` with

    tap = block * b + q - stride * i = q - stride * (i - b * block / stride).

The weight depends on `q` and on the position of the feature relative to the
block, but not on the block. An ordinary convolution with the stride `block /
stride` therefore computes all blocks, with one output channel per pixel `q`. In
two dimensions a block has `block * block * channels` channels: blocks of 4x4
gray pixels or 2x2 color pixels fill the 16 channels and take about half the
time. On a GPU they are not faster.

At the other end of both networks, the kernel of a convolution covers the whole
input, or a transposed convolution has an input of one pixel. Both are matrix
products, on every backend.
"""

from typing import Any

import keras

from gan_blocks._types import Tensor
from gan_blocks.layers._kernels import kernels

__all__ = ["Conv2D", "Conv2DTranspose"]


def _is_plain(layer: Any) -> bool:
    dilated = any(rate > 1 for rate in layer.dilation_rate)
    return layer.data_format == "channels_last" and not dilated


def _block_side(layer: Any, images_shape: Any) -> int:
    """Returns the side of the blocks, or 0 if blocks would not be faster."""
    stride = layer.strides[0]
    _, height, width, channels = images_shape
    if (
        kernels is None
        or not _is_plain(layer)
        or layer.strides[1] != stride
        or height is None
        or width is None
        or kernels.has_gpu()
    ):
        return 0
    side = int((16 / channels) ** 0.5)
    return side - side % stride if side > 1 else 0


@keras.saving.register_keras_serializable(package="gan_blocks")
class Conv2D(keras.layers.Conv2D):
    """Convolution that is faster at the two ends of a discriminator.

    It has the arguments, variables, config and results of
    `keras.layers.Conv2D`, up to rounding, and can load its weights. It
    computes two cases differently:

    - A kernel that covers the whole input, as at the end of a discriminator,
      is a matrix product.
    - On TensorFlow without a GPU, the gradient with respect to an input with
      few channels, which trains the generator, takes about half the time. This
      needs `use_bias=False`, as before a normalization.

    Args:
        *args: The arguments of `keras.layers.Conv2D`.
        **kwargs: The arguments of `keras.layers.Conv2D`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `data_format="channels_first"`.

    Output shape:
        The same with `filters` channels, smaller by `strides`.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import Conv2D

    logits = Conv2D(1, kernel_size=7)(np.ones((2, 7, 7, 32), "float32"))
    assert logits.shape == (2, 1, 1, 1)
    ```
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Returns the convolution without bias. Keras calls this method."""
        if (
            _is_plain(self)
            and self.groups == 1
            and self.padding == "valid"
            and tuple(inputs.shape[1:3]) == self.kernel_size
        ):
            kernel = keras.ops.reshape(kernel, (-1, self.filters))
            inputs = keras.ops.reshape(inputs, (-1, kernel.shape[0]))
            outputs = keras.ops.matmul(inputs, kernel)
            return keras.ops.reshape(outputs, (-1, 1, 1, self.filters))
        # TensorFlow's own convolution adds a bias at no cost, which saves more
        # time than blocks do.
        can_use_blocks = self.groups == 1 and not self.use_bias
        if can_use_blocks and (block := _block_side(self, inputs.shape)):
            return kernels.convolution(
                inputs, kernel, self.strides[0], self.padding.upper(), block
            )
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable(package="gan_blocks")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution that is faster at the two ends of a generator.

    It has the arguments, variables, config and results of
    `keras.layers.Conv2DTranspose`, up to rounding, and can load its weights. It
    computes two cases differently:

    - With an input of one pixel, as at the beginning of a generator, it is a
      matrix product.
    - On TensorFlow without a GPU, an output with few channels, such as images,
      takes about half the time.

    Args:
        *args: The arguments of `keras.layers.Conv2DTranspose`.
        **kwargs: The arguments of `keras.layers.Conv2DTranspose`.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `data_format="channels_first"`.

    Output shape:
        The same with `filters` channels, larger by `strides`.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import Conv2DTranspose

    latents = np.ones((2, 1, 1, 100), "float32")
    features = Conv2DTranspose(32, kernel_size=7)(latents)
    assert features.shape == (2, 7, 7, 32)
    ```
    """

    def call(self, inputs: Tensor) -> Tensor:
        shape = self.compute_output_shape(inputs.shape)
        if (
            _is_plain(self)
            and self.padding == "valid"
            and tuple(inputs.shape[1:3]) == (1, 1)
            and tuple(shape[1:3]) == self.kernel_size
        ):
            kernel = keras.ops.reshape(self.kernel, (-1, inputs.shape[3]))
            outputs = keras.ops.matmul(
                inputs[:, 0, 0], keras.ops.transpose(kernel)
            )
            outputs = keras.ops.reshape(outputs, (-1, *shape[1:]))
        elif self.output_padding is None and (
            block := _block_side(self, shape)
        ):
            outputs = kernels.transposed_convolution(
                inputs,
                self.kernel,
                shape[1:3],
                self.strides[0],
                self.padding.upper(),
                block,
            )
        else:
            return super().call(inputs)
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)
