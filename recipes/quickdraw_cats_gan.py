"""Draws cats as people scribble them, with a dense GAN.

    python recipes/quickdraw_cats_gan.py --data path/to/cat.npy
    python recipes/quickdraw_cats_gan.py --data sample   # no download at all
    python recipes/quickdraw_cats_gan.py --modern        # with convolutions

The system of rish-16, CatGAN, https://github.com/rish-16/CatGAN: its networks,
loss, optimizers, noise and batches. The file is that of Quick, Draw!,
https://console.cloud.google.com/storage/browser/quickdraw_dataset/full/numpy_bitmap,
an array of uint8 and shape (number, 784). A fourth of it is kept for
--evaluate. A step takes a tenth of a second on two cores of a CPU. The source
trains 200 epochs of 123,202 drawings, which are 72,000 steps; cats can be told
from blots after some 5,000, so give a few thousand drawings more epochs. A
10 x 10 grid of pictures is saved after the first epoch and every 20. What is
drawn comes from a moving average of the generator, which changes nothing in its
training.
"""

import keras
import numpy as np

from gan_blocks import (
    GAN,
    callbacks,
    cli,
    datasets,
    layers,
    losses,
    networks,
    penalties,
    samples,
)

LATENT_DIM = 100
LEARNING_RATE = 2e-4
BETA_1 = 0.5
EMA_MOMENTUM = 0.999
SMOOTHING = 0.1

SOURCE = {"data": "sample", "epochs": 200, "batch_size": 256}
# What --modern changes; see docs/parts.md.
MODERN = {"batch_size": 64}
MODERN_RATE = 8e-4
SAMPLE_NUMBER = 5000
TEST_SHARE = 0.25


def build_gan(seed=None):
    """Returns the source's two networks as a compiled `GAN`."""
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            _dense(256, 0.3, _normal()),
            _dense(512, 0.3),
            _dense(1024, 0.2),
            _dense(2048, 0.2),
            keras.layers.Dense(28 * 28, activation="tanh"),
            keras.layers.Reshape((28, 28, 1)),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            _dense(1024, 0.2, _normal(), dropout=0.3),
            _dense(512, 0.2, dropout=0.3),
            _dense(256, 0.2, dropout=0.3),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(
        generator, discriminator, "normal", ema_momentum=EMA_MOMENTUM, seed=seed
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def _dense(units, slope, initializer="glorot_uniform", dropout=0.0):
    return layers.DenseBlock(
        units,
        normalization=None,
        negative_slope=slope,
        dropout=dropout,
        kernel_initializer=initializer,
    )


def _normal():
    return keras.initializers.RandomNormal(stddev=0.02)


def build_modern_gan(seed=None):
    """Returns convolutional networks in place of dense ones, as a `GAN`."""
    shape = (28, 28, 1)
    gan = GAN(
        networks.dcgan_generator(shape, LATENT_DIM, base_filters=32),
        networks.dcgan_discriminator(shape, base_filters=32),
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(MODERN_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(MODERN_RATE, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
        penalty=penalties.R1(0.1, interval=8),
    )
    return gan


def load_images(arguments):
    """Returns a part of the drawings, test or training, as an array of uint8.

    The source scales them to [0, 1], while its generator ends in a tanh, whose
    range is [-1, 1]: paper, at 0, is then its steepest place, where it is hit
    with noise. Here paper is -1 and ink is 1, as everywhere in this library.
    """
    if arguments.data == "sample":
        drawings = samples.line_cats(SAMPLE_NUMBER, 28, arguments.seed)
    else:
        drawings = datasets.load(arguments.data, 28, channels=1, verbose=True)
    order = np.random.default_rng(0).permutation(len(drawings))
    test, train = np.split(order, [int(TEST_SHARE * len(order))])
    return drawings[test if arguments.evaluate else train]


def recorders(output):
    """Returns the callbacks that save pictures and checkpoints."""
    return [
        callbacks.ImageGrid(
            output / "grids", every_n_epochs=20, rows=10, columns=10
        ),
        callbacks.EpochCheckpoint(
            output / "checkpoints", every_n_epochs=20, keep=3
        ),
    ]


def main():
    """Trains, resumes or draws, as the command line says."""
    arguments = cli.parse_arguments(__doc__, SOURCE, modern=MODERN)
    build = build_modern_gan if arguments.modern else build_gan
    cli.run(arguments, build, load_images, recorders)


if __name__ == "__main__":
    main()
