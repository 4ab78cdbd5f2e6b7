"""The tests marked `every_backend`, on the other backends."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

TESTS = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="started from the run on TensorFlow only",
)


@pytest.fixture(scope="session", autouse=True)
def portable_tests(tmp_path_factory):
    """Starts the portable tests on both of the others.

    They run beside all that follows, until the test that waits for them:
    conftest.py puts it at the end.
    """
    folder = tmp_path_factory.mktemp("portable")
    runs = {}
    for backend in ("jax", "torch"):
        if importlib.util.find_spec(backend) is None:
            continue
        with open(folder / backend, "w") as output:
            runs[backend] = subprocess.Popen(
                # They use what this run, which takes the longest, leaves.
                ["nice", sys.executable, "-m", "pytest", TESTS]
                + ["-m", "every_backend", "-q", "-p", "no:cacheprovider"],
                env={
                    **os.environ,
                    "KERAS_BACKEND": backend,
                    # With so little to do, torch's threads only wait.
                    "OMP_NUM_THREADS": "1",
                },
                cwd=TESTS.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
    yield folder, runs
    for run in runs.values():
        run.kill()
        run.wait()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_the_portable_tests_pass_on_the_other_backends_too(
    backend, portable_tests
):
    folder, runs = portable_tests
    if backend not in runs:
        pytest.skip(f"{backend} is not installed")
    status = runs[backend].wait()
    output = (folder / backend).read_text()
    print(output[-8000:])  # Shown where the test fails.
    assert status == 0
    assert " passed" in output


@pytest.fixture(scope="module")
def ten_steps(tmp_path_factory):
    """Starts `train_ten_steps.py` on every installed backend."""
    folder = tmp_path_factory.mktemp("ten_steps")
    runs = {}
    for backend in ("tensorflow", "jax", "torch"):
        if importlib.util.find_spec(backend) is not None:
            runs[backend] = subprocess.Popen(
                [sys.executable, TESTS / "train_ten_steps.py"]
                + [folder / f"{backend}.npz"],
                env={**os.environ, "KERAS_BACKEND": backend},
                stderr=subprocess.PIPE,
                text=True,
            )
    for backend, run in runs.items():
        _, errors = run.communicate()
        assert run.returncode == 0, f"{backend}: {errors[-2000:]}"
    return {
        backend: dict(np.load(folder / f"{backend}.npz")) for backend in runs
    }


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("step", [1, 10])
def test_the_same_step_gives_the_same_weights_on_every_backend(
    ten_steps, backend, optimizer, step
):
    if backend not in ten_steps:
        pytest.skip(f"{backend} is not installed")
    # Adam divides by the root of small second moments in its first steps,
    # which blows up what rounding leaves of gradients that are almost zero:
    # up to the learning rate, 2e-4, in the weight concerned. SGD does not.
    tolerance = {"sgd": 5e-7, "adam": 2e-5}[optimizer]
    compared = 0
    for name, expected in ten_steps["tensorflow"].items():
        if not name.startswith(f"{optimizer}/{step}/"):
            continue
        found = ten_steps[backend][name]
        if "/logs/" in name:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ten_steps_change_every_trainable_weight(ten_steps, optimizer):
    run = ten_steps["tensorflow"]
    first = f"{optimizer}/1/weights/"
    moved = [
        np.abs(run[name.replace("/1/", "/10/", 1)] - weight).max()
        for name, weight in run.items()
        if name.startswith(first)
    ]
    assert len(moved) > 10 and min(moved) > 1e-5
