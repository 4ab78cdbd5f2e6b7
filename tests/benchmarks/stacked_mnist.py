"""Counts how many of the 1,000 modes of Stacked MNIST a GAN draws.

    python tests/benchmarks/stacked_mnist.py NAME --data path/to/mnist

Three random digits are the colours of one image: 1,000 modes, equally frequent.
The digits of 26,000 generated images are read, colour by colour, by
`metrics.train_classifier`; reported are the modes that occur and the
Kullback-Leibler divergence from equal shares, as in Metz et al., 2017
(https://arxiv.org/abs/1611.02163). NAME is one of:

- plain: `networks.dcgan_generator` and `dcgan_discriminator`, as in the DCGAN
  paper: non-saturating loss, Adam at 2e-4 with beta_1 0.5;
- modern: what `--modern` selects in `recipes/digits_dcgan.py`;
- relativistic: the plain networks, the discriminator without normalization,
  with `losses.RelativisticPairing`, `penalties.R1` and `R2`, as in R3GAN
  (https://arxiv.org/abs/2501.05441), and an average of the generator.

A line of JSON is printed for each measurement, and a grid saved.
"""

import functools
import json
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from digits_quality import argument_parser, load_recipe, prepare  # noqa: E402

from gan_blocks import (  # noqa: E402
    GAN,
    datasets,
    images,
    layers,
    metrics,
    networks,
    penalties,
)

SHAPE = (28, 28, 3)
SAMPLES = 26_000
CHUNK = 1_000


def plain(seed):
    gan = GAN(
        networks.dcgan_generator(SHAPE, base_filters=32),
        networks.dcgan_discriminator(SHAPE, base_filters=32),
        seed=seed,
    )
    gan.compile(
        keras.optimizers.Adam(2e-4, beta_1=0.5),
        keras.optimizers.Adam(2e-4, beta_1=0.5),
    )
    return gan


def modern(seed):
    return load_recipe("digits_dcgan").build_modern_gan(seed, image_shape=SHAPE)


def relativistic(seed):
    block = functools.partial(layers.StridedConvBlock, normalization=None)
    gan = GAN(
        networks.dcgan_generator(SHAPE, base_filters=32),
        networks.dcgan_discriminator(SHAPE, base_filters=32, block=block),
        ema_momentum=0.999,
        seed=seed,
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
    """Returns images whose colours are digits drawn at random."""
    chosen = np.random.default_rng(seed).integers(0, len(digits), (number, 3))
    return np.concatenate([digits[chosen[:, i]] for i in range(3)], axis=3)


def modes(pictures, extract):
    """Returns the modes of images, integers from 0 to 999."""
    read = [
        extract(pictures[..., colour : colour + 1])[1].argmax(axis=1)
        for colour in range(3)
    ]
    return read[0] * 100 + read[1] * 10 + read[2]


def main():
    candidates = {
        "plain": plain,
        "modern": modern,
        "relativistic": relativistic,
    }
    parser = argument_parser(__doc__, candidates, "stacked_mnist")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--measurements", type=int, default=8)
    arguments = parser.parse_args()
    digits, _, classifier = prepare(arguments)
    extract = metrics.FeatureExtractor(classifier)
    real_images = stacked(digits, 100_000, arguments.seed)
    gan = candidates[arguments.name](arguments.seed)
    steps = arguments.steps // arguments.measurements
    seconds = 0.0
    for measurement in range(arguments.measurements):
        start = time.perf_counter()
        gan.fit(
            datasets.batches(
                real_images,
                batch_size=64,
                seed=arguments.seed,
                repeat=True,
                skip=measurement * steps,
            ),
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
        )
        seconds += time.perf_counter() - start
        latents = gan.sample_latents(SAMPLES, seed=0)
        drawn = []
        for i in range(0, SAMPLES, CHUNK):
            pictures = gan.generate(latents=latents[i : i + CHUNK])
            drawn.append(modes(pictures, extract))
        found, divergence = metrics.mode_coverage(np.concatenate(drawn), 1000)
        line = {"name": arguments.name, "seed": arguments.seed}
        line |= {"steps": (measurement + 1) * steps, "seconds": round(seconds)}
        line |= {"modes": found, "kl": round(divergence, 4)}
        print(json.dumps(line), flush=True)
        name = f"{arguments.name}_{arguments.seed}_{line['steps']:06}.png"
        picture = images.grid(pictures[:100], 10, 10)
        images.save_png(picture, arguments.output / name)


if __name__ == "__main__":
    main()
