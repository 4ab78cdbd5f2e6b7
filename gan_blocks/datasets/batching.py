"""Batches of images, in an order that depends on a seed and the step only."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import keras
import numpy as np

from gan_blocks import replicas
from gan_blocks._checks import check_positive_integer
from gan_blocks.datasets import arrays
from gan_blocks.images import from_uint8

_Batch = np.ndarray | tuple[np.ndarray, np.ndarray]


def batches(
    images: np.ndarray,
    batch_size: int,
    seed: int = 0,
    shuffle: bool = True,
    flip: bool = False,
    labels: np.ndarray | None = None,
) -> "Batches":
    """Splits images into batches of floats in [-1, 1] for training.

    The content of a batch depends only on `seed` and on the number of the
    training step, so an interrupted training run can resume with the next
    batch. An epoch has `number // batch_size` batches. The remaining images
    are left out; with `shuffle`, each epoch leaves out different images.

    Args:
        images: uint8 array of shape `(number, height, width, channels)`, as
            returned by `load`.
        batch_size: Number of images per batch, at most `number`.
        seed: Seed of the order and of the mirroring, an integer of at least 0.
            Defaults to 0.
        shuffle: If True, each epoch has a different order. Defaults to True.
        flip: If True, about half of the images, different ones in each epoch,
            are mirrored left to right. Defaults to False.
        labels: Integer array of shape `(number,)`, one label for each image,
            at least 0. Labels do not change the order. Defaults to None.

    Returns:
        A `Batches` object. Each batch is a float32 array of shape
        `(batch_size, height, width, channels)`. With `labels`, each batch is a
        pair of this array and an int32 array of shape `(batch_size,)`.

    Raises:
        ValueError: If an argument is invalid, or there are fewer images than
            `batch_size`.

    Example:

    ```python
    import numpy as np

    from gan_blocks import datasets

    images = np.zeros((10, 8, 8, 1), "uint8")
    batches = datasets.batches(images, batch_size=4)
    assert [batch.shape for batch in batches] == [(4, 8, 8, 1)] * 2

    pairs = datasets.batches(images, batch_size=4, labels=np.arange(10))
    for batch, labels in pairs:
        assert batch.shape == (4, 8, 8, 1)
        assert labels.shape == (4,)
    ```
    """
    return Batches(images, batch_size, seed, shuffle, flip, labels)


class Batches(keras.utils.PyDataset):
    """Batches of images for `fit`, created by `batches`.

    `GAN.fit` reads the batches with `from_step`, which is faster. Any other
    Keras model can be fitted on this object directly:

    - `len(batches)` is the number of batches (steps) in an epoch.
    - `batches[i]` is batch `i` of the current epoch, as NumPy arrays.
    - `for batch in batches` reads one epoch, and each loop reads the next one.

    Pass `shuffle=False` to `fit`. Otherwise Keras shuffles the order of the
    batches once more, with a random generator that does not depend on `seed`.

    The arguments are those of `batches`.

    Attributes:
        epoch: Number of the current epoch, from 0.

    Example:

    ```python
    import numpy as np

    from gan_blocks import datasets

    images = np.zeros((10, 8, 8, 1), "uint8")
    batches = datasets.Batches(images, batch_size=4)
    for step, batch in enumerate(batches.from_step(3), start=3):
        assert batch.shape == (4, 8, 8, 1)
        if step == 5:
            break
    ```
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        flip: bool = False,
        labels: np.ndarray | None = None,
    ):
        super().__init__()
        _check_images(images)
        check_positive_integer("batch_size", batch_size)
        check_positive_integer("seed", seed, minimum=0)
        if batch_size > len(images):
            raise ValueError(
                "`batch_size` must be at most the number of images. Received: "
                f"batch_size={batch_size} and {len(images)} images"
            )
        if labels is not None:
            labels = arrays.as_labels(labels, len(images), "labels")
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.flip = flip
        self.labels = labels
        self.epoch = 0
        self._in_epoch = False

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def __getitem__(self, index: int) -> _Batch:
        index = range(len(self))[index]
        return self._read(self.epoch * len(self) + index)

    def __iter__(self) -> Iterator[_Batch]:
        for index in range(len(self)):
            yield self[index]
        self.epoch += 1

    def on_epoch_begin(self) -> None:
        self._in_epoch = True

    def on_epoch_end(self) -> None:
        # Keras calls this method once more, before the first epoch of `fit`.
        self.epoch += self._in_epoch
        self._in_epoch = False

    def from_step(self, step: int) -> Any:
        """Returns endless batches that start at any training step.

        The next batches are prepared while the model trains on the current
        one. A large `step` takes no extra time. If several processes of JAX or
        torch train together, each process gets its own part of each batch.

        Args:
            step: Number of training steps that are already done, in all epochs
                together. At least 0.

        Returns:
            A `tf.data.Dataset` on TensorFlow. On JAX and torch, a
            `keras.utils.PyDataset` of NumPy arrays, which does not need
            TensorFlow. Both can be passed to `fit` and used in a `for` loop.

        Raises:
            ValueError: If `step` is invalid, or `batch_size` is not a multiple
                of the number of processes or devices that train together.
        """
        check_positive_integer("step", step, minimum=0)
        rows = replicas.rows(self.batch_size)
        read = functools.partial(self._read, rows=rows)
        size = len(range(self.batch_size)[rows])
        specs = [keras.KerasTensor((size, *self.images.shape[1:]), "float32")]
        if self.labels is not None:
            specs.append(keras.KerasTensor((size,), "int32"))
        if keras.backend.backend() == "tensorflow":
            return _tf_dataset(read, step, specs)
        return _Endless(read, step, specs)

    def _read(self, step, rows=slice(None)) -> _Batch:
        """Returns images, with labels if any, for some rows of one batch."""
        epoch, index = divmod(step, len(self))
        start = index * self.batch_size
        order, mirrored = (
            part[start : start + self.batch_size][rows]
            for part in _draw_epoch(
                len(self.images), self.seed, epoch, self.shuffle
            )
        )
        batch = self.images[order]
        if self.flip:
            batch[mirrored] = batch[mirrored, :, ::-1]
        batch = from_uint8(batch)
        return batch if self.labels is None else (batch, self.labels[order])


