import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN, layers, penalties
from gan_blocks.plan import Plan, choosing, fine_tune, make_plan


@pytest.fixture(autouse=True)
def speed(monkeypatch):
    """Steps are not timed, which would take seconds."""
    monkeypatch.setattr(choosing, "_seconds_per_step", lambda *_: 0.01)


def conditional_gan():
    return GAN(*gans.conditional_networks(), num_classes=3, seed=0)


def averaging_gan():
    return gans.small_gan(ema_momentum=0.9)


def plan_for(gan, **settings):
    settings = {"batch_size": 8, "num_classes": gan.num_classes, **settings}
    return Plan(gan.image_shape, start_from="gan.keras", **settings)


def assert_same_weights(network, expected):
    gans.assert_same(gans.values(network.weights), gans.values(expected))


@pytest.mark.every_backend
def test_it_starts_from_both_networks_and_does_not_change_them():
    gan = gans.trained(averaging_gan)
    before = gans.values(gan.variables)
    tuned = fine_tune(gan, plan_for(gan))
    assert_same_weights(tuned.generator, gan.generator.weights)
    assert_same_weights(tuned.discriminator, gan.discriminator.weights)
    assert tuned.optimizer.iterations == 0
    tuned.fit(gans.images(), batch_size=8, verbose=0)
    assert tuned.optimizer.iterations == 4
    gans.assert_changed(
        gans.values(tuned.discriminator.trainable_weights),
        gans.values(gan.discriminator.trainable_weights),
    )
    gans.assert_same(gans.values(gan.variables), before)


@pytest.mark.every_backend
@pytest.mark.parametrize("build", [averaging_gan, conditional_gan])
def test_a_saved_copy_continues_without_the_trained_gan(build, tmp_path):
    gan = gans.compiled(build())
    tuned = fine_tune(gan, plan_for(gan, augment="diff"))
    tuned.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    data = [gans.images()]
    if gan.num_classes:
        data.append(np.arange(32) % gan.num_classes)
    for one in (tuned, loaded):
        one.fit(*data, batch_size=8, shuffle=False, verbose=0)
    gans.assert_same_state(loaded, tuned)


def test_the_compile_settings_stay_with_rates_in_the_same_ratio():
    gan = gans.small_gan()
    gan.compile(
        keras.optimizers.RMSprop(2e-3),
        keras.optimizers.Adam(5e-4, beta_1=0.3),
        loss="hinge",
        discriminator_steps=2,
        penalty=penalties.R1(0.5),
        steps_per_execution=4,
    )
    tuned = fine_tune(gan, plan_for(gan, learning_rate=1e-3))
    generator, discriminator = tuned.optimizer.optimizers
    assert type(generator) is keras.optimizers.RMSprop
    assert float(generator.learning_rate) == pytest.approx(1e-3)
    assert float(discriminator.learning_rate) == pytest.approx(2.5e-4)
    assert discriminator.beta_1 == 0.3
    before, after = gan.get_compile_config(), tuned.get_compile_config()
    for name in ("loss", "discriminator_steps", "penalty"):
        assert after[name] == before[name]
    assert tuned.steps_per_execution == 1


def test_optimizers_with_schedules_and_loss_scaling_get_new_rates():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 4, 0.5)
    with_schedule = gans.trained(rate=schedule)
    tuned = fine_tune(with_schedule, plan_for(with_schedule))
    for optimizer in tuned.optimizer.optimizers:
        assert float(optimizer.learning_rate) == pytest.approx(8e-4)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        gan = gans.compiled()
    finally:
        keras.config.set_dtype_policy(before)
    optimizer = fine_tune(gan, plan_for(gan)).optimizer.generator_optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(optimizer.learning_rate) == pytest.approx(8e-4)


def test_a_gan_without_average_or_optimizers_gets_those_of_a_plan():
    gan = gans.small_gan()
    tuned = fine_tune(gan, plan_for(gan))
    assert tuned.ema_momentum == 0.9999
    assert tuned.loss.label_smoothing == 0.1
    rate = tuned.optimizer.generator_optimizer.learning_rate
    assert float(rate) == pytest.approx(plan_for(gan).learning_rate)


