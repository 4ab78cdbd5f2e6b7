"""Warnings about mode collapse and unbalanced networks."""

import logging

import keras

from gan_blocks import runs
from gan_blocks._health import Health

__all__ = ["WarnOnTrouble"]

_logger = logging.getLogger(__package__)


class WarnOnTrouble(keras.callbacks.Callback):
    """Warns about mode collapse and a discriminator that is too strong or weak.

    GAN losses do not show whether training works. This callback checks other
    logs of `GAN` at the end of each epoch:

    - Mode collapse: `spread` is below 0.1. The generated images are nearly
      identical.
    - The discriminator dominates: `real_accuracy` and `fake_accuracy` are both
      at least 0.99, and the generator gets little signal.
    - The discriminator is at chance: the two accuracies add up to less than
      1.15. Guessing gives 1.

    A problem is logged as a warning, with remedies, after two epochs in a row
    and 100 steps, and not before step 200 of the run: images of healthy runs
    are nearly identical in the first steps too. It is logged again only if it
    disappears and returns. Training continues.

    After `fit`, `verdict` is a summary in one sentence, also if all is well. A
    `fit` that starts at the step where the previous one ended continues it: a
    problem is not logged again, and its duration counts from its beginning.

    Losses without a `decision_threshold` have no accuracies; only `spread` is
    checked then. `spread` does not detect a generator that repeats a few
    different images. Look at the images as well, or measure recall with
    `metrics.Quality`.

    Attributes:
        message: The problems at the end of the last epoch, or `None`.
        verdict: Summary of the last epoch, such as "No sign of mode collapse:
            spread 0.82; the discriminator is right about 71% of real and 78%
            of generated pictures." `None` if the model logs none of the values.

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
    gan.compile(keras.optimizers.SGD(0.0), "sgd")  # The generator is fixed.
    images = np.random.default_rng(0).uniform(-1, 1, (200, 2, 2, 1))
    warn = callbacks.WarnOnTrouble()
    gan.fit(images, batch_size=2, epochs=2, verbose=0, callbacks=[warn])
    assert warn.message.startswith("Epoch 2: mode collapse")
    ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._health = Health()

    @property
    def message(self) -> str | None:
        """The problems at the end of the last epoch, or `None`."""
        return self._health.message

    @property
    def verdict(self) -> str | None:
        """Summary of the last epoch, or `None`."""
        return self._health.verdict

    def on_train_begin(self, logs=None):
        step = runs.steps_done(self.model)
        if step != self._health.step:
            # Another run, or steps without this callback.
            self._health = Health(step)

    def on_epoch_end(self, epoch, logs=None):
        step = runs.steps_done(self.model)
        for message in self._health.update(epoch + 1, step, logs or {}):
            _logger.warning(message)
