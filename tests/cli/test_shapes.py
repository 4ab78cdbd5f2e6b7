"""The actions, with pictures that are not square, gray, or transparent."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from support import gans
from support.models import pooling_model
from support.trained_runs import command

from gan_blocks import GAN, images, networks, runs

MODES = {1: "L", 3: "RGB", 4: "RGBA"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 3, 4], ids=MODES.get)
def run(request, tmp_path_factory):
    """A run with pictures of 4 x 6 pixels, without training."""
    shape = (4, 6, request.param)
    run = runs.RunFolder(tmp_path_factory.mktemp("run"))
    gan = GAN(
        networks.mlp_generator(shape, 5, units=(4,)),
        networks.mlp_discriminator(shape, units=(4,)),
        seed=0,
    )
    random = np.random.default_rng(0)
    for weight in gan.generator.weights:
        weight.assign(random.normal(0, 2, weight.shape))
    run.checkpoints.mkdir()
    gans.compiled(gan).save(run.checkpoints / "epoch_0001.keras")
    run.history.write_text("epoch,step,d_loss\n1,2,1.4\n2,4,1.3\n")
    run.write_settings({"data": "pictures"})
    for epoch in (1, 2):
        grid = images.grid(gan.generate(6, seed=epoch), rows=2)
        images.save_png(grid, run.grids / f"epoch_000{epoch}.png")
    run.mode = MODES[request.param]
    run.shape = shape
    return run


def load(run):
    return keras.saving.load_model(run.latest_checkpoint())


def pixels_of(path, mode):
    """Returns all frames of a film, or the one frame of a picture."""
    frames = []
    with Image.open(path) as film:
        for index in range(getattr(film, "n_frames", 1)):
            film.seek(index)
            frames.append(np.asarray(film.convert(mode)).astype(int))
    return np.array(frames)


def test_generated_pictures_keep_shape_and_mode(run, tmp_path):
    command("generate", run.path, "--number", 4, "--output", tmp_path / "4.png")
    with Image.open(tmp_path / "4.png") as grid:
        assert (grid.mode, grid.size) == (run.mode, (12, 8))
    words = ("--separate", "--number", 2, "--folder", tmp_path / "two")
    command("generate", run.path, *words)
    found = [pixels_of(tmp_path / f"two/0000{i}.png", run.mode) for i in (0, 1)]
    expected = images.to_uint8(load(run).generate(2, seed=0))
    np.testing.assert_array_equal(
        np.concatenate(found).reshape(expected.shape), expected
    )


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_films_keep_shape_and_transparency(run, ending, tmp_path):
    film = tmp_path / f"film.{ending}"
    command("animate", run.path, film, "--scale", 8)
    found = pixels_of(film, "RGBA").reshape(-1, 8, 8, 18, 8, 4)
    found = found[:, :, 4, :, 4]
    grids = [run.grids / f"epoch_000{epoch}.png" for epoch in (1, 2)]
    expected = np.concatenate([pixels_of(grid, "RGBA") for grid in grids])
    alpha = expected[..., 3]
    assert (np.ptp(alpha) > 0) == (run.mode == "RGBA")
    if ending == "gif":  # A pixel is visible or not.
        alpha = 255 * (alpha >= 128)
    np.testing.assert_allclose(found[..., 3], alpha, atol=8)
    if ending != "webp":  # It is compressed.
        visible = alpha == 255
        np.testing.assert_array_equal(found[visible, :3], expected[visible, :3])


def test_interpolations_keep_shape_and_mode(run, tmp_path):
    words = ("--number", 2, "--steps", 3, "--file", tmp_path / "film.png")
    command("interpolate", run.path, *words, "--scale", 1)
    with Image.open(tmp_path / "film.png") as film:
        assert (film.mode, film.size) == (run.mode, (6, 4))
    with Image.open(tmp_path / "film_strips.png") as strips:
        assert (strips.mode, strips.size) == (run.mode, (6, 8))


@pytest.mark.filterwarnings("ignore:The Frechet distance")
def test_the_quality_can_be_measured(run, tmp_path):
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (20, *run.shape), "uint8")
    np.save(tmp_path / "pictures.npy", pictures)
    pooling_model(8, channels=3).save(tmp_path / "pool.keras")
    words = ("--features", tmp_path / "pool.keras", "--number", 20)
    command("evaluate", run.path, "--data", tmp_path / "pictures.npy", *words)
    result = json.loads((run.path / "quality_20_seed_0_pool.json").read_text())
    assert np.isfinite(result["values"]["kid"])


def test_the_generator_can_be_exported_and_explored(run, tmp_path, capsys):
    command("export", run.path, tmp_path / "generator.keras")
    shape = f"shape (batch, 4, 6, {run.shape[2]})"
    assert shape in capsys.readouterr().out
    command("explore", run.path, tmp_path / "explorer.html")
    command("page", run.path)
    assert run.page.read_text().count("data:image/png") == 2
