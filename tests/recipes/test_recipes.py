import importlib.util
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.image_sources import write_tfds

from gan_blocks import callbacks, datasets, losses, samples

RECIPES = Path(__file__).parents[1] / "recipes"


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def start(name, *words):
    """Starts a recipe in a process of its own."""
    return subprocess.Popen(
        [sys.executable, RECIPES / f"{name}.py", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a recipe's file in this process; returns what it prints."""

    def run(name, *words):
        path = str(RECIPES / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


def shapes(network):
    return [layer.output.shape[1:] for layer in network.layers]


# Of the sources: what each layer puts out, and the sums of their parameters.
# A kernel has height * width * in * out values; batch norm has a scale and an
# offset per channel, and takes the place of the bias.
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
        "latents": ("uniform", (100,)),
        "smoothing": 0.1,
        "rates": (2e-4, 2e-4),
        "batch_size": 16,
        "epochs": 2,
        "grids": [("batches", 400, 8, 8)],
        "checkpoint_epochs": 1,
    },
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_networks_are_those_of_the_source(name):
    recipe, expected = load(name), SYSTEMS[name]
    gan = recipe.build_gan(seed=0)
    for network in (gan.generator, gan.discriminator):
        assert shapes(network) == expected[network.name]
        count = sum(np.prod(w.shape) for w in network.trainable_weights)
        assert count == expected[f"{network.name}_parameters"]
    assert (gan.latent_distribution, gan.latent_shape) == expected["latents"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_settings_are_those_of_the_source(name, tmp_path):
    recipe, expected = load(name), SYSTEMS[name]
    gan = recipe.build_gan(seed=0)
    assert isinstance(gan.loss, losses.NonSaturating)
    assert gan.loss.label_smoothing == expected["smoothing"]
    rates = []
    for optimizer in gan.optimizer.optimizers:
        assert type(optimizer).__name__ == "Adam"
        assert optimizer.beta_1 == 0.5
        rates.append(float(optimizer.learning_rate.numpy()))
    assert rates == [np.float32(rate) for rate in expected["rates"]]
    assert recipe.SOURCE["batch_size"] == expected["batch_size"]
    assert recipe.SOURCE["epochs"] == expected["epochs"]
    *grids, checkpoint = recipe.recorders(tmp_path)
    assert [
        (
            *(
                ("batches", grid.every_n_batches)
                if grid.every_n_batches
                else ("epochs", grid.every_n_epochs)
            ),
            grid.rows,
            grid.columns,
        )
        for grid in grids
    ] == expected["grids"]
    assert isinstance(checkpoint, callbacks.EpochCheckpoint)
    assert checkpoint.every_n_epochs == expected["checkpoint_epochs"]


def blocks(network):
    return [layer for layer in network.layers if hasattr(layer, "dropout")]


@pytest.mark.parametrize(
    ("name", "generator", "discriminator"),
    [
        ("digits_dcgan", ["batch", "batch", None], ["batch", "batch"]),
        ("cats_dcgan", ["batch"] * 4 + [None], [None] + ["batch"] * 4),
        ("quickdraw_cats_gan", [None] * 4, [None] * 3),
        ("faces_dcgan", ["batch", "batch", None], [None, "batch", "batch"]),
    ],
)
def test_the_blocks_normalize_as_those_of_the_source(
    name, generator, discriminator
):
    gan = load(name).build_gan()
    found = [
        [block.normalization for block in blocks(network)]
        for network in (gan.generator, gan.discriminator)
    ]
    assert found == [generator, discriminator]


@pytest.mark.parametrize("name", ["digits_dcgan", "cats_dcgan", "faces_dcgan"])
def test_the_convolutions_activate_as_those_of_the_source(name):
    gan = load(name).build_gan()
    *hidden, last = blocks(gan.generator)
    assert last.activation == "tanh"
    for block in [*hidden, *blocks(gan.discriminator)]:
        assert (block.activation, block.negative_slope) == ("leaky_relu", 0.2)
        assert block.dropout == 0


def test_the_scribbled_cats_activate_and_drop_out_as_the_source():
    gan = load("quickdraw_cats_gan").build_gan()
    slopes = [block.negative_slope for block in blocks(gan.generator)]
    assert slopes == [0.3, 0.3, 0.2, 0.2]
    for block in blocks(gan.discriminator):
        assert (block.negative_slope, block.dropout) == (0.2, 0.3)
    first = [
        network.layers[i].kernel_initializer
        for network, i in ((gan.generator, 0), (gan.discriminator, 1))
    ]
    assert [(type(i).__name__, i.stddev) for i in first] == [
        ("RandomNormal", 0.02)
    ] * 2


def test_the_cats_start_from_truncated_normal_kernels():
    gan = load("cats_dcgan").build_gan(image_size=32, filters=8)
    for block in [*blocks(gan.generator), *blocks(gan.discriminator)]:
        kernel = block.linear.kernel.numpy()
        # Cut off at two deviations, which leaves 0.88 of the deviation.
        assert np.abs(kernel).max() <= 0.04
        assert np.std(kernel) == pytest.approx(0.88 * 0.02, rel=0.15)


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("cats_dcgan", 64), ("cats_dcgan", 48), ("faces_dcgan", 64)],
)
def test_other_image_sizes_keep_the_recipe(name, image_size):
    gan = load(name).build_gan(0, image_size, filters=4)
    assert gan.image_shape == (image_size, image_size, 3)
    stages = {"cats_dcgan": 5, "faces_dcgan": 4}[name]
    assert len(blocks(gan.generator)) == stages
    assert len(blocks(gan.discriminator)) == stages


@pytest.mark.parametrize("name", ["cats_dcgan", "faces_dcgan"])
def test_an_image_size_that_cannot_be_halved_is_refused(name, run, tmp_path):
    with pytest.raises(ValueError, match="multiple of 16. Received: .*50"):
        load(name).build_gan(image_size=50)
    with pytest.raises(SystemExit) as exit_:
        run(name, "--data", "sample", "--image-size", 50, "--output", tmp_path)
    assert exit_.value.code == 1


SMALL = {
    "cats_dcgan": ("--image-size", 32, "--filters", 4),
    "faces_dcgan": ("--filters", 4),
}


def test_modern_digits_of_a_class_are_trained_drawn_and_measured(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    output = ("--output", tmp_path / "run")
    smoke = ("--data", "sample", "--steps-per-epoch", 2, "--epochs", 1)
    run("digits_dcgan", *smoke, *output, "--modern", "--conditional")
    arguments = json.loads((tmp_path / "run" / "arguments.json").read_text())
    assert arguments["batch_size"] == load("digits_dcgan").MODERN["batch_size"]
    assert "fid" in run("digits_dcgan", *output, "--evaluate", 70)
    measured = json.loads(
        (tmp_path / "run" / "quality_70_seed_0.json").read_text()
    )
    assert measured["values"].keys() >= {"fid", "kid", "modes", "mode_kl"}
    assert measured["protocol"]["features"] == "classifier"
    gan = keras.saving.load_model(
        tmp_path / "run" / "checkpoints" / "epoch_0001.keras"
    )
    assert gan.num_classes == 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cats_dcgan", ("--image-size", 16, "--filters", 4)),
        ("faces_dcgan", ("--filters", 4)),
        ("quickdraw_cats_gan", ()),
    ],
)
def test_modern_networks_are_lighter_than_the_sources_and_are_trained(
    name, words, run, tmp_path
):
    recipe = load(name)
    source, modern = recipe.build_gan(0), recipe.build_modern_gan(0)
    assert modern.image_shape == source.image_shape
    assert modern.count_params() < source.count_params()
    pictures = np.zeros((96, 28, 28), "uint8")
    np.save(tmp_path / "pictures.npy", pictures)
    smoke = ("--data", tmp_path / "pictures.npy", "--epochs", 1)
    run(name, *smoke, *words, "--modern", "--output", tmp_path)
    arguments = json.loads((tmp_path / "arguments.json").read_text())
    given = {word[2:].replace("-", "_") for word in words[::2]}
    expected = {k: v for k, v in recipe.MODERN.items() if k not in given}
    assert arguments.items() >= expected.items()


