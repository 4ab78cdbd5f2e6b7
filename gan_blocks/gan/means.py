"""The means of what is logged, in one variable."""

import keras
from keras import ops

from gan_blocks import replicas


class Means(keras.metrics.Metric):
    """The means of several numbers over the batches of an epoch.

    As many `keras.metrics.Mean` would be several operations a step for each
    number, which is a tenth of the step of a small GAN.

    Args:
        names: List of the numbers' names.
    """

    def __init__(self, names):
        super().__init__(name="means")
        self.names = names
        self.sums = self.add_variable(
            (len(names) + 1,), initializer="zeros", name="sums"
        )

    def update_state(self, numbers):
        """Adds a dictionary of scalars; those that are missing are 0."""
        row = [
            ops.cast(numbers.get(name, 0), self.dtype) for name in self.names
        ]
        # The last is the count.
        row = ops.stack([*row, ops.ones((), self.dtype)])
        self.sums.assign_add(replicas.total(row))

    def result(self):
        """Returns the dictionary of means; 0 where there was no batch."""
        sums, count = self.sums[:-1], self.sums[-1]
        means = ops.unstack(sums / ops.maximum(count, 1), len(self.names))
        return dict(zip(self.names, means, strict=True))
