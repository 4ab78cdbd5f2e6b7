"""Trains a conditional DCGAN on handwritten digits: you choose the digit.

    python recipes/digits_conditional.py                       # MNIST, by TFDS
    python recipes/digits_conditional.py --data path/to/mnist  # its idx files
    python recipes/digits_conditional.py --data sample         # no download

Both networks also get the label of each image. The generator reads it beside
the latents (Mirza, Osindero, 2014, https://arxiv.org/abs/1411.1784), and the
discriminator compares it with the image's features (Miyato, Koyama, 2018,
https://arxiv.org/abs/1802.05637).

An epoch of MNIST takes one or two minutes on two cores of a CPU. After the
first, most images show the right digit. In runs/digits_conditional/grids, the
first column of each grid has zeros, the second one has ones, and so on.
"""

from gan_blocks.cli import start  # isort: skip (hides TensorFlow's log)
import keras
import numpy as np

from gan_blocks import GAN, datasets, layers, losses, penalties, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid

CLASSES = 10
LATENT_DIM = 100  # Random numbers from which the generator makes one image.
LABEL_DIM = 32  # Numbers that the generator learns for each digit.
LEARNING_RATE = 8e-4  # Of both networks. High, because R1 keeps it stable.
BETA_1 = 0.5  # Adam's momentum. With the default of 0.9, GANs oscillate.
SMOOTHING = 0.1  # Real labels are 0.9: the discriminator is less certain.
EMA_MOMENTUM = 0.999  # Digits are drawn with averaged weights: less noise.


def build_gan(seed: int | None = None) -> GAN:
    """Builds the two networks and compiles them as one `GAN`."""
    # The generator. An embedding turns each label into 32 numbers, which the
    # generator reads like latents.
    images = keras.Input((28, 28, 1))
    labels = keras.Input((), dtype="int32")
    latents = keras.Input((LATENT_DIM,))
    digit = keras.layers.Embedding(CLASSES, LABEL_DIM)(labels)
    code = keras.layers.Concatenate()([latents, digit])
    generator_layers = keras.Sequential(
        [
            keras.Input((LATENT_DIM + LABEL_DIM,)),
            # Batch normalization adds its own bias.
            keras.layers.Dense(7 * 7 * 128, use_bias=False),
            layers.BatchNormalization(),
            keras.layers.LeakyReLU(0.2),
            keras.layers.Reshape((7, 7, 128)),
            layers.TransposedConvBlock(64),  # to 14 pixels
            layers.TransposedConvBlock(  # to 28 pixels
                1, normalization=None, activation="tanh"
            ),
        ],
        name="generator",
    )
    generator = keras.Model([latents, labels], generator_layers(code))

    # The discriminator. It has no normalization in its first block, so that it
    # sees the true brightness. The projection head adds how real the image
    # looks and how well it fits its label.
    discriminator_layers = keras.Sequential(
        [
            layers.StridedConvBlock(32, normalization=None),  # to 14 pixels
            layers.StridedConvBlock(64),  # to 7
            layers.StridedConvBlock(128, kernel_size=3),  # to 4
            keras.layers.Flatten(),
        ]
    )
    logits = layers.ProjectionHead(CLASSES)(
        [discriminator_layers(images), labels]
    )
    discriminator = keras.Model([images, labels], logits)

    gan = GAN(
        generator,
        discriminator,
        ema_momentum=EMA_MOMENTUM,
        num_classes=CLASSES,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the generator
        keras.optimizers.Adam(LEARNING_RATE, BETA_1),  # for the discriminator
        loss=losses.NonSaturating(label_smoothing=SMOOTHING),
        # Keeps the discriminator's slope small around real images. It is
        # computed in every eighth step only, to save time.
        penalty=penalties.R1(0.1, interval=8),
    )
    return gan


def load_images(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the digits as uint8, and the label of each."""
    if data == "sample":
        return samples.digits(labels=True)
    return datasets.load(data, 28, channels=1, labels=True, verbose=True)


def main() -> None:
    """Trains the GAN, or resumes its training with `--resume`."""
    run = start(__doc__, data="tfds:mnist", epochs=20, batch_size=64)
    images, labels = load_images(run.data)
    gan = run.load_gan() or build_gan(run.seed)  # From a checkpoint, or new.
    run.prepare(gan, images, labels)
    gan.fit(
        datasets.batches(images, run.batch_size, run.seed, labels=labels),
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
