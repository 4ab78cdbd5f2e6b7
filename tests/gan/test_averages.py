import numpy as np
import pytest
from keras import ops
from support import gans

pytestmark = pytest.mark.every_backend


def test_the_average_follows_weights_and_statistics_after_a_warm_up():
    gan = gans.compiled(gans.small_gan(ema_momentum=0.5))
    expected = gans.values(gan.generator.weights)
    for step in range(1, 13):
        gan.fit(gans.images(seed=step), batch_size=32, verbose=0)
        momentum = min(0.5, (1 + step) / (10 + step))
        for i, weight in enumerate(gans.values(gan.generator.weights)):
            expected[i] = momentum * expected[i] + (1 - momentum) * weight
    assert momentum == 0.5  # The warm-up is over.
    found = gans.values(gan.generator_averages)
    gans.assert_close(expected, found, rtol=1e-4, atol=1e-6)


def test_generate_call_and_predict_use_the_averaged_generator():
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9))
    gan.fit(gans.images(), batch_size=8, epochs=5, verbose=0)
    latents = gan.sample_latents(3, seed=0)
    averaged = gans.generator()
    averaged.set_weights(gans.values(gan.generator_averages))
    expected = ops.convert_to_numpy(averaged(latents))
    plain = ops.convert_to_numpy(gan.generator(latents))
    assert np.abs(expected - plain).max() > 1e-4
    for found in (
        gan.generate(latents=latents),
        ops.convert_to_numpy(gan(latents)),
        gan.predict(latents, verbose=0),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(
        gan.generate(latents=latents, batch_statistics=True, batch_size=3),
        ops.convert_to_numpy(averaged(latents, training=True)),
        atol=1e-5,
    )


def test_the_average_does_not_change_the_training():
    plain = gans.trained()
    averaged = gans.trained(lambda: gans.small_gan(ema_momentum=0.9))
    gans.assert_same(
        gans.values(plain.trainable_variables),
        gans.values(averaged.trainable_variables),
    )
