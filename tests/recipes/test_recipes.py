"""The recipes: networks and settings of their sources, data, processes."""

import importlib.util
import os
from pathlib import Path
import shlex
import shutil
import signal
import subprocess
import sys
import time

from gan_blocks import GAN, datasets, losses, samples
from gan_blocks.callbacks import EpochCheckpoint, ImageGrid
from gan_blocks.cli import devices
import keras
import numpy as np
from PIL import Image, ImageDraw
import pytest
from support.image_sources import write_tfds

RECIPES = Path(__file__).parents[2] / "recipes"

# The output shape of each layer in the source, and the number of parameters. A
# kernel has height * width * inputs * outputs of them. Batch normalization has
# a scale and an offset per channel, and the layer before it has no bias.
SYSTEMS = {
    "digits_dcgan": {
        "generator": [(7, 7, 256), (14, 14, 128), (28, 28, 1)],
        "discriminator": [(14, 14, 128), (7, 7, 256), (1, 1, 1)],
        "generator_parameters": (7 * 7 * 100 * 256 + 2 * 256)
        + (5 * 5 * 256 * 128 + 2 * 128)
        + (5 * 5 * 128 * 1 + 1),
        "discriminator_parameters": (5 * 5 * 1 * 128 + 2 * 128)
        + (5 * 5 * 128 * 256 + 2 * 256)
        + (7 * 7 * 256 * 1 + 1),
        "normalization": (["batch", "batch", None], ["batch", "batch"]),
        "latents": ("uniform", (1, 1, 100)),
        "smoothing": 0.0,
        "rates": (2e-4, 2e-4),
        "batch_size": 128,
        "epochs": 20,
        "grids": [("epochs", 1, 10, 10)],
        "checkpoint_epochs": 1,
    },
    "digits_gan": {
        "generator": [(128,), (784,), (28, 28, 1)],
        "discriminator": [(784,), (128,), (1,)],
        "generator_parameters": 100 * 128 + 128 + 128 * 784 + 784,
        "discriminator_parameters": 784 * 128 + 128 + 128 + 1,
        "normalization": ([], []),
        "latents": ("uniform", (100,)),
        "smoothing": 0.0,
        "rates": (2e-4, 2e-4),
        "batch_size": 128,
        "epochs": 100,
        "grids": [("epochs", 1, 10, 10)],
        "checkpoint_epochs": 1,
    },
    "cats_dcgan": {
        "generator": [
            (8 * 8 * 1024,),
            (8, 8, 1024),
            (8, 8, 1024),
            (16, 16, 512),
            (32, 32, 256),
            (64, 64, 128),
            (128, 128, 64),
            (128, 128, 3),
        ],
        "discriminator": [
            (64, 64, 64),
            (32, 32, 128),
            (16, 16, 256),
            (16, 16, 512),
            (8, 8, 1024),
            (8 * 8 * 1024,),
            (1,),
        ],
        "generator_parameters": (100 + 1) * 8 * 8 * 1024
        + (5 * 5 * 1024 * 512 + 2 * 512)
        + (5 * 5 * 512 * 256 + 2 * 256)
        + (5 * 5 * 256 * 128 + 2 * 128)
        + (5 * 5 * 128 * 64 + 2 * 64)
        + (5 * 5 * 64 * 3 + 3),
        "discriminator_parameters": (5 * 5 * 3 * 64 + 64)
        + (5 * 5 * 64 * 128 + 2 * 128)
        + (5 * 5 * 128 * 256 + 2 * 256)
        + (5 * 5 * 256 * 512 + 2 * 512)
        + (5 * 5 * 512 * 1024 + 2 * 1024)
        + (8 * 8 * 1024 + 1),
        "normalization": (["batch"] * 4 + [None], [None] + ["batch"] * 4),
        "latents": ("uniform", (100,)),
        "smoothing": 0.1,
        "rates": (2e-4, 5e-5),
        "batch_size": 64,
        "epochs": 215,
        "grids": [("batches", 10, 2, 2), ("epochs", 15, 8, 8)],
        "checkpoint_epochs": 5,
    },
    "quickdraw_cats_gan": {
        "generator": [
            (256,),
            (512,),
            (1024,),
            (2048,),
            (784,),
            (28, 28, 1),
        ],
        "discriminator": [(784,), (1024,), (512,), (256,), (1,)],
        "generator_parameters": (100 + 1) * 256
        + (256 + 1) * 512
        + (512 + 1) * 1024
        + (1024 + 1) * 2048
        + (2048 + 1) * 784,
        "discriminator_parameters": (784 + 1) * 1024
        + (1024 + 1) * 512
        + (512 + 1) * 256
        + (256 + 1),
        "normalization": ([None] * 4, [None] * 3),
        "latents": ("normal", (100,)),
        "smoothing": 0.1,
        "rates": (2e-4, 2e-4),
        "batch_size": 256,
        "epochs": 200,
        "grids": [("epochs", 20, 10, 10)],
        "checkpoint_epochs": 20,
    },
    "faces_dcgan": {
        "generator": [
            (2 * 2 * 512,),
            (2, 2, 512),
            (2, 2, 512),
            (2, 2, 512),
            (7, 7, 256),
            (14, 14, 128),
            (28, 28, 3),
        ],
        "discriminator": [
            (14, 14, 64),
            (7, 7, 128),
            (7, 7, 256),
            (7 * 7 * 256,),
            (1,),
        ],
        "generator_parameters": (100 * 2 * 2 * 512 + 2 * 512)
        + (5 * 5 * 512 * 256 + 2 * 256)
        + (5 * 5 * 256 * 128 + 2 * 128)
        + (5 * 5 * 128 * 3 + 3),
        "discriminator_parameters": (5 * 5 * 3 * 64 + 64)
        + (5 * 5 * 64 * 128 + 2 * 128)
        + (5 * 5 * 128 * 256 + 2 * 256)
        + (7 * 7 * 256 + 1),
        "normalization": (["batch", "batch", None], [None, "batch", "batch"]),
        "latents": ("uniform", (100,)),
        "smoothing": 0.1,
        "rates": (2e-4, 2e-4),
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


class Fit(Exception):
    """Raised by `fit` to end a recipe, with the arguments that it got."""

    def __init__(self, gan, batches, options):
        super().__init__()
        self.gan = gan
        self.batches = batches
        self.options = options


def run_until_fit(name, *words):
    """Runs a recipe until it calls `fit`."""

    def fit(gan, batches, **options):
        raise Fit(gan, batches, options)

    with pytest.MonkeyPatch.context() as patch:
        argv = [str(RECIPES / f"{name}.py"), *map(str, words)]
        for owner, attribute, value in (
            (sys, "argv", argv),
            (sys, "excepthook", sys.excepthook),
            (sys, "stdout", sys.stdout),
            (GAN, "fit", fit),
            (devices, "has_accelerator", lambda: True),
        ):
            patch.setattr(owner, attribute, value)
        try:
            load(name).main()
        except Fit as call:
            return call


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    """Each recipe at its call of `fit`, with data of its own."""
    folder = tmp_path_factory.mktemp("systems")
    gray = np.zeros((350, 28, 28), "uint8")
    np.save(folder / "gray.npy", gray)
    np.save(folder / "color.npy", np.zeros((64, 128, 128, 3), "uint8"))
    found = {}
    for name in SYSTEMS:
        kind = "color" if name in ("cats_dcgan", "faces_dcgan") else "gray"
        words = ("--data", folder / f"{kind}.npy", "--output", folder / name)
        found[name] = run_until_fit(name, *words)
    return found


def blocks(network):
    return [layer for layer in network.layers if hasattr(layer, "dropout")]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_networks_are_those_of_the_source(name, systems):
    gan, expected = systems[name].gan, SYSTEMS[name]
    for network in (gan.generator, gan.discriminator):
        shapes = [layer.output.shape[1:] for layer in network.layers]
        assert shapes == expected[network.name]
        count = sum(np.prod(w.shape) for w in network.trainable_weights)
        assert count == expected[f"{network.name}_parameters"]
    assert (gan.latent_distribution, gan.latent_shape) == expected["latents"]
    found = tuple(
        [block.normalization for block in blocks(network)]
        for network in (gan.generator, gan.discriminator)
    )
    assert found == expected["normalization"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_training_is_that_of_the_source(name, systems):
    fit, expected = systems[name], SYSTEMS[name]
    assert isinstance(fit.gan.loss, losses.NonSaturating)
    assert fit.gan.loss.label_smoothing == expected["smoothing"]
    rates = []
    for optimizer in fit.gan.optimizer.optimizers:
        assert type(optimizer).__name__ == "Adam"
        assert optimizer.beta_1 == 0.5
        rates.append(float(optimizer.learning_rate.numpy()))
    assert rates == [np.float32(rate) for rate in expected["rates"]]
    assert fit.batches.batch_size == expected["batch_size"]
    assert fit.options["epochs"] == expected["epochs"]
    assert fit.options["resume"] is True
    grids = [
        (
            *(
                ("batches", callback.every_n_batches)
                if callback.every_n_batches
                else ("epochs", callback.every_n_epochs)
            ),
            callback.rows,
            callback.columns,
        )
        for callback in fit.options["callbacks"]
        if isinstance(callback, ImageGrid)
    ]
    assert grids == expected["grids"]
    (checkpoint,) = (
        callback
        for callback in fit.options["callbacks"]
        if isinstance(callback, EpochCheckpoint)
    )
    assert checkpoint.every_n_epochs == expected["checkpoint_epochs"]
    assert checkpoint.keep == 3


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
    for network, index in ((gan.generator, 0), (gan.discriminator, 1)):
        initializer = network.layers[index].kernel_initializer
        assert isinstance(initializer, keras.initializers.RandomNormal)
        assert initializer.stddev == 0.02


def test_the_cats_start_with_truncated_normal_kernels():
    gan = load("cats_dcgan").build_gan(image_size=32, filters=8)
    for block in [*blocks(gan.generator), *blocks(gan.discriminator)]:
        kernel = block.linear.kernel.numpy()
        # Truncation at two deviations leaves 0.88 of the deviation.
        assert np.abs(kernel).max() <= 0.04
        assert np.std(kernel) == pytest.approx(0.88 * 0.02, rel=0.15)


def test_the_conditional_digits_have_ten_classes(tmp_path):
    words = ("--data", "sample", "--output", tmp_path)
    fit = run_until_fit("digits_conditional", *words)
    assert fit.gan.num_classes == 10
    assert fit.batches.labels.max() == 9
    images, labels = fit.gan.generate(2, labels=[3, 4]), fit.batches.labels
    assert images.shape == (2, 28, 28, 1)
    assert labels.shape == (len(fit.batches.images),)


@pytest.mark.parametrize("image_size", [48, 64])
def test_other_sizes_of_cats_have_the_same_number_of_blocks(image_size):
    gan = load("cats_dcgan").build_gan(0, image_size, filters=4)
    assert gan.image_shape == (image_size, image_size, 3)
    assert len(blocks(gan.generator)) == len(blocks(gan.discriminator)) == 5


def test_a_size_of_cats_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="multiple of 16. Received: 50"):
        load("cats_dcgan").build_gan(image_size=50)


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


# Data.


def save_pictures(folder, number=10):
    """Writes colored squares as JPEG files."""
    folder.mkdir()
    for i in range(number):
        image = Image.new("RGB", (40, 40), (25 * i, 100, 255 - 25 * i))
        image.save(folder / f"{i}.jpg")


def read(name, tmp_path, *words):
    """Returns the images that a recipe trains on."""
    words = ("--batch-size", 2, *words)
    if "--output" not in words:
        folder = tmp_path / f"run_{len(list(tmp_path.iterdir()))}"
        words = (*words, "--output", folder)
    return run_until_fit(name, *words).batches


def test_three_quarters_of_the_sketches_are_for_training(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    np.save(tmp_path / "cat.npy", pixels)
    words = ("--data", tmp_path / "cat.npy")
    train = read("quickdraw_cats_gan", tmp_path, *words).images
    assert train.shape == (30, 28, 28, 1)
    whole = {sketch.tobytes() for sketch in pixels}
    assert len({sketch.tobytes() for sketch in train} & whole) == 30


def test_the_cats_can_be_a_zip_of_pictures(tmp_path):
    save_pictures(tmp_path / "cats")
    shutil.make_archive(tmp_path / "cats", "zip", tmp_path / "cats")
    words = ("--data", tmp_path / "cats.zip", *SMALL["cats_dcgan"])
    batches = read("cats_dcgan", tmp_path, *words)
    assert batches.images.shape == (10, 32, 32, 3)
    assert batches.images[9].mean((0, 1)) == pytest.approx(
        [225, 100, 30], abs=3
    )
    assert batches.flip is False
    assert read("cats_dcgan", tmp_path, *words, "--flip").flip is True


def test_the_faces_are_cropped_as_in_the_source(tmp_path):
    folder, _ = write_tfds(tmp_path)
    images = read("faces_dcgan", tmp_path, "--data", folder).images
    whole = datasets.load(folder, 28)
    middle = datasets.load(folder, 28, crop=108 / 178)
    np.testing.assert_array_equal(images, middle)
    assert (images != whole).any()
    words = ("--data", folder, "--crop", 1)
    uncropped = read("faces_dcgan", tmp_path, *words).images
    np.testing.assert_array_equal(uncropped, whole)


def save_cat(path, eyes):
    """Writes a photograph with its landmarks, as the CAT dataset has them."""
    image = Image.new("RGB", (300, 200), "white")
    draw = ImageDraw.Draw(image)
    (x, y), half = np.mean(eyes, axis=0), 20
    points = [*eyes, (x, y + 25)]
    points += [(x - 45, y - 20), (x - 35, y - 45), (x - 20, y - 30)]
    points += [(x + 20, y - 30), (x + 35, y - 45), (x + 45, y - 20)]
    draw.ellipse((x - 40, y - half, x + 40, y + 60), fill="orange")
    image.save(path)
    numbers = [str(round(number)) for point in points for number in point]
    text = " ".join(["9", *numbers])
    path.with_name(path.name + ".cat").write_text(text)


def test_photographs_with_landmarks_are_prepared_once(tmp_path):
    for i in range(6):
        folder = tmp_path / "CAT" / f"CAT_0{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        x = 100 + 15 * i
        save_cat(folder / f"{i}.jpg", [(x - 20, 90), (x + 20, 90)])
    words = ("--data", tmp_path / "CAT", "--image-size", 48, "--filters", 4)
    runs = tmp_path / "runs"

    def read_cats(name):
        output = ("--output", runs / name)
        return read("cats_dcgan", tmp_path, *words, *output).images

    images = read_cats("one")
    assert images.shape == (6, 48, 48, 3)
    # All faces are at the same place, wherever they were.
    assert np.abs(images.astype(int) - images[0]).mean() < 4
    prepared = runs / "cat_faces_48"
    times = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    np.testing.assert_array_equal(read_cats("two"), images)
    assert times == {
        path: path.stat().st_mtime_ns for path in prepared.rglob("*")
    }


@pytest.fixture
def few_drawings(monkeypatch):
    """Draws 16 cats where a recipe asks for thousands."""
    for name in ("line_cats", "synthetic_cats"):
        draw = getattr(samples, name)
        monkeypatch.setattr(
            samples, name, lambda _, *words, draw=draw: draw(16, *words)
        )


def test_without_arguments_the_cats_are_small_and_drawn(tmp_path, few_drawings):
    fit = run_until_fit(
        "cats_dcgan", "--output", tmp_path / "run", "--batch-size", 8
    )
    assert fit.gan.image_shape == (48, 48, 3)
    assert blocks(fit.gan.discriminator)[0].filters == 16
    assert fit.options["epochs"] == 12
    expected = samples.synthetic_cats(16, 48, 0)
    np.testing.assert_array_equal(fit.batches.images, expected)


# Whole runs.


def run_recipe(name, monkeypatch, capsys, *words):
    """Runs a recipe in this process and returns its output."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
    load(name).main()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "digits_gan"
        else pytest.param(name, marks=pytest.mark.slow)
        for name in ALL
    ],
)
def test_a_recipe_trains_and_resumes(
    name, monkeypatch, capsys, few_drawings, tmp_path
):
    words = ("--data", "sample", "--batch-size", 8, "--steps-per-epoch", 2)
    words = (*words, *SMALL.get(name, ()), "--epochs", 1)
    output = ("--output", tmp_path)
    text = run_recipe(name, monkeypatch, capsys, *output, *words)
    size = {"cats_dcgan": 32}.get(name, 28)
    with Image.open(tmp_path / "generated_64_seed_0.png") as picture:
        assert picture.size == (8 * size, 8 * size)
    for hint in ("generated_64", "epoch_0001.keras", "--epochs 2"):
        assert hint in text
    words = ("--resume", "--epochs", 2)
    text = run_recipe(name, monkeypatch, capsys, *output, *words)
    assert "Continues after step 2, in epoch 2." in text
    checkpoint = tmp_path / "checkpoints" / "epoch_0002.keras"
    assert int(keras.saving.load_model(checkpoint).optimizer.iterations) == 4


def start(name, *words, **options):
    """Starts a recipe in its own process, with TensorFlow's log as usual."""
    env = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    del env["TF_CPP_MIN_LOG_LEVEL"]
    return subprocess.Popen(
        [sys.executable, RECIPES / f"{name}.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        **options,
    )


def wait_for(path, process):
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_recipe_that_is_stopped_prints_the_command_to_continue(tmp_path):
    folder = tmp_path / "cats' faces"
    save_pictures(folder)
    words = ("--data", folder, "--batch-size", 8, *SMALL["cats_dcgan"])
    words = (*words, "--steps-per-epoch", 10_000, "--epochs", 1)
    output = tmp_path / "a run"
    process = start("cats_dcgan", *words, "--output", output)
    wait_for(output / "grids" / "step_0000010.png", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    (checkpoint,) = (output / "checkpoints").iterdir()
    step = int(checkpoint.stem.rpartition("_")[2])
    assert f"SIGINT after step {step}, which is saved" in err
    assert "oneDNN" not in err and "Traceback" not in err
    command = err.splitlines()[-1].partition("Continue with: ")[2]
    done = subprocess.run(
        f"{command} --steps-per-epoch {step + 2}",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Continues after step {step}" in done.stdout
    (last,) = (output / "checkpoints").glob("epoch_0001.keras")
    found = int(keras.saving.load_model(last).optimizer.iterations)
    assert found == step + 2
    assert shlex.split(command)[-1] == str(output)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_ctrl_c_before_training_ends_a_recipe_in_one_line(tmp_path):
    process = start("cats_dcgan", "--output", tmp_path / "run")
    assert "Drawing" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    (line,) = err.splitlines()
    assert "Work since the last checkpoint is lost" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_recipe_without_data_ends_with_one_line(tmp_path):
    words = ("--data", tmp_path / "nowhere", "--output", tmp_path / "run")
    out, err = (process := start("digits_gan", *words)).communicate()
    assert process.returncode == 1
    (line,) = err.splitlines()
    assert "nowhere" in line
    assert out == ""
