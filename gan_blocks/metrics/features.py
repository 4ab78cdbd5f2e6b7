"""Features of images, for the distances between sets of images."""

import hashlib
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from gan_blocks._precision import dtype_policy
from gan_blocks.images import from_uint8

__all__ = ["FeatureExtractor"]


class FeatureExtractor:
    """Computes the features of images with a Keras model, in batches.

    The model decides which differences a distance detects. InceptionV3,
    trained on ImageNet, is the usual choice for photographs. For digits and
    drawings, use a classifier trained on them (`train_classifier`).

    Images are resized to the input size of the model (bicubic, antialiased).
    If the model expects three channels, gray images are repeated, and images
    with transparency are put on gray.

    Args:
        model: Keras model of images `(batch, height, width, channels)`. The
            output is features `(batch, features)`, or features and class
            logits. The model must accept the range of the images, which is
            [-1, 1] for images from `datasets`. Defaults to `None`: the pooled
            features of `keras.applications.InceptionV3`, whose weights Keras
            downloads once. The distances are similar in size to published
            FIDs but not comparable with them, because published FIDs use other
            weights.
        name: Name of the features in the results. Defaults to `None`: the name
            of the model.

    Attributes:
        protocol: Dictionary of everything that affects the features:
            `features` (the name), `number_of_features`, `weights` (a hash) and
            `resizing`.

    Raises:
        ValueError: If an output of the model has another shape.
        RuntimeError: If the weights of InceptionV3 cannot be downloaded.

    Example:

    ```python
    import keras
    import numpy as np
    from gan_blocks import metrics

    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.AveragePooling2D(8),
         keras.layers.Flatten()]
    )
    extract = metrics.FeatureExtractor(model, name="colors")
    features, logits = extract(np.zeros((100, 28, 28, 1), "float32"))
    assert features.shape == (100, 12) and logits is None
    ```

    Reference:
        Szegedy et al., 2016, Rethinking the Inception Architecture for
        Computer Vision, https://arxiv.org/abs/1512.00567;
        Parmar et al., 2022, On Aliased Resizing and Surprising Subtleties in
        GAN Evaluation, https://arxiv.org/abs/2104.11222
    """

    def __init__(
        self, model: keras.Model | None = None, name: str | None = None
    ) -> None:
        if model is None:
            name = name or "InceptionV3, ImageNet"
        self.model = _load_inception() if model is None else model
        inputs = getattr(self.model, "inputs", None) or []
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ValueError(
                "`model` must be a functional or Sequential model of images "
                f"(batch, height, width, channels). Received: {self.model}"
            )
        shapes = [output.shape for output in self.model.outputs]
        if len(shapes) > 2 or any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                "`model` must return features of shape (batch, features), or "
                "features and logits of shape (batch, classes). Received: "
                f"a model with outputs of shape {shapes}"
            )
        self.size = self.model.input_shape[1:3]
        self.channels = self.model.input_shape[3]
        self.protocol: dict[str, Any] = {
            "features": name or self.model.name,
            "number_of_features": shapes[0][-1],
            "weights": _digest(self.model),
            "resizing": "none"
            if None in self.size
            else f"bicubic, antialiased, to {self.size[0]} x {self.size[1]}",
        }

    def __call__(
        self, images: ArrayLike, batch_size: int = 100
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Computes features and logits.

        Args:
            images: Array `(images, height, width, channels)` of uint8, or of
                floats in [-1, 1].
            batch_size: Number of images per batch. Defaults to 100.

        Returns:
            `(features, logits)`, arrays of float32 with the shapes `(images,
            features)` and `(images, classes)`. `logits` is `None` if the
            model returns features only.
        """
        images = np.asarray(images)
        outputs = [
            keras.tree.flatten(self._predict(images[i : i + batch_size]))
            for i in range(0, len(images), batch_size)
        ]
        features, *logits = (
            np.concatenate(
                [ops.convert_to_numpy(part) for part in parts]
            ).astype("float32")
            for parts in zip(*outputs, strict=True)
        )
        return features, logits[0] if logits else None

    def _predict(self, images: np.ndarray) -> Any:
        inputs: Any = ops.convert_to_tensor(as_floats(images), "float32")
        if inputs.shape[3] == 4 and self.channels == 3:
            inputs = inputs[..., :3] * (inputs[..., 3:] + 1) / 2
        if None not in self.size and inputs.shape[1:3] != self.size:
            inputs = ops.image.resize(
                inputs,
                self.size,
                interpolation="bicubic",
                antialias=True,
                data_format="channels_last",
            )
        if inputs.shape[3] == 1 and self.channels == 3:
            inputs = ops.repeat(inputs, 3, axis=3)
        if inputs.shape[3] != self.channels:
            raise ValueError(
                f"The model of the features takes {self.channels} channels. "
                f"Received: images with {inputs.shape[3]} channels"
            )
        return self.model.predict_on_batch(inputs)


def as_floats(images: np.ndarray) -> np.ndarray:
    """Returns images in [-1, 1], from uint8 or from such floats."""
    is_integer = images.dtype.kind in "biu"
    return from_uint8(images) if is_integer else images


@dtype_policy("float32")
def _load_inception() -> keras.Model:
    try:
        return keras.applications.InceptionV3(
            include_top=False, pooling="avg", input_shape=(299, 299, 3)
        )
    except Exception as error:
        raise RuntimeError(
            "The weights of InceptionV3 could not be downloaded. Connect to "
            "the internet, or pass your own Keras model as `features`, for "
            f"example one from `metrics.train_classifier`. Cause: {error}"
        ) from error


def _digest(model: keras.Model) -> str:
    """Returns a short hash of the weights."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()[:12]
