"""Compares losses and penalties on points in the plane.

    python tests/benchmarks/toy_losses.py RESULTS [--seeds 0 1] [--seconds 60]
    python tests/benchmarks/toy_losses.py RESULTS --table

Trains every loss without a penalty, with R1, with R1 and R2, and with the
gradient penalty, on the ring and the grid of `toy`. Each training takes 60
seconds of one core: processor time of this process, without compiling. Then
2,500 points are measured, from the moving average of the generator, which
`GAN.generate` uses, and from its last weights. All trainings have the same
networks, optimizers and batches, which were chosen in short trainings with the
non-saturating loss and R1.

Each training appends a line of JSON to RESULTS. A training that is there
already is skipped, so the program can be stopped and started again, and several
processes can share the work by their seeds. `--table` prints the results as
Markdown.
"""

import argparse
import itertools
import json
import os
import pathlib
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from gan_blocks import GAN, networks, toy  # noqa: E402
from gan_blocks.penalties import R1, R2, GradientPenalty  # noqa: E402

LATENT_DIM = 16
UNITS = (128, 128)  # In both networks.
LEARNING_RATE = 1e-3  # Of both networks, for Adam.
BETA_1 = 0.5
EMA_MOMENTUM = 0.999
BATCH_SIZE = 64
POINTS = 64_000  # For training: 1,000 batches.
STEPS = 100  # Per execution.

MIXTURES = {"ring": toy.ring, "grid": toy.grid}
LOSSES = [
    "non_saturating",
    "minimax",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic_pairing",
]
PENALTIES = {
    "no penalty": lambda seed: [],
    # The best of 1, 0.1 and 0.01 for the non-saturating loss with R1.
    "`R1`": lambda seed: [R1(0.01)],
    "`R1` and `R2`": lambda seed: [R1(0.01), R2(0.01)],
    # The weight of the authors for points: gan_toy.py of WGAN-GP.
    "`GradientPenalty`": lambda seed: [GradientPenalty(0.1, seed=seed)],
}


class CpuLimit(keras.callbacks.Callback):
    """Stops after some seconds of processor time, not counting epoch 1."""

    def __init__(self, seconds):
        super().__init__()
        self.limit = seconds

    def on_epoch_end(self, epoch, logs=None):
        now = time.process_time()
        if epoch == 0:  # It compiled the step.
            self.start = now
        self.seconds = now - self.start
        self.model.stop_training = self.seconds >= self.limit


def train(mixture, loss, penalty, seed, seconds):
    """Trains a GAN and returns it with the seconds that it took."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    gan = GAN(
        networks.mlp_generator((2,), LATENT_DIM, UNITS, output_activation=None),
        networks.mlp_discriminator((2,), UNITS),
        ema_momentum=EMA_MOMENTUM,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1),
        loss=loss,
        penalty=PENALTIES[penalty](seed),
        steps_per_execution=STEPS,
    )
    limit = CpuLimit(seconds)
    gan.fit(
        mixture.sample(POINTS, seed=seed),
        batch_size=BATCH_SIZE,
        epochs=1_000_000,
        verbose=0,
        callbacks=[limit],
    )
    return gan, limit.seconds


def measure(gan, mixture):
    """Measures the points of the moving average and of the last weights."""
    latents = gan.sample_latents(2500, seed=0)
    last = gan.generator.predict(latents, verbose=0)
    return {
        **mixture.measure(gan.generate(latents=latents)),
        **{f"last_{k}": v for k, v in mixture.measure(last).items()},
    }


def run(path, seeds, seconds):
    """Trains what is missing in the file of results."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for seed, *cell in itertools.product(seeds, MIXTURES, LOSSES, PENALTIES):
        name, loss, penalty = cell
        if results(path, name, loss, penalty, seed):
            continue
        mixture = MIXTURES[name]()
        gan, taken = train(mixture, loss, penalty, seed, seconds)
        line = {"data": name, "loss": loss, "penalty": penalty, "seed": seed}
        line |= {"steps": int(gan.optimizer.iterations)}
        line |= {"seconds": round(taken, 1), **measure(gan, mixture)}
        print(json.dumps(line), flush=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def results(path, name, loss, penalty, seed=None):
    """Returns the lines of a cell of the tables."""
    lines = path.read_text().splitlines() if path.exists() else []
    cell = {"data": name, "loss": loss, "penalty": penalty}
    cell |= {} if seed is None else {"seed": seed}
    return [
        line for line in map(json.loads, lines) if cell.items() <= line.items()
    ]


def print_tables(path):
    """Prints Markdown with the mean and the range over the seeds."""
    for name, mixture in MIXTURES.items():
        number = len(set(mixture().modes))
        print(f"| {name} | " + " | ".join(PENALTIES) + " |")
        print("|---" * (1 + len(PENALTIES)) + "|")
        for loss in LOSSES:
            cells = [
                cell_text(results(path, name, loss, penalty), number)
                for penalty in PENALTIES
            ]
            print(f"| `{loss}` | " + " | ".join(cells) + " |")
        print()


def cell_text(lines, number):
    """Returns the number of modes and the percentage of good points."""
    texts = []
    for key, factor, unit in ("modes", number, ""), ("good", 100, "%"):
        values = [factor * line[key] for line in lines]
        if values:
            texts.append(f"{sum(values) / len(values):.0f}{unit}")
        if len(values) > 1:
            texts[-1] += f" ({min(values):.0f}–{max(values):.0f})"
    return ", ".join(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(5)])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print_tables(arguments.results)
    else:
        run(arguments.results, arguments.seeds, arguments.seconds)


if __name__ == "__main__":
    main()
