"""`start` and `Run`, in a small program that has the shape of a recipe."""

import csv
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.models import StopAfter, assert_same_variables, pooling_model
from support.processes import process_that_locks

from gan_blocks import GAN, cli, datasets, images, runs
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid, QualityMonitor
from gan_blocks.cli import devices

EPOCHS = 3
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def restore_process(monkeypatch):
    """Undoes what `start` does to the whole process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "stdout", sys.stdout)


def build_gan(seed=None):
    generator = [
        keras.Input((4,)),
        keras.layers.Dense(64, activation="tanh"),
        keras.layers.Reshape((8, 8, 1)),
    ]
    discriminator = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.2, seed=0),  # Resumable on torch.
        keras.layers.Dense(1),
    ]
    gan = GAN(
        keras.Sequential(generator), keras.Sequential(discriminator), seed=seed
    )
    gan.compile("adam", "adam")
    return gan


def parse(*words, **settings):
    defaults = {"data": "sample", "epochs": EPOCHS, "batch_size": 8}
    argv = [str(word) for word in words]
    return cli.start("A recipe.", argv=argv, **{**defaults, **settings})


def train(output, *words, build=build_gan, own=(), pictures=IMAGES, **settings):
    run = parse("--output", output, *words, **settings)
    gan = run.load_gan() or build(run.seed)
    run.prepare(gan, pictures)
    gan.fit(
        datasets.batches(pictures, run.batch_size, seed=run.seed),
        epochs=run.epochs,
        steps_per_epoch=run.steps_per_epoch,
        resume=True,
        verbose=0,
        callbacks=run.callbacks(
            ImageGrid(run.grids, every_n_batches=5, rows=2, columns=2),
            EpochCheckpoint(run.checkpoints, every_n_epochs=1, keep=3),
            *own,
        ),
    )
    run.finish(gan)
    return run


def fails(*words, **settings):
    with pytest.raises(SystemExit) as error:
        train(*words, **settings)
    return error.value.code


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def read_table(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def load(folder, name="epoch_0003"):
    return keras.saving.load_model(folder / "checkpoints" / f"{name}.keras")


# Options and settings.


def test_settings_are_attributes_and_options():
    run = parse("--image-size", 32, "--no-flip", image_size=64, flip=True)
    assert (run.image_size, run.flip, run.seed) == (32, False, 0)
    assert parse(image_size=64, flip=True).flip is True
    with pytest.raises(AttributeError, match="no setting 'image_size'"):
        _ = parse().image_size
    assert parse("--units", 9, units=7).units == 9  # Any name will do.


def test_a_pair_is_an_option_for_the_size_of_images(capsys):
    sample = {"image_size": (32, 32)}
    assert parse(image_size=(64, 96)).image_size == (64, 96)
    for word, size in (("48", (48, 48)), ("48x64", (48, 64))):
        run = parse("--image-size", word, image_size=(64, 96))
        assert run.image_size == size
    with pytest.raises(SystemExit):
        parse("--help", image_size=(64, 96), sample=sample)
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "(default: 64x96; with --data sample: 32x32)" in text


@pytest.mark.parametrize("word", ["0", "64x", "64x64x3", "-8", "large"])
def test_a_wrong_size_is_reported_in_one_line(word, capsys):
    with pytest.raises(SystemExit):
        parse("--image-size", word, image_size=(64, 96))
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"must be like 64 or 64x96. Received: {word}" in message or (
        "expected one argument" in message
    )


@pytest.mark.parametrize(
    ("saved", "size"), [(48, (48, 48)), ([48, 64], (48, 64))]
)
def test_a_resumed_run_keeps_the_size_of_its_images(saved, size, tmp_path):
    settings = {"data": "sample", "image_size": saved}
    (tmp_path / "arguments.json").write_text(json.dumps(settings))
    run = parse("--resume", "--output", tmp_path, image_size=(64, 96))
    assert run.image_size == size


def test_a_recipe_has_no_options_for_settings_that_it_lacks(capsys):
    with pytest.raises(SystemExit):
        parse("--image-size", 32)
    assert "--image-size" in capsys.readouterr().err


def test_the_sample_has_its_own_defaults(capsys):
    sample = {"epochs": 7, "batch_size": 5}
    assert parse(sample=sample).epochs == 7
    run = parse("--epochs", 4, sample=sample)
    assert (run.epochs, run.batch_size) == (4, 5)
    run = parse("--data", "photographs", sample=sample)
    assert (run.epochs, run.batch_size) == (EPOCHS, 8)
    with pytest.raises(SystemExit):
        parse("--help", sample=sample)
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert f"(default: {EPOCHS}; with --data sample: 7)" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "must be at least 1"),
        (["--epochs", "many"], "invalid"),
        (["--seed", "-1"], "must be at least 0"),
        (["--resume"], "No run found in"),
        (["--batch-size", "41"], "more than the 40 pictures"),
        (["--devices", "gpu:77"], "gpu:77"),
    ],
)
def test_wrong_options_are_reported_and_leave_no_folder(
    tmp_path, words, message, capsys
):
    if "gpu:77" in words and keras.backend.backend() == "torch":
        pytest.skip("torch has a process for each device")
    assert fails(tmp_path / "run", *words) != 0
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


# Training and resuming.


def test_a_run_leaves_its_files(tmp_path, capsys):
    folder = tmp_path / "run"
    train(folder)
    assert list_names(folder) == [
        "arguments.json",
        "checkpoints",
        "generated_64_seed_0.png",
        "grids",
        "history.csv",
        "index.html",
        "real.png",
    ]
    steps = [f"step_00000{step:02}.png" for step in (5, 10, 15)]
    assert list_names(folder / "grids") == steps
    rows = read_table(folder)
    assert [row["step"] for row in rows] == ["5", "10", "15"]
    assert float(rows[-1]["g_loss"]) > 0
    settings = json.loads((folder / "arguments.json").read_text())
    assert settings["batch_size"] == 8
    manifest = runs.read_manifest(folder / "checkpoints" / "epoch_0003.keras")
    assert manifest["arguments"] == settings
    text = capsys.readouterr().out
    assert "40 pictures, 5 steps of 8 per epoch, 3 epochs" in text
    for path in ("generated_64_seed_0.png", "index.html", "checkpoints"):
        assert str(folder / path) in text


def test_the_summary_uses_the_singular_for_one(tmp_path, capsys):
    train(tmp_path, "--epochs", 1, "--steps-per-epoch", 1)
    text = capsys.readouterr().out
    assert "1 step of 8 per epoch, 1 epoch." in text
    assert "Training is complete: 1 epoch." in text


@pytest.mark.every_backend
def test_a_resumed_run_ends_like_an_uninterrupted_run(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, "--seed", 3)
    train(parts, "--seed", 3, "--epochs", 2)
    # A run that is killed after its last checkpoint leaves such a row.
    history = parts / "history.csv"
    history.write_text(history.read_text() + "3,15,0,0,0,0\n")
    train(parts, "--resume", "--epochs", EPOCHS)
    assert_same_variables(load(parts), load(whole))
    assert history.read_text() == (whole / "history.csv").read_text()
    settings = json.loads((parts / "arguments.json").read_text())
    assert (settings["seed"], settings["epochs"]) == (3, EPOCHS)


class SendSignal(keras.callbacks.Callback):
    """Sends a signal to this process in one of its steps."""

    def __init__(self, step, number):
        super().__init__()
        self.step = step
        self.number = number
        self.count = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.count += 1
        if self.count == self.step:
            signal.raise_signal(self.number)


@pytest.mark.slow
def test_a_run_that_is_stopped_within_an_epoch_continues_there(
    tmp_path, capsys
):
    whole, parts = tmp_path / "whole", tmp_path / "two parts"
    train(whole, "--seed", 3)
    stop = SendSignal(7, signal.SIGTERM)
    assert fails(parts, "--seed", 3, own=[stop]) == 128 + signal.SIGTERM
    message = capsys.readouterr().err
    assert "Stopped by SIGTERM after step 7, which is saved" in message
    assert f"--resume --output '{parts}'" in message  # It can be pasted.
    assert "epoch_0001_step_0000007.keras" in list_names(parts / "checkpoints")
    stop = SendSignal(2, signal.SIGINT)
    assert fails(parts, "--resume", own=[stop]) == 128 + signal.SIGINT
    assert "Continues after step 7, in epoch 2." in capsys.readouterr().out
    train(parts, "--resume")
    assert_same_variables(load(parts), load(whole))
    rows = [(row["epoch"], row["step"]) for row in read_table(parts)]
    assert rows == [
        *(("1", "5"), ("2", "7"), ("2", "9"), ("2", "10"), ("3", "15")),
    ]
    assert list_names(parts / "grids") == list_names(whole / "grids")


def test_a_run_that_is_stopped_in_its_first_epoch_can_be_resumed(tmp_path):
    stop = SendSignal(2, signal.SIGINT)
    fails(tmp_path, "--epochs", 1, own=[stop])
    names = list_names(tmp_path / "checkpoints")
    assert names == ["epoch_0000_step_0000002.keras"]
    train(tmp_path, "--resume")
    assert "epoch_0001.keras" in list_names(tmp_path / "checkpoints")


def test_a_second_signal_stops_at_once(tmp_path):
    class Impatient(SendSignal):
        def on_train_batch_begin(self, batch, logs=None):
            super().on_train_batch_begin(batch)
            if self.count == self.step:
                time.sleep(0.6)  # Sooner, it would count as the same signal.
                signal.raise_signal(self.number)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, own=[Impatient(2, signal.SIGINT)])
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_signal_in_the_last_step_completes_the_run(tmp_path, capsys):
    train(tmp_path, own=[SendSignal(15, signal.SIGTERM)])
    assert "Training is complete: 3 epochs." in capsys.readouterr().out
    assert "epoch_0003.keras" in list_names(tmp_path / "checkpoints")


def test_a_run_that_another_callback_ends_is_not_called_complete(
    tmp_path, capsys
):
    train(tmp_path, own=[StopAfter(epoch=2, batch=5)])
    assert "Training ended after 10 steps." in capsys.readouterr().out


def test_a_complete_run_can_be_resumed_and_trains_no_more(tmp_path, capsys):
    train(tmp_path, "--epochs", 2)
    # It was killed after its last checkpoint.
    picture = tmp_path / "generated_64_seed_0.png"
    before = picture.read_bytes()
    picture.unlink()
    capsys.readouterr()
    train(tmp_path, "--resume")
    assert picture.read_bytes() == before
    assert f"--output {tmp_path} --epochs 4" in capsys.readouterr().out
    assert [row["step"] for row in read_table(tmp_path)] == ["5", "10"]


def test_a_run_without_a_checkpoint_starts_from_the_beginning(tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(whole)
    train(killed)
    for path in (killed / "checkpoints").iterdir():
        path.unlink()
    train(killed, "--resume")
    assert "No checkpoint found in" in capsys.readouterr().out
    assert_same_variables(load(killed), load(whole))
    assert read_table(killed) == read_table(whole)


def test_a_run_in_which_another_process_trains_is_left_alone(tmp_path):
    run, lock = tmp_path / "run", tmp_path / "run" / ".checkpoints.lock"
    train(run, "--epochs", 1)
    paths = {path for path in run.rglob("*") if path.is_file()}
    before = {path: path.read_bytes() for path in paths}
    with process_that_locks(run / "checkpoints"):
        with pytest.raises(ValueError, match=f"is training in {run}"):
            train(run, "--resume", "--epochs", 2)
    lock.unlink()
    paths = {path for path in run.rglob("*") if path.is_file()}
    assert {path: path.read_bytes() for path in paths} == before


def test_a_folder_that_contains_a_run_is_not_overwritten(tmp_path, capsys):
    train(tmp_path, "--epochs", 1)
    assert fails(tmp_path) == 1
    assert "already contains a run" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"epochs": 1', "[1]"])
def test_damaged_settings_are_reported_in_one_line(tmp_path, text, capsys):
    (tmp_path / "arguments.json").write_text(text)
    assert fails(tmp_path, "--resume") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "arguments.json is damaged" in line


# Data that changes.


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (IMAGES[:39], "on 40 pictures. sample now has 39. Restore"),
        (IMAGES[::-1], "sample has as many, but the pictures"),
    ],
)
def test_a_run_is_resumed_with_other_data_only_if_that_is_accepted(
    pictures, message, tmp_path, capsys
):
    run = train(tmp_path, "--epochs", 1)
    before = run.settings_file.read_text(), run.real_images.read_bytes()
    assert fails(tmp_path, "--resume", "--epochs", 2, pictures=pictures) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and "--accept-new-data. To continue" in line
    assert line.endswith(f"train NEW_PICTURES --start-from {tmp_path}")
    after = run.settings_file.read_text(), run.real_images.read_bytes()
    assert after == before
    accept = "--accept-new-data"
    train(tmp_path, "--resume", accept, "--epochs", 2, pictures=pictures)
    train(tmp_path, "--resume", "--epochs", 3, pictures=pictures)
    assert run.real_images.read_bytes() != before[1]
    assert run.read_settings()["comparable_after_step"] == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch-size", "4"], "--tensorboard. Received: --batch-size."),
        (
            ["--steps-per-epoch", "2", "--seed", "7"],
            "Received: --steps-per-epoch, --seed.",
        ),
        (
            ["--epochs", "1"],
            "trained for 10 steps, more than --epochs 1. Pass ",
        ),
    ],
)
def test_a_run_is_not_resumed_with_settings_that_do_not_fit(
    words, message, tmp_path, capsys
):
    run = train(tmp_path, "--epochs", 2)
    before = run.settings_file.read_text(), run.history.read_text()
    assert fails(tmp_path, "--resume", *words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert line.endswith(f"train NEW_PICTURES --start-from {tmp_path}")
    after = run.settings_file.read_text(), run.history.read_text()
    assert after == before


def test_a_resumed_run_without_enough_pictures_says_that_they_changed(
    tmp_path, capsys
):
    train(tmp_path, "--epochs", 1)
    assert fails(tmp_path, "--resume", "--epochs", 2, pictures=IMAGES[:3]) == 1
    assert "sample now has 3. Restore" in capsys.readouterr().err


def test_a_percent_sign_in_a_default_is_shown_in_the_help(capsys):
    with pytest.raises(SystemExit) as error:
        parse("--help", split="train[:10%]")
    assert error.value.code == 0
    assert "train[:10%]" in re.sub(r"\s+", "", capsys.readouterr().out)


def test_a_run_without_a_checkpoint_can_be_resumed_with_other_settings(
    tmp_path,
):
    run = train(tmp_path, "--epochs", 1)
    for path in run.checkpoints.iterdir():
        path.unlink()
    assert train(tmp_path, "--resume", "--batch-size", 4).batch_size == 4


def test_other_labels_are_other_data(tmp_path, capsys):
    gan = GAN(*gans.conditional_networks(), num_classes=3)
    gan.compile("adam", "adam")
    labels = np.arange(40) % 3
    parse("--output", tmp_path).prepare(gan, IMAGES, labels)
    gan.optimizer.iterations.assign(5)
    run = parse("--output", tmp_path, "--resume")
    with pytest.raises(SystemExit):
        run.prepare(gan, IMAGES, labels[::-1])
    message = "the pictures or labels are different"
    assert message in capsys.readouterr().err


def test_a_run_of_an_older_version_records_its_data_when_it_is_resumed(
    tmp_path, capsys
):
    run = train(tmp_path, "--epochs", 1)
    settings = run.read_settings()
    old = {k: v for k, v in settings.items() if k in ("data", "epochs")}
    run.write_settings(old | {"batch_size": 8})
    train(tmp_path, "--resume", "--epochs", 2, pictures=IMAGES[:39])
    assert run.read_settings()["pictures"] == 39
    assert fails(tmp_path, "--resume", "--epochs", 3) == 1
    assert "39 pictures" in capsys.readouterr().err


def test_the_grid_of_real_images_is_drawn_from_all_of_them(tmp_path):
    shades = np.arange(250, dtype="uint8")
    pictures = np.broadcast_to(shades[:, None, None, None], (250, 8, 8, 1))
    run = parse("--output", tmp_path)
    run.prepare(build_gan(0), pictures)
    with Image.open(run.real_images) as grid:
        shown = {shade for _, shade in grid.getcolors()} & {*shades.tolist()}
    assert len(shown) >= 100 and min(shown) < 25 and max(shown) > 225


# Divergence and quality.


def diverging_gan(seed):
    gan = build_gan(seed)
    gan.compile(keras.optimizers.SGD(1e30), keras.optimizers.SGD(1e30))
    return gan


@pytest.mark.parametrize("rollbacks", [0, 2])
def test_a_run_that_diverges_fails_after_the_rollbacks(
    tmp_path, rollbacks, capsys, caplog
):
    words = ("--rollbacks", rollbacks)
    assert fails(tmp_path, *words, build=diverging_gan) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "epoch 1" in line
    left = [m for m in caplog.messages if "Rollbacks left" in m]
    assert len(left) == rollbacks


def test_evaluate_every_logs_the_quality_and_keeps_a_model(tmp_path, capsys):
    pooling_model().save(tmp_path / "features.keras")
    run = tmp_path / "run"
    words = ("--evaluate-every", 1, "--features", tmp_path / "features.keras")
    train(run, *words)
    best = runs.read_manifest(run / "best.keras")
    rows = read_table(run)
    distances = np.array([float(row["kid"]) for row in rows])
    errors = np.array([float(row["kid_error"]) for row in rows])
    good = np.flatnonzero(distances <= (distances + errors).min())
    assert best["epoch"] == 1 + good[-1]
    assert best["arguments"]["kid"] == distances[good[-1]]
    line = f"Model: {run / 'best.keras'}, step {best['step']} of 15\n"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("distances", "every", "epoch"),
    [
        ([5, 3, 4, 6], 1, 2),
        ([5, 3, 3.5, 3.9], 1, 3),  # Within the standard error, 0.5.
        slow([5, 3, 3.5, 2.9], 1, 4),
        slow([5, 3, 3.4, 3.8], 1, 3),  # The limit does not rise.
        slow([3, 5, 6], 2, 1),
        slow([5, 3], 3, 3),  # Epoch 4 repeats the values of epoch 3.
        slow([float("nan"), 3, float("nan"), 4], 1, 2),
    ],
)
def test_the_best_model_is_the_newest_within_a_standard_error_of_the_lowest(
    distances, every, epoch, tmp_path, monkeypatch
):
    measured = iter(distances)

    def quality(model):
        values = {"kid": next(measured), "kid_error": 0.5}
        return types.SimpleNamespace(values=values)

    quality.features = types.SimpleNamespace(protocol={})
    monkeypatch.setattr(
        cli.Run,
        "_quality_monitor",
        lambda run: QualityMonitor(quality, run.evaluate_every),
    )
    train(tmp_path, "--evaluate-every", every, "--epochs", 4)
    assert runs.read_manifest(tmp_path / "best.keras")["epoch"] == epoch


@pytest.mark.every_backend
def test_the_last_picture_shows_the_best_model(tmp_path):
    train(tmp_path)
    first = runs.list_checkpoints(tmp_path / "checkpoints")[0]
    shutil.copy(first, tmp_path / "best.keras")
    train(tmp_path, "--resume")  # Draws the picture again.
    expected = images.grid(keras.saving.load_model(first).generate(64, seed=0))
    with Image.open(tmp_path / "generated_64_seed_0.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize("change", [None, "features", "pictures", "damage"])
def test_a_resumed_run_keeps_the_best_model_if_it_is_measured_as_before(
    change, tmp_path
):
    features, run = tmp_path / "features.keras", tmp_path / "run"
    pooling_model().save(features)
    words = ("--evaluate-every", 1, "--features", features)
    train(run, *words, "--epochs", 1)
    path, pictures = run / "best.keras", IMAGES
    best = runs.read_manifest(path)["arguments"]
    keras.saving.load_model(path).save(path)  # Without its manifest.
    runs.write_manifest(path, 1, 5, best | {"kid_limit": -9.0})  # Hard to beat.
    before = path.read_bytes()
    if change == "features":
        model = pooling_model()
        keras.Model(model.inputs, model.outputs[0] * 2).save(features)
    elif change == "pictures":
        pictures = IMAGES[::-1]
    elif change == "damage":
        path.write_bytes(before[:-9])
    resume = ("--resume", "--accept-new-data", "--epochs")
    train(run, *resume, 2, pictures=pictures)
    assert (path.read_bytes() == before) == (change is None)
    if change:  # Distances of the earlier measure no longer count.
        assert runs.read_manifest(path)["epoch"] == 2
        assert runs.read_manifest(path)["arguments"]["kid_limit"] > -9


@pytest.mark.every_backend
def test_tensorboard_gets_the_logs_and_the_grids(tmp_path):
    pytest.importorskip("tensorboard")
    pytest.importorskip("tensorflow")
    train(tmp_path, "--tensorboard", "--epochs", 1)
    folders = {path.parent.name for path in tmp_path.rglob("events.out*")}
    assert folders == {"train", "images"}


RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.every_backend
@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="Keras imports TensorFlow"
)
def test_programs_do_not_import_tensorflow_on_jax_and_torch(tmp_path):
    if not importlib.util.find_spec("tensorflow"):
        pytest.skip("TensorFlow is not installed")
    root = Path(__file__).parents[2]
    options = "--image-size 16 --filters 2 --steps-per-epoch 1 --epochs 1"
    train = [root / "recipes" / "cats_dcgan.py", "--output", "run"]
    generate = [root / "gan_blocks" / "__main__.py", "generate", "run"]
    for words in ([*train, *options.split()], generate):
        result = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, words)],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert "oneDNN" not in result.stderr


# Errors.


def report(error):
    """Returns what the process would print for an uncaught error."""
    try:
        raise error
    except BaseException:
        with pytest.raises(SystemExit) as exit_:
            sys.excepthook(*sys.exc_info())
    return exit_.value.code


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (FileNotFoundError("no\nsuch pictures"), 1, "no such pictures"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. Work that was not saved is lost.",
        ),
        (MemoryError(), 1, "Out of memory. Try a smaller --batch-size"),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line(
    error, status, message, capsys
):
    parse()
    assert report(error) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_data_that_cannot_be_read_is_reported_in_one_line(tmp_path, capsys):
    parse()
    (tmp_path / "pictures.npy").write_text("no array")
    with pytest.raises(ValueError) as error:
        datasets.load(tmp_path / "pictures.npy", 8)
    with pytest.raises(SystemExit):
        sys.excepthook(error.type, error.value, error.tb)
    (line,) = capsys.readouterr().err.splitlines()
    assert "pictures.npy" in line


def test_a_mistake_in_the_code_keeps_its_traceback(capsys):
    parse()
    with pytest.raises(ValueError) as error:
        keras.layers.Dense(-1)
    sys.excepthook(error.type, error.value, error.tb)
    assert "Traceback" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path):
    def replace_folder(epoch, logs):
        if epoch == 1:
            (tmp_path / "checkpoints").rename(tmp_path / "moved")
            (tmp_path / "checkpoints").touch()

    gate = keras.callbacks.LambdaCallback(on_epoch_begin=replace_folder)
    with pytest.raises(OSError, match="epoch_0002.keras"):
        train(tmp_path, own=[gate])


def test_a_full_disk_for_the_output_does_not_end_the_run(
    tmp_path, monkeypatch, caplog
):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        train(tmp_path)
    assert (tmp_path / "checkpoints" / "epoch_0003.keras").exists()
    (message,) = caplog.messages
    assert message.startswith("Printing failed")


def test_an_output_that_lacks_letters_does_not_end_the_run(
    tmp_path, monkeypatch
):
    path = tmp_path / "output.txt"
    with path.open("w", encoding="cp1252") as output:
        monkeypatch.setattr(sys, "stdout", output)
        train(tmp_path / "写真")
    assert r"\u5199\u771f" in path.read_text("cp1252")


# Devices.


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch needs several processes"
)
def test_a_run_trains_on_the_devices_that_it_is_given(tmp_path, capsys):
    (device, *_) = keras.distribution.list_devices()
    train(tmp_path / "one", "--devices", device)
    steps = [row["step"] for row in read_table(tmp_path / "one")]
    assert steps == ["5", "10", "15"]
    assert f"--devices {device}" in capsys.readouterr().out
    settings = json.loads((tmp_path / "one" / "arguments.json").read_text())
    assert "devices" not in settings  # It can be resumed on other devices.


def test_a_batch_that_devices_cannot_share_is_refused(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(devices, "count", lambda: 3)
    assert fails(tmp_path) == 1
    message = "--batch-size 8 is not a multiple of the 3 devices"
    assert message in capsys.readouterr().err


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch only")
@pytest.mark.every_backend
@pytest.mark.parametrize(
    ("name", "message"),
    [("all", "torchrun --nproc-per-node=gpu"), ("gpu:0", "--devices all")],
)
def test_devices_of_torch_need_a_process_each(tmp_path, name, message, capsys):
    assert fails(tmp_path, "--devices", name) == 1
    assert message in capsys.readouterr().err


# Hints.


@pytest.mark.slow
def test_a_large_run_without_a_gpu_suggests_smaller_settings(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(devices, "has_accelerator", lambda: False)
    settings = {"image_size": (8, 8), "filters": 4}
    small = {"image_size": (4, 6), "filters": 2, "discriminator_rate": 1e-4}
    train(tmp_path / "run", without_gpu=small, **settings)
    text = capsys.readouterr().out
    assert re.search(r"Training will take about \d+ s here", text)
    assert (
        "--image-size 4x6 --filters 2 --discriminator-rate 0.0001 "
        f"--output {tmp_path}" in text
    )
    # The measurement does not change the training.
    train(tmp_path / "plain", **settings)
    assert_same_variables(load(tmp_path / "run"), load(tmp_path / "plain"))
    assert "GPU" not in capsys.readouterr().out
