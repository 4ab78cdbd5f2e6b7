"""The last layer of a conditional discriminator."""

from collections.abc import Sequence
from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.layers._data_format import Shape
from gan_blocks.layers.spectral import SpectralNormalization

__all__ = ["ProjectionHead"]


@keras.saving.register_keras_serializable(package="gan_blocks")
class ProjectionHead(keras.layers.Layer):
    """Computes the logits of a conditional discriminator.

    The logits are `dense(features) + <embedding(label), features>`. The dense
    layer scores the features alone. The inner product scores how well they
    match the class. Use this layer as the last layer of the discriminator of a
    `GAN` with `num_classes`. The generator can concatenate a
    `keras.layers.Embedding` of the labels with the latents.

    Args:
        num_classes: Number of classes, at least 1.
        spectral_normalization: If True, `SpectralNormalization` divides the
            kernel of the dense layer and the embedding by their largest
            singular values, as in the paper. Defaults to False.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        A list of the features, `(batch, features)`, and of integer labels from
        0, `(batch,)`.

    Output shape:
        `(batch, 1)`. The logits are float32 under mixed precision.

    Raises:
        ValueError: If `num_classes` is not a positive integer, or if the inputs
            have other shapes.

    Example:

    ```python
    import keras
    from gan_blocks import layers

    images = keras.Input((28, 28, 1))
    labels = keras.Input((), dtype="int32")
    features = layers.StridedConvBlock(32, normalization=None)(images)
    features = keras.layers.Flatten()(features)
    logits = layers.ProjectionHead(num_classes=10)([features, labels])
    discriminator = keras.Model([images, labels], logits)
    assert discriminator.output_shape == (None, 1)
    ```

    Reference:
        Miyato and Koyama, 2018, cGANs with Projection Discriminator,
        https://arxiv.org/abs/1802.05637
    """

    def __init__(
        self,
        num_classes: int,
        spectral_normalization: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_classes", num_classes)
        self.num_classes = num_classes
        self.spectral_normalization = spectral_normalization
        self._precision = keras.backend.result_type(
            self.variable_dtype, "float32"
        )
        # Saved files contain the name of this attribute.
        self.judge: keras.Layer = keras.layers.Dense(
            1, dtype=self._precision, trainable=self.trainable
        )
        if spectral_normalization:
            self.judge = SpectralNormalization(
                self.judge, trainable=self.trainable
            )

    def build(self, input_shape: Sequence[Shape]) -> None:
        features, labels = input_shape
        if len(features) != 2 or len(labels) != 1:
            raise ValueError(
                "`inputs` must be features of shape (batch, features), for "
                "example after `keras.layers.Flatten`, and labels of shape "
                "(batch,), for example `keras.Input((), dtype='int32')`. "
                f"Received: inputs of shapes {features} and {labels}"
            )
        self.judge.build(features)
        if self.spectral_normalization:
            self.embedding: Any = SpectralNormalization(
                keras.layers.Embedding(
                    int(self.num_classes),
                    features[-1],
                    embeddings_initializer="glorot_uniform",
                    dtype=self._precision,
                ),
                trainable=self.trainable,
            )
            self.embedding.build()
        else:
            self.embedding = self.add_weight(
                shape=(self.num_classes, features[-1]),
                initializer="glorot_uniform",
                dtype=self._precision,
                autocast=False,
                name="embedding",
            )

    def call(
        self, inputs: Sequence[Tensor], training: bool | None = None
    ) -> Tensor:
        features, labels = inputs
        features = keras.ops.cast(features, self._precision)
        if self.spectral_normalization:
            classes = self.embedding(labels)
        else:
            classes = keras.ops.take(self.embedding, labels, axis=0)
        match = keras.ops.sum(features * classes, axis=-1, keepdims=True)
        return self.judge(features) + match

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], 1)

    def compute_output_spec(
        self, inputs: Sequence[Tensor], training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor((inputs[0].shape[0], 1), self._precision)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "spectral_normalization": self.spectral_normalization,
        }
