"""Measures how long a training step takes on this machine."""

import time

import numpy as np

from gan_blocks import datasets, replicas
from gan_blocks.gan.model import GAN
from gan_blocks.plan.fine_tuning import fine_tune
from gan_blocks.plan.settings import Plan

__all__ = ["measure_seconds_per_step"]

_CYCLE = 8  # The R1 penalty is computed in every eighth step.
_SECONDS = 2.0  # Fewer are not precise enough.


def measure_seconds_per_step(plan: Plan, gan: GAN | None = None) -> float:
    """Trains the GAN of a plan for a few steps, returns the seconds per step.

    The images are noise. The first steps, which include the compilation, are
    not measured.

    Args:
        plan: The plan. Its batch size, precision and networks decide.
        gan: The trained GAN that the plan continues. A copy of it is trained.
            Defaults to `None`: the networks are new.

    Example:

    ```python
    from gan_blocks import plan

    settings = plan.Plan((8, 8, 1), base_filters=4, batch_size=4)
    assert plan.measure_seconds_per_step(settings) > 0
    ```
    """
    random = np.random.default_rng(0)
    shape = (2 * plan.batch_size, *plan.image_shape)
    images = random.integers(0, 256, shape, np.uint8)
    labels = None
    if plan.num_classes is not None:
        labels = np.arange(len(images)) % plan.num_classes
    batches = datasets.batches(images, plan.batch_size, labels=labels)
    gan = plan.build() if gan is None else fine_tune(gan, plan)

    def train(steps):
        begin = time.perf_counter()
        gan.fit(batches, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - begin

    train(1)  # Compiles.
    seconds = train(1)
    # Processes that train together must make the same number of steps.
    if replicas.from_chief(seconds > _SECONDS, gan):
        return seconds
    steps = _CYCLE
    while replicas.from_chief(steps * seconds < _SECONDS, gan):
        steps *= 2
    return train(steps) / steps
