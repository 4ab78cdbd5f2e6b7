"""TensorFlow kernels of the convolutions and of batch normalization.

`gan_blocks.layers.convolution` explains the convolution in blocks.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gan_blocks._types import Tensor


def convolution(
    images: Tensor, kernel: Tensor, stride: int, padding: Any, block: int
) -> Tensor:
    """Convolves. The gradient with respect to the images uses blocks."""

    @tf.custom_gradient
    def convolve(images, kernel):
        def gradients(upstream):
            size = images.shape[1:3]
            return (
                transposed_convolution(
                    upstream, kernel, size, stride, padding, block
                ),
                _kernel_gradient(images, kernel, upstream, stride, padding),
            )

        return tf.nn.conv2d(images, kernel, stride, padding), gradients

    return convolve(tf.convert_to_tensor(images), tf.convert_to_tensor(kernel))


def transposed_convolution(
    features: Tensor,
    kernel: Tensor,
    size: Sequence[int],
    stride: int,
    padding: Any,
    block: int,
) -> Tensor:
    """Computes a transposed convolution to images of `size`, in blocks."""

    @tf.custom_gradient
    def transpose(features, kernel):
        def gradients(upstream):
            return (
                convolution(upstream, kernel, stride, padding, block),
                _kernel_gradient(upstream, kernel, features, stride, padding),
            )

        images = _in_blocks(features, kernel, size, stride, padding, block)
        return images, gradients

    return transpose(
        tf.convert_to_tensor(features), tf.convert_to_tensor(kernel)
    )


def _kernel_gradient(images, kernel, features, stride, padding):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=features,
        strides=[1, stride, stride, 1],
        padding=padding,
    )


def _in_blocks(features, kernel, size, stride, padding, block):
    channels, depth = kernel.shape[2:]
    step = block // stride  # Features from one block to the next.
    weights, cropped, paddings = [], [], []
    for axis in (0, 1):
        taps, length = kernel.shape[axis], features.shape[1 + axis]
        reach = (taps - 1) // stride
        # Row j holds the weights from feature j - reach of the block to each
        # pixel of the block. Index `taps` points to a weight of 0.
        feature = np.arange(reach + step)[:, None] - reach
        tap = np.arange(block) - stride * feature
        weights.append(np.where((tap >= 0) & (tap < taps), tap, taps))
        excess = (length - 1) * stride + taps - size[axis]
        cropped.append(max(excess, 0) // 2 if padding == "SAME" else 0)
        blocks = -(-(cropped[axis] + size[axis]) // block)
        paddings.append([reach, step * blocks - length])
    kernel = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    kernel = tf.gather(
        tf.gather(kernel, weights[0], axis=0), weights[1], axis=2
    )
    kernel = tf.reshape(
        tf.transpose(kernel, (0, 2, 5, 1, 3, 4)),
        (*(len(rows) for rows in weights), depth, block * block * channels),
    )
    paddings: Any = [[0, 0], *paddings, [0, 0]]
    blocks = tf.nn.conv2d(features, kernel, step, paddings)
    pixels = tf.nn.depth_to_space(blocks, block)
    (top, left), (height, width) = cropped, size
    return pixels[:, top : top + height, left : left + width]


def fused_batch_norm(
    inputs: Tensor, gamma: Tensor, beta: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalizes over all axes but the last; returns mean and variance too."""
    channels = gamma.shape[0]
    images = inputs
    if len(inputs.shape) != 4:
        images = tf.reshape(inputs, [-1, 1, 1, channels])
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        images,
        tf.cast(gamma, "float32"),
        tf.cast(beta, "float32"),
        epsilon=epsilon,
    )
    # The kernel returns the variance with Bessel's correction, which moving
    # averages do not use. The corrected variance of one value is NaN.
    count = tf.cast(tf.size(inputs) // channels, "float32")
    variance = tf.math.multiply_no_nan(variance, (count - 1) / count)
    if images is not inputs:
        outputs = tf.reshape(outputs, tf.shape(inputs))
    return outputs, mean, variance
