import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from test_cli import assert_equal, load
from two_processes import environments

import gan_blocks  # noqa: F401  What is loaded is of its classes.

BACKEND = keras.backend.backend()
HERE = pathlib.Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "digits_dcgan.py"

every_backend = pytest.mark.every_backend


def start(*words, env=()):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_ended_well(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-3000:]


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
    assert_equal(load(broken, "epoch_0005"), load(whole, "epoch_0005"))
