"""Small models that train in milliseconds, and a comparison of variables."""

import os

import keras
import numpy as np

LATENT_DIM = 3


@keras.saving.register_keras_serializable(package="test_callbacks")
class Generator(keras.Sequential):
    """A generator that is trained alone, with the methods of `GAN`."""

    calls = ()

    def sample_latents(self, number, seed):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(number, LATENT_DIM)).astype("float32")

    def generate(self, num_images=None, latents=None, **options):
        self.calls = (*self.calls, options)
        return keras.ops.convert_to_numpy(self(latents))


def make_model(optimizer=None, **options):
    keras.utils.set_random_seed(0)
    model = Generator(
        [
            keras.Input((LATENT_DIM,)),
            keras.layers.Dense(12, activation="tanh"),
            keras.layers.Reshape((2, 2, 3)),
        ]
    )
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    model.compile(optimizer, loss="mean_squared_error", **options)
    return model


def make_data(steps):
    """Returns inputs and targets for batches of two."""
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(2 * steps, LATENT_DIM)).astype("float32")
    return latents, np.zeros((2 * steps, 2, 2, 3), "float32")


def train(model, *callbacks, steps=6, data=None, **options):
    options = {"batch_size": 2, "verbose": 0, "shuffle": False} | options
    x, y = data or make_data(steps)
    return model.fit(x, y, callbacks=list(callbacks), **options)


def list_names(folder):
    return sorted(os.listdir(folder))


class StopAfter(keras.callbacks.Callback):
    """Stops training after a batch; epoch and batch are counted from 1."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) == self.place:
            self.model.stop_training = True


def pooling_model(size=8, channels=1):
    """Builds a model whose features are the means of the image's quarters."""
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            keras.layers.AveragePooling2D(size // 2),
            keras.layers.Flatten(),
        ]
    )


def random_images(count, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (count, 8, 8, 1)).astype("float32")


def assert_same_variables(model, expected):
    """Checks that all variables of two models have the same bits."""
    for one, other in zip(model.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one),
            keras.ops.convert_to_numpy(other),
            err_msg=one.path,
        )
