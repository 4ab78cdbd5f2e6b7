"""How many training steps a model has made, and how many are left."""

from collections.abc import Iterator
from typing import Any

from gan_blocks._checks import check_positive_integer


def steps_done(model: Any) -> int:
    """Returns how many training steps a Keras model has made.

    The count is `model.optimizer.iterations`, which checkpoints contain. A
    model that is not compiled has made 0 steps.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return 0
    import keras  # The command line imports this module before Keras.

    # `int(variable)` fails within a `tf.distribute` strategy.
    steps: Any = keras.ops.convert_to_numpy(optimizer.iterations)
    return int(steps)


def steps_of_whole_epoch(model: Any) -> int | None:
    """Returns the steps per epoch of a run, while `fit` resumes it."""
    return getattr(model, "_steps_of_whole_epoch", None)


def remaining_fits(
    model: Any, epochs: int, steps_per_epoch: int
) -> Iterator[dict[str, int]]:
    """Yields the arguments of the remaining calls to `fit`.

    If training was stopped in the middle of an epoch, the first call completes
    this epoch, and the second call trains the other epochs, unless the first
    call is stopped too. Meanwhile, `steps_of_whole_epoch` returns
    `steps_per_epoch`.

    Args:
        model: A compiled model.
        epochs: Total number of epochs.
        steps_per_epoch: Number of steps in a whole epoch.

    Yields:
        Dictionary with `initial_epoch`, `epochs` and `steps_per_epoch`.
    """
    check_positive_integer("epochs", epochs)
    check_positive_integer("steps_per_epoch", steps_per_epoch)
    while True:
        start = steps_done(model)
        epoch, step = divmod(start, steps_per_epoch)
        if epoch >= epochs:
            return
        model._steps_of_whole_epoch = steps_per_epoch
        try:
            yield {
                "initial_epoch": epoch,
                "epochs": epoch + 1 if step else epochs,
                "steps_per_epoch": steps_per_epoch - step,
            }
        finally:
            model._steps_of_whole_epoch = None
        if model.stop_training or steps_done(model) == start:
            return
