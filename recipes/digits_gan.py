"""Draws handwritten digits with a small dense GAN.

    python recipes/digits_gan.py                       # MNIST, by TFDS
    python recipes/digits_gan.py --data path/to/mnist  # MNIST's idx files
    python recipes/digits_gan.py --data sample         # no download at all

The system of Carl Fredriksson, Generative Adversarial Networks,
https://cfml.se/generative-adversarial-networks/: its networks, loss,
optimizers, noise and batches. With one hidden layer each, the networks train
in seconds an epoch on a CPU; strokes come after a few epochs, and digits, with
noise around them, by the end of the source's 100. A 10 x 10 grid of pictures
is saved after each epoch.
"""

import keras

from gan_blocks import GAN, callbacks, cli, datasets, samples

LATENT_DIM = 100
UNITS = 128
LEARNING_RATE = 2e-4
BETA_1 = 0.5

SOURCE = {"data": "tfds:mnist", "epochs": 100, "batch_size": 128}


def build_gan(seed=None):
    """Returns the source's two networks as a compiled `GAN`."""
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dense(28 * 28, activation="tanh"),
            keras.layers.Reshape((28, 28, 1)),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(UNITS, activation="relu"),
            # The source ends in a sigmoid and takes logarithms with 1e-12
            # added; the loss here does the same from logits, exactly.
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(generator, discriminator, "uniform", seed=seed)
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        loss="non_saturating",
    )
    return gan


def load_images(arguments):
    """Returns the real images as an array of uint8."""
    if arguments.data == "sample":
        return samples.digits()
    return datasets.load(arguments.data, 28, channels=1, verbose=True)


def recorders(output):
    """Returns the callbacks that save pictures and checkpoints."""
    return [
        callbacks.ImageGrid(
            output / "grids", every_n_epochs=1, rows=10, columns=10
        ),
        callbacks.EpochCheckpoint(
            output / "checkpoints", every_n_epochs=1, keep=3
        ),
    ]


def main():
    """Trains, resumes or draws, as the command line says."""
    arguments = cli.parse_arguments(__doc__, SOURCE)
    cli.run(arguments, build_gan, load_images, recorders)


if __name__ == "__main__":
    main()
