"""Trains GANs on MNIST and measures their images during training.

    python tests/benchmarks/digits_quality.py NAME --data path/to/mnist

NAME is one of:

- plan: the GAN of `gan_blocks train`, with `--batch-size` and `--precision`.
- fredriksson: `recipes/digits_dcgan.py`. Images are generated with batch
  statistics, as in its source
  (https://cfml.se/deep-convolutional-generative-adversarial-networks/).
- keras.io: the GAN of the Keras guide to custom training steps: networks,
  settings and step (https://keras.io/guides/custom_train_step_in_tensorflow/).
- tutorial: the DCGAN tutorial of TensorFlow: networks, settings and step
  (https://www.tensorflow.org/tutorials/generative/dcgan).

All train on the 60,000 training digits. 10,000 generated digits are compared
with the 10,000 test digits, in the feature space of
`metrics.train_classifier`. The time does not include the measurements. Each
measurement prints a line of JSON and saves a grid.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from gan_blocks import datasets, images, metrics  # noqa: E402
from gan_blocks.plan.settings import PRECISIONS, Plan  # noqa: E402

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)


def load_recipe(name):
    path = RECIPES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def argument_parser(description, names, output):
    """Returns a parser for the options that several benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=names)
    parser.add_argument("--data", required=True, help="images to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=output)
    return parser


def add_plan_options(parser):
    """Adds the options of `plan`, the GAN of `gan_blocks train`."""
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")


def prepare(arguments):
    """Returns the training digits, the test digits and a classifier."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(arguments.seed)
    train, test = (
        datasets.load(arguments.data, 28, channels=1, split=split, labels=True)
        for split in ("train", "test")
    )
    classifier = metrics.train_classifier(*train, arguments.output)
    return train[0], test[0], classifier


class Ours:
    """A `GAN`, trained with `fit`."""

    batch_statistics = False
    chunk = 200  # Each `fit` takes some time to start.

    def train(self, steps):
        self.gan.fit(self.batches, steps_per_epoch=steps, verbose=0)

    def generate(self, number):
        return self.gan.generate(
            number, seed=0, batch_statistics=self.batch_statistics
        )


class Planned(Ours):
    def __init__(self, real_images, arguments):
        plan = Plan(
            (28, 28, 1),
            batch_size=arguments.batch_size,
            precision=arguments.precision,
            seed=arguments.seed,
        )
        self.gan = plan.build()
        self.batches = datasets.batches(real_images, plan.batch_size, plan.seed)


class Fredriksson(Ours):
    batch_statistics = True
    chunk = 20

    def __init__(self, real_images, arguments):
        self.gan = load_recipe("digits_dcgan").build_gan(arguments.seed)
        self.batches = datasets.batches(real_images, 128, arguments.seed)


class Loop:
    """Two networks with their own training step."""

    latent_dim = 100
    chunk = 20

    def generate(self, number):
        random = np.random.default_rng(0)
        latents = random.standard_normal((number, self.latent_dim), "float32")
        batches = np.split(latents, number // 100)
        return np.concatenate(
            [self.to_range(self.generator(batch).numpy()) for batch in batches]
        )

    def train(self, steps):
        for _ in range(steps):
            self.step(next(self.dataset))

    @staticmethod
    def to_range(pixels):
        return pixels


class KerasIO(Loop):
    latent_dim = 128

    def __init__(self, real_images, arguments):
        leaky, layers = lambda: keras.layers.LeakyReLU(0.2), keras.layers
        same = {"strides": 2, "padding": "same"}
        self.discriminator = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(64, 3, **same),
                leaky(),
                layers.Conv2D(128, 3, **same),
                leaky(),
                layers.GlobalMaxPooling2D(),
                layers.Dense(1),
            ]
        )
        self.generator = keras.Sequential(
            [
                keras.Input((self.latent_dim,)),
                layers.Dense(7 * 7 * 128),
                leaky(),
                layers.Reshape((7, 7, 128)),
                layers.Conv2DTranspose(128, 4, **same),
                leaky(),
                layers.Conv2DTranspose(128, 4, **same),
                leaky(),
                layers.Conv2D(1, 7, padding="same", activation="sigmoid"),
            ]
        )
        self.d_optimizer = keras.optimizers.Adam(3e-4)
        self.g_optimizer = keras.optimizers.Adam(3e-4)
        batches = datasets.batches(real_images, 64, arguments.seed)
        self.dataset = iter(batches.from_step(0))

    @staticmethod
    def to_range(pixels):
        return 2 * pixels - 1

    @tf.function
    def step(self, real_images):
        real_images = (real_images + 1) / 2
        fake = self.generator(tf.random.normal((64, self.latent_dim)))
        both = tf.concat([fake, real_images], 0)
        labels = tf.concat([tf.ones((64, 1)), tf.zeros((64, 1))], 0)
        labels += 0.05 * tf.random.uniform((128, 1))
        with tf.GradientTape() as tape:
            loss = cross_entropy(labels, self.discriminator(both))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(tape.gradient(loss, weights), weights)
        latents = tf.random.normal((64, self.latent_dim))
        with tf.GradientTape() as tape:
            logits = self.discriminator(self.generator(latents))
            loss = cross_entropy(tf.zeros((64, 1)), logits)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(tape.gradient(loss, weights), weights)


class Tutorial(Loop):
    def __init__(self, real_images, arguments):
        layers = keras.layers

        def stage(layer):
            return layer, layers.BatchNormalization(), layers.LeakyReLU()

        up = {"padding": "same", "use_bias": False}
        self.generator = keras.Sequential(
            [
                keras.Input((self.latent_dim,)),
                *stage(layers.Dense(7 * 7 * 256, use_bias=False)),
                layers.Reshape((7, 7, 256)),
                *stage(layers.Conv2DTranspose(128, 5, 1, **up)),
                *stage(layers.Conv2DTranspose(64, 5, 2, **up)),
                layers.Conv2DTranspose(1, 5, 2, activation="tanh", **up),
            ]
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(64, 5, 2, padding="same"),
                layers.LeakyReLU(),
                layers.Dropout(0.3),
                layers.Conv2D(128, 5, 2, padding="same"),
                layers.LeakyReLU(),
                layers.Dropout(0.3),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        self.g_optimizer = keras.optimizers.Adam(1e-4)
        self.d_optimizer = keras.optimizers.Adam(1e-4)
        batches = datasets.batches(real_images, 256, arguments.seed)
        self.dataset = iter(batches.from_step(0))

    @tf.function
    def step(self, real_images):
        latents = tf.random.normal((256, self.latent_dim))
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(latents, training=True)
            real_logits = self.discriminator(real_images, training=True)
            fake_logits = self.discriminator(fake, training=True)
            g_loss = cross_entropy(tf.ones_like(fake_logits), fake_logits)
            d_loss = cross_entropy(
                tf.ones_like(real_logits), real_logits
            ) + cross_entropy(tf.zeros_like(fake_logits), fake_logits)
        for network, optimizer, loss in (
            (self.generator, self.g_optimizer, g_loss),
            (self.discriminator, self.d_optimizer, d_loss),
        ):
            weights = network.trainable_weights
            optimizer.apply(tape.gradient(loss, weights), weights)


CANDIDATES = {
    "plan": Planned,
    "fredriksson": Fredriksson,
    "keras.io": KerasIO,
    "tutorial": Tutorial,
}


def main():
    parser = argument_parser(__doc__, CANDIDATES, "digits_quality")
    add_plan_options(parser)
    parser.add_argument(
        "--seconds", type=float, default=420, help="training time"
    )
    parser.add_argument("--steps", type=int, help="instead of --seconds")
    parser.add_argument("--measurements", type=int, default=5)
    arguments = parser.parse_args()
    train, test, classifier = prepare(arguments)
    quality = metrics.Quality(test, classifier)
    candidate = CANDIDATES[arguments.name](train, arguments)
    whole = arguments.steps or arguments.seconds
    steps = spent = 0
    for measurement in range(1, arguments.measurements + 1):
        goal = whole * measurement / arguments.measurements
        while (steps if arguments.steps else spent) < goal:
            start = time.perf_counter()
            candidate.train(candidate.chunk)
            spent += time.perf_counter() - start
            steps += candidate.chunk
        generated = candidate.generate(10_000)
        result = quality.evaluate_images(np.split(generated, 20))
        values = {k: round(v, 4) for k, v in result.values.items()}
        line = {"name": arguments.name, "seed": arguments.seed}
        line |= {"steps": steps, "seconds": round(spent, 1), **values}
        print(json.dumps(line), flush=True)
        name = f"{arguments.name}_{arguments.seed}_{steps:06}.png"
        grid = images.grid(generated[:100], 10, 10)
        images.save_png(grid, arguments.output / name)


if __name__ == "__main__":
    main()
