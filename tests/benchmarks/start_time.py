"""Measures the time from the start of a recipe to its first training step.

    python tests/benchmarks/start_time.py [ROUNDS]

Runs `recipes/digits_dcgan.py` on its sample data in a new process and prints
the median time of each part. KERAS_BACKEND chooses the backend.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"


def start(begin):
    """Runs the recipe and prints the seconds since `begin`."""

    def report(part):
        print(f"+ {part}: {time.time() - begin:.3f}", flush=True)

    report("Python")
    import keras

    report("import keras, with its backend")
    sys.path.insert(0, str(RECIPES))
    import digits_dcgan

    from gan_blocks.cli import Run

    report("import gan_blocks and the recipe")

    def reporting(part, function):
        def call(*arguments):
            result = function(*arguments)
            report(part)
            return result

        return call

    class FirstSteps(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            report("fit is ready")

        def on_train_batch_end(self, batch, logs=None):
            report(("first step", "second step")[batch])

    digits_dcgan.build_gan = reporting("build", digits_dcgan.build_gan)
    digits_dcgan.load_images = reporting("load", digits_dcgan.load_images)
    callbacks = Run.callbacks
    Run.callbacks = lambda *all: [*callbacks(*all), FirstSteps()]
    with tempfile.TemporaryDirectory() as output:
        sys.argv = ["recipe", "--output", output, "--data", "sample"]
        sys.argv += ["--epochs", "1", "--steps-per-epoch", "2"]
        digits_dcgan.main()


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    parts = {}
    for _ in range(rounds):
        begin = time.time()
        lines = subprocess.run(
            [sys.executable, __file__, "child", repr(begin)],
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        before = 0.0
        for line in lines:
            match = re.fullmatch(r"\+ (.*): ([0-9.]+)", line)
            if match:
                part, seconds = match[1], float(match[2])
                parts.setdefault(part, []).append(seconds - before)
                before = seconds
    for part, seconds in parts.items():
        print(f"{statistics.median(seconds):6.3f} s  {part}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        start(float(sys.argv[2]))
    else:
        main()
