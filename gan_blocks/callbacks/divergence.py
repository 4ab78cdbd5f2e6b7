"""Training that comes to NaN or infinity: stop, or go back."""

import logging
import math

import keras

from gan_blocks.callbacks import counts

_logger = logging.getLogger(__package__)
_RATE_FACTOR = 0.5  # What is left of the learning rates when going back.


class StopOnDivergence(keras.callbacks.Callback):
    """Stops training, or goes back, where a value is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` looks at `loss` only, which a GAN does not
    log. This callback looks at everything that is logged for a batch and, at
    the end of an epoch, at the model's weights and the optimizers' state. It
    says what it found in a warning of the logger `gan_blocks.callbacks`.
    Losses are means over the epoch so far, and once one is NaN it stays so
    until the epoch ends.

    With `rollbacks` training does not stop the first few times. All weights,
    the moving average and the state of the optimizers become what they were at
    the beginning of the epoch, every learning rate is halved, and training
    goes on with the batches that come next; the noise and the count of steps
    (`optimizer.iterations`) go on, too. This takes memory for one more copy of
    the weights and of the optimizers' state.

    Keras converts the logs of each batch to numbers as soon as any callback
    listens to batches, so that looking at them costs next to nothing more.
    Put it before callbacks that save something.

    Args:
        rollbacks: How often to go back, in one call of `fit`, before training
            is stopped. Defaults to 0.

    Attributes:
        diverged: Whether the last training was stopped by this callback.
        message: What was found, and at which epoch and batch, both counted
            from 1 as on the progress bar; `None` if training was not stopped.

    Raises:
        ValueError: If `rollbacks` is not an integer of at least 0; when
            training begins, if a learning rate that is to be halved is a
            schedule, or the model is not built.

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

    def __init__(self, rollbacks=0):
        super().__init__()
        if rollbacks != 0:
            counts.check_positive("rollbacks", rollbacks)
        self.rollbacks = rollbacks
        self.message = None

    @property
    def diverged(self):
        """Whether the last training was stopped by this callback."""
        return self.message is not None

    def on_train_begin(self, logs=None):
        """Forgets what was found in an earlier training."""
        self.message = None
        self._rollbacks_left = self.rollbacks
        if self.rollbacks:
            _check_that_one_can_go_back(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        """Takes note of the epoch and, if asked for, of the model's state."""
        self._epoch = epoch
        if self._rollbacks_left:
            self._good = [
                (variable, keras.ops.copy(variable))
                for variable in _state(self.model)
            ]

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the values that were logged."""
        found = [
            f"`{name}` is {value}"
            for name, value in (logs or {}).items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
        if found:
            self._act(f"batch {batch + 1}: {', '.join(found)}")

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the weights and at the state of the optimizers."""
        if not (self.diverged or is_finite(self.model)):
            self._act("its end: some weights are NaN or infinite")

    def on_train_end(self, logs=None):
        """Gives the memory back."""
        self._good = []

    def _act(self, found):
        found = f"epoch {self._epoch + 1}, {found}"
        if self._rollbacks_left:
            self._rollbacks_left -= 1
            self._go_back()
            _logger.warning(
                "At %s. Training goes on with the weights from the beginning "
                "of the epoch and half the learning rates; this can be done "
                "%d times more.",
                found,
                self._rollbacks_left,
            )
            return
        self.message = f"Training stopped at {found}."
        _logger.warning(self.message)
        self.model.stop_training = True

    def _go_back(self):
        model = self.model
        for variable, value in self._good:
            # A copy: the next step may be given the variable's own memory.
            variable.assign(keras.ops.copy(value))
        for optimizer in _optimizers(model):
            rate = float(optimizer.learning_rate)
            optimizer.learning_rate = _RATE_FACTOR * rate
        model.reset_metrics()  # Means that are NaN would stay so.


def is_finite(model):
    """Returns whether all weights and optimizer state are finite numbers."""
    return all(
        bool(keras.ops.all(keras.ops.isfinite(variable)))
        for variable in _state(model)
    )


def _state(model):
    """Returns weights and optimizer state but for counts and rates."""
    variables = list(model.weights)
    apart = []
    if model.optimizer is not None:
        variables += model.optimizer.variables
        apart = [model.optimizer.iterations]
        apart += [one.learning_rate for one in _optimizers(model)]
    apart = {id(variable) for variable in apart}
    return [v for v in variables if id(v) not in apart]


def _optimizers(model):
    """Returns a GAN's two optimizers, or the one of another model."""
    return getattr(model.optimizer, "optimizers", [model.optimizer])


def _check_that_one_can_go_back(model):
    if not model.built:
        raise ValueError(
            "`rollbacks` needs a model that is built before `fit`. Received: "
            f"{model}"
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    for optimizer in _optimizers(model):
        try:
            optimizer.learning_rate = float(optimizer.learning_rate)
        except TypeError as error:
            raise ValueError(
                "`rollbacks` needs learning rates that are numbers, which can "
                f"be halved. Received: a schedule in {optimizer.name}"
            ) from error
