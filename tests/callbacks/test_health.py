import logging
import types

from gan_blocks import GAN, callbacks, losses, networks, penalties
import keras
from keras import ops
import numpy as np
import pytest

SHAPE = (4, 4, 1)


def networks_of(latents_matter=True):
    generator = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Rescaling(float(latents_matter)),
            keras.layers.Dense(16, activation="tanh"),
            keras.layers.Reshape(SHAPE),
        ]
    )
    discriminator = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    return generator, discriminator


def compiled(gan=None, loss="non_saturating", rate=0.0, **options):
    gan = gan or GAN(*networks_of(), seed=0)
    gan.compile(
        keras.optimizers.SGD(rate), keras.optimizers.SGD(rate), loss, **options
    )
    return gan


def images(number=16, scale=1.0, seed=0):
    random = np.random.default_rng(seed)
    return scale * random.uniform(-1, 1, (number, *SHAPE)).astype("float32")


def logs_of(gan, real_images, batch_size=16, **options):
    history = gan.fit(
        real_images, batch_size=batch_size, shuffle=False, verbose=0, **options
    ).history
    return {name: value[-1] for name, value in history.items()}


def evaluated(gan, real_images, batch_size=16):
    return gan.evaluate(
        real_images, batch_size=batch_size, verbose=0, return_dict=True
    )


def deviation(images):
    """The root mean squared deviation from the mean image, in float64."""
    images = np.asarray(images, "float64")
    return np.sqrt(((images - images.mean(axis=0)) ** 2).mean())


def drawing(gan, latents):
    """Makes a GAN draw from given latents."""
    gan._noise_like = lambda *_: ops.convert_to_tensor(latents)
    return gan


# The spread.


@pytest.mark.every_backend
def test_the_logs_are_those_worked_out_by_hand():
    gan = compiled()
    latents = gan.sample_latents(16, seed=0)
    real, fake = images(scale=0.5), gan.generate(latents=latents)
    real_logits, fake_logits = (
        ops.convert_to_numpy(gan.discriminator(batch)) for batch in (real, fake)
    )
    expected = {
        "real_accuracy": (real_logits > 0).mean(),
        "fake_accuracy": (fake_logits < 0).mean(),
        "spread": deviation(fake) / deviation(real),
    }
    drawing(gan, latents)
    for logs in (logs_of(gan, real), evaluated(gan, real)):
        for name, value in expected.items():
            assert logs[name] == pytest.approx(value, rel=1e-5), name
    assert 0.0 < expected["real_accuracy"] < 1.0


def test_the_spread_of_the_datas_own_distribution_is_about_one():
    gan = compiled()
    real = gan.generate(640, seed=0)
    assert logs_of(gan, real, 64)["spread"] == pytest.approx(1.0, abs=0.05)
    assert logs_of(gan, real / 2, 64)["spread"] == pytest.approx(2.0, abs=0.1)


def test_the_spread_of_a_constant_generator_is_zero():
    gan = compiled(GAN(*networks_of(latents_matter=False), seed=0))
    assert logs_of(gan, images())["spread"] < 1e-6
    assert evaluated(gan, images() + 100.0)["spread"] < 1e-6


@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("real", "batch_size"),
    [(images(4), 1), (images(1).repeat(8, 0) * 255, 8), (images(8) * 0, 8)],
    ids=["one image", "equal images", "black images"],
)
def test_without_variety_in_the_data_the_spread_is_one(real, batch_size):
    assert evaluated(compiled(), real, batch_size)["spread"] == 1.0


def test_a_single_image_at_the_end_gives_no_false_alarm():
    gan = compiled()
    real = gan.generate(9, seed=0)
    assert 0.5 < logs_of(gan, real, batch_size=8)["spread"] < 1.5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_images_are_compared_in_full(policy):
    keras.config.set_dtype_policy(policy)
    gan = compiled()
    latents = gan.sample_latents(2048, seed=0)
    assert ops.dtype(gan(latents)) == policy.removeprefix("mixed_")
    real, fake = images(2048), gan.generate(latents=latents)
    drawing(gan, latents)
    expected = deviation(fake) / deviation(real)
    for logs in (logs_of(gan, real, 2048), evaluated(gan, real, 2048)):
        assert logs["spread"] == pytest.approx(expected, rel=2e-3)
        assert np.isfinite(list(logs.values())).all()


# The accuracies.

LOGITS = np.array([[2.0], [-1.0], [0.5], [0.25]], "float32")


