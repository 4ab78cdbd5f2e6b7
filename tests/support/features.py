"""Small images and a model of their features."""

import keras
import numpy as np


def pooling_model(size=8, channels=1):
    """Builds a model whose features are the means of the image's quarters."""
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            keras.layers.AveragePooling2D(size // 2),
            keras.layers.Flatten(),
        ]
    )


def random_images(count, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (count, 8, 8, 1)).astype("float32")
