"""A warning for real images that the generator can never match."""

import warnings

import keras
from keras import ops

# What the training step notes, for a look after its first batch.
EXTREMES = ("lowest", "highest")
_TOLERANCE = 1e-3  # Of a range as wide as 1 or 2, for what rounding adds.


def extremes(images):
    """Returns the least and the largest value of images, by their names."""
    values = ops.min(images), ops.max(images)
    return dict(zip(EXTREMES, values, strict=True))


class RangeCheck(keras.callbacks.Callback):
    """Warns once, after the first batch, if real images are out of range.

    It looks when the next batch begins, or the epoch ends: Keras would wait
    for the logs of every batch if a callback looked at batches as they end.
    """

    def on_train_begin(self, logs=None):
        """Asks for one look."""
        self.checked = False

    def on_train_batch_begin(self, batch, logs=None):
        """Looks once a batch is done."""
        if batch > 0:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        """Looks, if the epoch had a single batch."""
        self._check()

    def _check(self):
        if self.checked:
            return
        self.checked = True
        gan = self.model
        if gan._image_range is None:
            return
        means = gan._means.result()
        lowest, highest = (
            float(ops.convert_to_numpy(means[name])) for name in EXTREMES
        )
        low, high = gan._image_range
        if lowest < low - _TOLERANCE or highest > high + _TOLERANCE:
            warnings.warn(
                f"The real images go from {lowest:g} to {highest:g}, which is "
                f"outside [{low:g}, {high:g}], the range of the generator's "
                "last activation. Scale them to that range, as by "
                "`images / 127.5 - 1` from 0..255 to [-1, 1].",
                stacklevel=2,
            )
