"""Measures what pictures and checkpoints cost, in time and in memory.

    python tests/benchmarks/recording_cost.py [ROUNDS] [STEPS]

Two GANs are trained by `fit`: one as small as is sensible, for which nearly
all of a step is Keras' own work, and that of `recipes/digits_gan.py`. A grid
of 4 x 4 pictures is saved after every 10 batches of 32, and a checkpoint after
every epoch of 50, which is far more often than in any recipe.

Memory (what the process has in RAM, on Linux) is sampled along STEPS steps,
each time in a process of its own, without callbacks, with pictures and with
checkpoints. Then each GAN is trained for some epochs in all these ways, and
with both; they take turns, so that a machine whose speed drifts slows all
alike, and ratios are taken round by round.
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
STEPS_PER_PICTURE = 10
STEPS_PER_EPOCH = 50
EPOCHS_A_TURN = 6
VARIANTS = ("neither", "pictures", "checkpoints", "both")


def tiny_gan():
    gan = GAN(
        networks.mlp_generator((8, 8, 1), latent_dim=8, units=(16,)),
        networks.mlp_discriminator((8, 8, 1), units=(16,)),
        seed=0,
    )
    gan.compile("adam", "adam")
    return gan


GANS = {"tiny": tiny_gan, "digits": lambda: digits_gan.build_gan(seed=0)}


def recorders(variant, folder):
    """Returns the callbacks of a variant."""
    pictures = callbacks.ImageGrid(
        f"{folder}/grids", every_n_batches=STEPS_PER_PICTURE
    )
    checkpoints = callbacks.EpochCheckpoint(
        f"{folder}/checkpoints", every_n_epochs=1, keep=3
    )
    return {
        "neither": [],
        "pictures": [pictures],
        "checkpoints": [checkpoints],
        "both": [pictures, checkpoints],
    }[variant]


def train(gan, epochs, watchers):
    height, width, channels = gan.discriminator.input_shape[1:]
    images = np.random.default_rng(0).integers(
        0, 256, (1000, height, width, channels), np.uint8
    )
    gan.fit(
        datasets.batches(images, BATCH_SIZE, repeat=True),
        epochs=epochs,
        steps_per_epoch=STEPS_PER_EPOCH,
        shuffle=False,
        verbose=0,
        callbacks=watchers,
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
        watchers = [*recorders(variant, folder), memory]
        train(GANS[name](), steps // STEPS_PER_EPOCH, watchers)
    return memory.samples


def print_memory(steps):
    marks = [n for n in (500, 1000, 2000, 4000, 8000, 16000) if n < steps]
    marks.append(steps // STEPS_PER_EPOCH * STEPS_PER_EPOCH)
    print("memory in MB after so many steps, and growth from the second on")
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
                + f"{growth:+8.2f} kB a step",
                flush=True,
            )


def candidate(gan, variant, folder):
    """Makes what `timing.in_turn` takes: whole epochs, with a recorder."""

    def run(steps):
        epochs = math.ceil(steps / STEPS_PER_EPOCH)
        watchers = recorders(variant, folder)
        start = time.perf_counter()
        train(gan, epochs, watchers)
        return (time.perf_counter() - start) / (epochs * STEPS_PER_EPOCH)

    return run


def print_time(name, rounds):
    gan = GANS[name]()
    with tempfile.TemporaryDirectory() as folder:
        runs = [candidate(gan, variant, folder) for variant in VARIANTS]
        table = timing.in_turn(runs, rounds, EPOCHS_A_TURN * STEPS_PER_EPOCH)
    for column, variant in enumerate(VARIANTS):
        turns = [(row[column], row[0]) for row in table]
        ratios = sorted(with_it / without - 1 for with_it, without in turns)
        added = 1000 * statistics.median(a - b for a, b in turns)
        each = {
            "pictures": f"{STEPS_PER_PICTURE * added:.1f} ms a picture",
            "checkpoints": f"{STEPS_PER_EPOCH * added:.1f} ms a checkpoint",
        }
        print(
            f"{name + ', ' + variant:22}"
            f"{1000 * timing.median(table, column):7.2f} ms a step"
            f"{statistics.median(ratios):+8.1%}"
            f" ({ratios[0]:+.1%} to {ratios[-1]:+.1%}) "
            f"{each.get(variant, '')}".rstrip(),
            flush=True,
        )


def main():
    rounds, steps = [*map(int, sys.argv[1:]), *(7, 6000)[len(sys.argv) - 1 :]]
    print_memory(steps)
    print("\ntime, and what recording adds: median and range")
    for name in GANS:
        print_time(name, rounds)


if __name__ == "__main__":
    main()
