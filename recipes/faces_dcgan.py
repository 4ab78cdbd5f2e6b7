"""Draws human faces with a DCGAN.

    python recipes/faces_dcgan.py                        # CelebA, by TFDS
    python recipes/faces_dcgan.py --data path/to/faces   # a folder or a .zip
    python recipes/faces_dcgan.py --data sample          # no download at all
    python recipes/faces_dcgan.py --modern               # our own networks

The system of Dominic Monn, Deep convolutional generative adversarial networks
with TensorFlow, https://www.oreilly.com/content/deep-convolutional-generative-adversarial-networks-with-tensorflow/:
its networks, loss, optimizers, noise, batches and intervals. At the source's
28 pixels an epoch of CelebA takes half an hour on a CPU and a minute or two on
a GPU. Larger pictures (--image-size 64, or any other multiple of 16) get the
four convolutions of the DCGAN paper in place of the source's three. What is
drawn comes from a moving average of the generator, which changes nothing in its
training.
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
    networks,
    penalties,
    samples,
)

LATENT_DIM = 100
LEARNING_RATE = 2e-4
BETA_1 = 0.5
EMA_MOMENTUM = 0.999
SMOOTHING = 0.1
INITIALIZER = "glorot_uniform"  # What the source's layers default to.
CELEBA_CROP = 108 / 178  # Of its width the source keeps the middle 108 pixels.

SOURCE = {
    "data": "tfds:celeb_a",
    "epochs": 2,
    "batch_size": 16,
    "image_size": 28,
    "filters": 64,
    "crop": CELEBA_CROP,
    "flip": False,
}
SAMPLE = {"epochs": 300, "crop": 1.0}
# What --modern changes; see docs/parts.md.
MODERN = {"batch_size": 64}
MODERN_RATE = 4e-4


def build_gan(
    seed=None, image_size=SOURCE["image_size"], filters=SOURCE["filters"]
):
    """Returns the source's two networks as a compiled `GAN`.

    Args:
        seed: As in `GAN`.
        image_size: Height and width in pixels: 28, or a multiple of 16.
        filters: Channels of the discriminator's first convolution; the others
            follow.
    """
    if image_size == 28:
        generator = _generator_of_three(filters)
        discriminator = _discriminator_of_three(filters)
    elif image_size % 16 == 0:
        generator = _generator_of_four(image_size, filters)
        discriminator = _discriminator_of_four(image_size, filters)
    else:
        raise ValueError(
            "`image_size` must be 28 or a multiple of 16. Received: "
            f"image_size={image_size}"
        )
    gan = GAN(
        generator,
        discriminator,
        "uniform",
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def _generator_of_three(filters):
    return keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            *_projection(2, 8 * filters),
            _up(4 * filters, padding="valid"),  # 2 to 7 pixels,
            _up(2 * filters),  # to 14,
            _up(3, normalization=None, activation="tanh"),  # to 28.
        ],
        name="generator",
    )


def _discriminator_of_three(filters):
    # The source then flattens 7 x 7 maps as if they were 4 x 4, which spreads
    # each image over the logits of several; here each has its own.
    return keras.Sequential(
        [
            keras.Input((28, 28, 3)),
            _down(filters, normalization=None),
            _down(2 * filters),
            _down(4 * filters, strides=1),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )


def _generator_of_four(image_size, filters):
    return keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            *_projection(image_size // 16, 16 * filters),
            _up(8 * filters),
            _up(4 * filters),
            _up(2 * filters),
            _up(3, normalization=None, activation="tanh"),
        ],
        name="generator",
    )


def _discriminator_of_four(image_size, filters):
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            _down(filters, normalization=None),
            _down(2 * filters),
            _down(4 * filters),
            _down(8 * filters),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )


def _projection(side, filters):
    return [
        keras.layers.Dense(side * side * filters, use_bias=False),
        keras.layers.Reshape((side, side, filters)),
        layers.BatchNormalization(),
        keras.layers.LeakyReLU(0.2),
    ]


def _up(filters, **options):
    return layers.TransposedConvBlock(
        filters, kernel_size=5, kernel_initializer=INITIALIZER, **options
    )


def _down(filters, **options):
    return layers.StridedConvBlock(
        filters, kernel_size=5, kernel_initializer=INITIALIZER, **options
    )


def build_modern_gan(
    seed=None, image_size=SOURCE["image_size"], filters=SOURCE["filters"]
):
    """Returns smaller networks, kept in balance, as a compiled `GAN`.

    Args:
        seed: As in `GAN`.
        image_size: Height and width in pixels, as of
            `networks.dcgan_generator`.
        filters: Channels of the discriminator's first convolution; the others
            follow, up to 8 times as many.
    """
    shape = (image_size, image_size, 3)
    gan = GAN(
        networks.dcgan_generator(shape, LATENT_DIM, filters, 8 * filters),
        networks.dcgan_discriminator(shape, filters, 8 * filters),
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
    """Returns the real images as an array of uint8."""
    if arguments.data == "sample":
        return datasets.load(samples.faces(), arguments.image_size)
    if arguments.crop < 1:
        print(
            f"The middle {arguments.crop:.0%} of each picture is kept, as the "
            "source does with CelebA; --crop 1 keeps all of it."
        )
    return datasets.load(
        arguments.data,
        arguments.image_size,
        crop=arguments.crop,
        verbose=True,
    )


def recorders(output):
    """Returns the callbacks that save pictures and checkpoints."""
    return [
        callbacks.ImageGrid(
            output / "grids", every_n_batches=400, rows=8, columns=8
        ),
        callbacks.EpochCheckpoint(
            output / "checkpoints", every_n_epochs=1, keep=3
        ),
    ]


def main():
    """Trains, resumes or draws, as the command line says."""
    arguments = cli.parse_arguments(__doc__, SOURCE, SAMPLE, MODERN)
    cli.run(
        arguments,
        functools.partial(
            build_modern_gan if arguments.modern else build_gan,
            image_size=arguments.image_size,
            filters=arguments.filters,
        ),
        load_images,
        recorders,
    )


if __name__ == "__main__":
    main()
