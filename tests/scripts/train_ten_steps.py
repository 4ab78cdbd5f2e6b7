"""Trains ten steps from given weights, latents and images, and saves them.

    KERAS_BACKEND=jax python train_ten_steps.py FILE.npz

NumPy draws all random numbers, so they are the same on every backend and the
results can be compared.
"""

import sys

import keras
import numpy as np
from keras import ops

from gan_blocks import GAN, layers, penalties

BATCH_SIZE = 16
STEPS = 10
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.02),
    "adam": lambda: keras.optimizers.Adam(2e-4, beta_1=0.5),
}


class LatentsOfStep(keras.layers.Layer):
    """Replaces the latents with those of the current step."""

    def __init__(self, table):
        super().__init__()
        self.table = table
        self.current_step = None  # A function.

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {"table": self.table}

    def call(self, latents):
        return ops.take(self.table, self.current_step(), axis=0)


def build_gan(optimizer, random):
    table = random.normal(size=(STEPS, BATCH_SIZE, 1, 1, 8)).astype("float32")
    latents = LatentsOfStep(ops.convert_to_tensor(table))
    generator = keras.Sequential(
        [
            keras.Input((1, 1, 8)),
            latents,
            layers.TransposedConvBlock(16, 4, strides=1, padding="valid"),
            layers.TransposedConvBlock(8),
            layers.TransposedConvBlock(
                1, normalization=None, activation="tanh"
            ),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.StridedConvBlock(8, normalization=None),
            layers.StridedConvBlock(16),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    gan = GAN(generator, discriminator, ema_momentum=0.9)
    for weight in gan.trainable_weights:
        weight.assign(random.normal(0, 0.1, weight.shape).astype("float32"))
    for average, weight in zip(
        gan.generator_averages, gan.generator.weights, strict=True
    ):
        average.assign(ops.copy(weight))
    gan.compile(optimizer(), optimizer(), penalty=penalties.R1(0.1))
    latents.current_step = lambda: gan.optimizer.iterations
    return gan


def train(optimizer):
    """Yields the names and values of logs and weights."""
    random = np.random.default_rng(0)
    gan = build_gan(optimizer, random)
    images = random.uniform(-1, 1, (STEPS, BATCH_SIZE, 16, 16, 1))
    for step in range(STEPS):
        batch = images[step].astype("float32")
        logs = gan.fit(batch, batch_size=BATCH_SIZE, verbose=0).history
        for name, (value,) in logs.items():
            yield f"{step + 1}/logs/{name}", value
        if step in (0, STEPS - 1):
            for i, weight in enumerate(gan.weights):
                value = ops.convert_to_numpy(weight)
                yield f"{step + 1}/weights/{i}", value


if __name__ == "__main__":
    results = {}
    for kind, optimizer in OPTIMIZERS.items():
        for name, value in train(optimizer):
            results[f"{kind}/{name}"] = value
    np.savez(sys.argv[1], **results)
