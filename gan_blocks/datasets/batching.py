"""Batches of images, in an order that a resumed run can take up again."""

import functools
import itertools
import numbers

import numpy as np

from gan_blocks.datasets import arrays
from gan_blocks.images import from_uint8


def batches(
    images,
    batch_size,
    seed=0,
    shuffle=True,
    repeat=False,
    skip=0,
    flip=False,
    labels=None,
):
    """Makes batches of floats in [-1, 1], in an order that can be resumed.

    Which images are in a batch, and which of them are mirrored, depends on
    `seed` and the number of the batch alone. A run that was interrupted after
    `k` batches goes on with exactly the batches that were still to come if it
    is given `skip=k`, at no cost however large `k` is. An epoch has
    `number // batch_size` batches and leaves out the few images that remain,
    other ones in each epoch.

    Without `repeat` each pass over the dataset is one epoch, in an order of
    its own. Keras makes passes that train nothing (to build a model, for
    example), so for runs that are to be resumed use `repeat`, and tell `fit`
    how many batches make an epoch with `steps_per_epoch`.

    Args:
        images: Array of uint8 and shape `(number, height, width, channels)`,
            as `load` returns it.
        batch_size: Number of images in a batch, at most their number.
        seed: Integer from 0 that decides the order. Defaults to 0.
        shuffle: Whether to shuffle, anew in each epoch. Defaults to True.
        repeat: Whether to go on without end. Defaults to False.
        skip: Number of batches already trained on, in all epochs together.
            Needs `repeat`. Defaults to 0.
        flip: Whether to mirror half of the images, left to right, chosen anew
            in each epoch. Defaults to False.
        labels: Array of integers from 0 and shape `(number,)`, one for each
            image, as `load` returns it with `labels=True`. The images and
            their order do not depend on it. Defaults to None, for none.

    Returns:
        A `tf.data.Dataset` of float32 batches of shape
        `(batch_size, height, width, channels)`, for every Keras backend. With
        `labels` of pairs of such a batch and its int32 labels of shape
        `(batch_size,)`.

    Raises:
        ValueError: If `images` is not such an array or has fewer images than
            a batch, `labels` are not as many integers, or another argument is
            out of its range.

    Example:

    ```python
    import numpy as np

    from gan_blocks import datasets

    images = np.zeros((10, 8, 8, 1), "uint8")
    epoch = datasets.batches(images, batch_size=4)
    assert [batch.shape for batch in epoch] == [(4, 8, 8, 1)] * 2

    pairs = datasets.batches(images, batch_size=4, labels=np.arange(10))
    for batch, labels in pairs:
        assert batch.shape == (4, 8, 8, 1)
        assert labels.shape == (4,)
    ```
    """
    # Here, because it takes seconds and `load` does not need it.
    import tensorflow as tf

    _check_batches(images, batch_size, seed, repeat, skip)
    if labels is not None:
        labels = arrays.as_labels(labels, len(images), "labels")
    steps = len(images) // batch_size

    @functools.lru_cache(maxsize=2)
    def epoch_order(epoch):
        rng = np.random.default_rng((seed, epoch))
        order = np.arange(len(images))
        if shuffle:
            rng.shuffle(order)
        return order, rng.random(len(images)) < 0.5

    def chosen(number):
        epoch, step = divmod(int(number), steps)
        here = slice(step * batch_size, (step + 1) * batch_size)
        return [of_all[here] for of_all in epoch_order(epoch)]

    def gather_images(number):
        order, mirrored = chosen(number)
        batch = images[order]
        if flip:
            batch[mirrored] = batch[mirrored, :, ::-1]
        return from_uint8(batch)

    def gather_labels(number):
        return labels[chosen(number)[0]]

    def tensor(gather, number, dtype, shape):
        batch = tf.numpy_function(gather, [number], dtype, stateful=False)
        return tf.ensure_shape(batch, (batch_size, *shape))

    def gather(number):
        batch = tensor(gather_images, number, tf.float32, images.shape[1:])
        if labels is None:
            return batch
        return batch, tensor(gather_labels, number, tf.int32, ())

    if repeat:
        positions = tf.data.Dataset.counter(skip)
    else:
        positions = _one_epoch_a_pass(tf, steps)
    # Without TensorFlow's tuner, for whose next turn `fit` may have to wait at
    # its end: for as long as it took itself, up to a minute.
    options = tf.data.Options()
    options.autotune.enabled = False
    return (
        positions.map(gather, num_parallel_calls=2)
        .prefetch(2)
        .with_options(options)
    )


def _check_batches(images, batch_size, seed, repeat, skip):
    if getattr(images, "dtype", None) != np.uint8 or images.ndim != 4:
        raise ValueError(
            "`images` must be an array of uint8 and shape (number, height, "
            "width, channels); `load` turns others into one. Received: images "
            f"of type {type(images).__name__}, dtype "
            f"{getattr(images, 'dtype', None)} and shape "
            f"{getattr(images, 'shape', None)}"
        )
    for name, value, minimum in (
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
        ("skip", skip, 0),
    ):
        if not isinstance(value, numbers.Integral) or value < minimum:
            raise ValueError(
                f"`{name}` must be an integer of at least {minimum}. "
                f"Received: {name}={value!r}"
            )
    if batch_size > len(images):
        raise ValueError(
            "`batch_size` must be at most the number of images. Received: "
            f"batch_size={batch_size} and {len(images)} images"
        )
    if skip and not repeat:
        raise ValueError(f"`skip` needs `repeat=True`. Received: skip={skip}")


def _one_epoch_a_pass(tf, steps):
    epochs = itertools.count()

    def batch_numbers():
        start = next(epochs) * steps
        yield from range(start, start + steps)

    dataset = tf.data.Dataset.from_generator(
        batch_numbers, output_signature=tf.TensorSpec((), tf.int64)
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(steps))
