"""Keras finds our classes, whatever is imported first."""

import subprocess
import sys

import pytest
from support.write_checkpoint import FOLDER

LOAD = "keras.saving.load_model(sys.argv[1])"


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import gan_blocks, keras",
        "import keras, gan_blocks",
        "import gan_blocks.losses, keras",
        "from gan_blocks import callbacks; import keras",
        "from gan_blocks.cli import start; import keras",
    ],
)
def test_a_gan_can_be_loaded_after_the_import_of_the_package(imports):
    subprocess.run(
        [sys.executable, "-c", f"import sys; {imports}; {LOAD}"]
        + [FOLDER / "gan_0_1.keras"],
        check=True,
    )


@pytest.mark.slow
def test_a_missing_backend_is_named():
    code = "import sys; sys.modules['tensorflow'] = None; import gan_blocks, "
    done = subprocess.run(
        [sys.executable, "-c", code + "keras"], capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: Keras uses the backend tensorflow")
    assert "KERAS_BACKEND" in last