class _Endless(keras.utils.PyDataset):
    """Endless batches from a step, which threads read ahead.

    Args:
        read: Function that returns the batch of a step.
        step: Number of the first step.
        specs: The shapes and dtypes of a batch.
    """

    num_batches = None

    def __init__(
        self,
        read: Callable[[int], _Batch],
        step: int,
        specs: Sequence[keras.KerasTensor],
    ):
        super().__init__()
        self._read = read
        self._step = step
        self._pool = futures.ThreadPoolExecutor(2)
        self._ahead: dict[int, futures.Future[_Batch]] = {}
        self._restore = contextlib.ExitStack()
        self.element_spec = specs[0] if len(specs) == 1 else tuple(specs)

    def __getitem__(self, index: int) -> _Batch:
        self._ahead = {
            i: self._ahead.get(i)
            or self._pool.submit(self._read, self._step + i)
            for i in range(index, index + 3)
        }
        return self._ahead[index].result()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Prepares Keras for a `fit`, and ends the threads after it."""
        distribution: Any = keras.distribution.distribution()
        if distribution:
            # These batches have only the rows of this process. Other data, for
            # example for validation, is divided as the user has set it.
            self._restore.callback(
                setattr,
                distribution,
                "auto_shard_dataset",
                distribution.auto_shard_dataset,
            )
            distribution.auto_shard_dataset = False
        try:
            yield
        finally:
            self._restore.close()
            self._pool.shutdown(cancel_futures=True)

    def on_epoch_end(self) -> None:
        # Keras calls this method also before the first epoch of `fit`, when it
        # has accepted the batches.
        self._restore.close()


def _tf_dataset(read, step, specs):
    """Returns the batches as a `tf.data.Dataset`.

    TensorFlow reads it faster than a `PyDataset`, and its strategies divide
    the batches.
    """
    import tensorflow as tf

    def to_tensors(number):
        tensors = tf.numpy_function(
            lambda number: read(int(number)),
            [number],
            [spec.dtype for spec in specs],
            stateful=False,
        )
        for tensor, spec in zip(tensors, specs, strict=True):
            tensor.set_shape(spec.shape)
        return tensors[0] if len(specs) == 1 else tuple(tensors)

    # With autotuning, `fit` may wait up to a minute at its end.
    options = tf.data.Options()
    options.autotune.enabled = False
    return (
        tf.data.Dataset.counter(step)
        .map(to_tensors, num_parallel_calls=2)
        .prefetch(2)
        .with_options(options)
    )


@functools.lru_cache(maxsize=4)
def _draw_epoch(count, seed, epoch, shuffle):
    """Returns the order of the images and which places are mirrored."""
    rng = np.random.default_rng((seed, epoch))
    order = np.arange(count)
    if shuffle:
        rng.shuffle(order)
    return order, rng.random(count) < 0.5


def _check_images(images):
    if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4:
        raise ValueError(
            "`images` must be a uint8 array of shape (number, height, width, "
            "channels). `datasets.load` returns such an array. Received: "
            f"images of type {type(images).__name__}, dtype "
            f"{getattr(images, 'dtype', None)} and shape "
            f"{getattr(images, 'shape', None)}"
        )
