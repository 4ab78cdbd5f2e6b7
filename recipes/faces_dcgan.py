"""Trains a DCGAN on photographs of faces, at 28 x 28 pixels.

    python recipes/faces_dcgan.py                        # CelebA, downloaded
    python recipes/faces_dcgan.py --data path/to/faces   # a folder or a .zip
    python recipes/faces_dcgan.py --data sample          # no download

This is the network of Dominic Monn's tutorial, "Deep convolutional generative
adversarial networks with TensorFlow",
https://www.oreilly.com/content/deep-convolutional-generative-adversarial-networks-with-tensorflow/

An epoch of CelebA (202,599 images) takes about an hour on one CPU core; the
tutorial trains for 2. Most images are faces after the first.
runs/faces_dcgan/grids has a grid of 8 x 8 faces for every 400 batches. Faces of
other sizes: `gan_blocks train path/to/faces`.
"""

from gan_blocks.cli import start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, layers, losses, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

LATENT_DIM = 100  # Random numbers from which the generator makes one image.
FILTERS = 64  # Of the discriminator's first block. The others have more.
LEARNING_RATE = 2e-4  # Of both networks, from the DCGAN paper.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.
SMOOTHING = 0.1  # Real labels are 0.9: the discriminator is less certain.
EMA_MOMENTUM = 0.999  # Faces are drawn with averaged weights: less noise.
# CelebA's images are 178 pixels wide. The tutorial keeps the middle 108, which
# show only the face.
CELEBA_CROP = 108 / 178
# The 100 sample faces have no margin, and make only 6 steps per epoch.
SAMPLE = {"epochs": 300, "crop": 1.0}


def build_gan(seed: int | None = None) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    # A dense layer turns the latents into 2 x 2 pixels, and each block doubles
    # the size. (With "valid" padding, the first block makes 7 pixels, not 4.)
    # A layer before batch normalization needs no bias: it would be subtracted.
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(2 * 2 * 8 * FILTERS, use_bias=False),
            keras.layers.Reshape((2, 2, 8 * FILTERS)),
            layers.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            up(4 * FILTERS, padding="valid"),  # 2 pixels to 7
            up(2 * FILTERS),  # 7 pixels to 14
            # No normalization, so that an image can have any color, and tanh,
            # because images are in [-1, 1].
            up(3, normalization=None, activation="tanh"),  # 14 pixels to 28
        ],
        name="generator",
    )
    # The first block has no normalization, so that the discriminator sees the
    # true colors. The output is one logit: positive for real, negative for
    # generated images. The tutorial flattens 7 x 7 maps as if they were 4 x 4,
    # which mixes the images of a batch. Here, each image has its own logit.
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 3)),
            down(FILTERS, normalization=None),  # 28 pixels to 14
            down(2 * FILTERS),  # 14 pixels to 7
            down(4 * FILTERS, strides=1),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(
        generator,
        discriminator,
        latent_distribution="uniform",
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the generator
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the discriminator
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def up(filters, **options):
    """Doubles the size: transposed convolution, batch norm, LeakyReLU(0.2)."""
    return layers.TransposedConvBlock(
        filters, kernel_size=5, kernel_initializer="glorot_uniform", **options
    )


def down(filters, **options):
    """Halves the size: convolution, batch norm, LeakyReLU(0.2)."""
    return layers.StridedConvBlock(
        filters, kernel_size=5, kernel_initializer="glorot_uniform", **options
    )


def load_images(data: str, crop: float) -> np.ndarray:
    """Returns the middle of each image, as uint8 of shape (n, 28, 28, 3)."""
    source = samples.faces() if data == "sample" else data
    return datasets.load(source, 28, crop=crop, verbose=True)


def main() -> None:
    """Trains the GAN, or resumes its training with `--resume`."""
    run = start(
        __doc__,
        data="tfds:celeb_a",
        epochs=2,
        batch_size=16,
        crop=CELEBA_CROP,
        sample=SAMPLE,
    )
    images = load_images(run.data, run.crop)
    gan = run.load_gan() or build_gan(run.seed)  # From a checkpoint, or new.
    run.prepare(gan, images)
    gan.fit(
        datasets.batches(images, run.batch_size, seed=run.seed),
        epochs=run.epochs,
        steps_per_epoch=run.steps_per_epoch,
        resume=True,  # Start at the step that the GAN has reached.
        verbose=0,  # `run.callbacks` prints the progress.
        callbacks=run.callbacks(
            ImageGrid(run.grids, every_n_batches=400, rows=8, columns=8),
            EpochCheckpoint(run.checkpoints, every_n_epochs=1, keep=3),
        ),
    )
    run.finish(gan)


if __name__ == "__main__":
    main()
