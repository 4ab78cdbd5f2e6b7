from gan_blocks import GAN, losses, penalties
from gan_blocks.gan import step
import keras
from keras import ops
import numpy as np
import pytest
from support.gans import (
    assert_changed,
    assert_same,
    compiled,
    images,
    small_gan,
    values,
)

pytestmark = pytest.mark.every_backend


def built_sgd(network, rate=0.05):
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build(network.trainable_variables)
    return optimizer


def update_discriminator(discriminator, real_images, fake_images, **options):
    options = {
        "optimizer": built_sgd(discriminator),
        "loss": losses.NonSaturating(),
        "penalties": [],
        "step_number": 0,
        **options,
    }
    real_images, fake_images = map(
        ops.convert_to_tensor, (real_images, fake_images)
    )
    return step.discriminator_step(
        discriminator,
        real_images=real_images,
        fake_images=fake_images,
        **options,
    )


def update_generator(gan, latents, real_images, loss="non_saturating", **sgd):
    fake_images, pullback = step.generate_images(
        gan.generator, ops.convert_to_tensor(latents)
    )
    return step.generator_step(
        gan.generator,
        built_sgd(gan.generator, **sgd),
        losses.get(loss),
        gan.discriminator,
        ops.convert_to_tensor(real_images),
        fake_images,
        pullback,
    )


def test_the_discriminator_step_does_not_change_the_generator():
    gan = small_gan()
    before = values(gan.generator.variables)
    weights = values(gan.discriminator.trainable_variables)
    update_discriminator(
        gan.discriminator,
        images(seed=0),
        images(seed=1),
        penalties=[penalties.R1(), penalties.R2()],
    )
    assert_same(before, values(gan.generator.variables))
    assert_changed(weights, values(gan.discriminator.trainable_variables))


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic_pairing"])
def test_the_generator_step_does_not_change_the_discriminator(loss):
    gan = small_gan()
    before = values(gan.discriminator.variables)
    weights = values(gan.generator.trainable_variables)
    update_generator(gan, gan.sample_latents(32, seed=0), images(), loss)
    assert_same(before, values(gan.discriminator.variables))
    assert_changed(weights, values(gan.generator.trainable_variables))


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
    sgd = built_sgd(gan.discriminator, rate=0.1)
    update_discriminator(gan.discriminator, real, fake, optimizer=sgd)
    update_generator(gan, np.array([[z]], "float32"), real, rate=0.1)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    # d/da of softplus(-a x) + softplus(a w z), then d/dw of
    # softplus(-a w z) with the new a.
    a -= 0.1 * (-x * sigmoid(-a * x) + w * z * sigmoid(a * w * z))
    w -= 0.1 * (-a * z * sigmoid(-a * w * z))
    np.testing.assert_allclose(
        [v.item() for v in values(gan.trainable_variables)], [w, a], rtol=1e-6
    )


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX has no eager values in a step"
)
def test_each_update_of_the_discriminator_sees_new_images():
    seen = []

    class Watch(losses.NonSaturating):
        def discriminator(self, real_logits, fake_logits):
            seen.append(values([fake_logits])[0].tobytes())
            return super().discriminator(real_logits, fake_logits)

    # The rate is 0, so different logits mean different images.
    gan = compiled(
        rate=0.0, loss=Watch(), discriminator_steps=3, run_eagerly=True
    )
    gan.fit(images(8), verbose=0)
    assert len(set(seen)) == 3
    steps = [int(one.iterations) for one in gan.optimizer.optimizers]
    assert (int(gan.optimizer.iterations), *steps) == (1, 1, 3)


class MeanOfReal(penalties.Penalty):
    def __call__(self, discriminator, real_images, fake_images):
        return self.weight * ops.mean(real_images)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        ([], 0.0),
        ([MeanOfReal(2.0)], 1.0),
        ([MeanOfReal(2.0), MeanOfReal(0.5)], 1.25),
        ([lambda *_: 1.25 * ops.ones(())], 1.25),
    ],
)
def test_penalties_are_added_up_and_kept_apart_from_the_loss(penalty, expected):
    real = images() * 0 + 0.5
    results = []
    for added in ([], penalty):
        keras.utils.set_random_seed(0)
        results.append(
            update_discriminator(
                small_gan().discriminator,
                real,
                images(seed=1),
                penalties=added,
            )
        )
    (d_loss, *_), (same_d_loss, found, *_) = results
    assert float(found) == expected
    assert float(d_loss) == float(same_d_loss)


def test_keras_spectral_normalization_changes_with_the_discriminator_only():
    """Keras' layer overwrites its kernel whenever it is called in training."""
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.SpectralNormalization(keras.layers.Dense(1)),
        ]
    )
    gan = GAN(small_gan().generator, network)
    before = values(network.variables)
    latents = gan.sample_latents(8, seed=0)
    update_generator(gan, latents, images(8), "hinge")
    assert_same(before, values(network.variables))
    update_discriminator(network, images(8), images(8, seed=1))
    assert_changed(before[:1], values(network.variables)[:1])
