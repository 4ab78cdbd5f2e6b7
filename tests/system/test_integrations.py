"""A GAN together with TensorBoard, Keras callbacks and safe loading."""

import io
import runpy
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.disks import full_disk
from support.models import assert_same_variables, pooling_model

from gan_blocks import GAN, callbacks, metrics, replicas, runs
from gan_blocks.plan import Plan

RECIPE = Path(__file__).parents[2] / "recipes" / "digits_dcgan.py"


def make_gan(generator_rate=1e-3):
    gan = GAN(gans.generator(None), gans.discriminator(None), seed=0)
    gan.compile(
        keras.optimizers.Adam(generator_rate, name="generator"),
        keras.optimizers.Adam(4e-3, name="discriminator"),
    )
    return gan


def fit(gan, *used_callbacks, **options):
    """Trains four steps per epoch and returns the history."""
    options = {"batch_size": 8, "verbose": 0} | options
    used_callbacks = list(used_callbacks)
    return gan.fit(gans.images(), callbacks=used_callbacks, **options).history


def rates(gan):
    return [round(float(rate), 6) for rate in gan.optimizer.learning_rate]


def read_tensorboard(folder):
    """Returns steps and pixels of the images that TensorBoard shows."""
    module = "tensorboard.backend.event_processing.event_multiplexer"
    multiplexer = pytest.importorskip(module).EventMultiplexer
    loader = multiplexer(size_guidance={"tensors": 0})
    loader.AddRunsFromDirectory(str(folder)).Reload()
    return [
        (event.step, np.asarray(Image.open(io.BytesIO(strings[2]))))
        for event in loader.Tensors("images", "generated")
        for strings in [event.tensor_proto.string_val]
    ]


