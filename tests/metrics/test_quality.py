import json

import keras
import numpy as np
import pytest

from gan_blocks import GAN, callbacks, metrics, networks

every_backend = pytest.mark.every_backend


def pooled(size=8, channels=1):
    """A model of images with the means of their quarters as features."""
    return keras.Sequential(
        [
            keras.Input((size, size, channels)),
            keras.layers.AveragePooling2D(size // 2),
            keras.layers.Flatten(),
        ],
        name="pooled",
    )


def noise(number, seed=0, size=8, low=-1.0):
    random = np.random.default_rng(seed)
    return random.uniform(low, 1, (number, size, size, 1)).astype("float32")


def tiny_gan():
    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=4, units=(8,)),
        networks.mlp_discriminator((8, 8, 1), units=(8,)),
        seed=0,
    )
    gan.compile("adam", "adam")
    return gan


@every_backend
def test_features_are_those_of_the_model_whatever_the_batch():
    images = noise(7)
    extract = metrics.FeatureExtractor(pooled())
    features, logits = extract(images, batch_size=3)
    quarters = images.reshape(7, 2, 4, 2, 4).mean((2, 4)).reshape(7, 4)
    np.testing.assert_allclose(features, quarters, atol=1e-6)
    assert logits is None
    assert extract.protocol["number_of_features"] == 4


@every_backend
def test_images_are_resized_and_gray_ones_coloured_for_the_model():
    extract = metrics.FeatureExtractor(pooled(16, channels=3), name="colours")
    features, _ = extract(np.full((2, 9, 7, 1), 0.25, "float32"))
    np.testing.assert_allclose(features, np.full((2, 12), 0.25), atol=1e-5)
    assert extract.protocol["features"] == "colours"
    assert "16 x 16" in extract.protocol["resizing"]


def test_equal_weights_have_equal_names_and_others_others():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3))
    first = metrics.FeatureExtractor(model).protocol["weights"]
    assert metrics.FeatureExtractor(model).protocol["weights"] == first
    model.layers[-1].bias.assign(np.ones(3))
    assert metrics.FeatureExtractor(model).protocol["weights"] != first


def test_a_model_of_maps_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="features of shape"):
        metrics.FeatureExtractor(model)


def test_without_weights_of_inception_it_says_what_to_do(monkeypatch):
    def fail(**arguments):
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "InceptionV3", fail)
    with pytest.raises(RuntimeError, match="of your own.*no network"):
        metrics.Quality(noise(8))


def test_quality_is_what_the_metrics_say_of_all_the_features():
    real, gan = noise(60), tiny_gan()
    quality = metrics.Quality(real, pooled(), num_images=50, seed=3)
    result = quality(gan)
    extract = metrics.FeatureExtractor(pooled())
    latents = gan.sample_latents(50, seed=3)
    features = [extract(x)[0] for x in (real, gan.generate(latents=latents))]
    fits = metrics.GaussianFit(), metrics.GaussianFit()
    for fit, part in zip(fits, features, strict=True):
        fit.update(part)
    kid, error = metrics.kernel_distance(*features)
    precision, recall = metrics.precision_recall(*features)
    expected = {
        "fid": metrics.frechet_distance(*fits),
        "kid": kid,
        "kid_error": error,
        "precision": precision,
        "recall": recall,
    }
    assert result.values == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert result.protocol["number_of_images"] == 50
    assert result.protocol["number_of_real_images"] == 60
    assert result.protocol["seed"] == 3
    assert json.loads(json.dumps(result.protocol)) == result.protocol
    assert "fid" in str(result) and "number_of_images: 50" in str(result)


