"""Trains ten steps from given weights, latents and images, and saves them.

    KERAS_BACKEND=jax python train_ten_steps.py FILE.npz

Everything random is drawn with NumPy, so that every backend starts from and
sees the same; what comes out may be compared.
"""

import sys

import keras
import numpy as np
from keras import ops

import gan_blocks
from gan_blocks import layers

BATCH_SIZE = 16
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.02),
    "adam": lambda: keras.optimizers.Adam(2e-4, beta_1=0.5),
}


class TableGAN(gan_blocks.GAN):
    """Takes the latents of each step from a table."""

    def _noise_like(self, images, seed_generator):
        return ops.take(self.table, self.optimizer.iterations, axis=0)


def build():
    generator = keras.Sequential(
        [
            keras.Input((1, 1, 8)),
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
    gan = TableGAN(generator, discriminator, ema_momentum=0.9)
    random = np.random.default_rng(0)
    for weight in gan.trainable_weights:
        weight.assign(random.normal(0, 0.1, weight.shape).astype("float32"))
    for average, weight in zip(
        gan.generator_averages, gan.generator.weights, strict=True
    ):
        average.assign(ops.copy(weight))
    table = random.normal(size=(10, BATCH_SIZE, 1, 1, 8)).astype("float32")
    gan.table = ops.convert_to_tensor(table)
    return gan, random


def train(optimizer):
    """Yields the names and values of logs and weights."""
    gan, random = build()
    penalty = gan_blocks.penalties.R1(0.1)
    gan.compile(optimizer(), optimizer(), penalty=penalty)
    images = random.uniform(-1, 1, (10, BATCH_SIZE, 16, 16, 1))
    for step in range(10):
        batch = images[step].astype("float32")
        logs = gan.fit(batch, batch_size=BATCH_SIZE, verbose=0).history
        for name, (value,) in logs.items():
            yield f"{step + 1}/logs/{name}", value
        if step in (0, 9):
            for i, weight in enumerate(gan.weights):
                value = ops.convert_to_numpy(weight)
                yield f"{step + 1}/weights/{i}", value


def main():
    results = {}
    for kind, optimizer in OPTIMIZERS.items():
        for name, value in train(optimizer):
            results[f"{kind}/{name}"] = value
    np.savez(sys.argv[1], **results)


if __name__ == "__main__":
    main()
