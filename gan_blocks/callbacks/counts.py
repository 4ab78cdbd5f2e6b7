"""Whole numbers: those that users give, and the count of steps."""

import numbers

import keras


def check_positive(name, value):
    """Raises a `ValueError` unless the value is a positive integer."""
    if not (isinstance(value, numbers.Integral) and value > 0):
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value}"
        )


def iterations(model):
    """Returns how many steps the model's optimizer has counted."""
    if model.optimizer is None:
        return 0
    # A variable of a `tf.distribute` strategy has no `int`.
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))
