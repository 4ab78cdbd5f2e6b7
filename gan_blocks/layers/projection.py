"""The last layer of a conditional discriminator."""

from collections.abc import Sequence
from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.layers._data_format import Shape

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
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        A list of the features, `(batch, features)`, and of integer labels from
        0, `(batch,)`.

    Output shape:
        `(batch, 1)`. The logits are float32 under every dtype policy.

    Raises:
        ValueError: If `num_classes` is not a positive integer.

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

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_classes", num_classes)
        self.num_classes = num_classes
        # Saved files contain the name of this attribute.
        self.judge = keras.layers.Dense(1, dtype="float32")

    def build(self, input_shape: Sequence[Shape]) -> None:
        features, _ = input_shape
        self.judge.build(features)
        self.embedding = self.add_weight(
            shape=(self.num_classes, features[-1]),
            initializer="glorot_uniform",
            dtype="float32",
            autocast=False,
            name="embedding",
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        features, labels = inputs
        features = keras.ops.cast(features, "float32")
        classes = keras.ops.take(self.embedding, labels, axis=0)
        match = keras.ops.sum(features * classes, axis=-1, keepdims=True)
        return self.judge(features) + match

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], 1)