def test_bytes_and_floats_of_the_same_pictures_are_the_same():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
    floats = pixels / np.float32(127.5) - 1
    fake = [noise(40, seed=1)]
    results = [
        metrics.Quality(real, pooled()).of_images(fake).values
        for real in (pixels, floats)
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_with_logits_the_classes_are_counted():
    images = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(
        images, [mean, keras.layers.Concatenate()([mean, -mean])]
    )
    quality = metrics.Quality(noise(20), model)
    both = quality.of_images([noise(20) + 0.5, noise(20) - 0.5]).values
    one = quality.of_images([noise(20) + 0.5]).values
    assert both["modes"] == 2 and both["mode_kl"] == pytest.approx(0)
    assert one["modes"] == 1 and one["mode_kl"] == pytest.approx(np.log(2))


@pytest.mark.parametrize("num_images", [3, 0, -1])
def test_too_few_images_are_refused(num_images):
    with pytest.raises(ValueError, match="num_images"):
        metrics.Quality(noise(8), pooled(), num_images)


# The classifier.


def test_the_classifier_is_trained_once_and_the_same_from_the_same_data(
    tmp_path, monkeypatch
):
    labels = np.random.default_rng(0).integers(0, 2, 300)
    images = np.where(labels[:, None, None, None] > 0, 200, 50)
    images = np.broadcast_to(images, (300, 8, 8, 1)).astype("uint8")
    state = np.random.get_state()[1].copy()
    first = metrics.train_classifier(images, labels, tmp_path / "a")
    again = metrics.train_classifier(images, labels, tmp_path / "b")
    assert (np.random.get_state()[1] == state).all()
    for one, other in zip(first.weights, again.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    features, logits = metrics.FeatureExtractor(first)(images / 127.5 - 1)
    assert features.shape == (300, 64)
    assert (logits.argmax(axis=1) == labels).mean() > 0.95
    monkeypatch.setattr(keras.Model, "fit", None)  # Now only from the cache.
    cached = metrics.train_classifier(images, labels, tmp_path / "a")
    assert (cached.weights[0].numpy() == first.weights[0].numpy()).all()
    with pytest.raises(TypeError):
        metrics.train_classifier(images[:200], labels[:200], tmp_path / "a")


def test_images_and_labels_that_do_not_match_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one integer for each image"):
        metrics.train_classifier(noise(5), np.zeros(4, int), tmp_path)
    with pytest.raises(ValueError, match="one integer for each image"):
        metrics.train_classifier(noise(5), np.zeros(5), tmp_path)


# In training.


class Counting:
    """A quality that is worse with each look at it."""

    def __init__(self):
        self.looks = 0

    def __call__(self, model):
        self.looks += 1
        return metrics.QualityResult({"kid": float(self.looks)}, {})


def test_the_monitor_measures_every_so_many_epochs_and_remembers():
    monitor = callbacks.QualityMonitor(Counting(), every_n_epochs=3)
    history = tiny_gan().fit(noise(8), epochs=7, verbose=0, callbacks=[monitor])
    assert history.history["kid"] == [1, 1, 2, 2, 2, 3, 3]
    assert [epoch for epoch, _ in monitor.results] == [1, 3, 6]


def test_other_callbacks_act_on_what_the_monitor_logs(tmp_path):
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.keras",
        monitor="kid",
        mode="min",
        save_best_only=True,
    )
    stop = keras.callbacks.EarlyStopping("kid", patience=2, mode="min")
    monitor = callbacks.QualityMonitor(Counting())
    history = tiny_gan().fit(
        noise(8), epochs=9, verbose=0, callbacks=[monitor, best, stop]
    )
    assert len(history.history["kid"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["1.keras"]


@every_backend
def test_measuring_changes_nothing_in_the_training():
    weights = []
    for measured in (True, False):
        keras.utils.set_random_seed(0)
        gan = tiny_gan()
        quality = metrics.Quality(noise(8), pooled(), num_images=8)
        monitor = [callbacks.QualityMonitor(quality)] if measured else []
        gan.fit(noise(16), epochs=2, verbose=0, callbacks=monitor)
        weights.append(gan.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_evaluate_adds_the_quality_to_the_losses():
    gan, quality = tiny_gan(), Counting()
    assert gan.evaluate(quality=quality) == {"kid": 1.0}
    logs = gan.evaluate(noise(8), quality=quality, verbose=0)
    assert logs["kid"] == 2.0 and "d_loss" in logs
    assert isinstance(gan.evaluate(noise(8), verbose=0), list)
