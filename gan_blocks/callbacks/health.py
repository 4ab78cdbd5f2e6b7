"""Warnings about mode collapse and unbalanced networks."""

import logging
from typing import Any

import keras

from gan_blocks import runs

__all__ = ["WarnOnTrouble"]

_logger = logging.getLogger(__package__)

_COLLAPSE = 0.1  # Spread.
_DOMINATES = 0.99  # Both accuracies.
_CHANCE = 1.15  # Sum of the accuracies.
# Images of healthy runs are nearly identical for about 150 steps.
_WARMUP_STEPS = 200
_EPOCHS = 2
_STEPS = 100
_REMEDIES = {
    "mode collapse": (
        "The generated images are nearly identical. The generator rarely "
        "recovers: go back to an earlier checkpoint, and try a lower learning "
        "rate of the generator, the penalty R1, or the loss "
        "`relativistic_pairing` with R1 and R2."
    ),
    "discriminator dominates": (
        "The generator gets little signal from a discriminator that is almost "
        "always right. If the images stop improving, try a lower learning "
        "rate or fewer filters for the discriminator, the penalty R1, label "
        "smoothing or, with few images, augmentation against overfitting."
    ),
    "discriminator at chance": (
        "Either the images are perfect, or the discriminator is too weak to "
        "teach the generator. If the images do not improve, try a higher "
        "learning rate, more filters or more `discriminator_steps` for the "
        "discriminator, or a lower learning rate of the generator."
    ),
}


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
            of generated images." `None` if the model logs none of the values.

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
        self.message: str | None = None
        self.verdict: str | None = None
        # Problem: epochs and steps so far, and if it has been logged.
        self._lasting: dict[str, tuple[int, int, bool]] = {}
        self._step = 0  # At the end of the last epoch.

    def on_train_begin(self, logs=None):
        step = runs.steps_done(self.model)
        if step != self._step:  # Another run, or steps without this callback.
            self.message = self.verdict = None
            self._lasting = {}
            self._step = step

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        step = runs.steps_done(self.model)
        before, self._lasting = self._lasting, {}
        found = _problems(logs)
        reported = []
        for problem in found:
            epochs, steps, warned = before.get(problem, (0, 0, False))
            epochs, steps = epochs + 1, steps + step - self._step
            confirmed = (
                epochs >= _EPOCHS and steps >= _STEPS and step >= _WARMUP_STEPS
            )
            self._lasting[problem] = epochs, steps, confirmed
            if confirmed:
                message = f"Epoch {epoch + 1}: {problem} ({_describe(logs)}). "
                reported.append(message + _REMEDIES[problem])
                if not warned:
                    _logger.warning(reported[-1])
        self._step = step
        self.message = "\n".join(reported) or None
        self.verdict = _verdict(logs, found, bool(reported))


def _problems(logs: dict[str, Any]) -> list[str]:
    """Returns the problems that the logs of an epoch show."""
    found = []
    if "spread" in logs and logs["spread"] < _COLLAPSE:
        found.append("mode collapse")
    if "real_accuracy" in logs and "fake_accuracy" in logs:
        accuracies = logs["real_accuracy"], logs["fake_accuracy"]
        if min(accuracies) >= _DOMINATES:
            found.append("discriminator dominates")
        if sum(accuracies) < _CHANCE:
            found.append("discriminator at chance")
    return found


def _describe(logs: dict[str, Any]) -> str:
    parts = []
    if "spread" in logs:
        parts.append(f"spread {logs['spread']:.2f}")
    if "real_accuracy" in logs and "fake_accuracy" in logs:
        parts.append(
            f"the discriminator is right about {logs['real_accuracy']:.0%} of "
            f"real and {logs['fake_accuracy']:.0%} of generated images"
        )
    return "; ".join(parts)


def _verdict(
    logs: dict[str, Any], problems: list[str], confirmed: bool
) -> str | None:
    values = _describe(logs)
    if not values:
        return None
    names = " and ".join(problems)
    if not problems:
        names = "mode collapse" if "spread" in logs else "a problem"
        return f"No sign of {names}: {values}."
    if confirmed:
        return f"{names[0].upper()}{names[1:]}: {values}."
    return f"Too early to tell, but possibly {names}: {values}."
