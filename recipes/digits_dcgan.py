"""Draws handwritten digits with a DCGAN.

    python recipes/digits_dcgan.py                       # MNIST, by TFDS
    python recipes/digits_dcgan.py --data path/to/mnist  # MNIST's idx files
    python recipes/digits_dcgan.py --data sample         # no download at all
    python recipes/digits_dcgan.py --modern              # better, and faster
    python recipes/digits_dcgan.py --conditional         # a column for a digit

The system of Carl Fredriksson, Deep Convolutional Generative Adversarial
Networks, https://cfml.se/deep-convolutional-generative-adversarial-networks/:
its networks, loss, optimizers, noise and batches. An epoch of MNIST takes
minutes on a CPU and seconds on a GPU; digits can be read after the first, and
the source trains 20. A 10 x 10 grid of pictures is saved after each epoch.
With --modern, networks of our own reach in a minute of a CPU what these do not
in ten; with --conditional they are told which digit to draw, or to judge.
"""

import functools

import keras

from gan_blocks import (
    GAN,
    callbacks,
    cli,
    datasets,
    layers,
    losses,
    metrics,
    penalties,
    samples,
)

LATENT_DIM = 100
LEARNING_RATE = 2e-4
BETA_1 = 0.5  # Of Adam; 0.9 lets DCGANs oscillate, says their paper.
INITIALIZER = "glorot_uniform"  # What the source's layers default to.

SOURCE = {
    "data": "tfds:mnist",
    "epochs": 20,
    "batch_size": 128,
    "conditional": False,
}
# What --modern changes, measured in docs/parts.md.
MODERN = {"batch_size": 64}
MODERN_RATE = 8e-4
EMA_MOMENTUM = 0.999
CLASSES = 10


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


def build_modern_gan(seed=None, image_shape=(28, 28, 1), conditional=False):
    """Returns our own networks, a tenth of the arithmetic, as a `GAN`."""
    channels = image_shape[-1]
    images = keras.Input(image_shape)
    if conditional:
        labels = keras.Input((), dtype="int32")
        latents = keras.Input((LATENT_DIM,))
        digit = keras.layers.Embedding(CLASSES, 32)(labels)
        code = keras.layers.Concatenate()([latents, digit])
        drawn = _drawing(LATENT_DIM + 32, channels)(code)
        generator = keras.Model([latents, labels], drawn)
        seen = keras.Sequential(_seeing())(images)
        logits = layers.ProjectionHead(CLASSES)([seen, labels])
        discriminator = keras.Model([images, labels], logits)
    else:
        generator = _drawing(LATENT_DIM, channels)
        discriminator = keras.Sequential(
            [images, *_seeing(), keras.layers.Dense(1)], name="discriminator"
        )
    gan = GAN(
        generator,
        discriminator,
        ema_momentum=EMA_MOMENTUM,
        num_classes=CLASSES if conditional else None,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(MODERN_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(MODERN_RATE, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=0.1),
        penalty=penalties.R1(0.1, interval=8),
    )
    return gan


def _drawing(code_dim, channels):
    return keras.Sequential(
        [
            keras.Input((code_dim,)),
            keras.layers.Dense(7 * 7 * 128, use_bias=False),
            layers.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Reshape((7, 7, 128)),
            layers.TransposedConvBlock(64),
            layers.TransposedConvBlock(
                channels, normalization=None, activation="tanh"
            ),
        ],
        name="generator",
    )


def _seeing():
    return [
        layers.StridedConvBlock(32, normalization=None),
        layers.StridedConvBlock(64),
        layers.StridedConvBlock(128, kernel_size=3),
        keras.layers.Flatten(),
    ]


def load_images(arguments):
    """Returns the real images as an array of uint8, and labels if wanted."""
    split = "test" if arguments.evaluate else "train"
    labels = arguments.conditional
    if arguments.data == "sample":
        return samples.digits(labels=labels)
    return datasets.load(
        arguments.data,
        28,
        channels=1,
        split=split,
        labels=labels,
        verbose=True,
    )


def features(arguments):
    """Returns a classifier of the digits, by which they are measured."""
    if arguments.data == "sample":
        return metrics.train_classifier(*samples.digits(labels=True))
    return metrics.train_classifier(
        *datasets.load(arguments.data, 28, channels=1, labels=True)
    )


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
    arguments = cli.parse_arguments(__doc__, SOURCE, modern=MODERN)
    build = build_gan
    if arguments.modern or arguments.conditional:
        build = functools.partial(
            build_modern_gan, conditional=arguments.conditional
        )
    cli.run(arguments, build, load_images, recorders, features)


if __name__ == "__main__":
    main()
