"""How good the images are, while they get better."""

import keras

from gan_blocks.callbacks.counts import check_positive


class QualityMonitor(keras.callbacks.Callback):
    """Measures the generated images and adds the values to the logs.

    Losses do not tell how good a GAN is. These values do, and as they are
    part of the logs, the history has them, and callbacks that come after this
    one act on them: `keras.callbacks.EarlyStopping("fid", mode="min")`, or
    `ModelCheckpoint(path, "kid", mode="min", save_best_only=True)`. Keras
    cannot know that less is better, so `mode` must be given.

    It measures at the end of the first epoch that it sees and of every
    `every_n_epochs`-th; in the epochs between, the logs hold the last values.
    It draws no random numbers of the GAN, so that training is the same
    without it.

    Args:
        quality: `metrics.Quality`, or any function of the model that returns
            something with a dictionary `values` of floats. A few thousand
            images are enough to see progress: measuring takes the time of
            generating them, and of their features.
        every_n_epochs: Integer. Defaults to 1.

    Attributes:
        results: List of `(epoch, QualityResult)`, the epochs counted from 1.

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

    def __init__(self, quality, every_n_epochs=1):
        super().__init__()
        check_positive("every_n_epochs", every_n_epochs)
        self.quality = quality
        self.every_n_epochs = every_n_epochs
        self.results = []

    def on_epoch_end(self, epoch, logs=None):
        """Measures, or remembers, and adds the values to the logs."""
        if not self.results or (epoch + 1) % self.every_n_epochs == 0:
            self.results.append((epoch + 1, self.quality(self.model)))
        if logs is not None:
            logs.update(self.results[-1][1].values)
