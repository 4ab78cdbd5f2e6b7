"""The tools that Keras users have, with a GAN."""

import io
import json
from pathlib import Path
import runpy
import sys
import types

from gan_blocks import GAN, callbacks, metrics, networks, replicas
import keras
import numpy as np
from PIL import Image
import pytest
from test_cli import assert_equal
from test_faults import full_disk

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "first_gan.ipynb"
SHAPE = (8, 8, 3)


def make_gan(generators=1e-3, discriminators=4e-3):
    gan = GAN(
        networks.mlp_generator(SHAPE, latent_dim=4, units=(16,)),
        networks.mlp_discriminator(SHAPE, units=(16,)),
        seed=0,
    )
    gan.compile(
        keras.optimizers.Adam(generators, name="generator"),
        keras.optimizers.Adam(discriminators, name="discriminator"),
    )
    return gan


def fit(gan, *recorders, **options):
    images = np.random.default_rng(0).uniform(-1, 1, (32, *SHAPE))
    options = {"batch_size": 8, "verbose": 0, "callbacks": [*recorders]} | (
        options
    )
    return gan.fit(images.astype("float32"), **options).history


def rates(gan):
    return [round(float(rate), 6) for rate in gan.optimizer.learning_rate]


def pictures_of(folder):
    """Returns steps and pixels, in the order in which TensorBoard reads."""
    module = "tensorboard.backend.event_processing.event_multiplexer"
    multiplexer = pytest.importorskip(module).EventMultiplexer
    loader = multiplexer(size_guidance={"tensors": 0})
    loader.AddRunsFromDirectory(str(folder)).Reload()
    return [
        (event.step, np.asarray(Image.open(io.BytesIO(strings[2]))))
        for event in loader.Tensors("images", "generated")
        for strings in [event.tensor_proto.string_val]
    ]


# TensorBoard.


@pytest.mark.every_backend
def test_tensorboard_shows_the_grids_at_the_steps_of_the_run(tmp_path):
    pytest.importorskip("tensorboard")
    logs, grids = tmp_path / "logs", tmp_path / "grids"
    gan = make_gan()
    for _ in range(2):  # The second time, as a run that is continued.
        fit(
            gan,
            keras.callbacks.TensorBoard(logs, update_freq=3),
            callbacks.ImageGrid(grids, 2, tensorboard=logs),
        )
    shown = pictures_of(logs)
    assert [step for step, _ in shown] == [2, 4, 6, 8]
    for step, pixels in shown:
        with Image.open(grids / f"step_{step:07d}.png") as saved:
            np.testing.assert_array_equal(pixels, np.asarray(saved))
    assert {path.name for path in logs.iterdir()} == {"train", "images"}


def test_a_full_disk_is_one_warning_and_spoils_no_other_picture(
    tmp_path, caplog
):
    pytest.importorskip("tensorboard")
    gan = make_gan()
    pictures = callbacks.ImageGrid(tmp_path / "grids", 2, tensorboard=tmp_path)
    fit(gan, pictures)
    (events,) = (tmp_path / "images").iterdir()
    with full_disk(events.stat().st_size + 100):
        fit(gan, pictures)
    fit(gan, pictures)
    (message,) = [text for text in caplog.messages if "grids" not in text]
    assert str(tmp_path) in message and "training continues" in message
    assert [step for step, _ in pictures_of(tmp_path)] == [2, 4, 10, 12]


def test_only_the_chief_process_writes_for_tensorboard(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(replicas, "is_chief", lambda model: False)
    fit(make_gan(), callbacks.ImageGrid(tmp_path, 2, tensorboard=tmp_path))
    assert not [*tmp_path.iterdir()]


def test_tensorboard_that_is_not_installed_is_asked_for_at_once(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        callbacks.ImageGrid(tmp_path, tensorboard=tmp_path)
    callbacks.ImageGrid(tmp_path)


# Keras' callbacks.


@pytest.mark.every_backend
def test_keras_callbacks_and_ours_go_together(tmp_path, capsys):
    images = np.random.default_rng(1).uniform(-1, 1, (32, *SHAPE))
    features = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
        ]
    )
    seen = []
    distances = iter([0.5, 0.3, 0.4, 0.6, 0.1])

    def quality(gan):
        values = metrics.Quality(images, features, num_images=32)(gan).values
        values = {**values, "kid": next(distances)}  # The same in every run.
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
    assert seen == history["kid"] == [0.5, 0.3, 0.4, 0.6]  # It stopped.
    assert rates(gan) == [0.0005, 0.002]
    best = keras.saving.load_model(tmp_path / "best.keras")
    assert int(best.optimizer.iterations) == 2 * 4
    for name in ("log.csv", "history.csv"):
        rows = (tmp_path / name).read_text().splitlines()
        assert len(rows) == 1 + 4
        assert "learning_rate_discriminator" in rows[0]
    assert not (tmp_path / "backup").exists()  # The run came to its end.
    assert capsys.readouterr().out.count("d_loss") >= 4


