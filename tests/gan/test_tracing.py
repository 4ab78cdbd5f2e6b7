"""The training step and the generator are compiled, and compiled once."""

import functools

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="traces exist on TensorFlow only",
)


class Count:
    """A penalty of 0 that counts how often Python calls it."""

    def __init__(self):
        self.times = 0

    def __call__(self, discriminator, real_images, fake_images):
        self.times += 1
        return keras.ops.zeros(())


def counted_gan(**options):
    count = Count()
    gan = gans.small_gan(ema_momentum=0.9)
    gan.compile("adam", "adam", penalty=count, **options)
    return gan, count


def batches(*sizes):
    """Returns a dataset of batches of the given sizes."""
    dataset = pytest.importorskip("tensorflow").data.Dataset
    images = [np.zeros((size, 4, 4, 1), "float32") for size in sizes]
    return functools.reduce(
        dataset.concatenate, map(dataset.from_tensors, images)
    )


def fit(gan, *sizes, epochs=1):
    gan.fit(batches(*sizes), epochs=epochs, shuffle=False, verbose=0)


@tensorflow_only
def test_the_step_is_traced_once_for_all_epochs_and_calls_of_fit():
    gan, count = counted_gan()
    fit(gan, 8, 8, 8, epochs=3)
    fit(gan, 8, 8)
    assert count.times == 1
    assert int(gan.optimizer.iterations) == 11


@tensorflow_only
def test_a_short_last_batch_needs_at_most_one_more_trace():
    gan, count = counted_gan()
    fit(gan, 8, 8, 3, epochs=3)
    fit(gan, 8, 8)
    fit(gan, 8, 5)
    assert 1 <= count.times <= 2
    assert int(gan.optimizer.iterations) == 13


@tensorflow_only
def test_each_of_several_steps_per_execution_is_traced_once():
    gan, count = counted_gan(steps_per_execution=4)
    fit(gan, *[8] * 8)
    first = count.times
    fit(gan, *[8] * 8)
    assert 1 <= count.times == first <= 4


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX only")
@pytest.mark.every_backend
def test_jax_compiles_the_whole_step_once():
    gan, count = counted_gan()
    images = np.zeros((24, 4, 4, 1), "float32")
    gan.fit(images, batch_size=8, epochs=3, verbose=0)
    first = count.times
    gan.fit(images, batch_size=8, epochs=3, verbose=0)
    assert count.times == first == 1


class CountingLayer(keras.layers.Layer):
    """Counts how often Python calls it."""

    times = 0

    def call(self, inputs):
        self.times += 1
        return inputs


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch compiles nothing"
)
@pytest.mark.every_backend
def test_images_are_generated_by_few_compiled_functions():
    count = CountingLayer()
    network = keras.Sequential([keras.Input((6,)), count, gans.generator()])
    gan = GAN(network, gans.discriminator())
    before = count.times
    for number in (5, 16, 70, 3, 128):
        gan.generate(number)
    # JAX compiles for a single size of the batch.
    expected = {"tensorflow": 2, "jax": 1}[keras.backend.backend()]
    assert count.times - before <= expected


@tensorflow_only
def test_several_gans_generate_without_a_warning_about_traces(caplog):
    for _ in range(6):
        gans.small_gan().generate(2, seed=0)
    assert not caplog.messages
