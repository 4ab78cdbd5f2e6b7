"""Writes a checkpoint, and what must be read from it by all later releases.

    KERAS_BACKEND=tensorflow python tests/write_checkpoint.py NAME

trains a GAN of everything that this release can save for a few steps, and
writes `NAME.keras` and `NAME.npz` to `tests/checkpoints`. What is there is
never written again: it stands for the files that users have.
"""

import pathlib
import sys
import tempfile

import keras
import numpy as np
from keras import ops

from gan_blocks import GAN, callbacks, layers, losses, penalties

FOLDER = pathlib.Path(__file__).parent / "checkpoints"


def build():
    """Builds the GAN."""
    normal = {"kernel_initializer": "he_normal"}
    generator = keras.Sequential(
        [
            keras.Input((2, 2, 2)),
            layers.ResizeConvBlock(4, normalization="group", **normal),
            layers.TransposedConvBlock(1, activation="tanh", **normal),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.StridedConvBlock(4, normalization="layer", **normal),
            keras.layers.Flatten(),
            layers.DenseBlock(8, dropout=0.3, **normal),
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


def train(gan, steps, *watchers):
    """Trains on made-up images and returns the logs."""
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1))
    images = np.repeat(images.astype("float32"), steps, axis=0)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    return gan.fit(images, callbacks=list(watchers), **options).history


def measure(gan):
    """Returns what a checkpoint must bring back, and changes no weight."""
    images = np.random.default_rng(1).uniform(-1, 1, (4, 8, 8, 1))
    variables = [*gan.variables, *gan.optimizer.variables]
    arrays = [ops.convert_to_numpy(variable) for variable in variables]
    return {
        "images": gan.generate(4, seed=0),
        "logits": ops.convert_to_numpy(
            gan.discriminator(images.astype("float32"), training=False)
        ),
        # Of each variable, weights, slots, counters and seeds.
        "sums": np.array([array.sum(dtype="float64") for array in arrays]),
        "sizes": np.array([array.size for array in arrays]),
    }


def measure_training(gan):
    """Returns the noise of the next step, and what the step after it logs."""
    noise = keras.random.uniform((8, 2, 2, 2), -1.0, 1.0, seed=gan.noise)
    logs = train(gan, 1)
    return {
        "latents": ops.convert_to_numpy(noise),
        **{name: logs[name] for name in ("d_loss", "g_loss", "penalty")},
    }


def main():
    paths = [FOLDER / f"{sys.argv[1]}.{end}" for end in ("keras", "npz")]
    if any(path.exists() for path in paths):
        sys.exit(f"{paths[0]} is there, and must stay as it is.")
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = callbacks.EpochCheckpoint(folder, arguments={"seed": 0})
        train(build(), 5, checkpoint)
        latest = callbacks.latest_checkpoint(folder)
        gan = keras.saving.load_model(latest)
        FOLDER.mkdir(exist_ok=True)
        paths[0].write_bytes(latest.read_bytes())
    np.savez_compressed(paths[1], **measure(gan), **measure_training(gan))


if __name__ == "__main__":
    main()
