"""A moving average of the weights of a network.

The optimizers of Keras keep such an average too, but only of trainable
weights. This one includes the statistics of batch normalization, which belong
to the averaged weights.
"""

from keras import ops

from gan_blocks._types import Tensor


def create_averages(owner, network):
    """Adds a copy of each weight of the network to `owner`, a Keras layer."""
    averages = []
    for weight in network.weights:
        average = owner.add_weight(
            shape=weight.shape,
            dtype=weight.dtype,
            trainable=False,
            autocast=False,
            name=f"average_{weight.path.replace('/', '_')}",
        )
        # A copy: two variables must not share a buffer on JAX.
        average.assign(ops.copy(weight))
        averages.append(average)
    return averages


def update_averages(averages, network, momentum: float, step: Tensor) -> None:
    """Moves the averages towards the weights.

    The momentum is at most `(1 + step) / (10 + step)`, so that the initial
    weights have no part in the average of a short training.
    """
    step = ops.cast(step, "float32")
    momentum = ops.minimum(momentum, (1 + step) / (10 + step))
    for average, weight in zip(averages, network.weights, strict=True):
        rate = ops.cast(1.0 - momentum, weight.dtype)
        average.assign(average + rate * (weight - average))


def averaged_variables(averages, network):
    """Returns the network's variables, the weights replaced by averages."""
    average_of = dict(zip(map(id, network.weights), averages, strict=False))
    return [average_of.get(id(one), one) for one in network.variables]
