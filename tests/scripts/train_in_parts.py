"""Trains GANs of several kinds, one stage of a run, in a process of its own.

    python train_in_parts.py FOLDER STAGE KIND...

`begin` makes the whole run, without a stop, and begins another, which a signal
ends in the middle of the second epoch, and which leaves checkpoints of that
step and of the epoch before; `finish` goes on from each of the two. All that
the GANs are made of in the end is written to `FOLDER/KIND_*.npz`.
"""

import pathlib
import signal
import sys

import keras
import numpy as np
from keras import ops

from gan_blocks import GAN, callbacks, datasets, layers, losses, penalties

IMAGES, BATCH_SIZE = 50, 8
STEPS_PER_EPOCH = IMAGES // BATCH_SIZE
EPOCHS = 3
STOP = STEPS_PER_EPOCH + 2  # The last step that `begin` makes.


def networks(normalization=None, dropout=0.0, augmentation=()):
    """Builds a tiny generator and a tiny discriminator."""
    options = {"normalization": normalization, "dropout": dropout}
    generator = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(64),
            keras.layers.Reshape((4, 4, 4)),
            layers.TransposedConvBlock(4, **options),
            keras.layers.Conv2D(1, 3, padding="same", activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *augmentation,
            layers.StridedConvBlock(8, **options),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    return generator, discriminator


def gan(models=None, ema_momentum=None, rate=2e-3, **options):
    """Builds a GAN with nothing in it but what is asked for."""
    model = GAN(*(models or networks()), ema_momentum=ema_momentum)
    model.compile(
        keras.optimizers.Adam(rate, beta_1=0.5),
        keras.optimizers.RMSprop(1e-3),
        **options,
    )
    return model


def mixed(**options):
    """Builds a GAN with every kind of state but that of penalties."""
    augmentation = [
        keras.layers.RandomTranslation(0.1, 0.1),
        layers.AdaptiveAugment(("flip",), images_to_adapt=100),
    ]
    models = networks("batch", 0.2, augmentation)
    return gan(models, ema_momentum=0.9, rate=falling_rate(), **options)


def falling_rate():
    """Builds a learning rate that is another one at every step."""
    return keras.optimizers.schedules.ExponentialDecay(5e-3, 3, 0.8)


KINDS = {
    "average": lambda: gan(ema_momentum=0.99),
    "steps": lambda: gan(discriminator_steps=3),
    "all": lambda: mixed(
        loss=losses.NonSaturating(label_smoothing=0.1),
        penalty=[penalties.R1(0.1, interval=2), penalties.GradientPenalty(0.1)],
    ),
}


class Signal(keras.callbacks.Callback):
    """Sends SIGTERM, as a job scheduler does, while step `STOP` is made."""

    def on_epoch_begin(self, epoch, logs=None):
        self.steps_done = epoch * STEPS_PER_EPOCH

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps_done + batch + 1 == STOP:
            signal.raise_signal(signal.SIGTERM)


def fit(model, *watchers):
    """Trains to the end of the run, or to a signal; returns the last logs."""
    pictures = np.random.default_rng(0).integers(
        0, 256, (IMAGES, 8, 8, 1), np.uint8
    )
    for done, rest in callbacks.rest_of_run(model, EPOCHS, STEPS_PER_EPOCH):
        batches = datasets.batches(
            pictures, BATCH_SIZE, seed=3, repeat=True, skip=done, flip=True
        )
        history = model.fit(
            batches, **rest, shuffle=False, verbose=0, callbacks=list(watchers)
        )
    return {name: values[-1] for name, values in history.history.items()}


def write(path, model, logs):
    """Writes all that there is to compare; the noise that comes next, last."""
    arrays = {f"log {name}": value for name, value in logs.items()}
    arrays["iterations"] = model.optimizer.iterations
    arrays["generated"] = model.generate(5, seed=0)
    variables = [*model.variables, *model.optimizer.variables]
    for i, variable in enumerate(variables):
        arrays[f"{i} {variable.name}"] = variable
    arrays["next noise"] = keras.random.normal((8,), seed=model.noise)
    np.savez(
        path,
        **{name: ops.convert_to_numpy(one) for name, one in arrays.items()},
    )


def main():
    folder, stage = pathlib.Path(sys.argv[1]), sys.argv[2]
    for kind in sys.argv[3:]:
        checkpoint = callbacks.EpochCheckpoint(folder / kind, every_n_epochs=1)
        stop = callbacks.StopOnSignal()
        if stage == "begin":
            keras.utils.set_random_seed(0)
            model = KINDS[kind]()
            write(folder / f"{kind}_whole.npz", model, fit(model))
            keras.utils.set_random_seed(0)
            fit(KINDS[kind](), checkpoint, Signal(), stop)
        else:
            # What the GANs begin with must not matter to what goes on.
            keras.utils.set_random_seed(1)
            latest = callbacks.latest_checkpoint(folder / kind)
            assert latest.stem == f"epoch_0001_step_{STOP:07d}"
            model = keras.saving.load_model(folder / kind / "epoch_0001.keras")
            write(folder / f"{kind}_epoch.npz", model, fit(model))
            model = keras.saving.load_model(latest)
            logs = fit(model, checkpoint, stop)
            write(folder / f"{kind}_step.npz", model, logs)


if __name__ == "__main__":
    main()
