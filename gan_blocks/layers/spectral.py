"""Spectral normalization that leaves the kernel alone."""

import keras

TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
LINEAR = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    *TRANSPOSED,
)


def _unit(vector):
    norm = keras.ops.sqrt(keras.ops.sum(keras.ops.square(vector)))
    return vector / keras.ops.maximum(norm, 1e-12)


@keras.saving.register_keras_serializable(package="gan_blocks")
class SpectralNormalization(keras.layers.Wrapper):
    """Runs a layer with its kernel divided by its largest singular value.

    Keeps the slope of a discriminator bounded, whatever the optimizer does,
    which steadies the training of a GAN at little cost; SAGAN uses it in the
    generator as well.

    The kernel itself is never overwritten: a copy is divided, at each call
    and inside the gradient, as in the paper. So the layer is the same function
    for the real and the generated images of one step, which it is not in
    `keras.layers.SpectralNormalization`.

    The singular value is estimated by power iteration, which goes on from
    where the last training call ended. The estimate is therefore rough in the
    first steps and, as the kernel moves slowly, soon close. It is taken in
    float32 at least. A kernel of zeros is left as it is.

    The singular value is that of the kernel as a matrix with one row per
    output channel and one column per weight that leads there; so it is for
    transposed convolutions too, although Keras keeps their output channels
    last but one. This is the definition of the paper. The factor by which a
    convolution can lengthen its input is near, but not equal to it.

    Args:
        layer: A `Dense` layer, a convolution or a transposed convolution, of
            Keras or of `gan_blocks`. It has its own `dtype`.
        power_iterations: Integer, the number of iterations in each call, at
            least 1. Defaults to 1.
        **kwargs: `name` and `trainable`, as in every Keras layer. The
            estimate rests while `trainable` is False.

    Input shape:
        That of the layer.

    Output shape:
        That of the layer.

    Raises:
        ValueError: If an argument is not one of the above.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import Conv2D, SpectralNormalization

    layer = SpectralNormalization(Conv2D(16, 3, padding="same"))
    features = layer(np.ones((2, 8, 8, 3), "float32"), training=True)
    assert features.shape == (2, 8, 8, 16)
    ```

    Reference:
        [Spectral Normalization for Generative Adversarial
        Networks](https://arxiv.org/abs/1802.05957), algorithm 1
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        if not isinstance(layer, LINEAR):
            raise ValueError(
                "`layer` must be a Dense layer, a convolution or a transposed "
                f"convolution. Received: layer={layer}"
            )
        if power_iterations < 1:
            raise ValueError(
                "`power_iterations` must be at least 1. "
                f"Received: power_iterations={power_iterations}"
            )
        # Only so is the kernel here what it is in the optimizer, and not what
        # mixed precision rounds it to. The layer casts for itself.
        kwargs["dtype"] = layer.variable_dtype
        super().__init__(layer, autocast=False, **kwargs)
        self.power_iterations = power_iterations
        self._channels_axis = -2 if isinstance(layer, TRANSPOSED) else -1

    def build(self, input_shape=None):
        """Builds the layer and the estimate of the singular vector."""
        super().build(input_shape)
        self.singular_vector = self.add_weight(
            shape=(self.layer.kernel.shape[self._channels_axis],),
            initializer="random_normal",
            trainable=False,
            name="singular_vector",
            # All replicas of a distributed training compute the same one.
            aggregation="only_first_replica",
        )

    def call(self, inputs, training=None):
        """Returns the layer's outputs; training moves the estimate."""
        kernel = self.layer.kernel
        # All variables, as on JAX a scope hides those of the scope around it.
        values = {id(v): (v, v.value) for v in self.layer.variables}
        values[id(kernel)] = kernel, self._normalized(kernel.value, training)
        with keras.StatelessScope(state_mapping=values.values()):
            return self.layer(inputs)

    def _normalized(self, kernel, training):
        dtype = keras.backend.result_type(kernel.dtype, "float32")
        kernel = keras.ops.cast(kernel, dtype)
        # One row per weight that leads to an output channel, one column each.
        matrix = keras.ops.reshape(kernel, (-1, *kernel.shape[-2:]))
        matrix = keras.ops.moveaxis(matrix, self._channels_axis, -1)
        matrix = keras.ops.reshape(matrix, (-1, matrix.shape[-1]))
        fixed = keras.ops.stop_gradient(matrix)
        before = after = keras.ops.cast(self.singular_vector.value, dtype)
        for _ in range(self.power_iterations):
            other = _unit(keras.ops.matmul(fixed, after))
            after = _unit(keras.ops.matmul(other, fixed))
        sigma = keras.ops.sum(keras.ops.matmul(other, matrix) * after)
        exists = sigma > 0
        if training and self.trainable:
            self.singular_vector.assign(keras.ops.where(exists, after, before))
        return kernel / keras.ops.where(exists, sigma, 1.0)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the layer's outputs."""
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, training=None):
        """Returns the shape and the dtype of the layer's outputs."""
        return self.layer.compute_output_spec(inputs)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "power_iterations": self.power_iterations,
        }
