"""Measures the effect of single components in a small DCGAN on MNIST.

    python tests/benchmarks/digits_parts.py NAME --data path/to/mnist

NAME is one of the variants below. Each changes one thing in the GAN that
`gan_blocks train` uses for digits. The variants `few_...` train on only 500
digits. Each variant trains for `--steps` steps and is measured as in
`digits_quality.py`. Prints a line of JSON and saves a grid.
"""

import functools
import json
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
from digits_quality import argument_parser, prepare  # noqa: E402

from gan_blocks import (  # noqa: E402
    GAN,
    datasets,
    images,
    layers,
    losses,
    metrics,
    networks,
    penalties,
)

FEW = 500
SMOOTH = losses.NonSaturating(label_smoothing=0.1)
LAZY_R1 = penalties.R1(0.1, interval=8)


def build(
    seed,
    first=(),
    last=(),
    loss=SMOOTH,
    penalty=LAZY_R1,
    rate=8e-4,
    d_rate=None,
    ema_momentum=0.999,
    epsilon=1e-3,
    momentum=0.9,
    **block,
):
    """Returns the GAN with layers added before or after the blocks."""
    batch_norm = {"epsilon": epsilon, "momentum": momentum}
    stage = functools.partial(layers.StridedConvBlock, **batch_norm, **block)
    up = functools.partial(layers.TransposedConvBlock, **batch_norm)
    normalization = {} if "normalization" in block else {"normalization": None}
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *first,
            stage(32, **normalization),
            stage(64),
            stage(128, kernel_size=3),
            *last,
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    gan = GAN(
        networks.dcgan_generator(
            (28, 28, 1), base_filters=32, block=up, first_block=up
        ),
        discriminator,
        ema_momentum=ema_momentum,
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(rate, beta_1=0.5),
        keras.optimizers.Adam(d_rate or rate, beta_1=0.5),
        loss=loss,
        penalty=penalty,
    )
    return gan


def adaptive():
    policy = ("translation", "cutout")
    return [layers.AdaptiveAugment(policy, images_to_adapt=20_000)]


PAIRED = {
    "loss": "relativistic_pairing",
    "penalty": [penalties.R1(1.0, interval=4), penalties.R2(1.0, interval=4)],
    "normalization": None,
}
# The settings of the DCGAN paper.
DCGAN = {
    "loss": "non_saturating",
    "penalty": None,
    "rate": 2e-4,
    "ema_momentum": None,
}
VARIANTS = {
    "all": dict,
    "no_smoothing": lambda: {"loss": "non_saturating"},
    "no_r1": lambda: {"penalty": None},
    "r1_each_step": lambda: {"penalty": penalties.R1(0.1)},
    "no_average": lambda: {"ema_momentum": None},
    "slower": lambda: {"rate": 2e-4},
    "epsilon": lambda: {"epsilon": 1e-5},
    "momentum": lambda: {"momentum": 0.99},
    "dcgan": lambda: DCGAN,
    "dcgan_epsilon": lambda: DCGAN | {"epsilon": 1e-5},
    "dcgan_momentum": lambda: DCGAN | {"momentum": 0.99},
    "minibatch_stddev": lambda: {"last": [layers.MinibatchStdDev()]},
    "spectral_hinge": lambda: {
        "loss": "hinge",
        "penalty": None,
        "normalization": None,
        "spectral_normalization": True,
    },
    "relativistic_r1_r2": lambda: PAIRED,
    "diff_augment": lambda: {"first": [layers.DiffAugment(("translation",))]},
    "few": dict,
    "few_diff_augment": lambda: {
        "first": [layers.DiffAugment(("translation", "cutout"))]
    },
    "few_adaptive": lambda: {"first": adaptive()},
    "generator_too_fast": lambda: {"rate": 0.02, "d_rate": 8e-4},
    "discriminator_too_slow": lambda: {"d_rate": 2e-6},
    "minimax_outrun": lambda: {
        "loss": "minimax",
        "penalty": None,
        "rate": 2e-4,
        "d_rate": 4e-3,
        "ema_momentum": None,
    },
    "wasserstein_without_bound": lambda: {
        "loss": "wasserstein",
        "penalty": None,
        "normalization": None,
        "ema_momentum": None,
    },
}


def main():
    parser = argument_parser(__doc__, VARIANTS, "digits_parts")
    parser.add_argument("--steps", type=int, default=1600)
    arguments = parser.parse_args()
    train, test, classifier = prepare(arguments)
    few = arguments.name.startswith("few")
    gan = build(arguments.seed, **VARIANTS[arguments.name]())
    start = time.perf_counter()
    logs = gan.fit(
        datasets.batches(train[: FEW if few else None], 64, arguments.seed),
        steps_per_epoch=arguments.steps // 4,
        epochs=4,
        verbose=0,
    ).history
    seconds = time.perf_counter() - start
    values = metrics.Quality(test, classifier)(gan).values
    values |= {name: value[-1] for name, value in logs.items()}
    # A difference between the two shows that the discriminator overfits.
    for name, digits in (("seen", train[:FEW]), ("unseen", test[:FEW])):
        digits = images.from_uint8(digits)
        logs = gan.evaluate(digits, batch_size=100, verbose=0, return_dict=True)
        values |= {f"{name}_{k}": v for k, v in logs.items() if "real" in k}
    line = {"name": arguments.name, "steps": arguments.steps}
    line |= {"seconds": round(seconds)}
    print(json.dumps(line | {k: round(v, 4) for k, v in values.items()}))
    grid = images.grid(gan.generate(60, seed=0), 6, 10)
    images.save_png(grid, arguments.output / f"{arguments.name}.png")


if __name__ == "__main__":
    main()
