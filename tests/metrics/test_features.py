from unittest import mock

import keras
import numpy as np
import pytest
from support.models import pooling_model, random_images

from gan_blocks import metrics


@pytest.mark.every_backend
def test_features_do_not_depend_on_the_batch_size():
    images = random_images(7)
    extract = metrics.FeatureExtractor(pooling_model())
    features, logits = extract(images, batch_size=3)
    quarters = images.reshape(7, 2, 4, 2, 4).mean((2, 4)).reshape(7, 4)
    np.testing.assert_allclose(features, quarters, atol=1e-6)
    assert logits is None
    assert extract.protocol["number_of_features"] == 4


@pytest.mark.every_backend
def test_images_are_resized_and_gray_is_repeated_for_the_model():
    model = pooling_model(16, channels=3)
    extract = metrics.FeatureExtractor(model, name="colors")
    features, _ = extract(np.full((2, 9, 7, 1), 0.25, "float32"))
    np.testing.assert_allclose(features, np.full((2, 12), 0.25), atol=1e-5)
    assert extract.protocol["features"] == "colors"
    assert "16 x 16" in extract.protocol["resizing"]


@pytest.mark.every_backend
def test_images_with_transparency_are_put_on_gray_for_the_model():
    extract = metrics.FeatureExtractor(pooling_model(16, channels=3))
    images = np.full((2, 16, 16, 4), 0.8, "float32")
    images[0, ..., 3], images[1, ..., 3] = -1, 0
    features, _ = extract(images)
    np.testing.assert_allclose(features[0], 0, atol=1e-6)
    np.testing.assert_allclose(features[1], 0.4, atol=1e-6)


@pytest.mark.every_backend
def test_features_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    features, _ = metrics.FeatureExtractor(pooling_model())(random_images(3))
    assert features.dtype == "float32"


def test_the_protocol_identifies_the_weights():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3))
    first = metrics.FeatureExtractor(model).protocol["weights"]
    assert metrics.FeatureExtractor(model).protocol["weights"] == first
    model.layers[-1].bias.assign(np.ones(3))
    assert metrics.FeatureExtractor(model).protocol["weights"] != first


def test_a_model_that_returns_feature_maps_is_an_error():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="features of shape"):
        metrics.FeatureExtractor(model)


def test_a_model_without_images_is_an_error():
    model = keras.Sequential([keras.Input((8,)), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="of images .batch, height"):
        metrics.FeatureExtractor(model)


def test_integers_that_are_not_uint8_are_refused():
    extract = metrics.FeatureExtractor(pooling_model())
    with pytest.raises(ValueError, match="must be of dtype uint8.*int64"):
        extract(np.zeros((2, 8, 8, 1), "int64"))


def test_the_error_without_inception_weights_suggests_another_model(
    monkeypatch,
):
    fail = mock.Mock(side_effect=OSError("no network"))
    monkeypatch.setattr(keras.applications, "InceptionV3", fail)
    with pytest.raises(RuntimeError, match="your own Keras model.*no network"):
        metrics.Quality(random_images(8))
