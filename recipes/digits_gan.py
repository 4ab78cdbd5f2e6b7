"""Trains a GAN of dense layers on handwritten digits.

    python recipes/digits_gan.py                       # MNIST, downloaded
    python recipes/digits_gan.py --data path/to/mnist  # MNIST's idx files
    python recipes/digits_gan.py --data sample         # no download

This is the GAN of Carl Fredriksson's tutorial, "Generative Adversarial
Networks", https://cfml.se/generative-adversarial-networks/. Each network has
one hidden layer, so an epoch of MNIST takes seconds on a CPU. The first strokes
appear after a few epochs. After the tutorial's 100 epochs there are digits with
noise around them. runs/digits_gan/grids has a grid of 10 x 10 digits for each
epoch.
"""

from gan_blocks.cli import start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

LATENT_DIM = 100  # Random numbers from which the generator makes one image.
UNITS = 128  # Size of the one hidden layer of each network.
LEARNING_RATE = 2e-4  # Of both networks. Adam's default of 1e-3 is unstable.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.


def build_gan(seed: int | None = None) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    # Latents to images. Images are in [-1, 1], and so is tanh.
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dense(28 * 28, activation="tanh"),
            keras.layers.Reshape((28, 28, 1)),
        ],
        name="generator",
    )
    # Images to one logit: positive for real, negative for generated images.
    # The tutorial ends in a sigmoid. Here the loss contains the sigmoid, which
    # computes the same with smaller rounding errors.
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(UNITS, activation="relu"),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(
        generator, discriminator, latent_distribution="uniform", seed=seed
    )
    # "non_saturating": the generator maximizes the logarithm of the probability
    # that its images are real. The minimax loss of the theory gives it almost
    # no gradient while the discriminator recognizes all of them.
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
    run = start(__doc__, data="tfds:mnist", epochs=100, batch_size=128)
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
