"""Training on two devices and in two processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from support.models import assert_same_variables
from support.two_processes import environments

from gan_blocks import replicas, runs

TESTS = Path(__file__).parent
SCRIPT = TESTS / "scripts" / "train_on_devices.py"
RECIPE = TESTS.parent / "recipes" / "digits_dcgan.py"


@pytest.mark.every_backend
def test_a_single_process_reads_all_rows():
    assert range(6)[replicas.rows(6)] == range(6)


@pytest.mark.every_backend
@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Processes of torch"
)
def test_each_torch_process_reads_its_part_of_the_rows(monkeypatch):
    from torch import distributed

    for name, value in {
        "is_initialized": True,
        "get_world_size": 3,
        "get_rank": 1,
    }.items():
        monkeypatch.setattr(distributed, name, lambda value=value: value)
    assert replicas.rows(6) == slice(2, 4)
    with pytest.raises(ValueError, match="multiple of .*size=4 and 3 process"):
        replicas.rows(4)


@pytest.mark.every_backend
@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution needs JAX"
)
def test_jax_devices_need_a_batch_that_they_can_share(monkeypatch):
    distribution = keras.distribution.DataParallel()
    keras.distribution.set_distribution(distribution)
    assert replicas.rows(3) == slice(0, 3)
    kind = type(distribution)
    monkeypatch.setattr(kind, "num_model_replicas", 2)
    with pytest.raises(ValueError, match="multiple .*size=3 and 2 devices"):
        replicas.rows(3)


def start(*command, env=()):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check_success(*processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-3000:]


@pytest.mark.slow
@pytest.mark.every_backend
def test_two_devices_or_processes_give_the_results_of_one_device(tmp_path):
    """Batch normalization, R1 and several discriminator steps included."""
    processes = {"one": start(SCRIPT, "one", tmp_path / "one.npz")}
    if keras.backend.backend() != "torch":
        processes["two"] = start(SCRIPT, "two", tmp_path / "two.npz")
    for index, env in enumerate(environments()):
        file = tmp_path / f"process_{index}.npz"
        processes[file.stem] = start(SCRIPT, "process", file, env=env)
    check_success(*processes.values())
    expected = np.load(tmp_path / "one.npz")
    for kind in list(processes)[1:]:
        found = np.load(tmp_path / f"{kind}.npz")
        assert found.files == expected.files
        for name in expected.files:
            # Each replica computes the spread of its part of the batch.
            tolerance = 0.02 if name == "log_spread" else 2e-6
            np.testing.assert_allclose(
                found[name], expected[name], tolerance, tolerance, err_msg=name
            )


def train_in_two_processes(output, *options):
    arguments = "--data sample --batch-size 16 --steps-per-epoch 4 --epochs 5"
    arguments = [*arguments.split(), "--output", output, "--devices", "all"]
    return [
        start(RECIPE, *arguments, *options, env=env) for env in environments()
    ]


@pytest.mark.slow
def test_two_processes_resume_after_one_of_them_was_killed(tmp_path):
    expected = runs.RunFolder(tmp_path / "uninterrupted")
    run = runs.RunFolder(tmp_path / "killed")
    processes = train_in_two_processes(run.path)
    while not (run.checkpoints / "epoch_0001.keras").exists():
        for process in processes:
            assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    # The other process waits or fails. A job scheduler would end it too.
    processes[0].send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()
    assert not (run.checkpoints / "epoch_0005.keras").exists()

    check_success(*train_in_two_processes(run.path, "--resume"))
    check_success(*train_in_two_processes(expected.path))
    assert run.history.read_text() == expected.history.read_text()
    assert_same_variables(
        *(
            keras.saving.load_model(folder / "epoch_0005.keras")
            for folder in (run.checkpoints, expected.checkpoints)
        )
    )
