"""Trains GANs without interruption, with a stop, and from the checkpoints.

    python train_and_stop.py FOLDER begin|resume average|all

The stage `begin` trains a GAN to the end, and starts a second training that a
signal stops in the middle of the second epoch. The second training leaves a
checkpoint of that step and one of the first epoch. The stage `resume`, in a
new process, continues from each of the two. The final state of each GAN is
written to `FOLDER/*.npz`. The last argument tells how much state a GAN has: a
moving average and two optimizers, or everything that can be saved.
"""

import functools
import pathlib
import signal
import sys

import keras
import numpy as np
from keras import ops

from gan_blocks import (
    GAN,
    callbacks,
    datasets,
    layers,
    losses,
    networks,
    penalties,
    runs,
)

IMAGES, BATCH_SIZE = 50, 8
SHAPE = (16, 16, 1)
STEPS_PER_EPOCH = IMAGES // BATCH_SIZE
EPOCHS = 3
LAST_STEP = STEPS_PER_EPOCH + 2  # The last step of the stage `begin`.


def build_gan(kind):
    """Builds a GAN with a moving average, or with all kinds of state."""
    rate, dropout, augmentation, options = 2e-3, 0.0, [], {}
    if kind == "all":
        rate = keras.optimizers.schedules.ExponentialDecay(5e-3, 3, 0.8)
        dropout = 0.2
        augmentation = [
            keras.layers.RandomTranslation(0.1, 0.1),
            layers.AdaptiveAugment(("flip",), images_to_adapt=100),
        ]
        options = {
            "loss": losses.NonSaturating(label_smoothing=0.1),
            "penalty": [
                penalties.R1(0.1, interval=2),
                penalties.GradientPenalty(0.1),
            ],
            "discriminator_steps": 2,
        }
    up, down = (
        functools.partial(block, dropout=dropout)
        for block in (layers.TransposedConvBlock, layers.StridedConvBlock)
    )
    generator = networks.dcgan_generator(SHAPE, 8, 4, block=up)
    discriminator = networks.dcgan_discriminator(SHAPE, 4, block=down)
    augmented = [keras.Input(SHAPE), *augmentation, *discriminator.layers]
    gan = GAN(generator, keras.Sequential(augmented), ema_momentum=0.9)
    gan.compile(
        keras.optimizers.Adam(rate, beta_1=0.5),
        keras.optimizers.RMSprop(1e-3),
        **options,
    )
    return gan


class SendSigterm(keras.callbacks.Callback):
    """Sends SIGTERM, like a job scheduler, during step `LAST_STEP`."""

    def on_epoch_begin(self, epoch, logs=None):
        self.steps_done = epoch * STEPS_PER_EPOCH

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps_done + batch + 1 == LAST_STEP:
            signal.raise_signal(signal.SIGTERM)


def fit(gan, *used_callbacks):
    """Trains until the end or the signal. Returns the last logs."""
    images = np.random.default_rng(0).integers(
        0, 256, (IMAGES, *SHAPE), np.uint8
    )
    history = gan.fit(
        datasets.batches(images, BATCH_SIZE, seed=3, flip=True),
        epochs=EPOCHS,
        resume=True,
        verbose=0,
        callbacks=list(used_callbacks),
    )
    return {name: values[-1] for name, values in history.history.items()}


def write(path, gan, logs):
    """Writes the whole state of a GAN, its logs, images and next noise."""
    arrays = {f"log {name}": value for name, value in logs.items()}
    arrays["iterations"] = gan.optimizer.iterations
    arrays["generated"] = gan.generate(5, seed=0)
    variables = [*gan.variables, *gan.optimizer.variables]
    for i, variable in enumerate(variables):
        arrays[f"{i} {variable.name}"] = variable
    # Drawing noise changes the seed, so this comes last.
    arrays["next noise"] = keras.random.normal((8,), seed=gan.noise)
    np.savez(
        path,
        **{name: ops.convert_to_numpy(value) for name, value in arrays.items()},
    )


def begin(folder, kind):
    keras.utils.set_random_seed(0)
    gan = build_gan(kind)
    write(folder / "uninterrupted.npz", gan, fit(gan))
    keras.utils.set_random_seed(0)
    fit(
        build_gan(kind),
        callbacks.EpochCheckpoint(folder, every_n_epochs=1),
        SendSigterm(),
        callbacks.StopOnSignal(),
    )


def resume(folder, kind):
    keras.utils.set_random_seed(1)  # The global seed must not matter.
    latest = runs.latest_checkpoint(folder)
    assert latest.name == runs.checkpoint_name(1, LAST_STEP)
    gan = keras.saving.load_model(folder / runs.checkpoint_name(1))
    write(folder / "from_epoch.npz", gan, fit(gan))
    gan = keras.saving.load_model(latest)
    logs = fit(
        gan,
        callbacks.EpochCheckpoint(folder, every_n_epochs=1),
        callbacks.StopOnSignal(),
    )
    write(folder / "from_step.npz", gan, logs)


if __name__ == "__main__":
    stage = {"begin": begin, "resume": resume}[sys.argv[2]]
    stage(pathlib.Path(sys.argv[1]), sys.argv[3])
