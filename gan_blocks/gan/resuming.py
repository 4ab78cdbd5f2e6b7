"""How many epochs and steps of a training are left."""

from collections.abc import Iterator

import keras

from gan_blocks._checks import check_positive_integer


def steps_done(model: keras.Model) -> int:
    """Returns the number of steps that the model's optimizer has counted."""
    # A variable of a `tf.distribute` strategy has no `int`.
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def remaining_fits(
    model: keras.Model, epochs: int, steps_per_epoch: int
) -> Iterator[dict[str, int]]:
    """Yields the arguments of each `fit` that is left of a training.

    If the training was stopped in the middle of an epoch, the first `fit`
    completes this epoch and the second one trains the rest. There is no second
    `fit` if the first one is stopped too.

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
        yield {
            "initial_epoch": epoch,
            "epochs": epoch + 1 if step else epochs,
            "steps_per_epoch": steps_per_epoch - step,
        }
        if model.stop_training or steps_done(model) == start:
            return