def test_the_precision_stays():
    gan = Plan((8, 8, 3), base_filters=4, precision="bfloat16").build()
    plan = plan_for(gan, precision="bfloat16")
    dtypes = [
        [layer.compute_dtype for layer in network.layers]
        for one in (gan, fine_tune(gan, plan))
        for network in (one.generator, one.discriminator)
    ]
    assert dtypes[:2] == dtypes[2:]
    assert "bfloat16" in dtypes[0]


def test_the_seed_decides_the_noise():
    gan = gans.compiled(gans.small_gan())
    plan = plan_for(gan, seed=3, augment="adaptive")
    one, other = fine_tune(gan, plan), fine_tune(gan, plan)
    for tuned in (one, other):
        tuned.fit(gans.images(), batch_size=8, shuffle=False, verbose=0)
    gans.assert_same_state(one, other)
    third = fine_tune(gan, plan_for(gan, seed=4, augment="adaptive"))
    states = [gans.values([tuned.noise.state]) for tuned in (other, third)]
    gans.assert_changed(*states)


@pytest.mark.parametrize("build", [averaging_gan, conditional_gan])
def test_augmentation_comes_before_the_discriminator(build):
    gan = gans.compiled(build())
    tuned = fine_tune(gan, plan_for(gan, augment="adaptive"))
    assert_same_weights(
        tuned.discriminator.layers[-1], gan.discriminator.weights
    )
    (layer,) = tuned._observers
    assert isinstance(layer, layers.AdaptiveAugment)
    again = fine_tune(tuned, plan_for(tuned, augment="adaptive"))
    assert len(again._observers) == 1
    with pytest.raises(ValueError, match="`augment` must be adaptive"):
        fine_tune(tuned, plan_for(tuned, augment="none"))


def test_a_plan_follows_the_trained_gan():
    gan = gans.compiled(conditional_gan(), rate=0.02)
    pixels, labels = np.zeros((40, 4, 4, 1), "uint8"), np.arange(40) % 3
    plan = make_plan(pixels, 2, labels, gan=gan, start_from="runs/cats")
    assert plan.learning_rate == pytest.approx(0.02)
    assert plan.num_classes == 3 and plan.base_filters is None
    rows = str(plan).splitlines()
    assert "Starts from    runs/cats" in rows
    assert "Networks       those of the trained GAN" in rows
    assert "Learning rate  0.02: like that of the trained GAN" in rows
    assert make_plan(pixels, 2, labels, gan=gan).start_from == gan.name
    with pytest.raises(ValueError, match=r"use `fine_tune\(gan, plan\)`"):
        plan.build()


@pytest.mark.parametrize(
    ("build", "shape", "labels", "settings", "message"),
    [
        (gans.small_gan, (8, 8, 1), None, {}, r"must be \(4, 4, 1\)"),
        (gans.small_gan, (4, 4, 1), [1, 1], {}, "`num_classes` must be None"),
        (conditional_gan, (4, 4, 1), None, {}, "`num_classes` must be 3"),
        (conditional_gan, (4, 4, 1), [0, 1], {}, "num_classes=2"),
        (
            gans.small_gan,
            *((4, 4, 1), None, {"precision": "bfloat16"}),
            "`precision` must be float32",
        ),
        (
            gans.small_gan,
            *((4, 4, 1), None, {"base_filters": 8}),
            "`base_filters` cannot be chosen",
        ),
    ],
)
def test_what_does_not_fit_the_trained_gan_is_refused(
    build, shape, labels, settings, message
):
    images = np.zeros((2, *shape), "uint8")
    labels = None if labels is None else np.array(labels)
    with pytest.raises(ValueError, match=message):
        make_plan(images, 1, labels, gan=build(), **settings)


def test_few_color_pictures_are_augmented():
    trained = Plan((8, 8, 3), base_filters=4).build()
    plan = make_plan(np.zeros((20, 8, 8, 3), "uint8"), steps=1000, gan=trained)
    assert plan.augment == "diff"
    tuned = fine_tune(trained, plan)
    first = tuned.discriminator.layers[1]
    assert isinstance(first, layers.DiffAugment)
