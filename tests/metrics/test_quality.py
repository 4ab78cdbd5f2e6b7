import json

import keras
import numpy as np
import pytest
from support.models import assert_same_variables, pooling_model, random_images

from gan_blocks import callbacks, layers, metrics, networks
from gan_blocks.gan.model import GAN


def build_gan():
    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=4, units=(8,)),
        networks.mlp_discriminator((8, 8, 1), units=(8,)),
        seed=0,
    )
    gan.compile("adam", "adam")
    return gan


def test_quality_equals_the_separate_metrics():
    real, gan = random_images(60), build_gan()
    quality = metrics.Quality(real, pooling_model(), num_images=50, seed=3)
    result = quality(gan)
    extract = metrics.FeatureExtractor(pooling_model())
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


def test_a_conditional_gan_generates_all_classes_equally_often():
    # The only pixel of an image is its class, of which there are more than
    # the images that are generated at a time.
    classes = np.arange(700.0)
    latents, labels = keras.Input((1,)), keras.Input((), dtype="int32")
    pixel = keras.layers.Rescaling(1.0)(keras.layers.Reshape((1, 1, 1))(labels))
    generator = keras.Model([latents, labels], pixel)
    image, labels = keras.Input((1, 1, 1)), keras.Input((), dtype="int32")
    feature = keras.layers.Flatten()(image)
    logit = layers.ProjectionHead(700)([feature, labels])
    discriminator = keras.Model([image, labels], logit)
    classify = keras.layers.Dense(700)
    model = keras.Model(image, [feature, classify(feature)])
    # The logits 2 k x - k^2 are largest for the class k = x.
    classify.set_weights([2 * classes[None], -(classes**2)])

    gan = GAN(generator, discriminator, num_classes=700)
    real = np.zeros((8, 1, 1, 1), "float32")
    values = metrics.Quality(real, model, num_images=1400)(gan).values
    assert values["modes"] == 700 and values["mode_kl"] == pytest.approx(0)


def test_uint8_and_float_images_give_the_same_result():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
    floats = pixels / np.float32(127.5) - 1
    fake = [random_images(40, seed=1)]
    from_pixels, from_floats = (
        metrics.Quality(real, pooling_model()).evaluate_images(fake).values
        for real in (pixels, floats)
    )
    assert from_pixels == pytest.approx(from_floats, rel=1e-5)


def test_a_model_with_logits_adds_the_mode_coverage():
    images = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(
        images, [mean, keras.layers.Concatenate()([mean, -mean])]
    )
    real = random_images(20)
    quality = metrics.Quality(real, model)
    both = quality.evaluate_images([real + 0.5, real - 0.5]).values
    one = quality.evaluate_images([real + 0.5]).values
    assert both["modes"] == 2 and both["mode_kl"] == pytest.approx(0)
    assert one["modes"] == 1 and one["mode_kl"] == pytest.approx(np.log(2))


def test_fewer_than_four_images_are_an_error():
    with pytest.raises(ValueError, match="num_images"):
        metrics.Quality(random_images(8), pooling_model(), num_images=3)


class CountingQuality:
    """Returns a larger distance in each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, model):
        self.calls += 1
        return metrics.QualityResult({"kid": float(self.calls)}, {})


def fit(epochs, *fit_callbacks):
    return build_gan().fit(
        random_images(8), epochs=epochs, verbose=0, callbacks=fit_callbacks
    )


def test_a_monitor_needs_something_that_measures():
    with pytest.raises(ValueError, match="`quality` must be"):
        callbacks.QualityMonitor("fid")


def test_the_monitor_repeats_the_last_value_between_measurements():
    monitor = callbacks.QualityMonitor(CountingQuality(), every_n_epochs=3)
    assert fit(7, monitor).history["kid"] == [1, 1, 2, 2, 2, 3, 3]
    assert [epoch for epoch, _ in monitor.results] == [1, 3, 6]


def test_keras_callbacks_can_use_the_values_of_the_monitor(tmp_path):
    monitor = callbacks.QualityMonitor(CountingQuality())
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.keras",
        monitor="kid",
        mode="min",
        save_best_only=True,
    )
    stop = keras.callbacks.EarlyStopping("kid", patience=2, mode="min")
    assert len(fit(9, monitor, best, stop).history["kid"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["1.keras"]


@pytest.mark.every_backend
def test_the_monitor_does_not_change_the_training():
    quality = metrics.Quality(random_images(8), pooling_model(), num_images=8)
    gans = []
    for used in ([callbacks.QualityMonitor(quality)], []):
        keras.utils.set_random_seed(0)
        gans.append(build_gan())
        gans[-1].fit(random_images(16), epochs=2, verbose=0, callbacks=used)
    assert_same_variables(*gans)
