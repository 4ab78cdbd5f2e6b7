"""Convolutions that are Keras' own, computed in a faster way."""

import keras
import numpy as np


class _Convolution:
    """What the two convolutions share: when there is a faster way."""

    def _is_plain(self):
        dilated = any(rate > 1 for rate in self.dilation_rate)
        return self.data_format == "channels_last" and not dilated

    def _block(self, images_shape):
        """Returns the side of the blocks to compute images in, or 0.

        The blocks' pixels are channels of a convolution. On a CPU it computes
        16 channels at a time, so that images of fewer channels, and their
        gradients, are made for the price of 16.
        """
        if keras.backend.backend() != "tensorflow":
            return 0
        import tensorflow as tf

        stride = self.strides[0]
        height, width, channels = images_shape[1:]
        if (
            not self._is_plain()
            or self.strides[1] != stride
            or height is None
            or width is None
            or tf.config.list_logical_devices("GPU")
        ):
            return 0
        side = int((16 / channels) ** 0.5)
        return side - side % stride if side > 1 else 0


@keras.saving.register_keras_serializable(package="gan_blocks")
class Conv2D(_Convolution, keras.layers.Conv2D):
    """Convolution, faster at the two ends of a discriminator.

    It has the arguments, the variables, the config and the results of
    `keras.layers.Conv2D`, up to rounding, and can load its weights. Two cases
    are computed in another way:

    - a kernel that covers its whole input, as at the end of a discriminator,
      is a matrix product;
    - on TensorFlow without a GPU, the gradient to an input of few channels,
      which trains the generator, takes about half of the time, if there is
      no bias (as before a normalization).

    Args:
        *args: As of `keras.layers.Conv2D`.
        **kwargs: As of `keras.layers.Conv2D`.

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

    def convolution_op(self, inputs, kernel):
        """Returns the convolution, without bias; called by Keras."""
        if (
            self._is_plain()
            and self.groups == 1
            and self.padding == "valid"
            and tuple(inputs.shape[1:3]) == self.kernel_size
        ):
            kernel = keras.ops.reshape(kernel, (-1, self.filters))
            inputs = keras.ops.reshape(inputs, (-1, kernel.shape[0]))
            outputs = keras.ops.matmul(inputs, kernel)
            return keras.ops.reshape(outputs, (-1, 1, 1, self.filters))
        # TensorFlow computes a bias along with its own convolution, which
        # saves more than the blocks do.
        plain = self.groups == 1 and not self.use_bias
        if plain and (block := self._block(inputs.shape)):
            return _convolution(
                inputs, kernel, self.strides[0], self.padding.upper(), block
            )
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable(package="gan_blocks")
class Conv2DTranspose(_Convolution, keras.layers.Conv2DTranspose):
    """Transposed convolution, faster at the two ends of a generator.

    It has the arguments, the variables, the config and the results of
    `keras.layers.Conv2DTranspose`, up to rounding, and can load its weights.
    Two cases are computed in another way:

    - a single position, as at the beginning of a generator, is a matrix
      product;
    - on TensorFlow without a GPU, an output of few channels, as the images
      are, takes about half of the time.

    Args:
        *args: As of `keras.layers.Conv2DTranspose`.
        **kwargs: As of `keras.layers.Conv2DTranspose`.

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

    def call(self, inputs):
        """Returns the transposed convolution, with bias and activation."""
        shape = self.compute_output_shape(inputs.shape)
        if (
            self._is_plain()
            and self.padding == "valid"
            and tuple(inputs.shape[1:3]) == (1, 1)
            and tuple(shape[1:3]) == self.kernel_size
        ):
            kernel = keras.ops.reshape(self.kernel, (-1, inputs.shape[3]))
            outputs = keras.ops.matmul(
                inputs[:, 0, 0], keras.ops.transpose(kernel)
            )
            outputs = keras.ops.reshape(outputs, (-1, *shape[1:]))
        elif self.output_padding is None and (block := self._block(shape)):
            outputs = _transposed(
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


def _convolution(images, kernel, stride, padding, block):
    """Returns the convolution of images; its gradient to them is blockwise."""
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(images, kernel):
        def gradients(upstream):
            to_images = _transposed(
                upstream, kernel, images.shape[1:3], stride, padding, block
            )
            to_kernel = _to_kernel(images, kernel, upstream, stride, padding)
            return to_images, to_kernel

        return tf.nn.conv2d(images, kernel, stride, padding), gradients

    return convolve(tf.convert_to_tensor(images), tf.convert_to_tensor(kernel))


def _transposed(features, kernel, size, stride, padding, block):
    """Returns the transposed convolution, as images of `size`, blockwise."""
    import tensorflow as tf

    @tf.custom_gradient
    def transpose(features, kernel):
        def gradients(upstream):
            to_features = _convolution(upstream, kernel, stride, padding, block)
            to_kernel = _to_kernel(upstream, kernel, features, stride, padding)
            return to_features, to_kernel

        return _by_blocks(
            features, kernel, size, stride, padding, block
        ), gradients

    return transpose(
        tf.convert_to_tensor(features), tf.convert_to_tensor(kernel)
    )


def _to_kernel(images, kernel, features, stride, padding):
    import tensorflow as tf

    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=features,
        strides=[1, stride, stride, 1],
        padding=padding,
    )


def _by_blocks(features, kernel, size, stride, padding, block):
    """Returns the transposed convolution, computed block by block.

    In one dimension, position `i` of the features reaches the pixels
    `stride * i + tap - before` by the weights `tap` of the kernel. A block of
    pixels is so a convolution of the features around it, with the weights
    that lead from each to each pixel.
    """
    import tensorflow as tf

    channels, depth = kernel.shape[2:]
    step = block // stride  # Positions of the features from block to block.
    taps, before, paddings = [], [], []
    for axis in (0, 1):
        kernel_size, length = kernel.shape[axis], features.shape[1 + axis]
        covered = (length - 1) * stride + kernel_size
        cut = max(covered - size[axis], 0) // 2 if padding == "SAME" else 0
        reach = (kernel_size - 1) // stride
        position = np.arange(reach + step)[:, None] - reach
        tap = np.arange(block) - stride * position
        exists = (tap >= 0) & (tap < kernel_size)
        taps.append(np.where(exists, tap, kernel_size))  # There, it is 0.
        before.append(cut)
        blocks = -(-(cut + size[axis]) // block)
        paddings.append([reach, step * blocks - length])
    kernel = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])
    kernel = tf.gather(tf.gather(kernel, taps[0], axis=0), taps[1], axis=2)
    kernel = tf.reshape(
        tf.transpose(kernel, (0, 2, 5, 1, 3, 4)),
        (*(len(tap) for tap in taps), depth, block * block * channels),
    )
    pixels = tf.nn.depth_to_space(
        tf.nn.conv2d(features, kernel, step, [[0, 0], *paddings, [0, 0]]),
        block,
    )
    (top, left), (height, width) = before, size
    return pixels[:, top : top + height, left : left + width]
