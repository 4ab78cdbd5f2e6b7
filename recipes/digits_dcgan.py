"""Trains a DCGAN on handwritten digits.

    python recipes/digits_dcgan.py                       # MNIST, downloaded
    python recipes/digits_dcgan.py --data path/to/mnist  # MNIST's idx files
    python recipes/digits_dcgan.py --data sample         # no download

This is the network of Carl Fredriksson's tutorial, "Deep Convolutional
Generative Adversarial Networks",
https://cfml.se/deep-convolutional-generative-adversarial-networks/. An epoch of
MNIST takes a few minutes on a CPU. Digits are readable after the first; the
tutorial trains for 20. runs/digits_dcgan/grids has a grid of 10 x 10 digits for
each epoch.
"""

from gan_blocks.cli import start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, layers, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

LATENT_DIM = 100  # Random numbers from which the generator makes one image.
LEARNING_RATE = 2e-4  # Of both networks, from the DCGAN paper.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.
# Keras' default, as in the tutorial. The blocks of this library default to the
# DCGAN paper's normal distribution with a standard deviation of 0.02.
INITIALIZER = "glorot_uniform"


def build_gan(seed: int | None = None) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    # Each block is a convolution, batch normalization and LeakyReLU(0.2). The
    # latents are one pixel with 100 channels, and strides of 2 double the size.
    # The last block has no normalization, so that an image can have any
    # brightness, and ends in tanh, because images are in [-1, 1].
    generator = keras.Sequential(
        [
            keras.Input((1, 1, LATENT_DIM)),
            layers.TransposedConvBlock(  # 1 pixel to 7
                256,
                kernel_size=7,
                strides=1,
                padding="valid",
                kernel_initializer=INITIALIZER,
            ),
            layers.TransposedConvBlock(  # 7 pixels to 14
                128, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            layers.TransposedConvBlock(  # 14 pixels to 28
                1,
                kernel_size=5,
                normalization=None,
                activation="tanh",
                kernel_initializer=INITIALIZER,
            ),
        ],
        name="generator",
    )
    # The generator in reverse. Strides of 2 halve the size: unlike pooling, a
    # convolution learns how to do this. The output is one logit: positive for
    # real, negative for generated images. The tutorial ends in a sigmoid. Here
    # the loss contains the sigmoid.
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.StridedConvBlock(  # 28 pixels to 14
                128, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            layers.StridedConvBlock(  # 14 pixels to 7
                256, kernel_size=5, kernel_initializer=INITIALIZER
            ),
            layers.Conv2D(1, kernel_size=7),  # 7 pixels to 1
        ],
        name="discriminator",
    )
    gan = GAN(
        generator, discriminator, latent_distribution="uniform", seed=seed
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the generator
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the discriminator
        loss="non_saturating",
    )
    return gan


def load_images(data: str) -> np.ndarray:
    """Returns the digits as uint8, of shape (number, 28, 28, 1)."""
    if data == "sample":
        return samples.digits()
    return datasets.load(data, image_size=28, channels=1, verbose=True)


def main() -> None:
    """Trains the GAN, or resumes its training with `--resume`."""
    run = start(__doc__, data="tfds:mnist", epochs=20, batch_size=128)
    images = load_images(run.data)
    gan = run.load_gan() or build_gan(run.seed)  # From a checkpoint, or new.
    run.prepare(gan, images)
    gan.fit(
        datasets.batches(images, run.batch_size, seed=run.seed),
        epochs=run.epochs,
        steps_per_epoch=run.steps_per_epoch,
        resume=True,  # Start at the step that the GAN has reached.
        verbose=0,  # `run.callbacks` prints the progress.
        callbacks=run.callbacks(
            ImageGrid(run.grids, every_n_epochs=1, rows=10, columns=10),
            EpochCheckpoint(run.checkpoints, every_n_epochs=1, keep=3),
        ),
    )
    run.finish(gan)


if __name__ == "__main__":
    main()
