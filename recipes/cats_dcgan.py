"""Trains a DCGAN on cats.

    python recipes/cats_dcgan.py                       # drawn by the library
    python recipes/cats_dcgan.py --data path/to/faces  # a folder or a .zip
    python recipes/cats_dcgan.py --data archive.zip    # the CAT dataset

This is Cat DCGAN by Thomas Simonini, https://github.com/simoninithomas/CatDCGAN.
Without --data it learns from 6,000 cats that the library draws, with small
networks, in about four minutes on one CPU core. With photographs it is
the source's system at 128 x 128 pixels, which needs a GPU. docs/cats.md has
settings for a CPU. The CAT dataset contains the positions of eyes and ears; its
faces are turned upright and cut out first.
"""

from pathlib import Path

from gan_blocks.cli import Run, start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, faces, layers, losses, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

LATENT_DIM = 100  # Random numbers from which the generator makes one image.
GENERATOR_RATE = 2e-4  # Learning rate, from the DCGAN paper.
DISCRIMINATOR_RATE = 5e-5  # Lower, so that the generator can keep up.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.
SMOOTHING = 0.1  # Real labels are 0.9: the discriminator is less certain.
EMA_MOMENTUM = 0.999  # Cats are drawn with averaged weights: less noise.
# Adam moves each weight by about the learning rate. A layer with few filters
# adds up few weights, so narrow networks need higher rates.
WITHOUT_GPU = dict(image_size=(64, 64), filters=24, discriminator_rate=2e-4)
SAMPLE = dict(  # Drawn cats are simpler than photographs.
    image_size=(48, 48),
    filters=16,
    generator_rate=4e-4,
    discriminator_rate=4e-4,
    epochs=12,
    batch_size=16,  # Many small steps are better than few large ones.
)


def build_gan(
    seed: int | None = None,
    image_size: tuple[int, int] = (128, 128),  # height and width
    filters: int = 64,
    generator_rate: float = GENERATOR_RATE,
    discriminator_rate: float = DISCRIMINATOR_RATE,
) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    height, width = image_size
    # Below 64 pixels, both networks leave out their widest blocks. The first
    # block of the discriminator has twice the filters instead. With only 16, it
    # overlooks noise, and the generator draws grainy images. The last doubling
    # resizes, because a kernel of 5 with strides of 2 leaves a pattern.
    small = max(image_size) < 64
    first = 2 * filters if small else filters
    factor = 8 if small else 16  # The generator doubles the size 3 or 4 times.
    if height % factor or width % factor:
        raise ValueError(
            f"`image_size` must have sides that are multiples of {factor}. "
            f"Received: {height}x{width}"
        )
    rows, columns = height // factor, width // factor
    generator = keras.Sequential(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(rows * columns * factor * filters),
            keras.layers.Reshape((rows, columns, factor * filters)),
            keras.layers.LeakyReLU(0.2),
            *([] if small else [up(8 * filters)]),
            up(4 * filters),
            up(2 * filters),
            up_smoothly(filters) if small else up(filters),
            # No normalization, so that an image can have any color, and tanh,
            # because images are in [-1, 1].
            up(3, strides=1, normalization=None, activation="tanh"),
        ],
        name="generator",
    )
    # The first block has no normalization, so that the discriminator sees the
    # true colors. The output is one logit: positive for real, negative for
    # generated images. There is no sigmoid, because the loss contains it.
    discriminator = keras.Sequential(
        [
            keras.Input((height, width, 3)),
            down(first, normalization=None),
            down(2 * first),
            down(4 * first),
            *([] if small else [down(8 * first, strides=1), down(16 * first)]),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(generator, discriminator, "uniform", EMA_MOMENTUM, seed=seed)
    gan.compile(
        keras.optimizers.Adam(generator_rate, BETA_1),
        keras.optimizers.Adam(discriminator_rate, BETA_1),
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
    )
    return gan


def up(filters, **options):
    """Doubles the size: transposed convolution, batch norm, LeakyReLU(0.2)."""
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.TransposedConvBlock(
        filters, kernel_size=5, kernel_initializer=normal, **options
    )


def up_smoothly(filters):
    """Doubles the size: copies pixels, convolution, batch norm, LeakyReLU."""
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.ResizeConvBlock(
        filters, kernel_size=3, kernel_initializer=normal
    )


def down(filters, **options):
    """Halves the size: convolution, batch norm, LeakyReLU(0.2)."""
    normal = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.StridedConvBlock(
        filters, kernel_size=5, kernel_initializer=normal, **options
    )


def load_images(run: Run) -> np.ndarray:
    """Returns the cats as uint8, of shape (number, height, width, 3)."""
    data, size = run.data, run.image_size
    if data == "sample":
        print("Drawing 6,000 cats to learn from.", flush=True)
        return samples.synthetic_cats(6000, size, run.seed)
    if faces.has_landmarks(data):
        side = max(size)  # Prepared faces are square.
        folder = run.path.parent / f"{Path(data).stem}_faces_{side}"
        data = faces.prepare(data, folder, side)
    return datasets.load(data, size, verbose=True)


def main() -> None:
    """Trains the GAN, or resumes its training with `--resume`."""
    run = start(
        __doc__,
        data="sample",
        epochs=215,
        batch_size=64,
        image_size=(128, 128),
        filters=64,
        generator_rate=GENERATOR_RATE,
        discriminator_rate=DISCRIMINATOR_RATE,
        flip=False,
        sample=SAMPLE,  # Other defaults with `--data sample`.
        without_gpu=WITHOUT_GPU,  # Recommended if there is no GPU.
    )
    gan = run.load_gan() or build_gan(  # From a checkpoint, or new.
        run.seed,
        run.image_size,
        run.filters,
        run.generator_rate,
        run.discriminator_rate,
    )
    images = load_images(run)
    run.prepare(gan, images)
    gan.fit(
        datasets.batches(images, run.batch_size, run.seed, flip=run.flip),
        epochs=run.epochs,
        steps_per_epoch=run.steps_per_epoch,
        resume=True,  # Start at the step that the GAN has reached.
        verbose=0,  # `run.callbacks` prints the progress.
        callbacks=run.callbacks(
            ImageGrid(run.grids, every_n_batches=10, rows=2, columns=2),
            ImageGrid(
                run.path / "large_grids", every_n_epochs=15, rows=8, columns=8
            ),
            EpochCheckpoint(run.checkpoints, every_n_epochs=5, keep=3),
        ),
    )
    run.finish(gan)


if __name__ == "__main__":
    main()
