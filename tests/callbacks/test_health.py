import types

import keras
import numpy as np
import pytest

from gan_blocks import networks
from gan_blocks.callbacks import WarnOnTrouble
from gan_blocks.gan.model import GAN

HEALTHY = {"spread": 0.82, "real_accuracy": 0.71, "fake_accuracy": 0.78}
PROBLEMS = {
    "mode collapse": {"spread": 0.05},
    "discriminator dominates": {"real_accuracy": 0.999, "fake_accuracy": 0.99},
    "discriminator at chance": {"real_accuracy": 0.5, "fake_accuracy": 0.6},
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def feed(caplog, *epochs, warn=None, steps=300, first_step=0):
    """Passes logs of epochs to the callback, and returns its warnings."""
    optimizer = types.SimpleNamespace(iterations=first_step)
    warn = warn or WarnOnTrouble()
    warn.set_model(types.SimpleNamespace(optimizer=optimizer))
    warn.on_train_begin()
    caplog.clear()
    for epoch, logs in enumerate(epochs):
        warn.on_epoch_begin(epoch)
        optimizer.iterations += steps
        warn.on_epoch_end(epoch, logs)
    warn.on_train_end()
    return caplog.messages


@every_problem
def test_a_lasting_problem_is_logged_once(problem, caplog):
    logs = HEALTHY | PROBLEMS[problem]
    warn = WarnOnTrouble()
    (message,) = feed(caplog, HEALTHY, *[logs] * 9, warn=warn)
    assert message.startswith(f"Epoch 3: {problem} (")
    assert warn.message.startswith(f"Epoch 10: {problem} (")


@pytest.mark.parametrize(
    ("steps", "epochs", "first_step"),
    [
        (5000, 2, 0),
        (99, 3, 0),
        (12, 17, 0),  # 800 images: at step 204 of the run.
        (12, 9, 5000),
        (1, 100, 5000),
    ],
)
def test_a_problem_must_last_for_two_epochs_and_100_steps_until_step_200(
    steps, epochs, first_step, caplog
):
    options = {"steps": steps, "first_step": first_step}
    logs = HEALTHY | PROBLEMS["mode collapse"]
    assert feed(caplog, *[logs] * (epochs - 1), **options) == []
    (message,) = feed(caplog, *[logs] * epochs, **options)
    assert message.startswith(f"Epoch {epochs}: ")


@every_problem
def test_a_problem_that_returns_is_logged_again(problem, caplog):
    logs = HEALTHY | PROBLEMS[problem]
    assert len(feed(caplog, *[logs] * 4, HEALTHY, *[logs] * 4)) == 2


@every_problem
def test_a_problem_of_one_epoch_is_not_logged(problem, caplog):
    logs = HEALTHY | PROBLEMS[problem]
    warn = WarnOnTrouble()
    assert feed(caplog, logs, *[HEALTHY, logs] * 5, warn=warn) == []
    assert warn.message is None


def test_the_message_disappears_with_the_problem(caplog):
    warn = WarnOnTrouble()
    logs = HEALTHY | PROBLEMS["mode collapse"]
    assert feed(caplog, *[logs] * 3, HEALTHY, warn=warn)
    assert warn.message is None
    feed(caplog, *[logs] * 3, warn=warn)
    assert warn.message
    feed(caplog, warn=warn)  # A new run begins.
    assert warn.message is None and warn.verdict is None


def test_a_resumed_fit_continues_the_duration_of_a_problem(caplog):
    logs = HEALTHY | PROBLEMS["mode collapse"]
    warn = WarnOnTrouble()
    assert feed(caplog, logs, warn=warn) == []
    (message,) = feed(caplog, logs, warn=warn, first_step=300)
    assert message.startswith("Epoch 1: mode collapse")
    assert feed(caplog, logs, warn=warn, first_step=600) == []
    assert warn.verdict.startswith("Mode collapse: spread 0.05")


@pytest.mark.parametrize(
    ("real", "fake"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)]
)
def test_a_discriminator_with_one_answer_is_at_chance(real, fake, caplog):
    logs = {"spread": 1.0, "real_accuracy": real, "fake_accuracy": fake}
    (message,) = feed(caplog, *[logs] * 4)
    assert "discriminator at chance" in message
    assert f"right about {real:.0%} of real" in message


def test_each_of_several_problems_is_logged(caplog):
    warn = WarnOnTrouble()
    logs = {"spread": 0.0, "real_accuracy": 1.0, "fake_accuracy": 1.0}
    assert len(feed(caplog, *[logs] * 4, warn=warn)) == 2
    assert len(warn.message.splitlines()) == 2
    assert warn.verdict.startswith(
        "Mode collapse and discriminator dominates: spread 0.00; "
    )


@pytest.mark.parametrize("logs", [None, {}, {"loss": 0.1}])
def test_logs_of_other_models_are_ignored(logs, caplog):
    warn = WarnOnTrouble()
    assert feed(caplog, *[logs] * 5, warn=warn) == []
    assert warn.verdict is None and not caplog.records


def test_nan_is_not_a_mode_collapse(caplog):
    assert feed(caplog, *[{"spread": np.nan, "d_loss": np.nan}] * 5) == []


@pytest.mark.parametrize(
    ("logs", "epochs", "verdict"),
    [
        (
            HEALTHY,
            3,
            "No sign of mode collapse: spread 0.82; the discriminator is right "
            "about 71% of real and 78% of generated pictures.",
        ),
        ({"spread": 0.82}, 3, "No sign of mode collapse: spread 0.82."),
        ({"spread": np.nan}, 3, "The training has diverged: spread nan."),
        ({"spread": 0.03}, 3, "Mode collapse: spread 0.03."),
        (
            {"spread": 0.03},
            1,
            "Too early to tell, but possibly mode collapse: spread 0.03.",
        ),
        (
            {"real_accuracy": 0.9, "fake_accuracy": 0.9},
            2,
            "No sign of a problem: the discriminator is right about 90% of "
            "real and 90% of generated pictures.",
        ),
    ],
)
def test_the_verdict_summarizes_the_last_epoch(logs, epochs, verdict, caplog):
    warn = WarnOnTrouble()
    feed(caplog, *[logs] * epochs, warn=warn)
    assert warn.verdict == verdict


# Training.


@pytest.mark.parametrize(
    ("expected", "latent_scale", "discriminator_rate"),
    [
        (None, 1.0, 1e-3),
        ("mode collapse", 0.0, 1e-3),
        ("discriminator at chance", 1.0, 0.0),
    ],
)
def test_training_with_a_problem_is_detected(
    expected, latent_scale, discriminator_rate
):
    network = networks.mlp_generator((8, 8, 1), latent_dim=8, units=(64,))
    scale = keras.layers.Rescaling(latent_scale)
    generator = keras.Sequential([keras.Input((8,)), scale, network])
    discriminator = networks.mlp_discriminator((8, 8, 1), units=(64,))
    gan = GAN(generator, discriminator, seed=0)
    gan.compile(
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.Adam(discriminator_rate, beta_1=0.5),
    )
    warn = WarnOnTrouble()
    options = {"batch_size": 16, "epochs": 3, "verbose": 0}
    shades = np.random.default_rng(0).uniform(-1, 1, (1280, 1, 1, 1))
    images = shades.repeat(8, 1).repeat(8, 2)
    history = gan.fit(images, callbacks=[warn], **options)
    assert history.epoch == [0, 1, 2]  # A problem does not stop training.
    if expected is None:
        assert warn.message is None
        assert warn.verdict.startswith("No sign of mode collapse: spread ")
    else:
        assert f"Epoch 3: {expected} (" in warn.message
