import keras
import numpy as np
import pytest
from support.models import assert_same_variables, random_images

from gan_blocks import metrics


def disks(count, seed=0, side=8):
    """Returns gray images of `side` pixels, each with a disk."""
    random = np.random.default_rng(seed)
    rows, columns, radius = random.uniform(2, 5, (3, count, 1, 1))
    y, x = np.mgrid[:side, :side] * 8 / side
    distance = np.hypot(y - rows, x - columns)
    return np.tanh(radius - distance)[..., None].astype("float32")


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "shape", [(5, 9, 1), pytest.param((70, 90, 4), marks=pytest.mark.slow)]
)
def test_images_of_any_shape_have_features(shape, tmp_path):
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (12, *shape), "uint8")
    model = metrics.train_features(real, steps=1)
    height, width = (32, 42) if shape[0] == 70 else shape[:2]
    assert model.input_shape == (None, height, width, shape[2])
    images = real / np.float32(127.5) - 1
    features, logits = metrics.FeatureExtractor(model)(images)
    assert np.isfinite(features).all() and logits is None
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=0.05)
    model.save(tmp_path / "features.keras")
    loaded = keras.saving.load_model(tmp_path / "features.keras")
    again, _ = metrics.FeatureExtractor(loaded)(images)
    np.testing.assert_allclose(again, features, atol=1e-4)


@pytest.mark.slow
@pytest.mark.every_backend
def test_the_seed_decides_and_the_global_state_stays_unchanged():
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(0)
    expected = keras.random.uniform((3,)), np.random.uniform(size=3)
    keras.utils.set_random_seed(0)
    first, second = (
        metrics.train_features(disks(50), steps=1, seed=1) for _ in range(2)
    )
    drawn = keras.random.uniform((3,)), np.random.uniform(size=3)
    np.testing.assert_array_equal(drawn[0], expected[0])
    np.testing.assert_array_equal(drawn[1], expected[1])
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert_same_variables(first, second)
    assert first.variables[0].dtype == "float32"


def test_worse_images_have_larger_distances():
    features = metrics.train_features(disks(300), steps=20)
    quality = metrics.Quality(disks(300), features)
    noise = 0.4 * random_images(300)
    images = disks(300, seed=1)
    ghosts = images / 2 + np.roll(images, 1, axis=0) / 2
    good, noisy, very_noisy, ghost = (
        quality.evaluate_images([part]).values["kid"]
        for part in (images, images + noise, images + 3 * noise, ghosts)
    )
    assert abs(good) < 0.1 * noisy < noisy < very_noisy
    assert abs(good) < 0.1 * ghost


@pytest.mark.slow
def test_grain_of_single_pixels_counts_less_than_a_wrong_shape():
    features = metrics.train_features(disks(300, side=64), steps=20)
    quality = metrics.Quality(disks(300, side=64), features)
    images = disks(300, seed=1, side=64)
    grain = np.random.default_rng(0).normal(0, 0.1, images.shape)
    ghosts = images / 2 + np.roll(images, 1, axis=0) / 2
    grainy, ghost = (
        quality.evaluate_images([part]).values["kid"]
        for part in (images + grain.astype("float32"), ghosts)
    )
    assert grainy < 0.1 * ghost


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (random_images(8), {"steps": 0}, "`steps` must be"),
        (random_images(1), {}, "at least 2 images"),
        (random_images(8)[..., 0], {}, "must have the shape"),
    ],
)
def test_invalid_arguments_are_errors(images, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.train_features(images, **options)
