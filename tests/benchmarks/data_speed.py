"""Measures how fast images are loaded, and how fast batches are built.

    python tests/benchmarks/data_speed.py [IMAGES]

Writes noisy JPEG files of 500 x 375 pixels to a temporary folder, loads them
at 64 x 64 pixels, and iterates over batches.
"""

import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from gan_blocks import datasets  # noqa: E402


def main():
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(number):
            small = random.integers(0, 256, (25, 20, 3), np.uint8)
            image = Image.fromarray(small).resize((500, 375))
            image.save(pathlib.Path(folder, f"{i}.jpg"), quality=90)
        start = time.perf_counter()
        images = datasets.load(folder, 64)
        reading = number / (time.perf_counter() - start)
    batches = iter(datasets.batches(images, 64, flip=True).from_step(0))
    for _ in range(20):
        next(batches)
    start = time.perf_counter()
    for _ in range(500):
        next(batches)
    feeding = 500 * 64 / (time.perf_counter() - start)
    print(f"loading: {reading:.0f} JPEG files per second, once before training")
    print(f"batching: {feeding:.0f} images per second in batches of 64")


if __name__ == "__main__":
    main()