def scores(loss, real_logits, fake_logits):
    logs = compiled(loss=loss)._scores(
        *map(ops.convert_to_tensor, (real_logits, fake_logits))
    )
    return {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize(
    ("loss", "real_accuracy", "fake_accuracy"),
    [
        ("non_saturating", 0.75, 0.25),
        ("minimax", 0.75, 0.25),
        ("hinge", 0.75, 0.25),
        # The labels are 1 and 0. Of 2, -1, 0.5 and 0.25 one is above the
        # half, and one on it.
        ("least_squares", 0.375, 0.625),
    ],
)
def test_accuracies_are_shares_on_the_right_side_of_the_threshold(
    loss, real_accuracy, fake_accuracy
):
    logs = scores(loss, LOGITS, LOGITS)
    assert logs["real_accuracy"] == real_accuracy
    assert logs["fake_accuracy"] == fake_accuracy
    logs = scores(loss, LOGITS * 0 + 5, LOGITS * 0 - 5)
    assert (logs["real_accuracy"], logs["fake_accuracy"]) == (1.0, 1.0)


def test_a_discriminator_that_says_nothing_is_right_half_the_time():
    logs = scores("hinge", LOGITS * 0, LOGITS * 0)
    assert (logs["real_accuracy"], logs["fake_accuracy"]) == (0.5, 0.5)


def test_every_patch_of_logits_counts():
    patches = np.full((1, 3, 4, 1), -1.0, "float32")
    patches[0, 0] = 1.0
    logs = scores("non_saturating", patches, patches)
    assert logs["real_accuracy"] == pytest.approx(1 / 3)
    assert logs["fake_accuracy"] == pytest.approx(2 / 3)


class DuckLoss:
    """A loss that is no `AdversarialLoss`, and names no threshold."""

    def discriminator(self, real_logits, fake_logits):
        return ops.mean(fake_logits) - ops.mean(real_logits)

    def generator(self, real_logits, fake_logits):
        return -ops.mean(fake_logits)


@pytest.mark.parametrize(
    "loss", ["wasserstein", "relativistic_pairing", DuckLoss()]
)
def test_logits_that_mean_nothing_alone_have_no_accuracies(loss):
    gan = compiled(loss=loss)
    for logs in (evaluated(gan, images()), logs_of(gan, images())):
        assert "spread" in logs
        assert not {"real_accuracy", "fake_accuracy"} & set(logs)


def test_a_loss_of_ones_own_may_set_its_threshold():
    class Shifted(losses.Hinge):
        decision_threshold = 1.0

    assert scores(Shifted(), LOGITS, LOGITS)["real_accuracy"] == 0.25
    assert losses.AdversarialLoss.decision_threshold == 0.0


def test_the_logs_change_nothing_that_is_learned():
    class Silent(GAN):
        def _scores(self, real_logits, fake_logits):
            return {}

    weights = []
    for kind in (GAN, Silent):
        keras.utils.set_random_seed(0)
        gan = compiled(
            kind(*networks_of(), ema_momentum=0.9, seed=0),
            rate=0.1,
            penalty=penalties.R1(),
            # Compiled, other operations may be fused, and rounded otherwise.
            run_eagerly=True,
        )
        logs = logs_of(gan, images(64), epochs=2)
        weights.append([ops.convert_to_numpy(w).copy() for w in gan.weights])
    assert logs["real_accuracy"] == 0.0  # It was not logged.
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


# The callback.

HEALTHY = {"spread": 0.8, "real_accuracy": 0.8, "fake_accuracy": 0.9}
TROUBLES = {
    "collapsed": {"spread": 0.05},
    "right about almost every image": {
        "real_accuracy": 0.999,
        "fake_accuracy": 0.99,
    },
    "tells nothing": {"real_accuracy": 0.5, "fake_accuracy": 0.6},
}


def told(caplog, *epochs, warn=None, steps=300):
    """Returns the warnings that logs lead to."""
    optimizer = types.SimpleNamespace(iterations=0)
    warn = warn or callbacks.WarnOnTrouble()
    warn.set_model(types.SimpleNamespace(optimizer=optimizer))
    warn.on_train_begin()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "gan_blocks.callbacks"):
        for epoch, logs in enumerate(epochs):
            warn.on_epoch_begin(epoch)
            optimizer.iterations += steps
            warn.on_epoch_end(epoch, logs)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("words", TROUBLES)
def test_trouble_that_lasts_is_told_once(words, caplog):
    sick = HEALTHY | TROUBLES[words]
    warn = callbacks.WarnOnTrouble()
    (message,) = told(caplog, HEALTHY, *[sick] * 9, warn=warn)
    assert words in message
    assert words in warn.message
    assert warn.message.startswith("Epoch 10: ")


