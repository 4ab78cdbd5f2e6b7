"""Checkpoints of earlier releases load and continue, on every backend.

If one of these tests fails, users cannot continue their runs: change the
library, not the file. If a later release saves something new, it must still
load files without it. Then write a second file with `write_checkpoint.py`,
name it after that release, add it to `NAMES`, and keep the first file.
"""

import keras
import numpy as np
import pytest
from support.write_checkpoint import FOLDER, measure, measure_training

from gan_blocks import runs

NAMES = ["gan_0_1"]

pytestmark = [
    pytest.mark.every_backend,
    pytest.mark.parametrize("name", NAMES),
]


def test_a_checkpoint_of_an_earlier_release_loads_and_continues(name):
    path = FOLDER / f"{name}.keras"
    manifest = runs.read_manifest(path)
    assert f"gan_{manifest['gan_blocks']}.".replace(".", "_").startswith(name)
    assert (manifest["epoch"], manifest["step"]) == (1, 5)
    assert manifest["backend"] == "tensorflow"
    assert manifest["arguments"] == {"seed": 0}

    gan = keras.saving.load_model(path)
    expected = np.load(FOLDER / f"{name}.npz")
    found = measure(gan)
    np.testing.assert_allclose(found["images"], expected["images"], atol=1e-5)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5)
    np.testing.assert_array_equal(found["sizes"], expected["sizes"])
    np.testing.assert_allclose(
        found["sums"], expected["sums"], rtol=1e-6, atol=1e-6
    )

    step = measure_training(gan)
    assert int(gan.optimizer.iterations) == 6
    for key, value in step.items():
        assert np.all(np.isfinite(value))
        # Random numbers differ between backends.
        if keras.backend.backend() == manifest["backend"]:
            np.testing.assert_allclose(value, expected[key], rtol=1e-4)
