"""Stopping when the time is up."""

import logging
import math
import numbers
import time
from typing import Any

import keras

from gan_blocks import replicas

__all__ = ["TimeLimit"]

_logger = logging.getLogger(__package__)


class TimeLimit(keras.callbacks.Callback):
    """Stops training after a number of minutes.

    Use it for a notebook session or a job with a time limit, or if you want
    to choose a time instead of a number of epochs. In that case, pass a large
    number of `epochs` to `fit`.

    Training stops after the step in which the time is up. `fit` then ends as
    usual, and the other callbacks can save: `EpochCheckpoint` loses nothing.
    Leave some time for them.

    The time of `fit` counts, from the beginning of training to its end, with
    validation and all callbacks. Several trainings with the same object share
    the minutes. A resumed run in a new process continues with the rest of its
    minutes if you pass `seconds_used`. If no time is left when training
    begins, no step is made and a warning is logged.

    The log `seconds` is the time used so far, at the end of each epoch. Put
    this callback before `HistoryTable`, which then has a column `seconds`.

    Changes of the system time have no effect. On Linux and macOS, the time in
    which the computer sleeps does not count.

    If several processes train together, the clock of the first process decides
    for all of them.

    Args:
        minutes: The time limit in minutes.
        seconds_used: Time that earlier trainings of the run have used, in
            seconds. Defaults to 0. Training updates this attribute.

    Attributes:
        stopped: True if the time limit stopped the last training.

    Raises:
        ValueError: If `minutes` is not a positive number, or `seconds_used` is
            not a number of at least 0.

    Example:

    ```python
    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    limit = callbacks.TimeLimit(minutes=0.01)
    model.fit(*data, epochs=1_000_000, callbacks=[limit], verbose=0)
    assert limit.stopped and limit.seconds_left() == 0
    ```
    """

    model: Any

    def __init__(self, minutes: float, seconds_used: float = 0.0) -> None:
        super().__init__()
        if not (isinstance(minutes, numbers.Real) and 0 < minutes < math.inf):
            raise ValueError(
                "`minutes` must be a positive number. Received: "
                f"minutes={minutes!r}"
            )
        if not (
            isinstance(seconds_used, numbers.Real)
            and 0 <= seconds_used < math.inf
        ):
            raise ValueError(
                "`seconds_used` must be a number of at least 0. Received: "
                f"seconds_used={seconds_used!r}"
            )
        self.minutes = minutes
        self.seconds_used = seconds_used
        self.stopped = False

    def seconds_left(self) -> float:
        """Returns the time that is left, in seconds."""
        return max(0.0, 60 * self.minutes - self.seconds_used)

    def on_train_begin(self, logs=None):
        # On JAX, `self.model` moves all weights out of the training loop.
        self._trained_model = self.model
        self._counted = time.monotonic()  # Only training counts.
        self.stopped = False
        self._stop_if_time_is_up()
        if self.stopped:
            # Keras makes a step although `stop_training` is set. It makes none
            # if it continues after the last epoch.
            self.model._initial_epoch = (self.params or {}).get("epochs")
            _logger.warning(
                "No time is left for training: %.1f minutes are used. Allow "
                "more minutes to train longer.",
                self.seconds_used / 60,
            )

    def on_train_batch_end(self, batch, logs=None):
        self._stop_if_time_is_up()

    def on_epoch_end(self, epoch, logs=None):
        self._stop_if_time_is_up()  # Validation takes time, too.
        if logs is not None:
            logs["seconds"] = self.seconds_used

    def on_train_end(self, logs=None):
        self._count_time()  # Of the other callbacks.
        if self.stopped:
            self.model._initial_epoch = None

    def _count_time(self):
        now = time.monotonic()
        self.seconds_used += now - self._counted
        self._counted = now

    def _stop_if_time_is_up(self):
        self._count_time()
        time_is_up = self.seconds_left() == 0
        # A process that stops before the others would leave them waiting.
        if replicas.from_chief(time_is_up, self._trained_model):
            self.stopped = self._trained_model.stop_training = True