@pytest.mark.parametrize(
    ("steps", "epochs"), [(300, 2), (5000, 2), (250, 2), (249, 3), (10, 50)]
)
def test_trouble_must_last_for_two_epochs_and_500_steps(steps, epochs, caplog):
    sick = HEALTHY | TROUBLES["collapsed"]
    assert told(caplog, *[sick] * (epochs - 1), steps=steps) == []
    (message,) = told(caplog, *[sick] * epochs, steps=steps)
    assert message.startswith(f"Epoch {epochs}: ")


@pytest.mark.parametrize("words", TROUBLES)
def test_trouble_that_comes_back_is_told_again(words, caplog):
    sick = HEALTHY | TROUBLES[words]
    assert len(told(caplog, *[sick] * 4, HEALTHY, *[sick] * 4)) == 2


@pytest.mark.parametrize("words", TROUBLES)
def test_trouble_that_passes_is_not_told(words, caplog):
    sick = HEALTHY | TROUBLES[words]
    warn = callbacks.WarnOnTrouble()
    assert told(caplog, sick, *[HEALTHY, sick] * 5, warn=warn) == []
    assert warn.message is None


def test_what_is_wrong_is_forgotten_when_it_has_gone_away(caplog):
    warn = callbacks.WarnOnTrouble()
    sick = HEALTHY | TROUBLES["collapsed"]
    assert told(caplog, *[sick] * 3, HEALTHY, warn=warn)
    assert warn.message is None
    told(caplog, *[sick] * 3, warn=warn)
    assert warn.message
    warn.on_train_begin()
    assert warn.message is None


@pytest.mark.parametrize(
    ("real_accuracy", "fake_accuracy"),
    [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)],
)
def test_one_side_all_right_and_the_other_all_wrong_tells_nothing(
    real_accuracy, fake_accuracy, caplog
):
    logs = {
        "spread": 1.0,
        "real_accuracy": real_accuracy,
        "fake_accuracy": fake_accuracy,
    }
    (message,) = told(caplog, *[logs] * 4)
    assert f"takes {real_accuracy:.1%} of the real" in message


def test_several_troubles_are_told_each_for_itself(caplog):
    warn = callbacks.WarnOnTrouble()
    logs = {"spread": 0.0, "real_accuracy": 1.0, "fake_accuracy": 1.0}
    assert len(told(caplog, *[logs] * 4, warn=warn)) == 2
    assert len(warn.message.splitlines()) == 2


@pytest.mark.parametrize(
    "logs", [None, {}, {"loss": 0.1}, {"spread": np.nan, "d_loss": np.nan}]
)
def test_logs_that_say_nothing_lead_to_nothing(logs, caplog):
    assert told(caplog, *[logs] * 5) == []


def test_without_accuracies_the_spread_still_tells_of_a_collapse(caplog):
    assert len(told(caplog, *[{"spread": 0.01}] * 5)) == 1


# Training.


def blobs(number, seed=0):
    """Pictures of a bright spot, anywhere."""
    random = np.random.default_rng(seed)
    centres = random.uniform(2, 6, (number, 2, 1))
    axis = np.arange(8) + 0.5
    row, column = np.exp(-((axis - centres) ** 2) / 2).transpose(1, 0, 2)
    spots = row[:, :, None] * column[:, None, :]
    return (2 * spots - 1).astype("float32")[..., None]


def train(caplog, latents_matter=True, discriminator_rate=1e-3, **options):
    generator = networks.mlp_generator((8, 8, 1), latent_dim=8, units=(64,))
    if not latents_matter:
        latents = keras.Input((8,))
        zeros = keras.layers.Rescaling(0.0)(latents)
        generator = keras.Model(latents, generator(zeros))
    gan = GAN(
        generator, networks.mlp_discriminator((8, 8, 1), units=(64,)), seed=0
    )
    gan.compile(
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.Adam(discriminator_rate, beta_1=0.5),
    )
    warn = callbacks.WarnOnTrouble()
    with caplog.at_level(logging.WARNING, "gan_blocks.callbacks"):
        history = gan.fit(
            blobs(3200), batch_size=16, epochs=3, verbose=0, callbacks=[warn]
        ).history
    assert len(history["spread"]) == 3  # It never stops training.
    warnings = [r for r in caplog.records if r.name == "gan_blocks.callbacks"]
    assert bool(warnings) == bool(warn.message)
    return warn.message


def test_a_healthy_training_is_not_warned_of(caplog):
    assert train(caplog) is None


def test_a_generator_that_ignores_its_latents_is_warned_of(caplog):
    assert "collapsed" in train(caplog, latents_matter=False)


def test_a_discriminator_that_learns_nothing_is_warned_of(caplog):
    assert "tells nothing" in train(caplog, discriminator_rate=0.0)
