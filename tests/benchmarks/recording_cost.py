"""Measures the time and memory that grids and checkpoints cost.

    python tests/benchmarks/recording_cost.py [ROUNDS] [STEPS]

Trains two GANs with `fit`: a tiny one, whose steps consist almost only of the
overhead of Keras, and that of `recipes/digits_gan.py`. A grid of 4 x 4 images
is saved every 10 batches of 32, and a checkpoint after each epoch of 50
batches. This is much more often than in the recipes.

First, the memory of the process (resident set size, Linux) is sampled over
STEPS steps, in a new process each: without callbacks, with grids and with
checkpoints. Then each GAN is trained for a few epochs in each of these ways,
and with both. They take turns, and ratios are computed per round, so that a
machine whose speed drifts slows all equally.
"""

import concurrent.futures
import itertools
import math
import multiprocessing
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "recipes"))

import digits_gan  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import timing  # noqa: E402

from gan_blocks import GAN, callbacks, datasets, networks  # noqa: E402

BATCH_SIZE = 32
STEPS_PER_GRID = 10
STEPS_PER_EPOCH = 50
EPOCHS_PER_TURN = 6
VARIANTS = ("neither", "grids", "checkpoints", "both")


def tiny_gan():
    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=8, units=(16,)),
        networks.mlp_discriminator((8, 8, 1), units=(16,)),
        seed=0,
    )
    gan.compile("adam", "adam")
    return gan


GANS = {"tiny": tiny_gan, "digits": lambda: digits_gan.build_gan(seed=0)}


def callbacks_of(variant, folder):
    """Returns the callbacks of a variant."""
    grids = callbacks.ImageGrid(
        f"{folder}/grids", every_n_batches=STEPS_PER_GRID
    )
    checkpoints = callbacks.EpochCheckpoint(
        f"{folder}/checkpoints", every_n_epochs=1, keep=3
    )
    return {
        "neither": [],
        "grids": [grids],
        "checkpoints": [checkpoints],
        "both": [grids, checkpoints],
    }[variant]


def train(gan, epochs, used_callbacks):
    height, width, channels = gan.discriminator.input_shape[1:]
    images = np.random.default_rng(0).integers(
        0, 256, (1000, height, width, channels), np.uint8
    )
    gan.fit(
        datasets.batches(images, BATCH_SIZE),
        epochs=epochs,
        steps_per_epoch=STEPS_PER_EPOCH,
        verbose=0,
        callbacks=used_callbacks,
    )


class Memory(keras.callbacks.Callback):
    """Samples the memory of the process, in MB."""

    def __init__(self):
        super().__init__()
        self.samples = {}

    def on_epoch_end(self, epoch, logs=None):
        status = pathlib.Path("/proc/self/status").read_text()
        kilobytes = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
        self.samples[(epoch + 1) * STEPS_PER_EPOCH] = kilobytes / 1024


def measure_memory(name, variant, steps):
    memory = Memory()
    with tempfile.TemporaryDirectory() as folder:
        used_callbacks = [*callbacks_of(variant, folder), memory]
        train(GANS[name](), steps // STEPS_PER_EPOCH, used_callbacks)
    return memory.samples


def print_memory(steps):
    marks = [n for n in (500, 1000, 2000, 4000, 8000, 16000) if n < steps]
    marks.append(steps // STEPS_PER_EPOCH * STEPS_PER_EPOCH)
    print("memory in MB after a number of steps, and growth after the second")
    print(" " * 22 + "".join(f"{mark:8}" for mark in marks))
    with concurrent.futures.ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=1,
    ) as processes:
        for name, variant in itertools.product(GANS, VARIANTS[:3]):
            task = processes.submit(measure_memory, name, variant, steps)
            samples = [task.result()[mark] for mark in marks]
            growth = 1024 * (samples[-1] - samples[1]) / (marks[-1] - marks[1])
            print(
                f"{name + ', ' + variant:22}"
                + "".join(f"{sample:8.1f}" for sample in samples)
                + f"{growth:+8.2f} kB per step",
                flush=True,
            )


def candidate(gan, variant, folder):
    """Returns a candidate for `timing.in_turn` that trains whole epochs."""

    def run(steps):
        epochs = math.ceil(steps / STEPS_PER_EPOCH)
        used_callbacks = callbacks_of(variant, folder)
        start = time.perf_counter()
        train(gan, epochs, used_callbacks)
        return (time.perf_counter() - start) / (epochs * STEPS_PER_EPOCH)

    return run


def print_time(name, rounds):
    gan = GANS[name]()
    with tempfile.TemporaryDirectory() as folder:
        runs = [candidate(gan, variant, folder) for variant in VARIANTS]
        table = timing.in_turn(runs, rounds, EPOCHS_PER_TURN * STEPS_PER_EPOCH)
    for column, variant in enumerate(VARIANTS):
        turns = [(row[column], row[0]) for row in table]
        ratios = sorted(with_it / without - 1 for with_it, without in turns)
        added = 1000 * statistics.median(a - b for a, b in turns)
        each = {
            "grids": f"{STEPS_PER_GRID * added:.1f} ms per grid",
            "checkpoints": f"{STEPS_PER_EPOCH * added:.1f} ms per checkpoint",
        }
        print(
            f"{name + ', ' + variant:22}"
            f"{1000 * timing.median(table, column):7.2f} ms per step"
            f"{statistics.median(ratios):+8.1%}"
            f" ({ratios[0]:+.1%} to {ratios[-1]:+.1%}) "
            f"{each.get(variant, '')}".rstrip(),
            flush=True,
        )


def main():
    rounds, steps = [*map(int, sys.argv[1:]), *(7, 6000)[len(sys.argv) - 1 :]]
    print_memory(steps)
    print("\ntime, and the share that recording adds: median and range")
    for name in GANS:
        print_time(name, rounds)


if __name__ == "__main__":
    main()
