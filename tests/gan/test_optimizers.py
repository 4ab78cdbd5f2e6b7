from gan_blocks import penalties
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


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_returns_float32_images(policy):
    keras.config.set_dtype_policy(policy)
    gan = compiled(
        small_gan(ema_momentum=0.9),
        penalty=[penalties.R1(0.1), penalties.GradientPenalty(0.1)],
    )
    before = values(gan.trainable_variables)
    gan.fit(images(), batch_size=16, epochs=3, verbose=0)
    after = values(gan.trainable_variables)
    assert_changed(before, after)
    assert all(np.isfinite(value).all() for value in after)
    assert gan.generate(2).dtype == np.float32


def test_float16_uses_loss_scaling_and_skips_a_step_that_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    gan = compiled()
    optimizer = gan.optimizer.discriminator_optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    before = values(gan.discriminator.trainable_variables)
    scale = float(ops.convert_to_numpy(optimizer.dynamic_scale))
    with np.errstate(all="ignore"):
        gan.fit(images() * np.nan, batch_size=32, verbose=0)
    assert_same(before, values(gan.discriminator.trainable_variables))
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) == scale / 2


def test_loss_scaling_does_not_change_the_step():
    results = []
    for scale in (False, True):
        keras.utils.set_random_seed(0)
        gan = small_gan()
        optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
        if scale:
            optimizers = map(keras.optimizers.LossScaleOptimizer, optimizers)
        gan.compile(*optimizers)
        gan.fit(images(), batch_size=16, shuffle=False, verbose=0)
        results.append(values(gan.trainable_variables))
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_learning_rate_callbacks_change_both_optimizers():
    gan = compiled(rate=0.5)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    gan.fit(images(), epochs=2, verbose=0, callbacks=[halve])
    for optimizer in gan.optimizer.optimizers:
        assert float(optimizer.learning_rate.numpy()) == 0.125


def test_the_moving_average_of_an_optimizer_replaces_the_weights_at_the_end():
    gan = small_gan()
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    gan.compile(averaging, "sgd")
    gan.fit(images(), batch_size=8, verbose=0)
    assert_same(
        values(gan.generator.trainable_variables),
        values(averaging._model_variables_moving_average),
    )
