import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import gan_blocks  # noqa: F401  What is loaded is of its classes.

BACKEND = keras.backend.backend()
HERE = pathlib.Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "digits_dcgan.py"

every_backend = pytest.mark.every_backend
last = pytest.mark.last


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environments():
    """Describes two processes on this machine, as each backend reads it."""
    ports = free_ports(2)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    for index in range(2):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        yield os.environ | {
            "TF_CONFIG": json.dumps(cluster),
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses[0],
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(ports[0]),
            "WORLD_SIZE": "2",
            "RANK": str(index),
            "LOCAL_RANK": str(index),
            "OMP_NUM_THREADS": "1",
        }


def start(*words, env=None):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_ended_well(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]


@last
@every_backend
def test_two_devices_or_processes_come_to_what_one_device_does(tmp_path):
    """With discriminator steps, R1, and batch normalization of the batch."""
    script = HERE / "train_on_devices.py"
    runs = {"one": start(script, "one", tmp_path / "one.npz")}
    if BACKEND != "torch":
        runs["two"] = start(script, "two", tmp_path / "two.npz")
    for index, env in enumerate(environments()):
        file = tmp_path / f"process_{index}.npz"
        runs[file.stem] = start(script, "process", file, env=env)
    assert_ended_well(*runs.values())
    one = np.load(tmp_path / "one.npz")
    for kind in list(runs)[1:]:
        other = np.load(tmp_path / f"{kind}.npz")
        assert other.files == one.files
        for name in one.files:
            # Each replica's spread is that of its own share.
            rounding = 0.02 if name == "log_spread" else 2e-6
            np.testing.assert_allclose(
                other[name], one[name], rounding, rounding, err_msg=name
            )


def train_recipe(output, *words):
    arguments = "--data sample --modern --steps-per-epoch 4 --epochs 5".split()
    arguments += ["--output", output, "--devices", "all"]
    return [
        start(RECIPE, *arguments, *words, env=env) for env in environments()
    ]


@last
def test_two_processes_go_on_after_one_was_killed(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    processes = train_recipe(broken)
    first = broken / "checkpoints" / "epoch_0001.keras"
    while not first.exists():
        assert all(process.poll() is None for process in processes), processes[
            0
        ].communicate()
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    # The other waits for it, or fails; whoever watches over them ends both.
    processes[0].send_signal(signal.SIGKILL)
    for process in processes:
        process.communicate()
    assert not (broken / "checkpoints" / "epoch_0005.keras").exists()

    assert_ended_well(*train_recipe(broken, "--resume"))
    assert_ended_well(*train_recipe(whole))
    assert (broken / "history.csv").read_text() == (
        whole / "history.csv"
    ).read_text()
    assert_same_weights(broken, whole)


def assert_same_weights(*outputs):
    one, two = (
        keras.saving.load_model(output / "checkpoints" / "epoch_0005.keras")
        for output in outputs
    )
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )
