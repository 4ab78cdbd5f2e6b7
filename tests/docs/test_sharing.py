"""The programs without Keras in docs/sharing.md."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_blocks import GAN, networks
from gan_blocks.cli import command

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"


@pytest.fixture
def gan():
    """A GAN with random weights, also in its normalization."""
    gan = GAN(
        networks.dcgan_generator((12, 16, 3), latent_dim=6, base_filters=2),
        networks.dcgan_discriminator((12, 16, 3), base_filters=2),
    )
    random = np.random.default_rng(0)
    gan.generator.set_weights(
        [
            random.normal(0, 0.3, weight.shape)
            if weight.ndim == 4
            else random.uniform(0.5, 1.5, weight.shape)
            for weight in gan.generator.get_weights()
        ]
    )
    return gan


def check_program(name, gan):
    """Runs the program that reads the file `name`, and checks its pictures."""
    # Programs that need files are marked `py`, so they are no examples.
    programs = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (program,) = [code for code in programs if f'"{name}"' in code]
    assert "keras" not in program and "gan_blocks" not in program
    exec(program, {})
    pixels = np.hsplit(np.asarray(Image.open("pictures.png")), 16)
    expected = 127.5 * (gan.generate(16, seed=7) + 1)
    np.testing.assert_allclose(pixels, expected, atol=0.51)
    assert np.std(expected) > 20


@pytest.mark.every_backend
def test_numpy_generates_the_same_pictures(gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("generator.npz", *gan.averaged_generator().get_weights())
    check_program("generator.npz", gan)


@pytest.mark.slow
def test_onnx_runtime_generates_the_same_pictures(gan, tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    gan.save("best.keras")
    command.main(["export", "best.keras", "generator.onnx"])
    check_program("generator.onnx", gan)
