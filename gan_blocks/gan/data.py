"""Checks of the data for training and evaluation.

Arrays are checked in full before the first step. Other data can often be read
only once. Their types and shapes are checked when a step is compiled, and their
values while they are used.
"""

import copy
import functools
import types
import warnings
from collections.abc import Mapping
from typing import Any, NoReturn

import keras
import numpy as np
from keras import ops

from gan_blocks._types import Tensor
from gan_blocks.gan.checks import compatible
from gan_blocks.gan.ranges import EXTREMES

INVALID_LABELS = "invalid_labels"  # Their share of a batch, from 0 to 1.


def prepare(
    x: Any, y: Any, image_shape: tuple[int, ...], num_classes: Any
) -> tuple[Any, Any]:
    """Checks the data of `fit` or `evaluate` before Keras reads it.

    Returns:
        `x` and `y` in a form that Keras accepts.
    """
    if isinstance(x, types.GeneratorType):
        x = (as_tuple(batch) for batch in x)
    elif hasattr(x, "collate_fn"):  # A `DataLoader` of torch.
        x = copy.copy(x)
        x.collate_fn = functools.partial(_collate, x.collate_fn)
    elif hasattr(x, "from_step"):  # `datasets.batches`
        labels = getattr(x, "labels", None)
        if num_classes is not None and labels is not None:
            check_labels(labels, num_classes)
    elif hasattr(x, "element_spec"):  # A `tf.data.Dataset`.
        specs = keras.tree.flatten(x.element_spec)
        if all(_rank(spec) is not None for spec in specs):
            _check_batch(x.element_spec, image_shape, num_classes)
    elif isinstance(x, (list, tuple, dict)) or hasattr(x, "dtype"):
        y = np.asarray(y) if isinstance(y, (list, tuple)) else y
        images, labels = _check_batch((x, y), image_shape, num_classes)
        _check_images(images)
        if labels is not None:
            check_labels(labels, num_classes)
    return x, y


def as_tuple(batch: Any) -> tuple:
    """Returns a batch as Keras expects it: images, labels, weights."""
    return tuple(batch) if isinstance(batch, (list, tuple)) else (batch,)


def _collate(collate, samples):
    return as_tuple(collate(samples))


def _rank(tensor):
    """Returns the number of axes. TensorFlow may not know it yet: `None`."""
    shape = getattr(tensor, "shape", None)
    return getattr(shape, "rank", None if shape is None else len(shape))


def images_and_labels(
    batch: Any, image_shape: tuple[int, ...], num_classes: Any
) -> tuple[Tensor, Tensor | None, Tensor | float]:
    """Unpacks a batch in a step.

    Returns:
        `(images, labels, invalid)`. A label that is not a class is replaced by
        the nearest class, and `invalid` is the share of such labels.
    """
    images, labels = _check_batch(batch, image_shape, num_classes)
    images = ops.cast(images, keras.config.floatx())
    if labels is None:
        return images, None, 0.0
    labels = ops.cast(labels, "int32")
    classes = ops.clip(labels, 0, num_classes - 1)
    invalid = ops.mean(ops.cast(labels != classes, "float32"))
    return images, classes, invalid


def _check_batch(batch, image_shape, num_classes):
    """Checks the types and shapes of a batch. Returns images and labels."""
    parts = tuple(part for part in as_tuple(batch) if part is not None)
    images: Any
    labels: Any
    images, labels = (*parts, None, None)[:2]
    wanted = 1 if num_classes is None else 2
    if len(parts) != wanted or isinstance(images, (list, tuple, dict)):
        expected = (
            "images only. Remove the rest, for example with "
            "`dataset.map(lambda images, labels: images)`"
            if num_classes is None
            else "pairs of images and labels. Pass arrays as `x` and `y`"
        )
        received = parts if len(parts) > 1 else images
        kind = type(received).__name__
        if isinstance(received, (list, tuple, dict)):
            kind += f" of {len(received)} elements"
        raise ValueError(
            f"The data for this `GAN` must yield {expected}. Received: a batch "
            f"of type {kind}"
        )
    if not any(kind in str(images.dtype) for kind in ("float", "int", "bool")):
        raise ValueError(
            "The real images must be numbers. Received: images of dtype "
            f"{images.dtype}"
        )
    shape = None if _rank(images) is None else tuple(images.shape[1:])
    if shape is None or not compatible(shape, image_shape):
        raise ValueError(
            "The real images must have the shape of the generated images, "
            f"{image_shape}. Received: images of shape {shape}"
        )
    if labels is not None:
        if "int" not in str(labels.dtype) or _rank(labels) != 1:
            _refuse_labels(
                num_classes,
                f"of shape {labels.shape} and dtype {labels.dtype}",
            )
    return images, labels


def _check_images(images):
    """Checks all images of an array."""
    if len(images) == 0:
        raise ValueError("`x` must have at least one image. Received: none")
    if "float" in str(images.dtype):
        images = _as_numpy(images)
        # NaN is both the minimum and the maximum. No copy is made.
        if not np.isfinite([images.min(), images.max()]).all():
            raise ValueError(
                "The real images must be finite. Received: images with NaN or "
                "infinite values"
            )


def check_labels(labels: Any, num_classes: int) -> None:
    """Checks that all labels of an array are classes."""
    labels = _as_numpy(labels)
    low, high = labels.min(), labels.max()
    if low < 0 or high >= num_classes:
        _refuse_labels(num_classes, f"from {low} to {high}")


def _as_numpy(array):
    # On TensorFlow, `convert_to_numpy` would copy a NumPy array.
    if isinstance(array, np.ndarray):
        return array
    return ops.convert_to_numpy(array)


def _refuse_labels(num_classes, received) -> NoReturn:
    raise ValueError(
        "The labels must be integers of shape (batch,), from 0 to "
        f"{num_classes - 1}. Received: labels {received}"
    )


def check_means(means: Mapping[str, Tensor], num_classes: int | None) -> None:
    """Checks the values of all batches that the means were computed from."""
    invalid, *extremes = (
        float(ops.convert_to_numpy(means.get(name, 0.0)))
        for name in (INVALID_LABELS, *EXTREMES)
    )
    if invalid > 0:
        _refuse_labels(num_classes, f"of which {invalid:.2%} are not in range")
    if not np.isfinite(extremes).all():
        warnings.warn(
            "The real images contain NaN or infinite values, with which no "
            "GAN can be trained. Remove these images.",
            stacklevel=2,
        )


def with_callbacks(
    callbacks: Any, added: list[keras.callbacks.Callback], model: keras.Model
) -> Any:
    """Adds callbacks to those of the user, which remain unchanged."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        for callback in added:
            callback.set_model(model)
        callbacks = copy.copy(callbacks)
        callbacks.callbacks = [*callbacks.callbacks, *added]
        return callbacks
    if not isinstance(callbacks, (list, tuple)):
        callbacks = [] if callbacks is None else [callbacks]
    return [*callbacks, *added]


class DataCheck(keras.callbacks.Callback):
    """Checks the means after the first batch, and after each epoch."""

    def on_train_begin(self, logs=None):
        self.checked = False

    def on_train_batch_begin(self, batch, logs=None):
        # Not at the end of a batch: Keras would wait for the logs.
        if batch > 0 and not self.checked:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()

    def _check(self):
        self.checked = True
        model: Any = self.model
        check_means(model.means.result(), model.num_classes)
