"""The recipes: networks and settings of their sources, data, processes."""

import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from support.cats import place, save_cat
from support.image_sources import plain, write_tfds

from gan_blocks import GAN, datasets, layers, losses, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid
from gan_blocks.cli import devices

RECIPES = Path(__file__).parents[2] / "recipes"

# For each network: the output shapes of its layers, and the shapes of its
# kernels. After a kernel, "+" is a bias, and "++" are the scale and the offset
# of a batch normalization.
SYSTEMS = {
    "digits_dcgan": {
        "generator": (
            "7x7x256 14x14x128 28x28x1",
            "7x7x256x100++ 5x5x128x256++ 5x5x1x128+",
        ),
        "discriminator": (
            "14x14x128 7x7x256 1x1x1",
            "5x5x1x128++ 5x5x128x256++ 7x7x256x1+",
        ),
        "latents": ("uniform", (1, 1, 100)),
        "smoothing": 0.0,
        "rates": [2e-4, 2e-4],
        "batch_size": 128,
        "epochs": 20,
        "grids": [("epochs", 1, 10, 10)],
        "checkpoint_epochs": 1,
    },
    "digits_gan": {
        "generator": ("128 784 28x28x1", "100x128+ 128x784+"),
        "discriminator": ("784 128 1", "784x128+ 128x1+"),
        "latents": ("uniform", (100,)),
        "smoothing": 0.0,
        "rates": [2e-4, 2e-4],
        "batch_size": 128,
        "epochs": 100,
        "grids": [("epochs", 1, 10, 10)],
        "checkpoint_epochs": 1,
    },
    "cats_dcgan": {
        "generator": (
            "65536 8x8x1024 8x8x1024 16x16x512 32x32x256 64x64x128 128x128x64 "
            "128x128x3",
            "100x65536+ 5x5x512x1024++ 5x5x256x512++ 5x5x128x256++ "
            "5x5x64x128++ 5x5x3x64+",
        ),
        "discriminator": (
            "64x64x64 32x32x128 16x16x256 16x16x512 8x8x1024 65536 1",
            "5x5x3x64+ 5x5x64x128++ 5x5x128x256++ 5x5x256x512++ "
            "5x5x512x1024++ 65536x1+",
        ),
        "latents": ("uniform", (100,)),
        "smoothing": 0.1,
        "rates": [2e-4, 5e-5],
        "batch_size": 64,
        "epochs": 215,
        "grids": [("batches", 10, 2, 2), ("epochs", 15, 8, 8)],
        "checkpoint_epochs": 5,
    },
    "quickdraw_cats_gan": {
        "generator": (
            "256 512 1024 2048 784 28x28x1",
            "100x256+ 256x512+ 512x1024+ 1024x2048+ 2048x784+",
        ),
        "discriminator": (
            "784 1024 512 256 1",
            "784x1024+ 1024x512+ 512x256+ 256x1+",
        ),
        "latents": ("normal", (100,)),
        "smoothing": 0.1,
        "rates": [2e-4, 2e-4],
        "batch_size": 256,
        "epochs": 200,
        "grids": [("epochs", 20, 10, 10)],
        "checkpoint_epochs": 20,
    },
    "faces_dcgan": {
        "generator": (
            "2048 2x2x512 2x2x512 2x2x512 7x7x256 14x14x128 28x28x3",
            "100x2048++ 5x5x256x512++ 5x5x128x256++ 5x5x3x128+",
        ),
        "discriminator": (
            "14x14x64 7x7x128 7x7x256 12544 1",
            "5x5x3x64+ 5x5x64x128++ 5x5x128x256++ 12544x1+",
        ),
        "latents": ("uniform", (100,)),
        "smoothing": 0.1,
        "rates": [2e-4, 2e-4],
        "batch_size": 16,
        "epochs": 2,
        "grids": [("batches", 400, 8, 8)],
        "checkpoint_epochs": 1,
    },
}
ALL = [*SYSTEMS, "digits_conditional"]
SMALL = {"cats_dcgan": ("--image-size", 32, "--filters", 4)}


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


class FitCalled(Exception):
    """Ends a recipe."""


def run_until_fit(name, *words):
    """Runs a recipe until it calls `fit`. Returns the arguments of the call."""

    def fit(gan, batches, **options):
        call = types.SimpleNamespace(gan=gan, batches=batches, **options)
        raise FitCalled(call)

    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(FitCalled) as raised,
    ):
        words = ("--output", Path(folder, "run"), *words)
        patch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(sys, "stdout", sys.stdout)
        patch.setattr(GAN, "fit", fit)
        patch.setattr(devices, "has_accelerator", lambda: True)
        load(name).main()
    return raised.value.args[0]


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    """The calls of `fit`, by recipe. The images are black."""
    path = tmp_path_factory.mktemp("data") / "images.npy"
    calls = {}
    for name in SYSTEMS:
        color = name in ("cats_dcgan", "faces_dcgan")
        shape = (64, 128, 128, 3) if color else (350, 28, 28)
        np.save(path, np.zeros(shape, "uint8"))
        calls[name] = run_until_fit(name, "--data", path)
    return calls


