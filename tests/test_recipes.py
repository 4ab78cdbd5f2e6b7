import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_blocks import losses

RECIPES = Path(__file__).parents[1] / "recipes"


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def run(name, *words):
    """Runs a recipe as a user does; returns what it prints."""
    process = subprocess.run(
        [sys.executable, RECIPES / f"{name}.py", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


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
        "latents": (1, 1, 100),
        "epochs": 20,
    },
    "digits_gan": {
        "generator": [(128,), (784,), (28, 28, 1)],
        "discriminator": [(784,), (128,), (1,)],
        "generator_parameters": 100 * 128 + 128 + 128 * 784 + 784,
        "discriminator_parameters": 784 * 128 + 128 + 128 + 1,
        "latents": (100,),
        "epochs": 100,
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
    assert gan.latent_shape == expected["latents"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_settings_are_those_of_the_source(name):
    recipe = load(name)
    gan = recipe.build_gan(seed=0)
    assert gan.latent_distribution == "uniform"
    assert isinstance(gan.loss, losses.NonSaturating)
    assert gan.loss.label_smoothing == 0
    for optimizer in gan.optimizer.optimizers:
        assert type(optimizer).__name__ == "Adam"
        assert float(optimizer.learning_rate.numpy()) == np.float32(2e-4)
        assert optimizer.beta_1 == 0.5
    assert recipe.BATCH_SIZE == 128
    assert recipe.EPOCHS == SYSTEMS[name]["epochs"]


def test_the_dcgan_normalizes_and_activates_as_the_source():
    gan = load("digits_dcgan").build_gan()
    blocks = [*gan.generator.layers, *gan.discriminator.layers[:2]]
    assert [block.normalization for block in blocks] == [
        *("batch", "batch", None),
        *("batch", "batch"),
    ]
    assert [block.activation for block in blocks] == [
        *("leaky_relu", "leaky_relu", "tanh"),
        *("leaky_relu", "leaky_relu"),
    ]
    assert {block.negative_slope for block in blocks} == {0.2}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recipe_trains_resumes_and_generates(name, tmp_path):
    output = ("--output", tmp_path)
    smoke = ("--data", "sample", "--batch-size", 8, "--steps-per-epoch", 2)
    run(name, *smoke, *output, "--epochs", 1)
    assert "1 of them done" in run(name, *output, "--resume", "--epochs", 2)
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == [
        "epoch_0001.png",
        "epoch_0002.png",
    ]
    checkpoint = tmp_path / "checkpoints" / "epoch_0002.keras"
    run(name, *output, "--generate", 9, "--checkpoint", checkpoint)
    with Image.open(tmp_path / "generated_9_seed_0.png") as picture:
        assert picture.size == (3 * 28, 3 * 28)


@pytest.mark.parametrize("name", SYSTEMS)
def test_help_explains_the_recipe_and_every_flag(name):
    text = run(name, "--help")
    assert "--data sample" in text
    for flag in ("epochs", "resume", "generate", "checkpoint", "output"):
        assert f"--{flag}" in text
