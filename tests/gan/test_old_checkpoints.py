"""Checkpoints of earlier releases must load, on every backend.

If one of these tests fails, users cannot go on with their runs: change the
library, not the file. Where a later release saves something new, it must take
old files without it; write a second file with `write_checkpoint.py` under the
name of that release, add it to `NAMES` and leave the first as it is.
"""

import keras
import numpy as np
import pytest
from write_checkpoint import FOLDER, measure, measure_training

from gan_blocks import callbacks

NAMES = ["gan_0_1"]

pytestmark = [
    pytest.mark.every_backend,
    pytest.mark.parametrize("name", NAMES),
]


def test_a_checkpoint_of_an_earlier_release_goes_on(name):
    path = FOLDER / f"{name}.keras"
    manifest = callbacks.read_manifest(path)
    assert f"gan_{manifest['gan_blocks']}.".replace(".", "_").startswith(name)
    assert (manifest["epoch"], manifest["step"]) == (1, 5)
    assert (manifest["backend"], manifest["arguments"]) == (
        "tensorflow",
        {"seed": 0},
    )

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
        # The same seeds give other numbers on other backends.
        if keras.backend.backend() == manifest["backend"]:
            np.testing.assert_allclose(value, expected[key], rtol=1e-4)
