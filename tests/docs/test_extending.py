"""The recipe that docs/extending.md tells to write."""

from pathlib import Path
import re
import runpy
import sys

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture
def run_recipe(tmp_path, monkeypatch):
    """Returns a function that runs the page's recipe with these words."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (recipe,) = [block for block in blocks if "cli.run" in block]
    (tmp_path / "rings.py").write_text(recipe)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["rings.py", *words])
        runpy.run_path("rings.py", run_name="__main__")
        return tmp_path / "runs" / "rings"

    return run


@pytest.mark.every_backend
def test_the_recipe_of_the_page_trains_and_draws(run_recipe):
    output = run_recipe("--epochs", "1", "--steps-per-epoch", "2")
    assert (output / "checkpoints" / "epoch_0001.keras").is_file()
    run_recipe("--generate", "4", "--seed", "7")
    assert (output / "generated_4_seed_7.png").is_file()
