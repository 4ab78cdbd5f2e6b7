"""Draws handwritten digits with a DCGAN.

    python recipes/digits_dcgan.py                       # MNIST, by TFDS
    python recipes/digits_dcgan.py --data path/to/mnist  # MNIST's idx files
    python recipes/digits_dcgan.py --data sample         # no download at all

The system of Carl Fredriksson, Deep Convolutional Generative Adversarial
Networks, https://cfml.se/deep-convolutional-generative-adversarial-networks/:
its networks, loss, optimizers, noise and batches. An epoch of MNIST takes
minutes on a CPU and seconds on a GPU; digits can be read after the first, and
the source trains 20. A 10 x 10 grid of pictures is saved after each epoch.
"""

import keras

from gan_blocks import GAN, callbacks, cli, datasets, layers, samples

LATENT_DIM = 100
LEARNING_RATE = 2e-4
BETA_1 = 0.5  # Of Adam; 0.9 lets DCGANs oscillate, says their paper.
INITIALIZER = "glorot_uniform"  # What the source's layers default to.

SOURCE = {"data": "tfds:mnist", "epochs": 20, "batch_size": 128}


def build_gan(seed=None):
    """Returns the source's two networks as a compiled `GAN`."""
    generator = keras.Sequential(
        [
            keras.Input((1, 1, LATENT_DIM)),
            layers.TransposedConvBlock(
                256,
                kernel_size=7,
                strides=1,
                padding="valid",
                kernel_initializer=INITIALIZER,
            ),
            layers.TransposedConvBlock(
                128, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            layers.TransposedConvBlock(
                1,
                kernel_size=5,
                normalization=None,
                activation="tanh",
                kernel_initializer=INITIALIZER,
            ),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.StridedConvBlock(
                128, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            layers.StridedConvBlock(
                256, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            # The source ends in a sigmoid and takes logarithms with 1e-12
            # added; the loss here does the same from logits, exactly.
            layers.Conv2D(1, kernel_size=7),
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
