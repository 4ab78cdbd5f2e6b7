"""Draws cats with a DCGAN.

    python recipes/cats_dcgan.py                       # drawn cats, no download
    python recipes/cats_dcgan.py --data path/to/faces --image-size 64
    python recipes/cats_dcgan.py --data path/to/CAT    # photographs, landmarks
    python recipes/cats_dcgan.py --modern --data path/to/faces --image-size 64

The system of Thomas Simonini, https://github.com/simoninithomas/CatDCGAN: its
networks, loss, optimizers, noise, batches and intervals. Without --data it
learns, at a smaller size, from cats that the library itself draws, in about
five minutes on two cores of a CPU. Photographs are a folder or a .zip of cat
faces, or the CAT dataset with its landmarks, whose faces are then turned
upright and cut out. At the source's 128 pixels they take a GPU; for a CPU see
docs/cats.md. What is drawn comes from a moving average of the generator, which
changes nothing in its training.
"""

import functools

import keras

from gan_blocks import (
    GAN,
    callbacks,
    cli,
    datasets,
    faces,
    layers,
    losses,
    networks,
    penalties,
    samples,
)

LATENT_DIM = 100
BETA_1 = 0.5  # Of Adam; 0.9 lets DCGANs oscillate, says their paper.
EMA_MOMENTUM = 0.999
SMOOTHING = 0.1

SOURCE = {
    "data": "sample",
    "epochs": 215,
    "batch_size": 64,
    "image_size": 128,
    "filters": 64,
    "generator_rate": 2e-4,
    "discriminator_rate": 5e-5,
    "flip": False,
}
# With fewer filters an Adam step of the same size changes a network less, and
# at the source's rate the discriminator falls behind.
SAMPLE = {
    "epochs": 12,
    "batch_size": 32,
    "image_size": 48,
    "filters": 16,
    "discriminator_rate": 2e-4,
}
# What --modern changes, measured in docs/parts.md.
MODERN = {
    "filters": 32,
    "generator_rate": 4e-4,
    "discriminator_rate": 4e-4,
    "flip": True,
}
SAMPLE_NUMBER = 6000
PHOTOGRAPHS = """
These cats learned from drawings. With photographs, in hours of a CPU:
  python recipes/cats_dcgan.py --data path/to/faces --output runs/photographs \\
      --image-size 64 --modern
where path/to/faces is a folder or a .zip of cats' faces, or the CAT dataset
(https://www.kaggle.com/datasets/crawford/cat-dataset), unpacked. On a GPU leave
out the second line: 128 pixels, the source's networks. More: docs/cats.md"""


def build_gan(
    seed=None,
    image_size=SOURCE["image_size"],
    filters=SOURCE["filters"],
    generator_rate=SOURCE["generator_rate"],
    discriminator_rate=SOURCE["discriminator_rate"],
):
    """Returns the source's two networks as a compiled `GAN`.

    Args:
        seed: As in `GAN`.
        image_size: Height and width in pixels, a multiple of 16.
        filters: Channels of the first convolution and of the last but one;
            the others have 2, 4, 8 and 16 times as many.
        generator_rate: Learning rate.
        discriminator_rate: Learning rate.
    """
    if image_size % 16:
        raise ValueError(
            "`image_size` must be a multiple of 16. Received: "
            f"image_size={image_size}"
        )
    gan = GAN(
        _generator(image_size, filters),
        _discriminator(image_size, filters),
        "uniform",
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(generator_rate, beta_1=BETA_1),
        keras.optimizers.Adam(discriminator_rate, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def _generator(image_size, filters):
    block = functools.partial(_block, layers.TransposedConvBlock)
    side = image_size // 16
    return keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(side * side * 16 * filters),
            keras.layers.Reshape((side, side, 16 * filters)),
            keras.layers.LeakyReLU(0.2),
            block(8 * filters),
            block(4 * filters),
            block(2 * filters),
            block(filters),
            block(3, strides=1, normalization=None, activation="tanh"),
        ],
        name="generator",
    )


def _discriminator(image_size, filters):
    block = functools.partial(_block, layers.StridedConvBlock)
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            block(filters, normalization=None),
            block(2 * filters),
            block(4 * filters),
            block(8 * filters, strides=1),
            block(16 * filters),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )


def _block(block, filters, **options):
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    return block(filters, kernel_size=5, kernel_initializer=normal, **options)


def build_modern_gan(
    seed=None,
    image_size=SOURCE["image_size"],
    filters=MODERN["filters"],
    generator_rate=MODERN["generator_rate"],
    discriminator_rate=MODERN["discriminator_rate"],
    augment=None,
):
    """Returns smaller networks, kept in balance, as a compiled `GAN`.

    Args:
        seed: As in `GAN`.
        image_size: Height and width in pixels, as of
            `networks.dcgan_generator`.
        filters: Channels of the discriminator's first convolution; the others
            follow, up to 8 times as many.
        generator_rate: Learning rate.
        discriminator_rate: Learning rate.
        augment: Layer through which the discriminator sees all images, for a
            few hundred photographs. Defaults to `None`: none.
    """
    shape = (image_size, image_size, 3)
    discriminator = networks.dcgan_discriminator(shape, filters, 8 * filters)
    if augment is not None:
        discriminator = keras.Sequential(
            [keras.Input(shape), augment, discriminator]
        )
    gan = GAN(
        networks.dcgan_generator(shape, LATENT_DIM, filters, 8 * filters),
        discriminator,
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(generator_rate, beta_1=BETA_1),
        keras.optimizers.Adam(discriminator_rate, beta_1=BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
        penalty=penalties.R1(0.1, interval=8),
    )
    return gan


def load_images(arguments):
    """Returns the real images as an array of uint8."""
    data, image_size = arguments.data, arguments.image_size
    if data == "sample":
        print(f"Drawing {SAMPLE_NUMBER} cats of {image_size} pixels to learn.")
        return samples.synthetic_cats(SAMPLE_NUMBER, image_size, arguments.seed)
    if faces.has_landmarks(data):
        folder = arguments.output.parent / f"cat_faces_{image_size}"
        data = faces.prepare(data, folder, image_size)
    return datasets.load(data, image_size, verbose=True)


def recorders(output):
    """Returns the callbacks that save pictures and checkpoints."""
    return [
        callbacks.ImageGrid(
            output / "grids", every_n_batches=10, rows=2, columns=2
        ),
        callbacks.ImageGrid(
            output / "large_grids", every_n_epochs=15, rows=8, columns=8
        ),
        callbacks.EpochCheckpoint(
            output / "checkpoints", every_n_epochs=5, keep=3
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
            generator_rate=arguments.generator_rate,
            discriminator_rate=arguments.discriminator_rate,
        ),
        load_images,
        recorders,
    )
    using = arguments.generate or arguments.interpolate or arguments.evaluate
    if arguments.data == "sample" and not using:
        print(PHOTOGRAPHS)


if __name__ == "__main__":
    main()
