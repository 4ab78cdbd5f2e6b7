import dataclasses

import keras
import numpy as np
import pytest
from support.models import assert_same_variables

from gan_blocks import layers
from gan_blocks.plan import Plan


def small(shape=(8, 8, 3), **settings):
    return Plan(shape, base_filters=4, batch_size=4, **settings)


@pytest.mark.parametrize(
    ("shape", "filters", "rate", "flip"),
    [
        ((64, 64, 3), 32, 4e-4, True),
        ((28, 28, 3), 64, 4e-4, True),
        ((28, 28, 1), 32, 8e-4, False),
    ],
)
def test_defaults_depend_on_the_images(shape, filters, rate, flip):
    plan = Plan(shape)
    assert (plan.base_filters, plan.learning_rate) == (filters, rate)
    assert plan.flip is flip
    assert Plan(shape, flip=not flip).flip is not flip


def test_cats_of_64_pixels_have_the_measured_networks_and_settings():
    gan = Plan((64, 64, 3)).build()
    generator, discriminator = gan.generator, gan.discriminator
    assert generator.count_params() == 1_372_611
    assert discriminator.count_params() == 695_585
    assert gan.ema_momentum == 0.9999
    assert gan.loss.label_smoothing == 0.1
    config = gan.get_compile_config()
    (penalty,) = config["penalty"]
    assert penalty["config"] == {"weight": 0.1, "interval": 8}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = config[name]["config"]
        assert optimizer["learning_rate"] == pytest.approx(4e-4)
        assert optimizer["beta_1"] == 0.5


@pytest.mark.parametrize("shape", [(28, 28, 1), (24, 48, 1)])
def test_small_gray_images_have_one_more_block(shape):
    def convolutions(shape):
        discriminator = small(shape).build().discriminator
        return sum("conv" in layer.name for layer in discriminator.layers)

    assert convolutions(shape) == convolutions((*shape[:2], 3)) + 1


def test_generators_of_drawings_without_classes_compute_features():
    def has_features(channels, **settings):
        gan = small((8, 8, channels), **settings).build()
        return layers.DenseBlock in map(type, gan.generator.layers)

    assert has_features(1)
    assert not has_features(1, drawings=False)
    assert not has_features(1, num_classes=3)
    assert not has_features(3)
    assert has_features(3, drawings=True)


@pytest.mark.parametrize(
    ("shape", "num_classes"),
    [
        ((8, 8, 3), None),
        ((14, 14, 1), None),
        pytest.param((8, 12, 4), 3, marks=pytest.mark.every_backend),
    ],
)
def test_a_plan_builds_a_gan_that_trains(shape, num_classes):
    gan = small(shape, num_classes=num_classes).build()
    data = [np.zeros((4, *shape), "float32")]
    if num_classes:
        data.append(np.arange(4) % num_classes)
    logs = gan.fit(*data, batch_size=4, verbose=0).history
    assert np.isfinite(logs["d_loss"] + logs["g_loss"]).all()
    images = gan.generate(2, seed=0)
    assert images.shape == (2, *shape)


def test_a_built_gan_can_be_saved(tmp_path):
    for plan in (small((14, 14, 1)), small(num_classes=2)):
        gan = plan.build()
        gan.save(tmp_path / "gan.keras")
        loaded = keras.saving.load_model(tmp_path / "gan.keras")
        assert_same_variables(loaded, gan)


def test_the_seed_decides_the_weights():
    one, other = small(seed=1).build(), small(seed=1).build()
    assert_same_variables(one, other)
    with pytest.raises(AssertionError):
        assert_same_variables(small(seed=2).build().generator, one.generator)


def test_a_plan_survives_being_stored_as_json_does():
    plan = small(num_classes=3)
    stored = dataclasses.asdict(plan)
    stored["image_shape"] = list(stored["image_shape"])
    assert Plan(**stored) == plan


def test_a_plan_prints_as_a_table():
    reasons = {"Size": "the usual size"}
    reasons["Steps"] = "a b " * 30
    plan = Plan((64, 96, 3), num_classes=2, minutes=20, reasons=reasons)
    text = str(plan)
    assert max(map(len, text.splitlines())) < 80
    assert text.splitlines()[:6] == [
        "Size           64 x 96 pixels (height x width), color: the usual size",
        "Classes        2",
        "Networks       DCGAN with 32 base filters: best in measurements",
        "Learning rate  0.0004 (Adam, both networks): best in measurements",
        "Batch size     64",
        "Augmentation   none",
    ]
    assert "Steps          5,000 (125 per round): a b a" in text
    assert "Pictures       drawings\n" in str(Plan((28, 28, 1)))
    assert "Time           20 min 00 s" in text


@pytest.mark.every_backend
@pytest.mark.parametrize("augment", ["diff", "adaptive"])
def test_augmentation_and_precision_are_part_of_the_networks(augment):
    before = keras.config.dtype_policy()
    gan = small(augment=augment, precision="bfloat16").build()
    assert keras.config.dtype_policy() is before
    first = gan.discriminator.layers[1]
    assert first.name.startswith(f"{augment}_augment")
    assert first.dtype_policy.name == "mixed_bfloat16"
    images = np.zeros((4, 8, 8, 3), "float32")
    gan.fit(images, batch_size=4, verbose=0)
    assert gan.generate(1, seed=0).dtype == "float32"


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((8, 8), {}, "`image_shape` must be .height, width, channels."),
        ((8, 8, 2), {}, "with 1, 3 or 4 channels"),
        ((50, 50, 3), {}, "`image_shape`"),
        ((8, 8, 3), {"rounds": 0}, "`rounds` must be a positive integer"),
        ((8, 8, 3), {"minutes": float("nan")}, "`minutes` must be positive"),
        ((8, 8, 3), {"augment": "much"}, "`augment` must be one of"),
        ((8, 8, 3), {"precision": "float16"}, "`precision` must be one of"),
        ((8, 8, 3), {"batch_size": 1.5}, "`batch_size` must be a positive"),
        ((8, 8, 3), {"learning_rate": 0}, "`learning_rate` must be positive"),
    ],
)
def test_wrong_settings_are_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        Plan(shape, **settings)
