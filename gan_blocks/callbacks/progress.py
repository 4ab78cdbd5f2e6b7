"""One line that shows the progress of training."""

import collections
import shutil
import statistics
import time
from typing import Any

import keras

from gan_blocks import files, replicas
from gan_blocks._checks import check_positive_integer
from gan_blocks._device import device_name
from gan_blocks._screens import Nothing, choose_screen, duration
from gan_blocks.callbacks.time_limit import TimeLimit

__all__ = ["ProgressLine"]

_WIDTH = 79
_SECONDS_BETWEEN_UPDATES = 0.2
_SECONDS_BEFORE_ESTIMATE = 5
_SKIPPED_STEPS = 2  # They include compilation.
_STEPS_FOR_ESTIMATE = 3
# Parts that are left out if the line is too long, in this order.
_OPTIONAL = ("word", "speed", "spread", "accuracies", "losses", "step")


class ProgressLine(keras.callbacks.Callback):
    """Shows the progress of training, and the time left, in one line.

    Use it with `fit(verbose=0)`, instead of Keras' progress bar:

        19/20 41/93 d 1.23 g 0.88 acc 71% 78% spread 0.82 45 ms/step 7 s left

    The line shows the epoch, the step of the epoch, the losses of
    discriminator and generator, `real_accuracy` and `fake_accuracy`, `spread`,
    the time per step, and the time left for the whole run. Models other than
    `GAN` show `loss`. Losses are means over the epoch so far. The line has at
    most 79 columns; values that do not fit are left out.

    In a terminal and in a notebook the line is updated in place, up to five
    times per second, and each epoch keeps its last line. A file or pipe gets
    one line per epoch. After the first seconds, a sentence says how long the
    run will take and on which device.

    With a `TimeLimit`, the sentence comes first, and the line counts down the
    time. It shows the step of the run instead of the epoch, because the number
    of epochs is not known:

        Step 12,345 d 1.23 g 0.88 acc 71% 78% spread 0.82 45 ms/step 7 s left

    The time per step is the median of the last 100 steps, so it does not
    include compilation and occasional saving. The time left includes the time
    between epochs.

    If several processes train together, one of them prints. Put this callback
    first, so that other callbacks' messages follow the line of their epoch.

    Args:
        epochs: Number of epochs of the whole run. Defaults to `epochs` of
            `fit`.
        steps_per_epoch: Number of steps of a complete epoch. Needed if `fit`
            begins in the middle of an epoch, so that its first epoch has
            fewer steps. Defaults to the number of steps in `fit`.
        time_limit: The `TimeLimit` of the training. Defaults to `None`.

    Raises:
        ValueError: If `epochs` or `steps_per_epoch` is not a positive integer.

    Example:

    ```python
    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    model.fit(*data, verbose=0, callbacks=[callbacks.ProgressLine()])
    ```
    """

    model: Any

    def __init__(
        self,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        time_limit: TimeLimit | None = None,
    ) -> None:
        super().__init__()
        if epochs is not None:
            check_positive_integer("epochs", epochs)
        if steps_per_epoch is not None:
            check_positive_integer("steps_per_epoch", steps_per_epoch)
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.time_limit = time_limit
        self._screen: Any = None
        self._estimate_shown = False
        self._step_times = collections.deque(maxlen=100)
        self._pauses = collections.deque(maxlen=100)  # Between epochs.

    def on_train_begin(self, logs=None):
        params = self.params or {}
        self._total_epochs = self.epochs or params.get("epochs")
        self._steps_of_fit = params.get("steps")
        self._steps = self.steps_per_epoch or self._steps_of_fit
        self._first_epoch = True
        self._skip = _SKIPPED_STEPS
        self._begin = time.monotonic()
        self._last: Any = None  # When the last step or pause ended.
        self._updated: Any = None
        if not replicas.is_chief(self.model):
            self._screen = Nothing()
        elif self._screen is None:
            self._screen = choose_screen()
        self._best_effort = files.BestEffort("Progress cannot be shown")
        left = self.time_limit and self.time_limit.seconds_left()
        if left and not self._estimate_shown:
            with self._best_effort():
                self._say_how_long("Training", "at most", left)

    def on_epoch_begin(self, epoch, logs=None):
        now = time.monotonic()
        if self._last is not None:
            self._pauses.append(now - self._last)
        self._last = now
        self._epoch = epoch
        self._step = self._offset = 0
        if self._first_epoch and self._steps and self._steps_of_fit:
            self._offset = max(0, self._steps - self._steps_of_fit)
            self._step = self._offset
        self._first_epoch = False

    def on_train_batch_end(self, batch, logs=None):
        # Never use `self.model` here: on JAX, it moves all weights.
        now = time.monotonic()
        before = self._step
        self._step = self._offset + batch + 1
        if self._steps:
            # With `steps_per_execution`, the last batch can exceed it.
            self._step = min(self._step, self._steps)
        if self._skip:
            self._skip -= 1
        else:
            steps = max(1, self._step - before)
            self._step_times.append((now - self._last) / steps)
        self._last = now
        late = self._updated is None or (
            now >= self._updated + _SECONDS_BETWEEN_UPDATES
        )
        if late:
            self._updated = now
            with self._best_effort():
                self._show_estimate(now)
                self._screen.update(self._line(logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        if not self._steps:
            self._steps = self._step  # Known from now on.
        with self._best_effort():
            self._screen.keep(self._line(logs or {}))

    def _show_estimate(self, now):
        """Prints once how long the run will take, and the device."""
        left = self._seconds_left()
        if (
            self._estimate_shown
            or left is None
            or now < self._begin + _SECONDS_BEFORE_ESTIMATE
        ):
            return
        epochs = self._total_epochs - self._epoch
        run = f"{epochs} epoch{'s' * (epochs > 1)} of {self._steps} steps"
        if self._epoch or self._offset:
            run = f"The rest of {self._total_epochs} epochs"
        self._say_how_long(run, "about", left)

    def _say_how_long(self, run, about, seconds):
        self._estimate_shown = True
        self._screen.keep(
            f"{run} will take {about} {duration(seconds)} on {device_name()}."
        )

    def _seconds_left(self):
        """Returns the estimate for the whole run, or `None`."""
        left = self._seconds_for_epochs()
        if self.time_limit:
            limit = self.time_limit.seconds_left()
            left = limit if left is None else min(left, limit)
        return left

    def _seconds_for_epochs(self):
        if (
            len(self._step_times) < _STEPS_FOR_ESTIMATE
            or not self._steps
            or not self._total_epochs
        ):
            return None
        epochs = self._total_epochs - self._epoch - 1
        steps = epochs * self._steps + self._steps - self._step
        left = steps * statistics.median(self._step_times)
        if self._pauses:
            left += epochs * statistics.fmean(self._pauses)
        return left

    def _line(self, logs):
        parts = self._place()
        if "d_loss" in logs and "g_loss" in logs:
            losses = logs["d_loss"], logs["g_loss"]
            parts["losses"] = "d {} g {}".format(*map(_number, losses))
        elif "loss" in logs:
            parts["losses"] = f"loss {_number(logs['loss'])}"
        if "real_accuracy" in logs and "fake_accuracy" in logs:
            parts["accuracies"] = (
                f"acc {logs['real_accuracy']:.0%} {logs['fake_accuracy']:.0%}"
            )
        if "spread" in logs:
            parts["spread"] = f"spread {_number(logs['spread'])}"
        if self._step_times:
            seconds = statistics.median(self._step_times)
            parts["speed"] = (
                f"{seconds:.1f} s/step"
                if seconds >= 1
                else f"{1000 * seconds:.0f} ms/step"
            )
        left = self._seconds_left()
        if left:
            parts["left"] = f"{duration(left)} left"
        width = min(_WIDTH, shutil.get_terminal_size().columns - 1)
        for name in _OPTIONAL:
            if len(" ".join(parts.values())) <= width:
                break
            parts.pop(name, None)
        return " ".join(parts.values())[:width]

    def _place(self):
        if self.time_limit and self._steps:
            step = self._epoch * self._steps + self._step
            return {"place": f"Step {step:,}"}
        parts = {"word": "Epoch", "epoch": f"{self._epoch + 1}"}
        if self._total_epochs:
            parts["epoch"] += f"/{self._total_epochs}"
        if not self._steps:
            parts["step"] = f"step {self._step}"
        elif self._step < self._steps:
            parts["step"] = f"{self._step}/{self._steps}"
        return parts


def _number(value):
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"
