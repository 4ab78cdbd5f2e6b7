"""Writes a checkpoint that all later releases must be able to load.

    cd tests
    KERAS_BACKEND=tensorflow python -m support.write_checkpoint NAME

Trains a GAN with all kinds of state that this release can save for a few
steps. Writes `NAME.keras`, and `NAME.npz` with the values that a loaded GAN
must have, to `tests/checkpoints`. Existing files are never replaced, because
they stand for files that users have.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
from keras import ops

from gan_blocks import GAN, callbacks, layers, losses, penalties, runs

FOLDER = pathlib.Path(__file__).parents[1] / "checkpoints"


def build_gan():
    options = {"kernel_initializer": "he_normal"}
    generator = keras.Sequential(
        [
            keras.Input((2, 2, 2)),
            layers.ResizeConvBlock(4, normalization="group", **options),
            layers.TransposedConvBlock(1, activation="tanh", **options),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.StridedConvBlock(4, normalization="layer", **options),
            keras.layers.Flatten(),
            layers.DenseBlock(8, dropout=0.3, **options),
            keras.layers.Dense(1),
        ],
        name="discriminator",
    )
    gan = GAN(generator, discriminator, "uniform", ema_momentum=0.9)
    rate = keras.optimizers.schedules.ExponentialDecay(2e-2, 2, 0.9)
    gan.compile(
        keras.optimizers.Adam(rate, beta_1=0.5),
        keras.optimizers.RMSprop(5e-3),
        loss=losses.NonSaturating(label_smoothing=0.1),
        penalty=penalties.GradientPenalty(0.1),
    )
    return gan


def train(gan, steps, *used_callbacks):
    """Trains on random images and returns the logs."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1))
    images = np.repeat(images.astype("float32"), steps, axis=0)
    return gan.fit(
        images,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=list(used_callbacks),
    ).history


def measure(gan):
    """Returns images, logits, and the sum and size of each variable."""
    images = np.random.default_rng(1).uniform(-1, 1, (4, 8, 8, 1))
    variables = [*gan.variables, *gan.optimizer.variables]
    arrays = [ops.convert_to_numpy(variable) for variable in variables]
    return {
        "images": gan.generate(4, seed=0),
        "logits": ops.convert_to_numpy(
            gan.discriminator(images.astype("float32"), training=False)
        ),
        "sums": np.array([array.sum(dtype="float64") for array in arrays]),
        "sizes": np.array([array.size for array in arrays]),
    }


def measure_training(gan):
    """Returns the noise of the next step and the logs of the step after it."""
    noise = keras.random.uniform((8, 2, 2, 2), -1.0, 1.0, seed=gan.noise)
    logs = train(gan, 1)
    return {
        "latents": ops.convert_to_numpy(noise),
        **{name: logs[name] for name in ("d_loss", "g_loss", "penalty")},
    }


def main():
    paths = [FOLDER / f"{sys.argv[1]}.{suffix}" for suffix in ("keras", "npz")]
    if any(path.exists() for path in paths):
        sys.exit(f"{paths[0]} exists and must not change.")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = callbacks.EpochCheckpoint(folder, arguments={"seed": 0})
        train(build_gan(), 5, checkpoint)
        latest = runs.latest_checkpoint(folder)
        gan = keras.saving.load_model(latest)
        FOLDER.mkdir(exist_ok=True)
        paths[0].write_bytes(latest.read_bytes())
    np.savez_compressed(paths[1], **measure(gan), **measure_training(gan))


if __name__ == "__main__":
    main()
