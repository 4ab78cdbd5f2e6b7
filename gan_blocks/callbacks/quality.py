"""Quality metrics of the generated images as logs."""

from collections.abc import Callable
from typing import Any

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks.callbacks.divergence import is_finite

__all__ = ["QualityMonitor"]


class QualityMonitor(keras.callbacks.Callback):
    """Measures the quality of generated images and adds it to the logs.

    GAN losses do not show image quality; metrics such as FID and KID do.
    Because the values are logs, they appear in the history, and later
    callbacks can use them: `keras.callbacks.EarlyStopping("fid", mode="min")`
    or `ModelCheckpoint(path, "kid", mode="min", save_best_only=True)`. Always
    pass `mode`, because Keras cannot know that lower is better.

    The first epoch is measured, and then every `every_n_epochs`-th epoch, and
    the epoch in which training is stopped. The logs of other epochs repeat the
    last values. Measuring does not use the GAN's random seeds, so it does not
    change training. A model with NaN or infinite values is not measured.

    Args:
        quality: A `metrics.Quality`, or a function that takes the model and
            returns an object with a dictionary `values` of floats. A few
            thousand images are enough to see progress.
        every_n_epochs: Number of epochs between measurements. Defaults to 1.

    Attributes:
        results: List of `(epoch, result)`. Epochs are counted from 1.

    Raises:
        ValueError: If `every_n_epochs` is not a positive integer, or `quality`
            is not callable.

    Example:

    ```python
    import keras
    import numpy as np
    from gan_blocks import GAN, callbacks, metrics, networks

    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=4),
        networks.mlp_discriminator((8, 8, 1)),
    )
    gan.compile("adam", "adam")
    images = np.random.default_rng(0).uniform(-1, 1, (64, 8, 8, 1))
    features = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.AveragePooling2D(4),
         keras.layers.Flatten()]
    )
    monitor = callbacks.QualityMonitor(
        metrics.Quality(images, features, num_images=64)
    )
    best = keras.callbacks.ModelCheckpoint(
        "best.keras", "kid", mode="min", save_best_only=True
    )
    history = gan.fit(images, callbacks=[monitor, best], verbose=0).history
    assert len(history["kid"]) == 1
    ```
    """

    def __init__(
        self, quality: Callable[[Any], Any], every_n_epochs: int = 1
    ) -> None:
        super().__init__()
        check_positive_integer("every_n_epochs", every_n_epochs)
        if not callable(quality):
            raise ValueError(
                "`quality` must be a `metrics.Quality` or a function. "
                f"Received: quality={quality!r}"
            )
        self.quality = quality
        self.every_n_epochs = every_n_epochs
        self.results = []

    def on_epoch_end(self, epoch, logs=None):
        due = not self.results or (epoch + 1) % self.every_n_epochs == 0
        due = due or self.model.stop_training
        if due and is_finite(self.model):
            self.results.append((epoch + 1, self.quality(self.model)))
        if logs is not None and self.results:
            logs.update(self.results[-1][1].values)
