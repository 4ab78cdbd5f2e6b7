import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN, losses, penalties
from gan_blocks.gan import step

pytestmark = pytest.mark.every_backend


def built_sgd(network, rate):
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build(network.trainable_variables)
    return optimizer


def update_discriminator(discriminator, real, fake, penalties=(), rate=0.05):
    return step.discriminator_step(
        discriminator,
        built_sgd(discriminator, rate),
        losses.NonSaturating(),
        penalties,
        ops.convert_to_tensor(real),
        ops.convert_to_tensor(fake),
        step_number=0,
    )


def update_generator(gan, latents, real, loss="non_saturating", rate=0.05):
    fake_images, pullback = step.generate_images(
        gan.generator, ops.convert_to_tensor(latents)
    )
    return step.generator_step(
        gan.generator,
        built_sgd(gan.generator, rate),
        losses.get(loss),
        gan.discriminator,
        ops.convert_to_tensor(real),
        fake_images,
        pullback,
    )


def test_the_discriminator_step_does_not_change_the_generator():
    gan = gans.small_gan()
    before = gans.values(gan.generator.variables)
    weights = gans.values(gan.discriminator.trainable_variables)
    update_discriminator(
        gan.discriminator,
        gans.images(seed=0),
        gans.images(seed=1),
        penalties=[penalties.R1(), penalties.R2()],
    )
    gans.assert_same(before, gans.values(gan.generator.variables))
    gans.assert_changed(
        weights, gans.values(gan.discriminator.trainable_variables)
    )


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic_pairing"])
def test_the_generator_step_does_not_change_the_discriminator(loss):
    gan = gans.small_gan()
    before = gans.values(gan.discriminator.variables)
    weights = gans.values(gan.generator.trainable_variables)
    update_generator(gan, gan.sample_latents(32, seed=0), gans.images(), loss)
    gans.assert_same(before, gans.values(gan.discriminator.variables))
    gans.assert_changed(weights, gans.values(gan.generator.trainable_variables))


def test_one_step_equals_algorithm_1_calculated_by_hand():
    """A generator z w and a discriminator a x, with SGD of rate 0.1."""

    def scalar():
        dense = keras.layers.Dense(1, use_bias=False)
        return keras.Sequential([keras.Input((1,)), dense])

    gan = GAN(scalar(), scalar())
    gan.set_weights([np.array([[2.0]]), np.array([[0.5]])])
    w, a, z, x = 2.0, 0.5, 3.0, 1.0
    fake = np.array([[w * z]], "float32")
    real = np.array([[x]], "float32")
    update_discriminator(gan.discriminator, real, fake, rate=0.1)
    update_generator(gan, np.array([[z]], "float32"), real, rate=0.1)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    # d/da of softplus(-a x) + softplus(a w z), then d/dw of
    # softplus(-a w z) with the new a.
    a -= 0.1 * (-x * sigmoid(-a * x) + w * z * sigmoid(a * w * z))
    w -= 0.1 * (-a * z * sigmoid(-a * w * z))
    np.testing.assert_allclose(
        [v.item() for v in gans.values(gan.trainable_variables)],
        [w, a],
        rtol=1e-6,
    )


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX has no eager values in a step"
)
def test_each_update_of_the_discriminator_sees_new_images():
    seen = []

    class Watch(losses.NonSaturating):
        def discriminator(self, real_logits, fake_logits):
            seen.append(gans.values([fake_logits])[0].tobytes())
            return super().discriminator(real_logits, fake_logits)

    # The rate is 0, so different logits mean different images.
    gan = gans.compiled(
        rate=0.0, loss=Watch(), discriminator_steps=3, run_eagerly=True
    )
    gan.fit(gans.images(8), verbose=0)
    assert len(set(seen)) == 3
    steps = [int(one.iterations) for one in gan.optimizer.optimizers]
    assert (int(gan.optimizer.iterations), *steps) == (1, 1, 3)


class MeanOfReal(penalties.Penalty):
    def __call__(self, discriminator, real_images, fake_images):
        return self.weight * ops.mean(real_images)


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([], 0.0),
        ([MeanOfReal(2.0)], 1.0),
        ([MeanOfReal(2.0), MeanOfReal(0.5)], 1.25),
        ([lambda *_: 1.25 * ops.ones(())], 1.25),
    ],
)
def test_penalties_are_added_up_and_kept_apart_from_the_loss(added, expected):
    real, fake = 0 * gans.images() + 0.5, gans.images(seed=1)

    def update(added):
        keras.utils.set_random_seed(0)
        network = gans.small_gan().discriminator
        return [
            float(x)
            for x in update_discriminator(network, real, fake, added)[:2]
        ]

    d_loss, _ = update([])
    assert update(added) == [d_loss, expected]


def test_keras_spectral_normalization_changes_with_the_discriminator_only():
    """Keras' layer overwrites its kernel whenever it is called in training."""
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.SpectralNormalization(keras.layers.Dense(1)),
        ]
    )
    gan = GAN(gans.small_gan().generator, network)
    before = gans.values(network.variables)
    latents = gan.sample_latents(8, seed=0)
    update_generator(gan, latents, gans.images(8), "hinge")
    gans.assert_same(before, gans.values(network.variables))
    update_discriminator(network, gans.images(8), gans.images(8, seed=1))
    gans.assert_changed(before[:1], gans.values(network.variables)[:1])
