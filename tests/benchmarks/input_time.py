"""Measures the share of a training step that is spent on the input.

    python tests/benchmarks/input_time.py [ROUNDS] [STEPS] [FILTERS]

Trains the GAN of `recipes/cats_dcgan.py` at 64 pixels with `fit`, in turn on
the mirrored batches of `datasets.batches` and on one constant tensor. The
difference is the cost of the input. The time that the batches take without a
GAN is printed too.
"""

import os
import pathlib
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "recipes"))

import cats_dcgan  # noqa: E402

from gan_blocks import datasets, samples  # noqa: E402

IMAGE_SIZE = 64
BATCH_SIZE = 64


def seconds_per_step(gan, dataset, steps):
    start = time.perf_counter()
    gan.fit(dataset, steps_per_epoch=steps, verbose=0, shuffle=False)
    return (time.perf_counter() - start) / steps


def seconds_per_batch(dataset, number=300):
    batches = iter(dataset)
    next(batches)
    start = time.perf_counter()
    for _ in range(number):
        next(batches)
    return (time.perf_counter() - start) / number


def main():
    rounds, steps, filters = [
        *map(int, sys.argv[1:]),
        *(7, 20, 16)[len(sys.argv) - 1 :],
    ]
    images = samples.synthetic_cats(2000, IMAGE_SIZE)
    real = datasets.batches(images, BATCH_SIZE, flip=True).from_step(0)
    constant = real.take(1).cache().repeat()
    alone = statistics.median(seconds_per_batch(real) for _ in range(rounds))
    gan = cats_dcgan.build_gan(0, (IMAGE_SIZE, IMAGE_SIZE), filters)
    for dataset in (real, constant):
        seconds_per_step(gan, dataset, 2)  # Traces and warms up.
    table = []
    for i in range(rounds):
        row = {}
        for name in ("real", "constant")[:: -1 if i % 2 else 1]:
            dataset = real if name == "real" else constant
            row[name] = seconds_per_step(gan, dataset, steps)
        table.append(row)
        print(
            f"from `batches` {1000 * row['real']:.1f} ms per step, "
            f"constant batch {1000 * row['constant']:.1f} ms",
            flush=True,
        )
    step = statistics.median(row["real"] for row in table)
    ratios = sorted(row["real"] / row["constant"] - 1 for row in table)
    print(
        f"step with {BATCH_SIZE} images: median {1000 * step:.1f} ms; "
        f"input alone: {1000 * alone:.2f} ms per batch ({alone / step:.2%})"
    )
    print(
        f"share added by the input: median {statistics.median(ratios):.2%}, "
        f"from {ratios[0]:.2%} to {ratios[-1]:.2%}"
    )


if __name__ == "__main__":
    main()
