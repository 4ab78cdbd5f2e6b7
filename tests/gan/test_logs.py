"""The logs `spread`, `real_accuracy` and `fake_accuracy`."""

import keras
import numpy as np
import pytest
from keras import ops

from gan_blocks import losses, penalties
from gan_blocks.gan import logs
from gan_blocks.gan.model import GAN

SHAPE = (4, 4, 1)
LOGITS = np.array([[2.0], [-1.0], [0.5], [0.25]], "float32")


class FixedImages(keras.layers.Layer):
    """Returns the same images for any latents."""

    def __init__(self, images):
        super().__init__()
        self.images = np.asarray(images)
        self.offset = self.add_weight(shape=(), initializer="zeros")

    def call(self, latents):
        images = ops.convert_to_tensor(self.images, self.compute_dtype)
        # Training needs something to differentiate.
        return images[: ops.shape(latents)[0]] + self.offset

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.images.shape[1:])

    def get_config(self):
        return {"images": self.images}


def make_images(number=16, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    return scale * random.uniform(-1, 1, (number, *SHAPE)).astype("float32")


def make_gan(generated=None, loss="non_saturating", rate=0.0, **options):
    """Returns a GAN that generates fixed images, if they are given."""
    layers = [
        keras.layers.Dense(16, activation="tanh"),
        keras.layers.Reshape(SHAPE),
    ]
    if generated is not None:
        layers = [FixedImages(generated)]
    shape = SHAPE if generated is None else generated.shape[1:]
    discriminator = [keras.layers.Flatten(), keras.layers.Dense(1)]
    gan = GAN(
        keras.Sequential([keras.Input((3,)), *layers]),
        keras.Sequential([keras.Input(shape), *discriminator]),
        ema_momentum=0.9 if rate else None,
        seed=0,
    )
    optimizers = keras.optimizers.SGD(rate), keras.optimizers.SGD(rate)
    gan.compile(*optimizers, loss, **options)
    return gan


def fit(gan, real_images, batch_size=16, **options):
    options = {"shuffle": False, "verbose": 0, **options}
    history = gan.fit(real_images, batch_size=batch_size, **options).history
    return {name: value[-1] for name, value in history.items()}


def evaluate(gan, real_images, batch_size=16):
    options = {"batch_size": batch_size, "verbose": 0, "return_dict": True}
    return gan.evaluate(real_images, **options)


def deviation(images):
    """The root mean squared deviation from the mean image, in float64."""
    images = np.asarray(images, "float64")
    return np.sqrt(((images - images.mean(axis=0)) ** 2).mean())


@pytest.mark.every_backend
def test_the_logs_match_a_computation_by_hand():
    real, fake = make_images(scale=0.5), make_images(seed=1)
    gan = make_gan(fake)
    real_logits, fake_logits = (
        ops.convert_to_numpy(gan.discriminator(batch)) for batch in (real, fake)
    )
    expected = {
        "real_accuracy": (real_logits > 0).mean(),
        "fake_accuracy": (fake_logits < 0).mean(),
        "spread": deviation(fake) / deviation(real),
    }
    assert 0.0 < expected["real_accuracy"] < 1.0
    for found in (fit(gan, real), evaluate(gan, real)):
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-5), name


# Spread.


def test_the_spread_of_identical_images_is_zero():
    gan = make_gan(make_images(1).repeat(16, 0))
    assert fit(gan, make_images())["spread"] < 1e-6
    assert evaluate(gan, make_images() + 100.0)["spread"] < 1e-6


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("real", "batch_size"),
    [
        (make_images(4), 1),
        (make_images(1).repeat(8, 0) * 255, 8),
        (make_images(8) * 0, 8),
    ],
    ids=["one image", "equal images", "black images"],
)
def test_the_spread_is_one_if_the_real_images_are_equal(real, batch_size):
    assert evaluate(make_gan(), real, batch_size)["spread"] == 1.0


def test_a_single_image_in_the_last_batch_does_not_look_like_a_collapse():
    gan = make_gan()
    real = gan.generate(9, seed=0)
    assert 0.5 < fit(gan, real, batch_size=8)["spread"] < 1.5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_images_are_compared_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    real, fake = make_images(2048), make_images(2048, seed=1)
    gan = make_gan(fake)
    expected = deviation(fake) / deviation(real)
    for found in (fit(gan, real, 2048), evaluate(gan, real, 2048)):
        assert found["spread"] == pytest.approx(expected, rel=2e-3)
        assert np.isfinite(list(found.values())).all()


# Accuracies.


def accuracies(loss, real_logits, fake_logits):
    """Returns both accuracies of a discriminator whose logit is the pixel."""
    real, fake = (
        np.reshape(logits, (-1, 1, 1, 1))
        for logits in (real_logits, fake_logits)
    )
    gan = make_gan(fake, loss, run_eagerly=True)
    gan.discriminator.layers[-1].kernel.assign([[1.0]])
    found = evaluate(gan, real)
    return found["real_accuracy"], found["fake_accuracy"]


class ShiftedHinge(losses.Hinge):
    decision_threshold = 1.0


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("non_saturating", (0.75, 0.25)),
        ("minimax", (0.75, 0.25)),
        ("hinge", (0.75, 0.25)),
        (ShiftedHinge(), (0.25, 0.75)),
        # The labels are 1 and 0, so the threshold is 0.5. Of the logits 2, -1,
        # 0.5 and 0.25, one is above it and one is on it, which counts half.
        ("least_squares", (0.375, 0.625)),
    ],
)
def test_accuracies_are_shares_on_the_right_side_of_the_threshold(
    loss, expected
):
    assert accuracies(loss, LOGITS, LOGITS) == expected
    assert accuracies(loss, LOGITS * 0 + 5, LOGITS * 0 - 5) == (1.0, 1.0)


def test_every_patch_of_logits_counts():
    patches = np.full((1, 3, 4, 1), -1.0, "float32")
    patches[0, 0] = 1.0
    found = logs.scores(patches, patches, threshold=0.0)
    assert float(found["real_accuracy"]) == pytest.approx(1 / 3)
    assert float(found["fake_accuracy"]) == pytest.approx(2 / 3)


class CustomLoss:
    """A loss that is not an `AdversarialLoss` and has no threshold."""

    def discriminator(self, real_logits, fake_logits):
        return ops.mean(fake_logits) - ops.mean(real_logits)

    def generator(self, real_logits, fake_logits):
        return -ops.mean(fake_logits)


@pytest.mark.parametrize(
    "loss", ["wasserstein", "relativistic_pairing", CustomLoss()]
)
def test_losses_without_a_threshold_have_no_accuracies(loss):
    gan = make_gan(loss=loss)
    for found in (evaluate(gan, make_images()), fit(gan, make_images())):
        assert "spread" in found
        assert not {"real_accuracy", "fake_accuracy"} & set(found)


def test_the_logs_do_not_change_training(monkeypatch):
    def train():
        keras.utils.set_random_seed(0)
        # Compiled operations may be fused and rounded differently.
        options = {"penalty": penalties.R1(), "run_eagerly": True}
        gan = make_gan(rate=0.1, **options)
        found = fit(gan, make_images(64), epochs=2)
        return found, [ops.convert_to_numpy(w).copy() for w in gan.weights]

    _, expected = train()
    monkeypatch.setattr(logs, "scores", lambda *_: {})
    found, weights = train()
    assert found["real_accuracy"] == 0.0  # It was not logged.
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_array_equal(one, other)
