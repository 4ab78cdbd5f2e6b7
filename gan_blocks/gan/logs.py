"""The values that a GAN logs, and their means over an epoch.

To log another value, add it to `names` and `values`.
"""

import keras
from keras import ops

from gan_blocks import backend, replicas
from gan_blocks._types import Tensor


def names(threshold: float | None, with_penalty: bool = False) -> list[str]:
    """Returns the names of the logs, in their order."""
    accuracies = ["real_accuracy", "fake_accuracy"]
    return [
        *("d_loss", "g_loss", "real_score", "fake_score"),
        *(accuracies if threshold is not None else []),
        "spread",
        *(["penalty"] if with_penalty else []),
    ]


def values(
    real_images: Tensor,
    fake_images: Tensor,
    real_logits: Tensor,
    fake_logits: Tensor,
    threshold: float | None,
    **losses: Tensor,
) -> dict[str, Tensor]:
    """Returns the logs of a batch. `losses` are logged unchanged."""
    return {
        **losses,
        **scores(real_logits, fake_logits, threshold),
        "spread": spread(real_images, fake_images),
    }


def scores(
    real_logits: Tensor, fake_logits: Tensor, threshold: float | None
) -> dict[str, Tensor]:
    """Returns the logs that are computed from the logits of a batch.

    A logit above `threshold` means that the image looks real. If `threshold`
    is `None`, there are no accuracies.
    """
    logs = {
        "real_score": ops.mean(real_logits),
        "fake_score": ops.mean(fake_logits),
    }
    if threshold is not None:
        # The sign is -1, 1, or 0 for a logit on the threshold.
        real_side, fake_side = (
            ops.mean(ops.sign(ops.cast(logits, "float32") - threshold))
            for logits in (real_logits, fake_logits)
        )
        logs["real_accuracy"] = 0.5 + 0.5 * real_side
        logs["fake_accuracy"] = 0.5 - 0.5 * fake_side
    return logs


def spread(real_images: Tensor, fake_images: Tensor) -> Tensor:
    """Returns how varied the fake images are, relative to the real images.

    This is the root mean squared deviation from the mean image of the batch,
    fake divided by real. It is 1 if all real images are equal.
    """
    real, fake = (
        ops.mean(backend.batch_variance(ops.cast(images, "float32")))
        for images in (real_images, fake_images)
    )
    minimum = 1e-8  # Well above the rounding error of equal images.
    ratio = fake / ops.maximum(real, minimum)
    return ops.sqrt(ops.where(real > minimum, ratio, 1.0))


def mean(logs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of the logs of several updates on one batch."""
    if len(logs) == 1:
        return logs[0]
    return {
        name: sum(update[name] for update in logs) / len(logs)
        for name in logs[0]
    }


class Means(keras.metrics.Metric):
    """The means of several values over the batches of an epoch.

    One `keras.metrics.Mean` per value would add several operations per value
    to each step, which takes a tenth of the step of a small GAN.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(name="means")
        self.names = names
        self.sums = self.add_variable(
            (len(names) + 1,), initializer="zeros", name="sums"
        )

    def update_state(self, logs: dict[str, Tensor]) -> None:
        """Adds the values of one batch; a missing value counts as 0."""
        row = [ops.cast(logs.get(name, 0), self.dtype) for name in self.names]
        # The last number is the count.
        row = ops.stack([*row, ops.ones((), self.dtype)])
        self.sums.assign_add(replicas.all_reduce_sum(row))

    def result(self) -> dict[str, Tensor]:
        """Returns the mean of each value; 0 if there was no batch."""
        sums, count = self.sums[:-1], self.sums[-1]
        means = ops.unstack(sums / ops.maximum(count, 1), len(self.names))
        return dict(zip(self.names, means, strict=True))
