"""Moving averages of the weights of a network.

The optimizers of Keras average trainable weights only. These averages include
the statistics of batch normalization, which depend on the other weights.
"""

import keras
from keras import ops

from gan_blocks._types import Tensor


def create_averages(owner, network):
    """Adds a copy of each weight of the network to `owner`, a Keras layer."""
    averages = []
    for weight in network.weights:
        average = owner.add_weight(
            shape=weight.shape,
            # A small change of a number is lost in bfloat16.
            dtype=keras.backend.result_type(weight.dtype, "float32"),
            trainable=False,
            autocast=False,
            name=f"average_{weight.path.replace('/', '_')}",
        )
        averages.append(average)
    copy_weights(averages, network)
    return averages


def copy_weights(averages, network) -> None:
    """Makes the averages equal to the weights."""
    # A copy: two variables must not share a buffer on JAX.
    for average, weight in zip(averages, network.weights, strict=True):
        average.assign(ops.copy(weight))


def update_averages(averages, network, momentum: float, step: Tensor) -> None:
    """Moves the averages towards the weights."""
    # Short trainings must not show the initial weights.
    step = ops.cast(step, "float32")
    momentum = ops.minimum(momentum, (1 + step) / (10 + step))
    for average, weight in zip(averages, network.weights, strict=True):
        rate = ops.cast(1.0 - momentum, average.dtype)
        value = ops.cast(weight, average.dtype)
        average.assign(average + rate * (value - average))


def averaged_variables(averages, network):
    """Returns the network's variables, with averages instead of weights."""
    average_of = dict(zip(map(id, network.weights), averages, strict=False))
    return [average_of.get(id(v), v) for v in network.variables]
