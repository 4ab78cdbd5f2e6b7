import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import penalties

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_returns_float32_images(policy):
    keras.config.set_dtype_policy(policy)
    gan = gans.compiled(
        gans.small_gan(ema_momentum=0.9),
        penalty=[penalties.R1(0.1), penalties.GradientPenalty(0.1)],
    )
    before = gans.values(gan.trainable_variables)
    gan.fit(gans.images(), batch_size=16, epochs=3, verbose=0)
    after = gans.values(gan.trainable_variables)
    gans.assert_changed(before, after)
    assert all(np.isfinite(value).all() for value in after)
    assert gan.generate(2).dtype == np.float32


def test_float16_uses_loss_scaling_and_skips_a_step_that_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    gan = gans.compiled()
    optimizer = gan.optimizer.discriminator_optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    before = gans.values(gan.discriminator.trainable_variables)
    scale = float(ops.convert_to_numpy(optimizer.dynamic_scale))
    images = gans.Batches(gans.images() * np.nan, 32)
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="NaN"):
        gan.fit(images, shuffle=False, verbose=0)
    gans.assert_same(before, gans.values(gan.discriminator.trainable_variables))
    assert float(ops.convert_to_numpy(optimizer.dynamic_scale)) == scale / 2


# JAX computes in float32 unless jax_enable_x64 is set, and says so.
@pytest.mark.filterwarnings("ignore:.*float64:UserWarning")
@pytest.mark.parametrize("interval", [1, 2])
def test_float64_trains_with_penalties(interval):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    gan = gans.compiled(
        penalty=[penalties.R1(interval=interval), penalties.GradientPenalty()],
        run_eagerly=True,
    )
    before = gans.values(gan.trainable_variables)
    gan.fit(gans.images(16), batch_size=8, verbose=0)
    gans.assert_changed(before, gans.values(gan.trainable_variables))


def test_loss_scaling_does_not_change_the_step():
    def scaled(rate):
        return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate))

    results = [
        gans.values(gans.trained(optimizer=optimizer).trainable_variables)
        for optimizer in (keras.optimizers.SGD, scaled)
    ]
    gans.assert_close(*results, rtol=1e-5, atol=1e-7)


def test_learning_rate_callbacks_change_both_optimizers():
    gan = gans.compiled(rate=0.5)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    gan.fit(gans.images(), epochs=2, verbose=0, callbacks=[halve])
    for optimizer in gan.optimizer.optimizers:
        assert float(optimizer.learning_rate.numpy()) == 0.125


def test_the_moving_average_of_an_optimizer_replaces_the_weights_at_the_end():
    gan = gans.small_gan()
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    gan.compile(averaging, "sgd")
    gan.fit(gans.images(), batch_size=8, verbose=0)
    gans.assert_same(
        gans.values(gan.generator.trainable_variables),
        gans.values(averaging._model_variables_moving_average),
    )
