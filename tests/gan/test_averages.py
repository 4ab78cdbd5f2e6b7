import keras
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


def averaged_gan():
    return gans.compiled(gans.small_gan(ema_momentum=0.99))


def train(gan, steps=12):
    gan.fit(gans.images(8 * steps), batch_size=8, verbose=0)


def ways_to_generate(gan, latents):
    """Returns images of all methods that use the average."""
    return [
        gan.generate(latents=latents),
        ops.convert_to_numpy(gan(latents)),
        gan.predict(latents, verbose=0),
        ops.convert_to_numpy(gan.averaged_generator()(latents)),
    ]


def assert_shows(gan, generator):
    latents = gan.sample_latents(3, seed=0)
    expected = ops.convert_to_numpy(generator(latents))
    for found in ways_to_generate(gan, latents):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("by", ["load_weights", "set_weights"])
def test_before_the_first_step_the_average_is_the_generator(tmp_path, by):
    pretrained = gans.generator()
    gan = averaged_gan()
    gan.predict(gan.sample_latents(3), verbose=0)  # It is compiled now.
    if by == "load_weights":
        pretrained.save_weights(tmp_path / "generator.weights.h5")
        gan.generator.load_weights(tmp_path / "generator.weights.h5")
    else:
        gan.generator.set_weights(pretrained.get_weights())
    assert_shows(gan, pretrained)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert_shows(loaded, pretrained)
    loaded.generator.set_weights(gans.generator().get_weights())
    assert_shows(loaded, loaded.generator)
    # The average starts with these weights.
    train(gan, steps=1)
    momentum = 2 / 11
    expected = [
        momentum * old + (1 - momentum) * new
        for old, new in zip(
            gans.values(pretrained.weights),
            gans.values(gan.generator.weights),
            strict=True,
        )
    ]
    found = gans.values(gan.generator_averages)
    gans.assert_close(expected, found, rtol=1e-4, atol=1e-6)


def test_evaluate_uses_the_generator_before_and_the_average_after_training():
    gan = averaged_gan()
    gan.compile("adam", "adam", loss="hinge")
    gan.evaluate(gans.images(), verbose=0)  # It is compiled now.
    train(gan)
    averaged = gan.averaged_generator()
    plain = gans.compiled(gans.small_gan(), loss="hinge")
    plain.generator.set_weights(averaged.get_weights())
    plain.discriminator.set_weights(gan.discriminator.get_weights())
    for one in (gan, plain):
        one.evaluation_noise.state.assign([1, 2])
    results = [one.evaluate(gans.images(), verbose=0) for one in (gan, plain)]
    np.testing.assert_allclose(*results, rtol=1e-4)


def test_an_averaged_generator_stays_the_same_while_training_continues():
    gan = averaged_gan()
    train(gan)
    averaged = gan.averaged_generator()
    before = gans.values(averaged.variables)
    train(gan)
    gans.assert_same(gans.values(averaged.variables), before)


def averaged_gan_with(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return averaged_gan()
    finally:
        keras.config.set_dtype_policy(before)


def test_the_averages_of_bfloat16_weights_are_float32(tmp_path):
    gan = averaged_gan_with("bfloat16")
    assert gan.generator.weights[0].dtype == "bfloat16"
    assert {average.dtype for average in gan.generator_averages} == {"float32"}
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(
        again.generate(3, seed=0), gan.generate(3, seed=0)
    )


@pytest.mark.every_backend
def test_an_averaged_generator_computes_with_float32():
    gan = averaged_gan_with("mixed_bfloat16")
    generator = gan.averaged_generator()
    assert {x.compute_dtype for x in generator._flatten_layers()} == {"float32"}
    assert "bfloat16" in {
        x.compute_dtype for x in gan.generator._flatten_layers()
    }
    latents = gan.sample_latents(3, seed=0)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(generator(latents)),
        gan.generate(latents=latents),
        atol=0.02,
    )


