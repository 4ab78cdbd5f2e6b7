"""The features that images are compared by."""

import hashlib

import keras
import numpy as np
from keras import ops


class FeatureExtractor:
    """Turns images into the features of a Keras model, batch by batch.

    The model decides what a distance sees. InceptionV3, which was trained on
    ImageNet, is the usual one for photographs; for digits and drawings a
    classifier of them tells more (`train_classifier`).

    Images are resized to what the model takes (bicubic, with antialiasing)
    and gray ones are repeated where it takes three channels.

    Args:
        model: Keras model of images, `(batch, height, width, channels)`, with
            features `(batch, features)` as its output, or with two outputs:
            features, and logits of classes. It should be made for the range
            of the images, which is [-1, 1] where they were loaded by
            `datasets`. Defaults to `None`: the last pooled features of
            `keras.applications.InceptionV3`, whose weights Keras downloads
            once. Distances by them are of the size of published FIDs, but
            not comparable with these, which use other weights.
        name: What the results call the features. Defaults to `None`: the
            name of the model.

    Attributes:
        protocol: Dictionary of what decides about the features.

    Raises:
        ValueError: If the model's outputs are of another shape.
        RuntimeError: If the weights of InceptionV3 cannot be had.

    Example:

    ```python
    import keras
    import numpy as np
    from gan_blocks import metrics

    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.AveragePooling2D(8),
         keras.layers.Flatten()]
    )
    extract = metrics.FeatureExtractor(model, name="colours")
    features, logits = extract(np.zeros((100, 28, 28, 1), "float32"))
    assert features.shape == (100, 12) and logits is None
    ```

    Reference:
        Szegedy et al., 2016, Rethinking the Inception Architecture for
        Computer Vision, https://arxiv.org/abs/1512.00567;
        Parmar et al., 2022, On Aliased Resizing and Surprising Subtleties in
        GAN Evaluation, https://arxiv.org/abs/2104.11222
    """

    def __init__(self, model=None, name=None):
        if model is None:
            model, name = _inception(), name or "InceptionV3, ImageNet"
        if len(model.outputs) > 2 or any(o.ndim != 2 for o in model.outputs):
            raise ValueError(
                "`model` must return features of shape (batch, features), or "
                "these and logits of shape (batch, classes). Received: a model "
                f"with outputs of shape {[o.shape for o in model.outputs]}"
            )
        self.model = model
        self.size = model.input_shape[1:3]
        self.channels = model.input_shape[3]
        self.protocol = {
            "features": name or model.name,
            "number_of_features": model.outputs[0].shape[-1],
            "weights": _digest(model),
            "resizing": "none"
            if None in self.size
            else f"bicubic, antialiased, to {self.size[0]} x {self.size[1]}",
        }

    def __call__(self, images, batch_size=100):
        """Returns features and logits.

        Args:
            images: Array `(number, height, width, channels)`.
            batch_size: How many to compute at a time. Defaults to 100.

        Returns:
            `(features, logits)`, NumPy arrays of float32 and shapes
            `(number, features)` and `(number, classes)`; the logits are
            `None` if the model has none.
        """
        outputs = [
            keras.tree.flatten(self._run(images[i : i + batch_size]))
            for i in range(0, len(images), batch_size)
        ]
        features, *logits = (
            np.concatenate([ops.convert_to_numpy(one) for one in parts])
            for parts in zip(*outputs, strict=True)
        )
        return features, logits[0] if logits else None

    def _run(self, images):
        images = ops.convert_to_tensor(images, "float32")
        if None not in self.size and images.shape[1:3] != self.size:
            images = ops.image.resize(
                images,
                self.size,
                interpolation="bicubic",
                antialias=True,
                data_format="channels_last",
            )
        if images.shape[3] == 1 and self.channels == 3:
            images = ops.repeat(images, 3, axis=3)
        return self.model.predict_on_batch(images)


def _inception():
    try:
        return keras.applications.InceptionV3(
            include_top=False, pooling="avg", input_shape=(299, 299, 3)
        )
    except Exception as error:
        raise RuntimeError(
            "The weights of InceptionV3 could not be downloaded. Give the "
            "features of a model of your own instead, as a classifier by "
            f"`metrics.train_classifier`. ({error})"
        ) from error


def _digest(model):
    """Returns a short name of the weights, equal for equal weights."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()[:12]