def blocks(network):
    return [layer for layer in network.layers if hasattr(layer, "dropout")]


def as_text(shape):
    return "x".join(map(str, shape))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_networks_are_those_of_the_source(name, systems):
    gan, expected = systems[name].gan, SYSTEMS[name]
    for network in (gan.generator, gan.discriminator):
        layers = [as_text(each.output.shape[1:]) for each in network.layers]
        weights = "".join(
            f" {as_text(weight.shape)}" if len(weight.shape) > 1 else "+"
            for weight in network.trainable_weights
        )
        assert (" ".join(layers), weights[1:]) == expected[network.name]
        assert {block.normalization for block in blocks(network)} <= {
            "batch",
            None,
        }
    assert (gan.latent_distribution, gan.latent_shape) == expected["latents"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_training_is_that_of_the_source(name, systems):
    fit, expected = systems[name], SYSTEMS[name]
    assert isinstance(fit.gan.loss, losses.NonSaturating)
    rates = []
    for optimizer in fit.gan.optimizer.optimizers:
        assert type(optimizer).__name__ == "Adam"
        assert optimizer.beta_1 == 0.5
        rates.append(float(optimizer.learning_rate.numpy()))
    assert rates == [np.float32(rate) for rate in expected["rates"]]
    grids, checkpoints = (
        [each for each in fit.callbacks if isinstance(each, kind)]
        for kind in (ImageGrid, EpochCheckpoint)
    )
    (checkpoint,) = checkpoints
    assert checkpoint.keep == 3
    assert fit.resume is True
    found = {
        "smoothing": fit.gan.loss.label_smoothing,
        "batch_size": fit.batches.batch_size,
        "epochs": fit.epochs,
        "grids": [
            ("batches", grid.every_n_batches, grid.rows, grid.columns)
            if grid.every_n_batches
            else ("epochs", grid.every_n_epochs, grid.rows, grid.columns)
            for grid in grids
        ],
        "checkpoint_epochs": checkpoint.every_n_epochs,
    }
    assert found == {key: expected[key] for key in found}


@pytest.mark.parametrize("name", ["digits_dcgan", "cats_dcgan", "faces_dcgan"])
def test_the_convolutions_have_the_activations_of_the_source(name, systems):
    gan = systems[name].gan
    *hidden, last = blocks(gan.generator)
    assert last.activation == "tanh"
    for block in [*hidden, *blocks(gan.discriminator)]:
        assert (block.activation, block.negative_slope) == ("leaky_relu", 0.2)
        assert block.dropout == 0


def test_the_dense_layers_of_the_sketches_are_those_of_the_source(systems):
    gan = systems["quickdraw_cats_gan"].gan
    slopes = [block.negative_slope for block in blocks(gan.generator)]
    assert slopes == [0.3, 0.3, 0.2, 0.2]
    for block in blocks(gan.discriminator):
        assert (block.negative_slope, block.dropout) == (0.2, 0.3)
    for layer in (gan.generator.layers[0], gan.discriminator.layers[1]):
        initializer = layer.kernel_initializer
        assert isinstance(initializer, keras.initializers.RandomNormal)
        assert initializer.stddev == 0.02


def test_the_cats_start_with_truncated_normal_kernels():
    gan = load("cats_dcgan").build_gan(image_size=(32, 32), filters=8)
    for block in [*blocks(gan.generator), *blocks(gan.discriminator)]:
        kernel = block.linear.kernel.numpy()
        # Truncation at two deviations leaves 0.88 of the deviation.
        assert np.abs(kernel).max() <= 0.04
        assert np.std(kernel) == pytest.approx(0.88 * 0.02, rel=0.15)


def test_the_conditional_digits_have_ten_classes():
    fit = run_until_fit("digits_conditional", "--data", "sample")
    assert fit.gan.num_classes == 10
    assert fit.batches.labels.max() == 9
    assert fit.batches.labels.shape == (len(fit.batches.images),)
    assert fit.gan.generate(2, labels=[3, 4]).shape == (2, 28, 28, 1)


@pytest.mark.parametrize("image_size", [(64, 64), (32, 64)])
def test_other_sizes_of_cats_have_the_same_number_of_blocks(image_size):
    gan = load("cats_dcgan").build_gan(0, image_size, filters=4)
    assert gan.image_shape == (*image_size, 3)
    assert len(blocks(gan.generator)) == len(blocks(gan.discriminator)) == 5


def test_small_cats_have_fewer_blocks_and_a_wider_discriminator():
    gan = load("cats_dcgan").build_gan(0, (48, 40), filters=4)
    assert gan.image_shape == (48, 40, 3)
    filters = [block.filters for block in blocks(gan.generator)]
    assert filters == [16, 8, 4, 3]
    filters = [block.filters for block in blocks(gan.discriminator)]
    assert filters == [8, 16, 32]


def test_a_size_of_cats_that_cannot_be_halved_is_refused():
    for factor, *size in ((16, 50, 64), (16, 64, 72), (8, 44, 48)):
        message = f"multiples of {factor}. Received: {size[0]}x{size[1]}"
        with pytest.raises(ValueError, match=message):
            load("cats_dcgan").build_gan(image_size=size)


@pytest.mark.parametrize("name", ALL)
def test_help_shows_the_text_and_the_options(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    recipe = load(name)
    with pytest.raises(SystemExit):
        recipe.main()
    text = capsys.readouterr().out
    assert recipe.__doc__.splitlines()[0] in text
    assert f"python recipes/{name}.py" in text
    for option in ("data", "epochs", "resume", "output", "seed", "devices"):
        assert f"--{option}" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_help_does_not_wait_for_keras(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit):
        load(name).main()
    command = [sys.executable, RECIPES / f"{name}.py", "--help"]
    # An import of Keras would fail.
    env = {**os.environ, "KERAS_BACKEND": "none"}
    text = subprocess.check_output(command, env=env, text=True)
    assert text == capsys.readouterr().out


# Data.


def read(name, *words):
    """Returns the images that a recipe trains on."""
    return run_until_fit(name, "--batch-size", 2, *words).batches.images


def save_pictures(folder):
    """Writes ten colored squares as JPEG files."""
    folder.mkdir()
    for i in range(10):
        image = plain((25 * i, 100, 255 - 25 * i), (40, 40))
        image.save(folder / f"{i}.jpg")


def test_three_quarters_of_the_sketches_are_for_training(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    np.save(tmp_path / "cat.npy", pixels)
    train = read("quickdraw_cats_gan", "--data", tmp_path / "cat.npy")
    assert train.shape == (30, 28, 28, 1)
    whole = {sketch.tobytes() for sketch in pixels}
    assert len({sketch.tobytes() for sketch in train} & whole) == 30


def test_the_cats_can_be_a_zip_of_pictures(tmp_path):
    save_pictures(tmp_path / "cats")
    shutil.make_archive(tmp_path / "cats", "zip", tmp_path / "cats")
    words = ("--data", tmp_path / "cats.zip", "--batch-size", 2)
    words = (*words, *SMALL["cats_dcgan"])
    batches = run_until_fit("cats_dcgan", *words).batches
    assert batches.images.shape == (10, 32, 32, 3)
    mean = batches.images[9].mean((0, 1))
    assert mean == pytest.approx([225, 100, 30], abs=3)
    assert batches.flip is False
    assert run_until_fit("cats_dcgan", *words, "--flip").batches.flip is True


def test_the_faces_are_cropped_as_in_the_source(tmp_path):
    folder, _ = write_tfds(tmp_path)
    images = read("faces_dcgan", "--data", folder)
    whole = datasets.load(folder, 28)
    middle = datasets.load(folder, 28, crop=108 / 178)
    np.testing.assert_array_equal(images, middle)
    assert (images != whole).any()
    uncropped = read("faces_dcgan", "--data", folder, "--crop", 1)
    np.testing.assert_array_equal(uncropped, whole)


def test_photographs_with_landmarks_are_prepared_once(tmp_path):
    for i in range(6):
        path = tmp_path / "CAT" / f"CAT_0{i % 2}" / f"{i}.jpg"
        save_cat(path, place((100 + 15 * i, 90)), (300, 200), radius=10)
    words = ("--data", tmp_path / "CAT", "--image-size", 48, "--filters", 4)
    runs = tmp_path / "runs"

    def times():
        paths = (runs / "CAT_faces_48").rglob("*")
        return {path: path.stat().st_mtime_ns for path in paths}

    images = read("cats_dcgan", *words, "--output", runs / "one")
    assert images.shape == (6, 48, 48, 3)
    # All faces are at the same place in the prepared images.
    assert np.abs(images.astype(int) - images[0]).mean() < 4
    prepared = times()
    again = read("cats_dcgan", *words, "--output", runs / "two")
    np.testing.assert_array_equal(again, images)
    assert times() == prepared != {}
    wide = read("cats_dcgan", *words, "--image-size", "32x48")
    np.testing.assert_array_equal(wide, images[:, 8:40])
    # The CAT dataset is downloaded as an archive.
    archive = shutil.make_archive(
        str(tmp_path / "archive"), "zip", tmp_path / "CAT"
    )
    words = (
        "--data",
        archive,
        *words[2:],
        "--output",
        tmp_path / "zip" / "run",
    )
    np.testing.assert_array_equal(read("cats_dcgan", *words), images)


@pytest.fixture
def few_drawings(monkeypatch):
    """Draws 16 cats where a recipe asks for thousands."""
    for name in ("line_cats", "synthetic_cats"):
        draw = getattr(samples, name)
        monkeypatch.setattr(
            samples, name, lambda _, *words, draw=draw: draw(16, *words)
        )


def test_without_arguments_the_cats_are_small_and_drawn(few_drawings):
    fit = run_until_fit("cats_dcgan", "--batch-size", 8)
    assert fit.gan.image_shape == (48, 48, 3)
    assert blocks(fit.gan.discriminator)[0].filters == 32
    assert isinstance(blocks(fit.gan.generator)[-2], layers.ResizeConvBlock)
    for optimizer in fit.gan.optimizer.optimizers:
        assert float(optimizer.learning_rate) == pytest.approx(4e-4)
    assert fit.epochs == 12
    expected = samples.synthetic_cats(16, 48, 0)
    np.testing.assert_array_equal(fit.batches.images, expected)


def test_the_cats_can_be_taller_than_wide(few_drawings):
    words = ("--batch-size", 8, "--filters", 4, "--image-size", "48x32")
    fit = run_until_fit("cats_dcgan", *words)
    assert fit.gan.image_shape == fit.batches.images.shape[1:] == (48, 32, 3)


# Whole runs.


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "digits_gan"))
        for name in ALL
    ],
)
def test_a_recipe_trains_and_resumes(
    name, monkeypatch, capsys, few_drawings, tmp_path
):
    def run(*words):
        words = (f"{name}.py", "--output", tmp_path, *words)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(sys, "argv", [*map(str, words)])
        load(name).main()
        return capsys.readouterr().out

    words = ("--data", "sample", "--batch-size", 8, "--steps-per-epoch", 2)
    text = run(*words, *SMALL.get(name, ()), "--epochs", 1)
    size = {"cats_dcgan": 32}.get(name, 28)
    with Image.open(tmp_path / "generated_64_seed_0.png") as picture:
        assert picture.size == (8 * size, 8 * size)
    for hint in ("generated_64", "epoch_0001.keras", "--epochs 2"):
        assert hint in text
    text = run("--resume", "--epochs", 2)
    assert "Continues after step 2, in epoch 2." in text
    checkpoint = tmp_path / "checkpoints" / "epoch_0002.keras"
    assert int(keras.saving.load_model(checkpoint).optimizer.iterations) == 4


