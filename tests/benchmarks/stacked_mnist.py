"""Counts how many of the 1,000 modes of Stacked MNIST a GAN generates.

    python tests/benchmarks/stacked_mnist.py NAME --data path/to/mnist

The three color channels of an image are three random digits: 1,000 modes with
equal frequencies. `metrics.train_classifier` classifies each channel of 26,000
generated images. Prints the number of modes that occur and the
Kullback-Leibler divergence from equal frequencies, as in Metz et al., 2017
(https://arxiv.org/abs/1611.02163). NAME is one of:

- plain: `networks.dcgan_generator` and `dcgan_discriminator`, trained as in the
  DCGAN paper: non-saturating loss, Adam at 2e-4 with beta_1 0.5.
- plan: the settings that `gan_blocks train` uses for digits.
- relativistic: the networks of `plain` without normalization in the
  discriminator, with `losses.RelativisticPairing`, `penalties.R1` and `R2`, as
  in R3GAN (https://arxiv.org/abs/2501.05441), and a moving average of the
  generator.

Each measurement prints a line of JSON and saves a grid.
"""

import functools
import json
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from digits_quality import (  # noqa: E402
    add_plan_options,
    argument_parser,
    prepare,
)

from gan_blocks import (  # noqa: E402
    GAN,
    datasets,
    images,
    layers,
    metrics,
    networks,
    penalties,
)
from gan_blocks._precision import dtype_policy  # noqa: E402
from gan_blocks.plan.settings import PRECISIONS, Plan  # noqa: E402

SHAPE = (28, 28, 3)
SAMPLES = 26_000
CHUNK = 1_000


def plain(arguments):
    gan = GAN(
        networks.dcgan_generator(SHAPE, base_filters=32),
        networks.dcgan_discriminator(SHAPE, base_filters=32),
        seed=arguments.seed,
    )
    gan.compile(
        keras.optimizers.Adam(2e-4, beta_1=0.5),
        keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    return gan


def plan(arguments):
    plan = Plan(
        SHAPE,
        base_filters=32,
        learning_rate=8e-4,
        precision=arguments.precision,
        seed=arguments.seed,
    )
    return plan.build()


def relativistic(arguments):
    block = functools.partial(layers.StridedConvBlock, normalization=None)
    gan = GAN(
        networks.dcgan_generator(SHAPE, base_filters=32),
        networks.dcgan_discriminator(SHAPE, base_filters=32, block=block),
        ema_momentum=0.999,
        seed=arguments.seed,
    )
    gan.compile(
        keras.optimizers.Adam(5e-4, beta_1=0.5),
        keras.optimizers.Adam(5e-4, beta_1=0.5),
        loss="relativistic_pairing",
        penalty=[
            penalties.R1(1.0, interval=4),
            penalties.R2(1.0, interval=4),
        ],
    )
    return gan


def stacked(digits, number, seed):
    """Returns images whose color channels are random digits."""
    chosen = np.random.default_rng(seed).integers(0, len(digits), (number, 3))
    return np.concatenate([digits[chosen[:, i]] for i in range(3)], axis=3)


def modes(generated, extract):
    """Returns the modes of images: integers from 0 to 999."""
    read = [
        extract(generated[..., channel : channel + 1])[1].argmax(axis=1)
        for channel in range(3)
    ]
    return read[0] * 100 + read[1] * 10 + read[2]


def main():
    candidates = {
        "plain": plain,
        "plan": plan,
        "relativistic": relativistic,
    }
    parser = argument_parser(__doc__, candidates, "stacked_mnist")
    add_plan_options(parser)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--measurements", type=int, default=8)
    arguments = parser.parse_args()
    digits, _, classifier = prepare(arguments)
    extract = metrics.FeatureExtractor(classifier)
    real_images = stacked(digits, 100_000, arguments.seed)
    with dtype_policy(PRECISIONS[arguments.precision]):
        gan = candidates[arguments.name](arguments)
    steps = arguments.steps // arguments.measurements
    seconds = 0.0
    for measurement in range(arguments.measurements):
        start = time.perf_counter()
        gan.fit(
            datasets.batches(
                real_images,
                arguments.batch_size,
                arguments.seed,
            ),
            steps_per_epoch=steps,
            verbose=0,
        )
        seconds += time.perf_counter() - start
        latents = gan.sample_latents(SAMPLES, seed=0)
        found = []
        for i in range(0, SAMPLES, CHUNK):
            generated = gan.generate(latents=latents[i : i + CHUNK])
            found.append(modes(generated, extract))
        count, divergence = metrics.mode_coverage(np.concatenate(found), 1000)
        line = {"name": arguments.name, "seed": arguments.seed}
        line |= {"steps": (measurement + 1) * steps, "seconds": round(seconds)}
        line |= {"modes": count, "kl": round(divergence, 4)}
        print(json.dumps(line), flush=True)
        name = f"{arguments.name}_{arguments.seed}_{line['steps']:06}.png"
        grid = images.grid(generated[:100], 10, 10)
        images.save_png(grid, arguments.output / name)


if __name__ == "__main__":
    main()
