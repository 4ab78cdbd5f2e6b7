import keras
from keras import ops
import numpy as np
import pytest
from support.gans import (
    assert_same,
    compiled,
    generator,
    images,
    small_gan,
    values,
)

pytestmark = pytest.mark.every_backend


def test_the_average_follows_weights_and_statistics_after_a_warm_up():
    gan = compiled(small_gan(ema_momentum=0.5))
    expected = values(gan.generator.weights)
    for step in range(1, 13):
        gan.fit(images(seed=step), batch_size=32, verbose=0)
        momentum = min(0.5, (1 + step) / (10 + step))
        for i, weight in enumerate(values(gan.generator.weights)):
            expected[i] = momentum * expected[i] + (1 - momentum) * weight
    assert momentum == 0.5  # The warm-up is over.
    for one, two in zip(expected, values(gan.generator_averages), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_generate_call_and_predict_use_the_averaged_generator():
    gan = compiled(small_gan(ema_momentum=0.9))
    gan.fit(images(), batch_size=8, epochs=5, verbose=0)
    latents = gan.sample_latents(3, seed=0)
    averaged = generator()
    averaged.set_weights(values(gan.generator_averages))
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
    results = []
    for momentum in (None, 0.9):
        keras.utils.set_random_seed(0)
        gan = compiled(small_gan(ema_momentum=momentum))
        gan.fit(images(), batch_size=8, shuffle=False, verbose=0)
        results.append(values(gan.trainable_variables))
    assert_same(*results)
