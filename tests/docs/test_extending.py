"""The recipe in docs/extending.md."""

import re
import runpy
import sys
from pathlib import Path

import keras
import pytest
from PIL import Image

from gan_blocks.cli import command

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.mark.every_backend
def test_the_recipe_of_the_page_trains_and_its_run_generates(
    tmp_path, monkeypatch
):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (recipe,) = [block for block in blocks if "cli.start" in block]
    (tmp_path / "rings.py").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    words = ["rings.py", "--epochs", "1", "--steps-per-epoch", "2"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    runpy.run_path("rings.py", run_name="__main__")
    run = tmp_path / "runs" / "rings"
    checkpoint = run / "checkpoints" / "epoch_0001.keras"
    assert keras.saving.load_model(checkpoint).optimizer.iterations == 2

    command.main(["generate", str(run), "--number", "4", "--seed", "7"])
    with Image.open(run / "generated_4_seed_7.png") as picture:
        assert picture.width == picture.height > 0
