"""A small classifier, which provides features of digits and drawings."""

import hashlib
import os
import pathlib
import warnings

import keras
import numpy as np
from numpy.typing import ArrayLike

from gan_blocks._precision import dtype_policy
from gan_blocks._types import PathLike
from gan_blocks.files import atomic_write, find_damage
from gan_blocks.metrics.features import as_floats

__all__ = ["train_classifier"]

_MIN_EPOCHS = 3
_MIN_IMAGES = 8_000  # Images seen in training, over more epochs if necessary.


def train_classifier(
    images: ArrayLike, labels: ArrayLike, cache: PathLike | None = None
) -> keras.Model:
    """Trains a small convolutional classifier, or loads it from the cache.

    Use it for labeled data that does not look like photographs, such as
    digits. The features describe the shape of the digits, and the logits show
    which classes a GAN covers. On MNIST, training takes less than a minute on
    two cores and reaches 99% accuracy on the test set.

    Keep the cached file to compare distances later: a second training on the
    same data gives slightly different weights, because threads add numbers in a
    different order. A damaged file is replaced. If the cache cannot be
    written, the classifier is trained each time. Both cause a warning.

    Args:
        images: Array `(images, height, width, channels)` of uint8, or of
            floats in [-1, 1].
        labels: Integer array `(images,)`, starting from 0.
        cache: Folder for the trained model. Defaults to `None`: `gan_blocks`
            in the folder of Keras, which is `$KERAS_HOME` or `~/.keras`.

    Returns:
        Keras model for `FeatureExtractor`. It takes images in [-1, 1] and has
        two outputs: 64 features and the logits of the classes.

    Raises:
        ValueError: If there is not one integer label for each image.

    Example:

    ```python
    import numpy as np
    from gan_blocks import metrics

    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    images = np.where(labels, 255, 0)[:, None, None, None]
    images = np.broadcast_to(images, (200, 8, 8, 1)).astype("uint8")
    classifier = metrics.train_classifier(images, labels, cache="classifiers")
    features, logits = classifier.predict(images / 127.5 - 1.0, verbose=0)
    assert (logits.argmax(axis=1) == labels).mean() > 0.9
    ```
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            "`labels` must hold one integer for each image. Received: images "
            f"of shape {images.shape} and labels of shape {labels.shape} "
            f"({labels.dtype})"
        )
    if cache is None:
        home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
        cache = pathlib.Path(home, "gan_blocks")
    digest = hashlib.sha256()
    for array in (images, labels):
        digest.update(f"{array.shape} {array.dtype} {_MIN_EPOCHS}".encode())
        digest.update(array.tobytes())
    path = pathlib.Path(cache, f"classifier_{digest.hexdigest()[:12]}.keras")
    if os.path.exists(path):
        try:
            damage = find_damage(path)
            if damage is None:
                return keras.saving.load_model(path, compile=False)
        except Exception as error:  # Keras raises many types.
            damage = error
        warnings.warn(
            f"The classifier in {path} is damaged ({damage}). A new one is "
            "trained. Its distances cannot be compared with earlier distances.",
            stacklevel=2,
        )
    model = _train(images, labels)
    try:
        with atomic_write(path) as temporary:
            model.save(temporary)
    except OSError as error:
        warnings.warn(
            f"The classifier cannot be saved in {cache} ({error}). To compare "
            "distances later, pass another folder as `cache`, or set the "
            "environment variable KERAS_HOME.",
            stacklevel=2,
        )
    return model


@dtype_policy("float32")
def _train(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    # Explicit seeds keep the global random state unchanged.
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order].astype("int32")
    images = as_floats(images)
    seeds = iter(range(5))

    def initializer():
        return keras.initializers.GlorotUniform(next(seeds))

    inputs = outputs = keras.Input(images.shape[1:])
    for filters in (32, 64, 64):
        outputs = keras.layers.Conv2D(
            filters,
            kernel_size=3,
            strides=2,
            padding="same",
            kernel_initializer=initializer(),
        )(outputs)
        outputs = keras.layers.BatchNormalization(momentum=0.9)(outputs)
        outputs = keras.layers.ReLU()(outputs)
    outputs = keras.layers.Flatten()(outputs)
    features = keras.layers.Dense(
        64, activation="relu", kernel_initializer=initializer()
    )(outputs)
    logits = keras.layers.Dense(
        int(labels.max()) + 1, kernel_initializer=initializer()
    )(features)
    classifier = keras.Model(inputs, logits)
    epochs = max(_MIN_EPOCHS, _MIN_IMAGES // len(images))
    steps = epochs * len(images) // 128 + 1
    classifier.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(2e-3, steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    classifier.fit(
        images,
        labels,
        batch_size=128,
        epochs=epochs,
        shuffle=False,
        verbose=0,  # pyright: ignore[reportArgumentType]
    )
    return keras.Model(inputs, [features, logits], name="classifier")
