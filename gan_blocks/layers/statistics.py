"""Layers without weights that look at statistics of features."""

import keras

from gan_blocks.layers.data_format import channels_axis, standardize


@keras.saving.register_keras_serializable(package="gan_blocks")
class MinibatchStdDev(keras.layers.Layer):
    """Appends a channel that shows how varied the images of a batch are.

    Near the end of a discriminator it works against collapse: a generator
    whose images are all alike gives itself away. In each group of images, the
    standard deviation of every feature at every pixel is taken over the group,
    and the mean of them all, one number, fills the new channel of the images
    of the group.

    Every `n`-th image of a batch belongs to the same one of its `n` groups. A
    batch that cannot be divided into groups of the wanted size (the last one
    of a data set, or one that is smaller) is one group, which is the form that
    the paper describes. A single image varies by nothing: to score images one
    by one, by a discriminator with this layer, is of little meaning.

    Args:
        group_size: Integer, the number of images in a group, at least 2.
            Defaults to 4, as in StyleGAN.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to None,
            the one set in Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`; also vectors, `(batch, features)`.

    Output shape:
        The same with one channel more.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import MinibatchStdDev

    features = np.random.normal(size=(8, 4, 4, 16)).astype("float32")
    outputs = MinibatchStdDev()(features)
    assert outputs.shape == (8, 4, 4, 17)
    ```

    Reference:
        [Progressive Growing of GANs for Improved Quality, Stability, and
        Variation](https://arxiv.org/abs/1710.10196), section 3
    """

    def __init__(self, group_size=4, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if group_size < 2:
            raise ValueError(
                "`group_size` must be at least 2. "
                f"Received: group_size={group_size}"
            )
        self.group_size = group_size
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def call(self, inputs):
        """Returns the inputs with one channel more."""
        shape = list(keras.ops.shape(inputs))
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        features = keras.ops.reshape(
            keras.ops.cast(inputs, dtype),
            (-1, self._number_of_groups(shape[0]), *shape[1:]),
        )
        features = features - keras.ops.mean(features, 0, keepdims=True)
        variance = keras.ops.mean(keras.ops.square(features), 0)
        # The square root has no derivative at 0.
        deviation = keras.ops.mean(
            keras.ops.sqrt(variance + 1e-8),
            axis=list(range(1, len(shape))),
            keepdims=True,
        )
        members, groups = keras.ops.shape(features)[:2]
        axis = channels_axis(self.data_format)
        shape[axis] = 1
        channel = keras.ops.reshape(
            keras.ops.broadcast_to(deviation, (members, groups, *shape[1:])),
            (-1, *shape[1:]),
        )
        channel = keras.ops.cast(channel, inputs.dtype)
        return keras.ops.concatenate([inputs, channel], axis)

    def _number_of_groups(self, count):
        groups, rest = count // self.group_size, count % self.group_size
        if isinstance(count, int):
            return 1 if rest else groups
        # In a graph of TensorFlow, the size of a batch may be a tensor.
        return keras.ops.where(rest == 0, groups, 1)

    def compute_output_shape(self, input_shape):
        """Returns the input's shape with one channel more."""
        shape = list(input_shape)
        axis = channels_axis(self.data_format)
        if shape[axis] is not None:
            shape[axis] += 1
        return tuple(shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "group_size": self.group_size,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class PixelNormalization(keras.layers.Layer):
    """Gives the features of each pixel an average square of one.

    Keeps the features of a generator from growing or shrinking along its
    layers, and does so for each pixel of each image on its own: there is
    nothing to learn and nothing that depends on the batch. It stands after the
    activations; as the first layer it puts normal latents on a sphere.

    Args:
        axis: Integer, the axis of the features. Defaults to -1.
        epsilon: Float, added to the average square. Defaults to 1e-8.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        Any, as `(batch, height, width, channels)` or `(batch, latent_dim)`.

    Output shape:
        That of the input.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import PixelNormalization

    outputs = PixelNormalization()(np.array([[3.0, 4.0, 0.0, 0.0]], "float32"))
    np.testing.assert_allclose(outputs, [[1.2, 1.6, 0.0, 0.0]], rtol=1e-5)
    ```

    Reference:
        [Progressive Growing of GANs for Improved Quality, Stability, and
        Variation](https://arxiv.org/abs/1710.10196), section 4.2
    """

    def __init__(self, axis=-1, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        if epsilon <= 0:
            raise ValueError(
                f"`epsilon` must be positive. Received: epsilon={epsilon}"
            )
        self.axis = axis
        self.epsilon = epsilon

    def call(self, inputs):
        """Returns the normalized inputs."""
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        outputs = keras.ops.cast(inputs, dtype)
        square = keras.ops.mean(
            keras.ops.square(outputs), self.axis, keepdims=True
        )
        outputs = outputs * keras.ops.rsqrt(square + self.epsilon)
        return keras.ops.cast(outputs, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the input."""
        return tuple(input_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
        }
