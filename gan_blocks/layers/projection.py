"""The end of a discriminator that is told the class of each image."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="gan_blocks")
class ProjectionHead(keras.layers.Layer):
    """Logits of whether features are real, and of their class.

    `psi(features) + <embedding(label), features>`: a dense layer judges the
    features alone, and their product with what is learned of a class how
    well they fit it. For the last layer of the discriminator of a conditional
    `GAN`. For its generator, `keras.layers.Embedding` of the labels beside
    the latents will do.

    Args:
        num_classes: Number of classes.
        **kwargs: Of `keras.layers.Layer`.

    Input shape:
        A list of features, `(batch, features)`, and integer labels from 0,
        `(batch,)`.

    Output shape:
        `(batch, 1)`.

    Raises:
        ValueError: If `num_classes` is less than 1.

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
        Miyato, Koyama, 2018, cGANs with Projection Discriminator,
        https://arxiv.org/abs/1802.05637
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        if num_classes < 1:
            raise ValueError(
                "`num_classes` must be at least 1. Received: "
                f"num_classes={num_classes}"
            )
        self.num_classes = num_classes
        # The logits of a GAN are float32, as its losses are.
        self.judge = keras.layers.Dense(1, dtype="float32")

    def build(self, input_shape):
        """Makes the dense layer and the classes' embedding."""
        features, _ = input_shape
        self.judge.build(features)
        self.embedding = self.add_weight(
            shape=(self.num_classes, features[-1]),
            initializer="glorot_uniform",
            dtype="float32",
            autocast=False,
            name="embedding",
        )

    def call(self, inputs):
        """Returns the logits."""
        features, labels = inputs
        features = ops.cast(features, "float32")
        classes = ops.take(self.embedding, labels, axis=0)
        fit = ops.sum(features * classes, axis=-1, keepdims=True)
        return self.judge(features) + fit

    def compute_output_shape(self, input_shape):
        """Returns `(batch, 1)`."""
        return (input_shape[0][0], 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