def test_a_schedule_lowers_the_rate_of_its_network_and_is_saved(tmp_path):
    fall = keras.optimizers.schedules.PolynomialDecay(1e-3, 10, 0.0)
    gan = make_gan(generators=fall)
    fit(gan)
    assert rates(gan) == [0.0006, 0.004]
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert rates(again) == [0.0006, 0.004]
    fit(again)
    assert rates(again) == [0.0002, 0.004]


@pytest.mark.every_backend
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_callback_that_sees_one_optimizer_changes_that_alone(network):
    class OneRate(keras.callbacks.LearningRateScheduler):
        def set_model(self, model):
            one = getattr(model.optimizer, f"{network}_optimizer")
            super().set_model(types.SimpleNamespace(optimizer=one))

    gan = make_gan()
    before = {
        name: [
            keras.ops.convert_to_numpy(v) for v in getattr(gan, name).weights
        ]
        for name in ("generator", "discriminator")
    }
    fit(gan, OneRate(lambda epoch, rate: 0.0), epochs=2)
    for name, values in before.items():
        moved = any(
            np.any(keras.ops.convert_to_numpy(variable) != value)
            for variable, value in zip(
                getattr(gan, name).trainable_variables, values, strict=False
            )
        )
        assert moved == (name != network)


def test_a_plateau_of_one_optimizer_lowers_that_alone():
    class OnePlateau(keras.callbacks.ReduceLROnPlateau):
        def set_model(self, model):
            one = model.optimizer.discriminator_optimizer
            super().set_model(types.SimpleNamespace(optimizer=one))

    gan = make_gan()
    fit(
        gan,
        OnePlateau("spread", 0.5, mode="min", patience=1, min_delta=1e9),
        epochs=2,
    )
    assert rates(gan) == [0.001, 0.002]


def test_a_backup_that_comes_last_keeps_the_rates_that_a_plateau_set(tmp_path):
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
    assert int(gan.optimizer.iterations) == 3 * 4


def test_both_learning_rates_are_told_and_none_is_set_by_mistake():
    gan = make_gan()
    assert rates(gan) == [0.001, 0.004]
    with pytest.raises(AttributeError, match="two learning rates"):
        gan.optimizer.learning_rate = 1e-4
    assert rates(gan) == [0.001, 0.004]


def test_loggers_get_the_settings_of_both_optimizers():
    config = make_gan().optimizer.get_config()
    assert config["generator_learning_rate"] == pytest.approx(1e-3)
    assert config["discriminator_learning_rate"] == pytest.approx(4e-3)
    assert config["discriminator_beta_1"] == 0.9


# The notebook.


def test_the_notebook_stores_no_outputs_and_no_path():
    text = NOTEBOOK.read_text()
    for cell in json.loads(text)["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count")
    assert "/home" not in text and "/Users" not in text and "/root" not in text


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="once is enough"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_shows_a_picture_while_it_trains(
    tmp_path, monkeypatch
):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    source = NOTEBOOK.read_text()
    assert source.count("epochs=8") == 1
    short = source.replace("epochs=8", "epochs=1")
    notebook = nbformat.reads(short, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    (cell,) = [one for one in notebook.cells if "gan.fit(" in one.source]
    pictures = [
        out for out in cell.outputs if "image/png" in out.get("data", {})
    ]
    assert len(pictures) == 1
    assert (tmp_path / "first_gan.keras").is_file()
    assert [path.name for path in (tmp_path / "grids").iterdir()] == [
        "step_0000020.png"
    ]


# Files.


def test_a_recipes_networks_load_in_safe_mode(tmp_path):
    recipe = runpy.run_path(str(ROOT / "recipes" / "digits_dcgan.py"))
    path = tmp_path / "gan.keras"
    for build in (recipe["build_gan"], recipe["build_modern_gan"]):
        gan = build(seed=0)
        gan.save(path)
        assert_equal(gan, keras.saving.load_model(path, safe_mode=True))
        generator = gan.averaged_generator()
        generator.save(path)
        again = keras.saving.load_model(path, safe_mode=True)
        assert_equal(generator, again)
        latents = gan.sample_latents(2, seed=0)
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(generator(latents)),
            keras.ops.convert_to_numpy(again(latents)),
        )
