"""Trains a GAN from step to step of one long run, in its own process.

    python train_in_parts.py FOLDER FIRST LAST [FIT]

Begins anew, or with what the process before has saved in the folder, trains
the steps FIRST + 1 to LAST, saves the model, and prints a hash of all that it
is made of.
"""

import hashlib
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import gan_blocks
from gan_blocks import datasets, layers


def build():
    generator = keras.Sequential(
        [
            keras.Input((8,)),
            layers.DenseBlock(64, dropout=0.2),
            keras.layers.Reshape((2, 2, 16)),
            layers.TransposedConvBlock(8),
            layers.TransposedConvBlock(
                1, normalization=None, activation="tanh"
            ),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.RandomTranslation(0.1, 0.1),
            layers.StridedConvBlock(8, normalization=None, dropout=0.3),
            layers.StridedConvBlock(16),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    gan = gan_blocks.GAN(
        generator, discriminator, "uniform", ema_momentum=0.99, seed=1
    )
    gan.compile(
        keras.optimizers.Adam(2e-3, beta_1=0.5),
        keras.optimizers.RMSprop(1e-3),
        loss=gan_blocks.losses.NonSaturating(label_smoothing=0.1),
        discriminator_steps=2,
        penalty=[
            gan_blocks.penalties.R1(0.1),
            gan_blocks.penalties.GradientPenalty(0.1),
        ],
    )
    return gan


def main():
    folder = pathlib.Path(sys.argv[1])
    first, last = map(int, sys.argv[2:4])
    keras.utils.set_random_seed(first)  # Must not matter after the first part.
    if first == 0:
        keras.utils.set_random_seed(5)
        gan = build()
    else:
        gan = keras.saving.load_model(folder / "gan.keras")
    pictures = np.random.default_rng(0).integers(
        0, 256, (50, 8, 8, 1), np.uint8
    )
    steps = last - first
    # Epochs of 50 // 8 = 6 steps end anywhere within the parts.
    dataset = datasets.batches(
        pictures, 8, seed=3, repeat=True, skip=first, flip=True
    )
    gan.fit(dataset, steps_per_epoch=steps, shuffle=False, verbose=0)
    gan.save(folder / "gan.keras")
    digest = hashlib.sha256()
    for variable in [*gan.variables, *gan.optimizer.variables]:
        digest.update(ops.convert_to_numpy(variable).tobytes())
    digest.update(gan.generate(5, seed=0).tobytes())
    print(int(gan.optimizer.iterations), digest.hexdigest())


if __name__ == "__main__":
    main()