@pytest.mark.slow
@pytest.mark.every_backend
def test_tensorboard_shows_the_grids_at_their_steps(tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorflow")
    logs, grids = tmp_path / "logs", tmp_path / "grids"
    gan = make_gan()
    for _ in range(2):  # The second training continues the first.
        fit(
            gan,
            keras.callbacks.TensorBoard(logs, update_freq=3),
            callbacks.ImageGrid(grids, 2, tensorboard=logs),
        )
    shown = read_tensorboard(logs)
    assert [step for step, _ in shown] == [2, 4, 6, 8]
    for step, pixels in shown:
        with Image.open(grids / f"step_{step:07d}.png") as saved:
            np.testing.assert_array_equal(pixels, np.asarray(saved))
    assert {path.name for path in logs.iterdir()} == {"train", "images"}


def test_tensorboard_shows_the_other_images_after_the_disk_was_full(
    tmp_path, caplog
):
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorflow")
    gan = make_gan()
    grids = callbacks.ImageGrid(tmp_path / "grids", 2, tensorboard=tmp_path)
    fit(gan, grids)
    (events,) = (tmp_path / "images").iterdir()
    with full_disk(events.stat().st_size // 2):
        fit(gan, grids)
    fit(gan, grids)
    own = [r for r in caplog.records if r.name.startswith("gan_blocks")]
    messages = [record.getMessage() for record in own]
    (message,) = [text for text in messages if "grids" not in text]
    assert str(tmp_path) in message and "training continues" in message
    assert [step for step, _ in read_tensorboard(tmp_path)] == [2, 4, 10, 12]


def test_only_one_process_writes_for_tensorboard(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(replicas, "is_chief", lambda model: False)
    fit(make_gan(), callbacks.ImageGrid(tmp_path, 2, tensorboard=tmp_path))
    assert not [*tmp_path.iterdir()]


def test_a_missing_tensorboard_is_an_error_before_training(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        callbacks.ImageGrid(tmp_path, tensorboard=tmp_path)
    callbacks.ImageGrid(tmp_path)


@pytest.mark.slow
@pytest.mark.every_backend
def test_keras_callbacks_work_together_with_ours(tmp_path, capsys):
    seen = []
    distances = iter([0.5, 0.3, 0.4, 0.6, 0.1])  # Replace the measured ones.
    images = gans.images(seed=1)
    measure = metrics.Quality(images, pooling_model(4), num_images=32)

    def quality(gan):
        values = {**measure(gan).values, "kid": next(distances)}
        return metrics.QualityResult(values, {})

    gan = make_gan()
    history = fit(
        gan,
        callbacks.QualityMonitor(quality),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.ReduceLROnPlateau(
            "kid", factor=0.5, mode="min", patience=2
        ),
        keras.callbacks.EarlyStopping("kid", mode="min", patience=2),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", "kid", mode="min", save_best_only=True
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.ProgbarLogger(),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(logs["kid"])
        ),
        callbacks.ImageGrid(tmp_path / "grids", every_n_epochs=1),
        callbacks.HistoryTable(tmp_path / "history.csv"),
        callbacks.EpochCheckpoint(tmp_path / "checkpoints", every_n_epochs=2),
        callbacks.StopOnDivergence(),
        verbose=2,
        epochs=5,
    )
    assert seen == history["kid"] == [0.5, 0.3, 0.4, 0.6]  # Stopped early.
    assert rates(gan) == [0.0005, 0.002]
    best = keras.saving.load_model(tmp_path / "best.keras")
    assert runs.steps_done(best) == 2 * 4
    for name in ("log.csv", "history.csv"):
        rows = (tmp_path / name).read_text().splitlines()
        assert len(rows) == 1 + 4
        assert "learning_rate_discriminator" in rows[0]
    assert not (tmp_path / "backup").exists()  # Removed at the end of `fit`.
    assert capsys.readouterr().out.count("d_loss") >= 4


def test_a_learning_rate_schedule_of_one_network_is_saved(tmp_path):
    decay = keras.optimizers.schedules.PolynomialDecay(1e-3, 10, 0.0)
    gan = make_gan(decay)
    fit(gan)
    assert rates(gan) == [0.0006, 0.004]
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert rates(loaded) == [0.0006, 0.004]
    fit(loaded)
    assert rates(loaded) == [0.0002, 0.004]


@pytest.mark.every_backend
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_callback_for_one_optimizer_changes_only_that_optimizer(network):
    class Scheduler(keras.callbacks.LearningRateScheduler):
        def set_model(self, model):
            optimizer = getattr(model.optimizer, f"{network}_optimizer")
            super().set_model(types.SimpleNamespace(optimizer=optimizer))

    gan = make_gan()
    other = ({"generator", "discriminator"} - {network}).pop()
    frozen, trained = (
        getattr(gan, name).trainable_variables for name in (network, other)
    )
    before = gans.values(frozen), gans.values(trained)
    fit(gan, Scheduler(lambda epoch, rate: 0.0), epochs=2)
    gans.assert_same(before[0], gans.values(frozen))
    gans.assert_changed(before[1], gans.values(trained))


def test_backup_and_restore_after_a_plateau_callback_keeps_the_rates(tmp_path):
    def crash(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    plateau = keras.callbacks.ReduceLROnPlateau(
        "spread", 0.5, mode="min", patience=1, min_delta=1e9
    )
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    crash = keras.callbacks.LambdaCallback(on_epoch_begin=crash)
    with pytest.raises(KeyboardInterrupt):
        fit(make_gan(), crash, plateau, backup, epochs=3)
    gan = make_gan()
    fit(gan, keras.callbacks.BackupAndRestore(tmp_path), epochs=3)
    assert rates(gan) == [0.0005, 0.002]
    assert runs.steps_done(gan) == 3 * 4


def test_a_gan_has_two_learning_rates_that_cannot_be_set_as_one():
    gan = make_gan()
    with pytest.raises(AttributeError, match="two learning rates"):
        gan.optimizer.learning_rate = 1e-4
    assert rates(gan) == [0.001, 0.004]
    config = gan.optimizer.get_config()
    assert config["generator_learning_rate"] == pytest.approx(1e-3)
    assert config["discriminator_learning_rate"] == pytest.approx(4e-3)
    assert config["discriminator_beta_1"] == 0.9


@pytest.mark.parametrize(
    "build",
    [runpy.run_path(str(RECIPE))["build_gan"], Plan((28, 28, 1)).build],
    ids=["recipe", "plan"],
)
def test_a_gan_and_its_generator_load_in_safe_mode(build, tmp_path):
    path = tmp_path / "gan.keras"
    gan = build()
    gan.save(path)
    assert_same_variables(keras.saving.load_model(path, safe_mode=True), gan)
    generator = gan.averaged_generator()
    generator.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    assert_same_variables(loaded, generator)
    latents = gan.sample_latents(2, seed=0)
    gans.assert_same(*(gans.values([m(latents)]) for m in (loaded, generator)))
