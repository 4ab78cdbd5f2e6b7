"""A stopped and resumed run ends with the same bits as an uninterrupted one."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_and_stop.py"
# JAX compiles slowly. Most of the state is saved by Keras code that is the
# same on all backends.
KIND = "average" if keras.backend.backend() == "jax" else "all"

pytestmark = [pytest.mark.every_backend, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs both stages, each in a process, and returns the folder."""
    folder = tmp_path_factory.mktemp("runs")
    for stage in ("begin", "resume"):
        process = subprocess.run(
            [sys.executable, SCRIPT, folder, stage, KIND],
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-4000:]
    return folder


@pytest.mark.parametrize("start", ["epoch", "step"])
def test_a_resumed_run_ends_with_the_same_bits(start, folder):
    uninterrupted = np.load(folder / "uninterrupted.npz")
    resumed = np.load(folder / f"from_{start}.npz")
    assert uninterrupted["iterations"] == 3 * 6
    assert len(uninterrupted.files) == len(resumed.files) > 40
    # Keras may rename the variables of a loaded model.
    for name, other in zip(uninterrupted.files, resumed.files, strict=True):
        np.testing.assert_array_equal(
            uninterrupted[name], resumed[other], err_msg=name, strict=True
        )
