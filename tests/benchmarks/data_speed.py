"""Times how fast pictures are read, and how fast batches are made of them.

    python tests/benchmarks/data_speed.py [PICTURES]

Writes noisy JPEG pictures of 500 by 375 to a temporary folder, reads them at
64 by 64 pixels as recipes do, and goes through the batches.
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
            picture = Image.fromarray(small).resize((500, 375))
            picture.save(pathlib.Path(folder, f"{i}.jpg"), quality=90)
        start = time.perf_counter()
        images = datasets.load(folder, 64)
        reading = number / (time.perf_counter() - start)
    batches = datasets.batches(images, 64, repeat=True, flip=True)
    batches = iter(batches)
    for _ in range(20):
        next(batches)
    start = time.perf_counter()
    for _ in range(500):
        next(batches)
    feeding = 500 * 64 / (time.perf_counter() - start)
    print(f"reading {reading:.0f} JPEGs a second, once, before training")
    print(f"feeding {feeding:.0f} images a second in batches of 64")


if __name__ == "__main__":
    main()