@pytest.fixture
def few_drawings(monkeypatch):
    """Draws 16 cats where a recipe asks for thousands."""
    for name in ("line_cats", "synthetic_cats"):
        draw = getattr(samples, name)
        monkeypatch.setattr(
            samples, name, lambda _, *words, draw=draw: draw(16, *words)
        )


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recipe_trains_resumes_generates_and_interpolates(
    name, run, few_drawings, tmp_path
):
    output = ("--output", tmp_path)
    smoke = ("--data", "sample", "--batch-size", 8, "--steps-per-epoch", 2)
    text = run(name, *smoke, *SMALL.get(name, ()), *output, "--epochs", 1)
    size = {"cats_dcgan": 32}.get(name, 28)
    with Image.open(tmp_path / "generated_64_seed_0.png") as picture:
        assert picture.size == (8 * size, 8 * size)
    for told in ("generated_64", "epoch_0001.keras", "--resume --epochs 2"):
        assert told in text
    assert "1 of them done" in run(name, *output, "--resume", "--epochs", 2)
    checkpoint = tmp_path / "checkpoints" / "epoch_0002.keras"
    assert int(keras.saving.load_model(checkpoint).optimizer.iterations) == 4
    saved = ("--checkpoint", checkpoint)
    run(name, *output, "--generate", 9, *saved)
    with Image.open(tmp_path / "generated_9_seed_0.png") as picture:
        assert picture.size == (3 * size, 3 * size)
    run(name, *output, "--interpolate", 3, *saved)
    with Image.open(tmp_path / "interpolated_3_seed_0.png") as strips:
        assert strips.size[1] == 3 * size
    with Image.open(tmp_path / "interpolated_3_seed_0.gif") as animation:
        assert animation.n_frames > 9


