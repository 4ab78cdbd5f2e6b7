"""Normalization layers with correct second derivatives on every backend."""

from typing import Any

import keras

from gan_blocks import replicas
from gan_blocks._types import Tensor
from gan_blocks.layers._kernels import kernels

__all__ = ["BatchNormalization", "GroupNormalization"]


@keras.saving.register_keras_serializable(package="gan_blocks")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization with correct second derivatives.

    It has the variables, config and results of
    `keras.layers.BatchNormalization`, and can load its weights. It differs in
    three ways:

    - Second derivatives are correct on TensorFlow. Gradient penalties such as
      R1 need them. Keras computes the variance with `tf.nn.moments`, which
      stops the gradient at the mean, so only first derivatives are correct.
      This layer uses TensorFlow's fused kernel, which is correct and faster,
      or plain formulas for float64, for channels that are not last and for
      `synchronized=True`. On JAX and torch, and with a mask or `renorm=True`,
      Keras' own code runs.
    - `synchronized=True` works on every backend.
    - `momentum` defaults to 0.9 instead of 0.99. A generator's weights change
      quickly. At 0.99 the moving averages lag behind by hundreds of steps, and
      images generated with them were blurry and nearly identical.

    Args:
        axis: Axis of the channels. Defaults to -1.
        momentum: Share of the old value that the moving averages keep in each
            training step, from 0 to 1. The `momentum` of PyTorch is the share
            of the new value. Defaults to 0.9.
        epsilon: Small number that is added to the variance. Defaults to 1e-3.
        synchronized: If True, replicas that share a batch (`tf.distribute`,
            `torch.distributed`) use the mean and the variance of the whole
            batch. JAX always does. Defaults to False.
        **kwargs: The other arguments of `keras.layers.BatchNormalization`.

    Input shape:
        Any, with the channels on `axis`.

    Output shape:
        Same as the input.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import BatchNormalization

    images = np.random.normal(5.0, 2.0, (8, 4, 4, 3)).astype("float32")
    outputs = BatchNormalization()(images, training=True)
    ```

    Reference:
        Ioffe and Szegedy, 2015, Batch Normalization: Accelerating Deep Network
        Training by Reducing Internal Covariate Shift,
        https://arxiv.org/abs/1502.03167
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.9,
        epsilon: float = 1e-3,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, **kwargs
        )
        # Keras accepts this argument on TensorFlow only.
        self.synchronized = synchronized

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        if (
            not (kernels or self.synchronized)
            or not (training and self.trainable)
            or mask is not None
            or self.renorm
        ):
            return super().call(inputs, training=training, mask=mask)
        if (
            kernels
            and not (self.synchronized and replicas.count() > 1)
            and self.axis in (-1, len(inputs.shape) - 1)
            and keras.backend.standardize_dtype(inputs.dtype)
            in ("float32", "float16", "bfloat16")
        ):
            average = self.moving_mean
            outputs, mean, variance = kernels.fused_batch_norm(
                inputs,
                self.gamma if self.scale else keras.ops.ones_like(average),
                self.beta if self.center else keras.ops.zeros_like(average),
                self.epsilon,
            )
        else:
            outputs, mean, variance = self._normalize(inputs)
        self._update(self.moving_mean, mean)
        self._update(self.moving_variance, variance)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _update(self, average, value):
        old = keras.ops.cast(average, value.dtype)
        average.assign(old * self.momentum + value * (1.0 - self.momentum))

    def _normalize(self, inputs):
        inputs = _upcast(inputs)
        axis = self.axis % len(inputs.shape)
        axes = [i for i in range(len(inputs.shape)) if i != axis]

        def batch_mean(values):
            mean = keras.ops.mean(values, axes, keepdims=True)
            return replicas.all_reduce_mean(mean) if self.synchronized else mean

        mean = batch_mean(inputs)
        centered = inputs - mean
        variance = batch_mean(keras.ops.square(centered))
        outputs = centered * keras.ops.rsqrt(variance + self.epsilon)
        return (
            _scale_and_center(self, outputs, axis),
            keras.ops.reshape(mean, [-1]),
            keras.ops.reshape(variance, [-1]),
        )


@keras.saving.register_keras_serializable(package="gan_blocks")
class GroupNormalization(keras.layers.GroupNormalization):
    """Group normalization with correct second derivatives.

    It has the arguments, variables and results of
    `keras.layers.GroupNormalization`, whose second derivatives are wrong on
    TensorFlow, for the reason given in `BatchNormalization`. Gradient
    penalties need them.

    One group is layer normalization over channels, height and width. One group
    per channel is instance normalization.

    Args:
        groups: Number of groups, a divisor of the number of channels, or -1
            for one group per channel. Defaults to 32.
        **kwargs: The other arguments of `keras.layers.GroupNormalization`.

    Input shape:
        Any, with the channels on `axis`.

    Output shape:
        Same as the input.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import GroupNormalization

    images = np.random.normal(5.0, 2.0, (8, 4, 4, 6)).astype("float32")
    outputs = GroupNormalization(groups=3)(images)
    ```

    Reference:
        Wu and He, 2018, Group Normalization, https://arxiv.org/abs/1803.08494
    """

    def __init__(self, groups: int = 32, **kwargs: Any) -> None:
        super().__init__(groups=groups, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        shape: Any = keras.ops.shape(inputs)
        axis = self.axis % len(shape)
        grouped = [
            *shape[:axis],
            self.groups,
            shape[axis] // self.groups,
            *shape[axis + 1 :],
        ]
        outputs = keras.ops.reshape(_upcast(inputs), grouped)
        axes = [i for i in range(1, len(grouped)) if i != axis]
        outputs = outputs - keras.ops.mean(outputs, axes, keepdims=True)
        variance = keras.ops.mean(
            keras.ops.square(outputs), axes, keepdims=True
        )
        outputs = outputs * keras.ops.rsqrt(variance + self.epsilon)
        outputs = keras.ops.reshape(outputs, shape)
        outputs = _scale_and_center(self, outputs, axis)
        return keras.ops.cast(outputs, self.compute_dtype)


def _upcast(inputs):
    dtype = keras.backend.result_type(inputs.dtype, "float32")
    return keras.ops.cast(inputs, dtype)


def _scale_and_center(layer, outputs, axis):
    shape = [1] * len(outputs.shape)
    shape[axis] = -1
    if layer.scale:
        gamma = keras.ops.cast(layer.gamma, outputs.dtype)
        outputs = outputs * keras.ops.reshape(gamma, shape)
    if layer.center:
        beta = keras.ops.cast(layer.beta, outputs.dtype)
        outputs = outputs + keras.ops.reshape(beta, shape)
    return outputs