@pytest.mark.parametrize(
    "by",
    [
        "compile",
        pytest.param("load", marks=pytest.mark.slow),
        pytest.param("load without compile", marks=pytest.mark.slow),
    ],
)
def test_the_average_survives_a_second_compile(tmp_path, by):
    gan = averaged_gan()
    train(gan, steps=60)
    if by != "compile":
        gan.save(tmp_path / "gan.keras")
        compiled = by == "load"
        gan = keras.saving.load_model(tmp_path / "gan.keras", compile=compiled)
    before = gan.generate(3, seed=0)
    gans.compiled(gan)
    np.testing.assert_array_equal(gan.generate(3, seed=0), before)
    assert int(gan.optimizer.iterations) == 60
    expected = gans.values(gan.generator_averages)
    for step in range(61, 73):
        train(gan, steps=1)
        momentum = (1 + step) / (10 + step)
        for i, weight in enumerate(gans.values(gan.generator.weights)):
            expected[i] = momentum * expected[i] + (1 - momentum) * weight
    found = gans.values(gan.generator_averages)
    gans.assert_close(expected, found, rtol=1e-3, atol=1e-5)


def test_a_loaded_gan_shows_the_saved_average(tmp_path):
    gan = averaged_gan()
    train(gan)
    averaged = gan.averaged_generator()
    gan.save(tmp_path / "gan.keras")
    gan.save_weights(tmp_path / "gan.weights.h5")
    path = tmp_path / "gan.keras"
    assert_shows(keras.saving.load_model(path), averaged)
    assert_shows(keras.saving.load_model(path, compile=False), averaged)
    by_weights = averaged_gan()
    by_weights.predict(gan.sample_latents(3), verbose=0)  # Compiled now.
    by_weights.load_weights(tmp_path / "gan.weights.h5")
    assert_shows(by_weights, averaged)
    copied = gans.small_gan(ema_momentum=0.9)
    copied.set_weights(gan.get_weights())
    assert_shows(copied, averaged)


def test_weights_of_a_gan_that_was_not_trained_contain_its_generator():
    gan, other = (gans.small_gan(ema_momentum=0.9) for _ in range(2))
    weights = [array + 1 for array in gan.generator.get_weights()]
    gan.generator.set_weights(weights)
    other.set_weights(gan.get_weights())
    assert_shows(other, gan.generator)


@pytest.mark.slow
def test_load_weights_works_with_the_average_switched_on_or_off(tmp_path):
    averaged = averaged_gan()
    plain = gans.compiled()
    for gan in (averaged, plain):
        train(gan)
    path = tmp_path / "gan.weights.h5"
    averaged.save_weights(path)
    off = gans.compiled()
    off.load_weights(path)
    assert_shows(off, averaged.generator)
    plain.save_weights(path)
    on = averaged_gan()
    on.load_weights(path)
    assert_shows(on, plain.generator)
    train(on, steps=1)
    momentum = (1 + 13) / (10 + 13)
    expected = [
        momentum * old + (1 - momentum) * new
        for old, new in zip(
            gans.values(plain.generator.weights),
            gans.values(on.generator.weights),
            strict=True,
        )
    ]
    found = gans.values(on.generator_averages)
    gans.assert_close(expected, found, rtol=1e-4, atol=1e-6)


def test_a_refused_fit_and_saved_weights_keep_the_average(tmp_path):
    trained = gans.compiled(gans.small_gan(ema_momentum=0.9))
    trained.fit(gans.images(8), batch_size=4, verbose=0)
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9))
    with pytest.raises(ValueError, match=r"3, 3, 1"):
        batches = (batch for batch in np.zeros((2, 8, 3, 3, 1)))
        gan.fit(batches, shuffle=False, verbose=0)
    gan.generator.set_weights(trained.generator.get_weights())
    latents = gan.sample_latents(3, seed=0)
    expected = keras.ops.convert_to_numpy(gan.generator(latents))
    np.testing.assert_allclose(gan.generate(latents=latents), expected, 1e-5)
    gan.set_weights(trained.get_weights())
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    np.testing.assert_allclose(
        loaded.generate(latents=latents),
        trained.generate(latents=latents),
        1e-5,
    )
