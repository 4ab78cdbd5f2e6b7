"""Trains a GAN of dense layers on sketches of cats.

    python recipes/quickdraw_cats_gan.py --data path/to/cat.npy
    python recipes/quickdraw_cats_gan.py    # drawn by the library, no download

This is CatGAN by rish-16, https://github.com/rish-16/CatGAN. It learns from the
file cat.npy of Quick, Draw!, which has 123,202 sketches:
https://console.cloud.google.com/storage/browser/quickdraw_dataset/full/numpy_bitmap

A step takes a tenth of a second on two cores of a CPU. The source trains for
72,000 steps (200 epochs). Cats are recognizable after about 5,000, so with only
a few thousand sketches use more --epochs. runs/quickdraw_cats_gan/grids has a
grid of 10 x 10 cats for the first epoch and for every 20th.
"""

from gan_blocks.cli import start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, layers, losses, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

LATENT_DIM = 100  # Random numbers from which the generator makes one image.
LEARNING_RATE = 2e-4  # Of both networks. Adam's default of 1e-3 is unstable.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.
SMOOTHING = 0.1  # Real labels are 0.9: the discriminator is less certain.
DROPOUT = 0.3  # Keeps the discriminator from memorizing the sketches.
TEST_SHARE = 0.25  # The source does not train on a quarter of the sketches.
# The pixels of a dense generator flicker from step to step. Cats are drawn with
# averaged weights, which flicker less. This does not change the training.
EMA_MOMENTUM = 0.999


def build_gan(seed: int | None = None) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    # From 100 random numbers to 784 pixels, by way of wider and wider layers.
    # Images are in [-1, 1], and so is tanh.
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            dense(256, slope=0.3, initializer=small_normal()),
            dense(512, slope=0.3),
            dense(1024, slope=0.2),
            dense(2048, slope=0.2),
            keras.layers.Dense(28 * 28, activation="tanh"),
            keras.layers.Reshape((28, 28, 1)),
        ],
        name="generator",
    )
    # From 784 pixels to one logit: positive for real, negative for generated
    # images. There is no sigmoid at the end, because the loss contains it.
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Flatten(),
            dense(1024, initializer=small_normal(), dropout=DROPOUT),
            dense(512, dropout=DROPOUT),
            dense(256, dropout=DROPOUT),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(generator, discriminator, ema_momentum=EMA_MOMENTUM, seed=seed)
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the generator
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the discriminator
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def dense(units, slope=0.2, initializer="glorot_uniform", dropout=0.0):
    """Returns a dense layer with LeakyReLU, then dropout."""
    return layers.DenseBlock(
        units,
        normalization=None,
        negative_slope=slope,
        dropout=dropout,
        kernel_initializer=initializer,
    )


def small_normal():
    """Returns the initializer of the first layer of each network."""
    return keras.initializers.RandomNormal(stddev=0.02)


def load_images(data: str, seed: int) -> np.ndarray:
    """Returns the sketches to train on, as uint8 of shape (number, 28, 28, 1).

    The source scales them to [0, 1]. Then paper is 0, where tanh is steepest,
    and the generator cannot leave it clean. Here paper is -1 and ink is 1.
    """
    if data == "sample":
        sketches = samples.line_cats(5000, 28, seed)
    else:
        sketches = datasets.load(data, 28, channels=1, verbose=True)
    order = np.random.default_rng(0).permutation(len(sketches))
    return sketches[order[int(TEST_SHARE * len(order)) :]]


def main() -> None:
    """Trains the GAN, or resumes its training with `--resume`."""
    run = start(__doc__, data="sample", epochs=200, batch_size=256)
    images = load_images(run.data, run.seed)
    gan = run.load_gan() or build_gan(run.seed)  # From a checkpoint, or new.
    run.prepare(gan, images)
    gan.fit(
        datasets.batches(images, run.batch_size, seed=run.seed),
        epochs=run.epochs,
        steps_per_epoch=run.steps_per_epoch,
        resume=True,  # Start at the step that the GAN has reached.
        verbose=0,  # `run.callbacks` prints the progress.
        callbacks=run.callbacks(
            ImageGrid(run.grids, every_n_epochs=20, rows=10, columns=10),
            EpochCheckpoint(run.checkpoints, every_n_epochs=20, keep=3),
        ),
    )
    run.finish(gan)


if __name__ == "__main__":
    main()