def wait_for(path, process):
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no Ctrl-C to send")
def test_a_recipe_that_is_stopped_saves_and_goes_on(run, tmp_path):
    save_pictures(tmp_path / "cats")
    words = ("--data", tmp_path / "cats", "--batch-size", 8)
    words += SMALL["cats_dcgan"]
    words += ("--steps-per-epoch", 10_000, "--epochs", 1)
    process = start("cats_dcgan", *words, "--output", tmp_path)
    wait_for(tmp_path / "grids" / "step_0000010.png", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    step = int(checkpoint.stem.rpartition("_")[2])
    assert f"SIGINT after step {step}, which is saved" in err
    assert int(keras.saving.load_model(checkpoint).optimizer.iterations) == step
    command = err.splitlines()[-1].partition("python ")[2].split()
    assert command == [
        str(RECIPES / "cats_dcgan.py"),
        *("--resume", "--output", str(tmp_path)),
    ]
    text = run(
        *("cats_dcgan", *command[1:]),
        *("--steps-per-epoch", step + 2),
    )
    assert f"{step} steps more" in text
    (last,) = (tmp_path / "checkpoints").glob("epoch_0001.keras")
    found = int(keras.saving.load_model(last).optimizer.iterations)
    assert found == step + 2


@pytest.mark.parametrize("name", SYSTEMS)
def test_help_explains_the_recipe_and_every_flag(name, run, capsys):
    with pytest.raises(SystemExit):
        run(name, "--help")
    text = capsys.readouterr().out
    assert "--data sample" in text or "no download" in text
    for flag in (
        *("epochs", "resume", "generate", "interpolate"),
        *("checkpoint", "output"),
    ):
        assert f"--{flag}" in text


def save_pictures(folder, number=10):
    """Writes coloured squares as JPEG files."""
    folder.mkdir()
    for i in range(number):
        image = Image.new("RGB", (40, 40), (25 * i, 100, 255 - 25 * i))
        image.save(folder / f"{i}.jpg")


def read(name, monkeypatch, *words):
    """Returns the images that a recipe trains on."""
    recipe = load(name)
    found = []
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
    monkeypatch.setattr(
        recipe.cli,
        "run",
        lambda arguments, build, images, recorders: found.append(
            images(arguments)
        ),
    )
    recipe.main()
    return found[0]


def test_a_cat_npy_of_quick_draw_is_read_and_a_fourth_kept_for_evaluation(
    tmp_path, monkeypatch
):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    np.save(tmp_path / "cat.npy", pixels)
    data = str(tmp_path / "cat.npy")
    train = read("quickdraw_cats_gan", monkeypatch, "--data", data)
    assert train.shape == (30, 28, 28, 1)
    (tmp_path / "arguments.json").write_text(json.dumps({"data": data}))
    words = ("--evaluate", "--output", tmp_path)
    test = read("quickdraw_cats_gan", monkeypatch, *words)
    assert test.shape == (10, 28, 28, 1)
    whole = {drawing.tobytes() for drawing in pixels}
    assert {drawing.tobytes() for drawing in (*train, *test)} == whole


def test_a_zip_of_pictures_is_read_by_the_cats(tmp_path, monkeypatch):
    save_pictures(tmp_path / "cats")
    shutil.make_archive(tmp_path / "cats", "zip", tmp_path / "cats")
    images = read(
        *("cats_dcgan", monkeypatch),
        *("--data", tmp_path / "cats.zip", "--image-size", 32),
    )
    assert images.shape == (10, 32, 32, 3)
    assert images[9].mean((0, 1)) == pytest.approx([225, 100, 30], abs=3)


def test_a_prepared_tfds_folder_is_read_and_cropped_by_the_faces(
    tmp_path, monkeypatch
):
    folder, _ = write_tfds(tmp_path)
    images = read("faces_dcgan", monkeypatch, "--data", folder)
    whole = datasets.load(folder, 28)
    assert images.shape == whole.shape == (len(whole), 28, 28, 3)
    middle = datasets.load(folder, 28, crop=108 / 178)
    np.testing.assert_array_equal(images, middle)
    assert (images != whole).any()
    uncropped = read("faces_dcgan", monkeypatch, "--data", folder, "--crop", 1)
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


def test_a_tree_of_photographs_with_landmarks_is_prepared_once(
    tmp_path, monkeypatch, capsys
):
    for i in range(6):
        folder = tmp_path / "CAT" / f"CAT_0{i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        x = 100 + 15 * i
        save_cat(folder / f"{i}.jpg", [(x - 20, 90), (x + 20, 90)])
    words = ("--data", tmp_path / "CAT", "--image-size", 48)
    words += ("--output", tmp_path / "runs" / "cats")
    images = read("cats_dcgan", monkeypatch, *words)
    assert images.shape == (6, 48, 48, 3)
    # All faces lie alike, wherever they were.
    assert np.abs(images.astype(int) - images[0]).mean() < 4
    prepared = tmp_path / "runs" / "cat_faces_48"
    times = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    again = read("cats_dcgan", monkeypatch, *words)
    np.testing.assert_array_equal(again, images)
    assert times == {
        path: path.stat().st_mtime_ns for path in prepared.rglob("*")
    }


def test_without_arguments_the_cats_are_drawn_ones(monkeypatch):
    recipe = load("cats_dcgan")
    monkeypatch.setattr(recipe, "SAMPLE_NUMBER", 20)
    size = recipe.SAMPLE["image_size"]
    monkeypatch.setattr(sys, "argv", ["cats_dcgan.py"])
    found = []
    monkeypatch.setattr(
        recipe.cli,
        "run",
        lambda arguments, build, images, recorders: found.append(
            (arguments, images(arguments))
        ),
    )
    recipe.main()
    arguments, images = found[0]
    assert arguments.data == "sample"
    assert arguments.filters == recipe.SAMPLE["filters"]
    np.testing.assert_array_equal(images, samples.synthetic_cats(20, size, 0))


def test_photographs_get_the_settings_of_the_source(monkeypatch):
    recipe = load("cats_dcgan")
    argv = ["--data", "photographs"]
    arguments = recipe.cli.parse_arguments(
        "Cats.", recipe.SOURCE, recipe.SAMPLE, argv=argv
    )
    assert (
        vars(arguments).items()
        >= {
            **recipe.SOURCE,
            "data": "photographs",
        }.items()
    )
