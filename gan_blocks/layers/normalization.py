"""Normalization that can be differentiated twice on every backend."""

import keras

from gan_blocks import replicas

NORMALIZATIONS = ("batch", "layer", "group", "instance", None)


@keras.saving.register_keras_serializable(package="gan_blocks")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization with right second derivatives, and faster.

    It has the variables, the config and the results of
    `keras.layers.BatchNormalization`, and can load its weights. Three
    things differ:

    - On TensorFlow, Keras computes the variance with `tf.nn.moments`, which
      hides from the gradient that the variance depends on the mean. First
      derivatives come out right in spite of that, second derivatives do not,
      and gradient penalties such as R1 are trained by second derivatives.
      This layer uses TensorFlow's fused kernel, which is right and faster; for
      float64, channels that are not last, or `synchronized=True`, it uses
      plain formulas. With a mask or `renorm=True`, and on JAX and PyTorch,
      Keras' own code runs.
    - `synchronized=True` is for every backend.
    - `momentum` is 0.9 instead of 0.99. A generator's weights move quickly and
      runs are short: at 0.99 the moving averages trail the weights by hundreds
      of steps, and sampling through them gave blurry, nearly identical digits.

    Args:
        axis: Integer, the axis of the channels. Defaults to -1.
        momentum: Float in [0, 1], the share of the old value that the moving
            averages keep at each training step. Defaults to 0.9.
        epsilon: Float, added to the variance. Defaults to 1e-3.
        synchronized: Whether mean and variance are those of the whole batch
            where several replicas or processes share it: under a
            `tf.distribute` strategy and `torch.distributed`. On JAX they always
            are. Defaults to False.
        **kwargs: The other arguments of `keras.layers.BatchNormalization`.

    Input shape:
        Any, with the channels on `axis`.

    Output shape:
        That of the input.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import BatchNormalization

    images = np.random.normal(5.0, 2.0, (8, 4, 4, 3)).astype("float32")
    outputs = BatchNormalization()(images, training=True)
    ```

    Reference:
        [Batch Normalization: Accelerating Deep Network Training by Reducing
        Internal Covariate Shift](https://arxiv.org/abs/1502.03167)
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.9,
        epsilon=1e-3,
        synchronized=False,
        **kwargs,
    ):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )
        # Not handed to Keras, which refuses it but on TensorFlow.
        self.synchronized = synchronized

    def call(self, inputs, training=None, mask=None):
        """Returns the normalized inputs; training moves the averages."""
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if (
            not (on_tensorflow or self.synchronized)
            or not (training and self.trainable)
            or mask is not None
            or self.renorm
        ):
            return super().call(inputs, training=training, mask=mask)
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if (
            on_tensorflow
            and not (self.synchronized and replicas.number() > 1)
            and self.axis in (-1, len(inputs.shape) - 1)
            and dtype in ("float32", "float16", "bfloat16")
        ):
            outputs, mean, variance = self._fused(inputs)
        else:
            outputs, mean, variance = self._plain(inputs)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _move(self, average, value):
        old = keras.ops.cast(average, value.dtype)
        average.assign(old * self.momentum + value * (1.0 - self.momentum))

    def _fused(self, inputs):
        import tensorflow as tf

        channels = self.moving_mean.shape[0]
        gamma = self.gamma if self.scale else tf.ones([channels])
        beta = self.beta if self.center else tf.zeros([channels])
        images = inputs
        if len(inputs.shape) != 4:
            images = tf.reshape(inputs, [-1, 1, 1, channels])
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            images,
            tf.cast(gamma, "float32"),
            tf.cast(beta, "float32"),
            epsilon=self.epsilon,
        )
        # The kernel returns the variance with Bessel's correction, which the
        # moving average does without. One value has no corrected variance.
        count = tf.cast(tf.size(inputs) // channels, "float32")
        variance = tf.math.multiply_no_nan(variance, (count - 1) / count)
        if images is not inputs:
            outputs = tf.reshape(outputs, tf.shape(inputs))
        return outputs, mean, variance

    def _plain(self, inputs):
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        inputs = keras.ops.cast(inputs, dtype)
        axis = self.axis % len(inputs.shape)
        axes = [i for i in range(len(inputs.shape)) if i != axis]
        mean_of = replicas.mean if self.synchronized else lambda share: share
        mean = mean_of(keras.ops.mean(inputs, axes, keepdims=True))
        centred = inputs - mean
        variance = mean_of(
            keras.ops.mean(keras.ops.square(centred), axes, keepdims=True)
        )
        outputs = centred * keras.ops.rsqrt(variance + self.epsilon)
        shape = [1] * len(inputs.shape)
        shape[axis] = -1
        if self.scale:
            gamma = keras.ops.cast(self.gamma, dtype)
            outputs = outputs * keras.ops.reshape(gamma, shape)
        if self.center:
            beta = keras.ops.cast(self.beta, dtype)
            outputs = outputs + keras.ops.reshape(beta, shape)
        return (
            outputs,
            keras.ops.reshape(mean, [-1]),
            keras.ops.reshape(variance, [-1]),
        )


@keras.saving.register_keras_serializable(package="gan_blocks")
class GroupNormalization(keras.layers.GroupNormalization):
    """Group normalization with right second derivatives.

    It has the arguments, the variables and the results of
    `keras.layers.GroupNormalization`. On TensorFlow Keras' own has wrong
    second derivatives, for the reason given in `BatchNormalization`; this one
    is right on every backend, so it can be used under a gradient penalty.

    One group is layer normalization over channels, height and width; one group
    per channel is instance normalization.

    Args:
        groups: Integer, a divisor of the number of channels, or -1 for one
            group per channel. Defaults to 32.
        **kwargs: The other arguments of `keras.layers.GroupNormalization`.

    Input shape:
        Any, with the channels on `axis`.

    Output shape:
        That of the input.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import GroupNormalization

    images = np.random.normal(5.0, 2.0, (8, 4, 4, 6)).astype("float32")
    outputs = GroupNormalization(groups=3)(images)
    ```

    Reference:
        [Group Normalization](https://arxiv.org/abs/1803.08494)
    """

    def __init__(self, groups=32, **kwargs):
        super().__init__(groups=groups, **kwargs)

    def call(self, inputs):
        """Returns the normalized inputs."""
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        shape = list(keras.ops.shape(inputs))
        axis = self.axis % len(shape)
        channels = shape[axis]
        grouped = shape[:axis] + [self.groups, channels // self.groups]
        grouped += shape[axis + 1 :]
        outputs = keras.ops.reshape(keras.ops.cast(inputs, dtype), grouped)
        axes = [i for i in range(1, len(grouped)) if i != axis]
        outputs = outputs - keras.ops.mean(outputs, axes, keepdims=True)
        variance = keras.ops.mean(
            keras.ops.square(outputs), axes, keepdims=True
        )
        outputs = outputs * keras.ops.rsqrt(variance + self.epsilon)
        outputs = keras.ops.reshape(outputs, shape)
        broadcast = [1] * len(shape)
        broadcast[axis] = channels
        if self.scale:
            gamma = keras.ops.cast(self.gamma, dtype)
            outputs = outputs * keras.ops.reshape(gamma, broadcast)
        if self.center:
            beta = keras.ops.cast(self.beta, dtype)
            outputs = outputs + keras.ops.reshape(beta, broadcast)
        return keras.ops.cast(outputs, self.compute_dtype)


def normalizer(kind, channels, synchronized=False, **arguments):
    """Returns the layer of a kind, one of `NORMALIZATIONS` but None."""
    if kind == "batch":
        return BatchNormalization(synchronized=synchronized, **arguments)
    if kind == "layer":
        groups = 1
    elif kind == "instance":
        groups = channels
    else:
        groups = _largest_divisor(channels, 32)
    return GroupNormalization(groups, **arguments)


def _largest_divisor(number, limit):
    return next(n for n in range(limit, 0, -1) if number % n == 0)
