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

from gan_blocks import GAN, callbacks, cli, samples

LATENT_DIM = 100
UNITS = 128
EPOCHS = 100
BATCH_SIZE = 128
LEARNING_RATE = 2e-4
BETA_1 = 0.5


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


def main():
    """Trains, resumes or generates, as the command line says."""
    arguments = cli.parse_arguments(
        __doc__, data="tfds:mnist", epochs=EPOCHS, batch_size=BATCH_SIZE
    )
    if arguments.generate:
        cli.generate(arguments)
        return
    cli.train(
        arguments,
        build_gan,
        sample=samples.digits,
        grids=lambda folder: callbacks.ImageGrid(
            folder, every_n_epochs=1, rows=10, columns=10
        ),
        image_size=28,
        channels=1,
    )


if __name__ == "__main__":
    main()