def start(*words):
    """Starts the cats in a process that logs as TensorFlow does by default."""
    env = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    del env["TF_CPP_MIN_LOG_LEVEL"]
    return subprocess.Popen(
        [sys.executable, RECIPES / "cats_dcgan.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


needs_signals = pytest.mark.skipif(
    os.name == "nt", reason="Windows has no such signals"
)


@pytest.mark.slow
@needs_signals
def test_a_recipe_that_is_stopped_prints_the_command_to_continue(tmp_path):
    folder, output = tmp_path / "cats' faces", tmp_path / "a run"
    save_pictures(folder)
    words = ("--data", folder, "--batch-size", 8, *SMALL["cats_dcgan"])
    words = (*words, "--steps-per-epoch", 400, "--epochs", 1)
    process = start(*words, "--output", output)
    deadline = time.monotonic() + 300
    while not (output / "grids" / "step_0000010.png").exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    (checkpoint,) = (output / "checkpoints").iterdir()
    step = int(checkpoint.stem.rpartition("_")[2])
    assert step < 400
    assert f"SIGINT after step {step}, which is saved" in err
    assert "oneDNN" not in err and "Traceback" not in err
    command = err.splitlines()[-1].partition("Continue with: ")[2]
    assert shlex.split(command)[-1] == str(output)
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True
    )
    assert f"Continues after step {step}" in done.stdout
    last = output / "checkpoints" / "epoch_0001.keras"
    found = int(keras.saving.load_model(last).optimizer.iterations)
    assert found == 400


@pytest.mark.slow
@needs_signals
def test_ctrl_c_before_training_ends_a_recipe_in_one_line(tmp_path):
    process = start("--output", tmp_path / "run")
    assert "Drawing" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    (line,) = err.splitlines()
    assert "Work that was not saved is lost" in line
    assert not (tmp_path / "run").exists()
