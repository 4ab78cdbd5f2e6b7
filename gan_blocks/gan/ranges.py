"""Compares the range of the real images with the range of the generator."""

import warnings

import keras
import numpy as np
from keras import ops

EXTREMES = ("lowest", "highest")


def extremes(images):
    """Returns the lowest and the highest value of images, by name."""
    return dict(zip(EXTREMES, (ops.min(images), ops.max(images)), strict=True))


def probe(network, input_shape, conditional):
    """Runs a network on large inputs, with large weights of both signs.

    The outputs of a network without limits then differ from run to run. If the
    outputs are limited, by an activation for example, they reach the limits.

    Returns:
        The lowest, the highest and the mean output of four runs, an array
        `(4, 3)`. NaN if the network raises an error.
    """
    random = np.random.default_rng(0)
    shape = keras.tree.flatten(getattr(network, "input_shape", None))
    batch_size = shape[0] or 2
    results = []
    for factor in (10.0, -10.0, 20.0, -20.0):
        inputs = random.standard_normal((batch_size, *input_shape))
        inputs = (factor * inputs).astype("float32")
        if conditional:
            inputs = [inputs, np.zeros(batch_size, "int32")]
        weights = network.trainable_variables
        mapping = [(weight, factor * weight.value) for weight in weights]
        try:
            with keras.StatelessScope(state_mapping=mapping):
                outputs = ops.cast(network(inputs, training=False), "float32")
        except Exception:  # A check must not end the training.
            return np.full((4, 3), np.nan)
        outputs = ops.convert_to_numpy(outputs)
        results.append([outputs.min(), outputs.max(), outputs.mean()])
    return np.array(results)


class RangeCheck(keras.callbacks.Callback):
    """Warns after the first batch if images and generator differ in range.

    Only the training step sees data of every kind, so it logs the extremes of
    the real images. The generator is probed, because its outputs are small
    before it is trained.
    """

    def on_train_begin(self, logs=None):
        self.checked = False

    def on_train_batch_begin(self, batch, logs=None):
        # Not at the end of a batch: Keras would wait for the logs.
        if batch > 0:
            self._check()

    def on_test_begin(self, logs=None):
        self._check()  # Validation resets the means.

    def on_epoch_end(self, epoch, logs=None):
        self._check()

    def _check(self):
        if self.checked:
            return
        self.checked = True
        gan = self.model
        means = gan.means.result()
        lowest, highest = (
            float(ops.convert_to_numpy(means[name])) for name in EXTREMES
        )
        lows, highs, output_means = probe(
            gan.generator, gan.latent_shape, gan.num_classes is not None
        ).T
        low, high = lows.min(), highs.max()
        tolerance = 1e-3 * (high - low)
        if (
            not np.isfinite(output_means).all()
            or max(np.ptp(lows), np.ptp(highs)) > tolerance
            or np.ptp(output_means) == 0
        ):
            return  # The outputs have no limits, or are constant.
        if lowest < low - tolerance or highest > high + tolerance:
            remedy = (
                "Scale the images to that range. For example, `images / 127.5 "
                "- 1` scales 0..255 to [-1, 1]."
            )
        elif (
            np.allclose((low, high), (-1, 1), atol=tolerance)
            and 0 <= lowest < highest <= 1
        ):
            remedy = "If the images are scaled to [0, 1], use `images * 2 - 1`."
        else:
            return
        warnings.warn(
            f"The real images range from {lowest:.3g} to {highest:.3g}, but "
            f"the outputs of the generator range from {low:.3g} to {high:.3g}, "
            f"even with large weights. {remedy}",
            stacklevel=2,
        )
