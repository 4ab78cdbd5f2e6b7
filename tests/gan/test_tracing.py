"""How often the training step is traced: no Python may be left in it."""

import keras
import numpy as np
import pytest

from gan_blocks import GAN, networks

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="traces are TensorFlow's, and compiled steps JAX's",
)


class Count:
    """A penalty of nothing, which counts how often Python comes past it."""

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
    """Returns a dataset of batches whose shapes are known only one by one."""
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
def test_the_step_is_traced_once_for_all_epochs_and_trainings():
    gan, count = counted_gan()
    fit(gan, 8, 8, 8, epochs=3)
    fit(gan, 8, 8)
    assert count.times == 1
    assert int(gan.optimizer.iterations) == 11


@tensorflow_only
def test_a_last_short_batch_is_one_trace_more_at_most():
    gan, count = counted_gan()
    fit(gan, 8, 8, 3, epochs=3)
    fit(gan, 8, 8)
    fit(gan, 8, 5)
    assert 1 <= count.times <= 2
    assert int(gan.optimizer.iterations) == 13


@tensorflow_only
def test_several_steps_in_one_execution_are_one_trace_and_train_the_same():
    results = []
    for executed in (1, 4):
        keras.utils.set_random_seed(0)
        gan, count = counted_gan(steps_per_execution=executed)
        fit(gan, *[8] * 8)
        fit(gan, *[8] * 8)
        # Each of the four steps comes past once.
        assert count.times <= executed
        results.append([v.numpy() for v in gan.variables])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
@pytest.mark.every_backend
def test_jax_compiles_the_whole_step_once():
    gan, count = counted_gan()
    images = np.zeros((24, 4, 4, 1), "float32")
    gan.fit(images, batch_size=8, epochs=3, verbose=0)
    first = count.times
    gan.fit(images, batch_size=8, epochs=3, verbose=0)
    assert count.times == first == 1


@tensorflow_only
def test_images_are_generated_by_one_graph():
    gan, _ = counted_gan()
    for number in (5, 16, 70, 3, 128):
        gan.generate(number)
    assert gan._compiled_run.experimental_get_tracing_count() <= 2
