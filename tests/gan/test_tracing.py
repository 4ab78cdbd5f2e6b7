"""The training step and the generator are compiled, and compiled once."""

from gan_blocks import GAN, networks
import keras
import numpy as np
import pytest

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
    gan = GAN(
        networks.mlp_generator((4, 4, 1), latent_dim=4, units=(8,)),
        networks.mlp_discriminator((4, 4, 1), units=(8,)),
        ema_momentum=0.9,
    )
    gan.compile("adam", "adam", penalty=count, **options)
    return gan, count


def batches(*sizes):
    """Returns a dataset of batches of the given sizes."""
    import tensorflow as tf

    images = np.zeros((max(sizes), 4, 4, 1), "float32")
    dataset = tf.data.Dataset.from_tensors(images[: sizes[0]])
    for size in sizes[1:]:
        other = tf.data.Dataset.from_tensors(images[:size])
        dataset = dataset.concatenate(other)
    return dataset


def fit(gan, *sizes, **options):
    options = {"verbose": 0, "shuffle": False} | options
    gan.fit(batches(*sizes), **options)


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
def test_steps_per_execution_traces_each_step_once_and_trains_the_same():
    results = []
    for executed in (1, 4):
        keras.utils.set_random_seed(0)
        gan, count = counted_gan(steps_per_execution=executed)
        fit(gan, *[8] * 8)
        fit(gan, *[8] * 8)
        # Each of the four steps is traced once.
        assert count.times <= executed
        results.append([v.numpy() for v in gan.variables])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


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


@tensorflow_only
def test_images_are_generated_by_at_most_two_graphs():
    count = CountingLayer()
    network = networks.mlp_generator((4, 4, 1), latent_dim=4, units=(8,))
    generator = keras.Sequential([keras.Input((4,)), count, network])
    discriminator = networks.mlp_discriminator((4, 4, 1), units=(8,))
    gan = GAN(generator, discriminator)
    before = count.times
    for number in (5, 16, 70, 3, 128):
        gan.generate(number)
    assert count.times - before <= 2
