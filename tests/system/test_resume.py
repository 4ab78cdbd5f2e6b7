"""A run that was stopped ends as one that was not: to the last bit."""

import importlib.util
import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import keras
import numpy as np
import pytest

TESTS = Path(__file__).parent
# JAX compiles slowly, and what differs between kinds is Keras' part.
KINDS = {
    "tensorflow": ["all"],
    "jax": ["average"],
    "torch": ["steps", "all"],
}

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="started from the run on TensorFlow only",
)


def run(backend, folder):
    """Runs the stages one after the other, each in a process of its own."""
    for stage in ("begin", "finish"):
        process = subprocess.run(
            [sys.executable, TESTS / "train_in_parts.py", folder, stage]
            + KINDS[backend],
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                # With so little to do, torch's threads only wait.
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-4000:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Makes the whole runs and the stopped ones; returns where they are."""
    started = {}
    # Two at a time: more would only need more memory.
    with futures.ThreadPoolExecutor(2) as pool:
        for backend in ("jax", "tensorflow", "torch"):
            if importlib.util.find_spec(backend) is not None:
                folder = tmp_path_factory.mktemp(backend)
                started[backend] = (
                    folder,
                    pool.submit(run, backend, folder),
                )
    return started


@pytest.mark.parametrize("stopped_at", ["epoch", "step"])
@pytest.mark.parametrize(
    ("backend", "kind"),
    [(backend, kind) for backend, kinds in KINDS.items() for kind in kinds],
)
def test_a_stopped_run_ends_in_the_same_bits_as_a_whole_one(
    backend, kind, stopped_at, runs
):
    if backend not in runs:
        pytest.skip(f"{backend} is not installed")
    folder, run = runs[backend]
    run.result()
    whole = np.load(folder / f"{kind}_whole.npz")
    resumed = np.load(folder / f"{kind}_{stopped_at}.npz")
    assert whole["iterations"] == 3 * 6
    assert len(whole.files) == len(resumed.files) > 40
    # Keras may give the variables of a loaded model other names.
    for name, other in zip(whole.files, resumed.files, strict=True):
        np.testing.assert_array_equal(
            whole[name], resumed[other], err_msg=name, strict=True
        )
