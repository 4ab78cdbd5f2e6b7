"""Stopping or rolling back when values become NaN or infinite."""

import logging
import math
from typing import Any

import keras

from gan_blocks._checks import check_positive_integer

__all__ = ["StopOnDivergence"]

_logger = logging.getLogger(__package__)
_RATE_FACTOR = 0.5  # Change of the learning rates at a rollback.


class StopOnDivergence(keras.callbacks.Callback):
    """Stops training, or rolls it back, when a value is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` checks `loss` only, which a GAN does not
    log. This callback checks all logs after each batch, and the model's weights
    and the optimizer state at the end of each epoch. The cause is logged as a
    warning.

    With `rollbacks`, training continues the first few times. Weights, moving
    averages and optimizer state are reset to the beginning of the epoch, each
    learning rate is halved, and training continues with the next batch. Random
    seeds and the number of steps (`optimizer.iterations`) are not reset. This
    needs memory for a copy of the weights and the optimizer state.

    Put it before callbacks that save something.

    Args:
        rollbacks: Number of rollbacks per call of `fit` before training is
            stopped. Defaults to 0.

    Attributes:
        diverged: True if this callback stopped the last training.
        message: The cause, with the epoch and batch counted from 1. `None` if
            training was not stopped.

    Raises:
        ValueError: If `rollbacks` is not an integer of at least 0. When
            training begins with `rollbacks`, if a learning rate is a schedule
            or the model is not built.

    Example:

    ```python
    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.full((8, 2), np.nan), np.zeros((8, 1))
    stop = callbacks.StopOnDivergence()
    model.fit(*data, callbacks=[stop], verbose=0)
    assert stop.diverged
    print(stop.message)
    ```
    """

    model: Any

    def __init__(self, rollbacks: int = 0) -> None:
        super().__init__()
        check_positive_integer("rollbacks", rollbacks, minimum=0)
        self.rollbacks = rollbacks
        self.message = None

    @property
    def diverged(self) -> bool:
        """True if this callback stopped the last training."""
        return self.message is not None

    def on_train_begin(self, logs=None):
        self.message = None
        self._rollbacks_left = self.rollbacks
        if self.rollbacks:
            _check_rollback(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        if self._rollbacks_left:
            self._saved = [
                (variable, keras.ops.copy(variable))
                for variable in _state(self.model)
            ]

    def on_train_batch_end(self, batch, logs=None):
        found = [
            f"`{name}` is {value}"
            for name, value in (logs or {}).items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
        if found:
            self._react(f"batch {batch + 1}: {', '.join(found)}")

    def on_epoch_end(self, epoch, logs=None):
        if not (self.diverged or is_finite(self.model)):
            self._react("end: the model has NaN or infinite values")

    def on_train_end(self, logs=None):
        self._saved = []  # Frees the memory.

    def _react(self, found):
        found = f"epoch {self._epoch + 1}, {found}"
        if self._rollbacks_left:
            self._rollbacks_left -= 1
            self._roll_back()
            _logger.warning(
                "Training diverged at %s. It was rolled back to the beginning "
                "of the epoch and continues with half the learning rates. "
                "Rollbacks left: %d.",
                found,
                self._rollbacks_left,
            )
            return
        self.message = f"Training diverged and was stopped at {found}."
        _logger.warning(self.message)
        self.model.stop_training = True

    def _roll_back(self):
        model = self.model
        for variable, value in self._saved:
            # A copy, because the next step may reuse the variable's memory.
            variable.assign(keras.ops.copy(value))
        for optimizer in _optimizers(model):
            optimizer.learning_rate = _RATE_FACTOR * _rate(optimizer)
        model.reset_metrics()  # Means of NaN would stay NaN.


def is_finite(model):
    """Returns whether all weights and optimizer state are finite numbers."""
    return all(
        bool(keras.ops.all(keras.ops.isfinite(variable)))
        for variable in _state(model)
    )


def _state(model):
    """Returns weights and optimizer state, without step counts and rates."""
    variables = list(model.weights)
    excluded = []
    if model.optimizer is not None:
        variables += model.optimizer.variables
        excluded = [model.optimizer.iterations]
        excluded += [each.learning_rate for each in _optimizers(model)]
    excluded = {id(variable) for variable in excluded}
    return [v for v in variables if id(v) not in excluded]


def _optimizers(model):
    """Returns the two optimizers of a GAN, or the one of another model."""
    return getattr(model.optimizer, "optimizers", [model.optimizer])


def _rate(optimizer):
    # `float` does not work in a strategy of TensorFlow.
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _check_rollback(model):
    if not model.built:
        raise ValueError(
            "`rollbacks` needs a model that is built before `fit`. Received: "
            f"{model}"
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    for optimizer in _optimizers(model):
        try:
            optimizer.learning_rate = _rate(optimizer)
        except (TypeError, AttributeError) as error:
            raise ValueError(
                "`rollbacks` needs constant learning rates, because they are "
                "halved. Received: a schedule or a function in "
                f"{optimizer.name}"
            ) from error
