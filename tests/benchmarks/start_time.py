"""Measures what passes from the command of a recipe to its first step.

    python tests/benchmarks/start_time.py [ROUNDS]

`recipes/digits_dcgan.py` is started in a process of its own, does what its
`main` does, on its sample, and tells when it has come how far. Medians are
printed. Set `KERAS_BACKEND` for another backend than TensorFlow.
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
    """Does as the recipe does, and prints the seconds since `begin`."""

    def tell(what):
        print(f"+ {what}: {time.time() - begin:.3f}", flush=True)

    tell("Python")
    import keras

    tell("import keras, with its backend")
    import gan_blocks  # noqa: F401

    tell("import gan_blocks")
    sys.path.insert(0, str(RECIPES))
    import digits_dcgan

    from gan_blocks import cli

    build_gan, load_images = digits_dcgan.build_gan, digits_dcgan.load_images

    def telling(what, function):
        def told(*arguments):
            result = function(*arguments)
            tell(what)
            return result

        return told

    class FirstStep(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            tell("fit is ready")

        def on_train_batch_end(self, batch, logs=None):
            tell(("first step", "second step")[batch])

    with tempfile.TemporaryDirectory() as output:
        sys.argv = ["recipe", "--output", output, "--data", "sample"]
        sys.argv += ["--epochs", "1", "--steps-per-epoch", "2"]
        tell("import the recipe")
        cli.run(
            cli.parse_arguments(digits_dcgan.__doc__, digits_dcgan.SOURCE),
            telling("build the GAN", build_gan),
            telling("load the images", load_images),
            lambda output: [FirstStep()],
        )


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
            told = re.fullmatch(r"\+ (.*): ([0-9.]+)", line)
            if told:
                what, seconds = told[1], float(told[2])
                parts.setdefault(what, []).append(seconds - before)
                before = seconds
    for what, seconds in parts.items():
        print(f"{statistics.median(seconds):6.3f} s  {what}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        start(float(sys.argv[2]))
    else:
        main()
