"""Keras' convolutions, computed faster at the two ends of a GAN and between.

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

On a CPU, the gradient of JAX's transposed convolution with respect to its
kernel takes a hundred times as long as the convolution. Blocks of `stride`
pixels, for any number of channels, avoid this.

Between the ends, a generator may repeat each pixel and then convolve. In one
dimension, this adds feature `i`, multiplied by `kernel[tap]`, to the pixels

    stride * i + repeat - (tap - kernel_size // 2),    0 <= repeat < stride.

The weights that multiply the same feature for the same pixel can be added
first. The result is a transposed convolution with `stride - 1` more weights and
fewer products: for two dimensions, a kernel of 3 and a stride of 2, there are 4
per pixel and channel instead of 9. On a GPU, the two steps are faster.
"""

from collections.abc import Sequence
from typing import Any

import keras

from gan_blocks import backend
from gan_blocks._types import Tensor
from gan_blocks.layers._kernels import kernels

__all__ = [
    "Conv2D",
    "Conv2DTranspose",
    "upsample_and_convolve",
    "upsampling_kernel",
]


def _is_plain(layer: Any) -> bool:
    dilated = any(rate > 1 for rate in layer.dilation_rate)
    return layer.data_format == "channels_last" and not dilated


def _block_side(strides: Any, images_shape: Any) -> int:
    """Returns the side of the blocks, or 0 if blocks would not be faster."""
    stride = strides[0]
    _, height, width, channels = images_shape
    if (
        kernels is None
        or strides[1] != stride
        or height is None
        or width is None
        or backend.gpu_names()
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
        can_use_blocks = (
            _is_plain(self) and self.groups == 1 and not self.use_bias
        )
        if can_use_blocks and (
            block := _block_side(self.strides, inputs.shape)
        ):
            return kernels.convolution(
                inputs, kernel, self.strides[0], self.padding.upper(), block
            )
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable(package="gan_blocks")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Transposed convolution that is faster at the two ends of a generator.

    It has the arguments, variables, config and results of
    `keras.layers.Conv2DTranspose`, up to rounding, and can load its weights. It
    computes three cases differently:

    - With an input of one pixel, as at the beginning of a generator, it is a
      matrix product.
    - On TensorFlow without a GPU, an output with few channels, such as images,
      takes about half the time.
    - On JAX without a GPU, it is computed as an ordinary convolution, whose
      gradient is much faster.

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
        elif _is_plain(self) and self.output_padding is None:
            outputs = _transposed_convolution(
                inputs, self.kernel, shape[1:3], self.strides, self.padding
            )
        else:
            return super().call(inputs)
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)


def upsample_and_convolve(
    inputs: Tensor, kernel: Tensor, strides: Sequence[int]
) -> Tensor:
    """Repeats pixels `strides` times and convolves, as one convolution.

    Args:
        inputs: Tensor `(batch, height, width, channels)`.
        kernel: Kernel of the convolution, `(height, width, channels, filters)`.
            Its height and width are odd. The convolution has `"same"` padding.
        strides: How often each pixel is repeated, vertically and horizontally.
    """
    kernel = upsampling_kernel(kernel, strides)
    sides = zip(inputs.shape[1:3], strides, strict=True)
    size = [None if n is None else n * stride for n, stride in sides]
    return _transposed_convolution(inputs, kernel, size, strides, "same")


def upsampling_kernel(kernel: Tensor, strides: Sequence[int]) -> Tensor:
    """Returns the transposed kernel that `upsample_and_convolve` uses.

    Each of its weights is a sum of weights of `kernel`.

    Args:
        kernel: See `upsample_and_convolve`.
        strides: See `upsample_and_convolve`.

    Returns:
        A kernel `(height + strides[0] - 1, width + strides[1] - 1, filters,
        channels)`.
    """
    for axis, stride in enumerate(strides):
        shifted = []
        for i in range(stride):
            paddings = [[0, 0]] * 4
            paddings[axis] = [i, stride - 1 - i]
            shifted.append(keras.ops.pad(kernel, paddings))
        kernel = sum(shifted)
    # Keras' transposed convolutions rotate the kernel by 180 degrees and store
    # the filters before the channels.
    return keras.ops.flip(keras.ops.transpose(kernel, (0, 1, 3, 2)), (0, 1))


def _transposed_convolution(inputs, kernel, size, strides, padding):
    """Computes a transposed convolution of channels-last inputs to `size`."""
    if block := _block_side(strides, (None, *size, kernel.shape[2])):
        return kernels.transposed_convolution(
            inputs, kernel, size, strides[0], padding.upper(), block
        )
    if keras.backend.backend() == "jax" and not backend.gpu_names():
        return _in_blocks(inputs, kernel, size, strides, padding)
    return keras.ops.conv_transpose(
        inputs, kernel, tuple(strides), padding, data_format="channels_last"
    )


def _in_blocks(inputs, kernel, size, strides, padding):
    """Computes a transposed convolution in blocks of `strides` pixels."""
    ops = keras.ops
    height, width, filters, channels = kernel.shape
    block_height, block_width = strides
    # The number of features that reach a block, vertically and horizontally.
    rows = -(-height // block_height)
    columns = -(-width // block_width)
    bottom = rows * block_height - height
    right = columns * block_width - width
    kernel = ops.pad(kernel, [(0, bottom), (0, right), (0, 0), (0, 0)])
    kernel = ops.reshape(
        kernel, (rows, block_height, columns, block_width, filters, channels)
    )
    kernel = ops.transpose(ops.flip(kernel, (0, 2)), (0, 2, 5, 1, 3, 4))
    kernel = ops.reshape(kernel, (rows, columns, channels, -1))
    borders = (rows - 1, rows - 1), (columns - 1, columns - 1)
    blocks = ops.conv(
        ops.pad(inputs, [(0, 0), *borders, (0, 0)]),
        kernel,
        padding="valid",
        data_format="channels_last",
    )
    m, n = blocks.shape[1:3]
    blocks = ops.reshape(blocks, (-1, m, n, block_height, block_width, filters))
    images = ops.reshape(
        ops.transpose(blocks, (0, 1, 3, 2, 4, 5)),
        (-1, m * block_height, n * block_width, filters),
    )
    top = left = 0
    if padding == "same":
        top = max(height - block_height, 0) // 2
        left = max(width - block_width, 0) // 2
    return images[:, top : top + size[0], left : left + size[1]]
