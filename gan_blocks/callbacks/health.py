"""Warnings of training that has gone wrong without any NaN."""

import logging

import keras

from gan_blocks.callbacks import counts

_logger = logging.getLogger(__package__)

_ALIKE = 0.1  # The spread below which images are taken for alike.
_SURE = 0.99  # Both accuracies of a discriminator that has won.
_CLUELESS = 1.15  # The sum of the accuracies of one that tells nothing.
# How long it must be so. Images are alike before they have learned to differ:
# those of a healthy run for 150 steps, which were eight epochs.
_EPOCHS = 2
_STEPS = 500
_MEANINGS = {
    "alike": (
        "the generated images are almost all alike: their spread is "
        "{spread:.3f} of the real ones'. The generator has collapsed, which "
        "seldom mends itself. Go back to a checkpoint from before; what "
        "usually helps is a lower learning rate of the generator, a penalty "
        "such as R1, or the loss `relativistic_pairing` with R1 and R2."
    ),
    "won": (
        "the discriminator is right about almost every image (of the real "
        "ones {real_accuracy:.1%}, of the generated ones {fake_accuracy:.1%}), "
        "and the generator learns little from it. If the pictures no longer "
        "get better, what usually helps is a lower learning rate of the "
        "discriminator or fewer filters in it, a penalty such as R1, label "
        "smoothing, or, with few images, augmentation."
    ),
    "clueless": (
        "the discriminator tells nothing: it takes {real_accuracy:.1%} of the "
        "real images for real, and {fake_accuracy:.1%} of the generated ones "
        "for generated. Either the images are perfect, or it is too weak to "
        "teach the generator anything. If the pictures do not get better, "
        "what usually helps is a lower learning rate of the generator, a "
        "higher one of the discriminator, more filters in it, or more "
        "`discriminator_steps`."
    ),
}


class WarnOnTrouble(keras.callbacks.Callback):
    """Warns if images become alike, or one network has left the other behind.

    The losses of a GAN do not tell whether it learns. At the end of each epoch
    this callback looks at the logs `spread`, `real_accuracy` and
    `fake_accuracy` of the `GAN` for three kinds of trouble:

    - the generated images are almost all alike, a collapse: a spread below
      0.1;
    - the discriminator has won: both accuracies are at least 0.99;
    - the discriminator tells nothing: the accuracies add up to less than
      1.15. A coin's toss gives 1, and so does taking all images for real.
      Unless the images are perfect, it is too weak.

    Trouble that has lasted for 2 epochs in a row, and for 500 steps, is told
    in a warning of the logger `gan_blocks.callbacks`, with what usually helps;
    once, until it has gone away for an epoch. Training is never stopped: some
    runs recover, and the pictures have the last word.

    Losses without a `decision_threshold` have no accuracies; with them only
    the spread is looked at. A generator that draws the same few pictures over
    and over may have a spread near 1: this callback does not see that.

    Attributes:
        message: What is wrong, as of the last epoch, or `None`.

    Example:

    ```python
    import keras
    import numpy as np

    import gan_blocks
    from gan_blocks import callbacks

    generator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4, kernel_initializer="zeros"),
            keras.layers.Reshape((2, 2, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    gan = gan_blocks.GAN(generator, discriminator)
    gan.compile(keras.optimizers.SGD(0.0), "sgd")  # The generator stays so.
    images = np.random.default_rng(0).uniform(-1, 1, (500, 2, 2, 1))
    warn = callbacks.WarnOnTrouble()
    gan.fit(images, batch_size=2, epochs=2, verbose=0, callbacks=[warn])
    print(warn.message)
    ```
    """

    def __init__(self):
        super().__init__()
        self.message = None
        self._lasting = {}  # Kinds of trouble: epochs and steps so far.

    def on_train_begin(self, logs=None):
        """Forgets what was found in an earlier training."""
        self.message = None
        self._lasting = {}

    def on_epoch_begin(self, epoch, logs=None):
        """Takes note of the step."""
        self._step = counts.iterations(self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the epoch's logs."""
        steps = counts.iterations(self.model) - self._step
        before, self._lasting = self._lasting, {}
        messages = []
        for kind in _troubles(logs or {}):
            earlier = before.get(kind, (0, 0))
            lasting = self._lasting[kind] = earlier[0] + 1, earlier[1] + steps
            if _is_long(*lasting):
                meaning = _MEANINGS[kind].format(**logs)
                messages.append(f"Epoch {epoch + 1}: {meaning}")
                if not _is_long(*earlier):  # It has not been told yet.
                    _logger.warning(messages[-1])
        self.message = "\n".join(messages) or None


def _is_long(epochs, steps):
    return epochs >= _EPOCHS and steps >= _STEPS


def _troubles(logs):
    """Returns the kinds of trouble that an epoch's logs show."""
    found = []
    if "spread" in logs and logs["spread"] < _ALIKE:
        found.append("alike")
    if "real_accuracy" in logs and "fake_accuracy" in logs:
        accuracies = logs["real_accuracy"], logs["fake_accuracy"]
        if min(accuracies) >= _SURE:
            found.append("won")
        if sum(accuracies) < _CLUELESS:
            found.append("clueless")
    return found
