"""Times the training step against two written by hand, on TensorFlow.

    python tests/benchmarks/step_speed.py [ROUNDS] [STEPS]

All three train the networks of `recipes/digits_dcgan.py` on batches of 128:

- ours: `GAN`, through the compiled function that `fit` calls;
- same update: a bare `tf.function` that makes the very same update by hand,
  and logs nothing;
- two passes: a `keras.Model` with the `train_step` of most tutorials, through
  the compiled function that `fit` calls: generate, train the discriminator on
  real and generated images in one batch, generate again, train the generator.

They take turns, so that a machine whose speed drifts slows all three alike;
ratios are taken round by round.
"""

import os
import pathlib
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

RECIPES = pathlib.Path(__file__).parents[2] / "recipes"
sys.path.insert(0, str(RECIPES))

import digits_dcgan  # noqa: E402

BATCH_SIZE = digits_dcgan.BATCH_SIZE
LATENT_SHAPE = (BATCH_SIZE, 1, 1, digits_dcgan.LATENT_DIM)


def cross_entropy(label, logits):
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.fill(tf.shape(logits), label), logits=logits
        )
    )


def latents():
    return tf.random.uniform(LATENT_SHAPE, -1.0, 1.0)


def parts():
    gan = digits_dcgan.build_gan(seed=0)
    optimizer = gan.optimizer
    return (
        gan.generator,
        gan.discriminator,
        optimizer.generator_optimizer,
        optimizer.discriminator_optimizer,
    )


def ours(dataset):
    gan = digits_dcgan.build_gan(seed=0)
    gan.make_train_function()
    iterator = iter(dataset)
    return lambda: gan.train_function(iterator)


def same_update(dataset):
    generator, discriminator, g_optimizer, d_optimizer = parts()
    iterator = iter(dataset)

    @tf.function
    def step():
        real = iterator.get_next()
        with tf.GradientTape() as g_tape:
            fake = generator(latents(), training=True)
        with tf.GradientTape() as d_tape:
            d_loss = cross_entropy(
                1.0, discriminator(real, training=True)
            ) + cross_entropy(0.0, discriminator(fake, training=True))
        variables = discriminator.trainable_variables
        d_optimizer.apply(d_tape.gradient(d_loss, variables), variables)
        with tf.GradientTape() as fake_tape:
            fake_tape.watch(fake)
            g_loss = cross_entropy(1.0, discriminator(fake, training=True))
        to_images = fake_tape.gradient(g_loss, fake)
        variables = generator.trainable_variables
        gradients = g_tape.gradient(fake, variables, to_images)
        g_optimizer.apply(gradients, variables)
        return d_loss, g_loss

    return step


class TwoPasses(keras.Model):
    """The step of most Keras tutorials, under the trainer that ours is under.

    It logs the two losses; ours also logs the scores.
    """

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator, self.g_optimizer, optimizer = (
            parts()
        )
        self.compile(optimizer, keras.losses.BinaryCrossentropy(True))
        self.d_loss = keras.metrics.Mean("d_loss")
        self.g_loss = keras.metrics.Mean("g_loss")

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, real):
        fake = self.generator(latents(), training=True)
        both = tf.concat([real, fake], 0)
        labels = tf.repeat([1.0, 0.0], BATCH_SIZE)[:, None, None, None]
        with tf.GradientTape() as tape:
            logits = self.discriminator(both, training=True)
            d_loss = self.loss(labels, logits)
        variables = self.discriminator.trainable_variables
        self.optimizer.apply(tape.gradient(d_loss, variables), variables)
        with tf.GradientTape() as tape:
            fake = self.generator(latents(), training=True)
            logits = self.discriminator(fake, training=True)
            g_loss = self.loss(tf.ones_like(logits), logits)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, variables), variables)
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


def two_passes(dataset):
    model = TwoPasses()
    model.make_train_function()
    iterator = iter(dataset)
    return lambda: model.train_function(iterator)


def seconds(step, number):
    start = time.perf_counter()
    for _ in range(number):
        result = step()
    tf.nest.map_structure(
        lambda tensor: tensor.numpy() if tf.is_tensor(tensor) else tensor,
        result,
    )
    return (time.perf_counter() - start) / number


def main():
    rounds, steps = [*map(int, sys.argv[1:]), *(9, 5)[len(sys.argv) - 1 :]]
    images = tf.random.stateless_uniform((BATCH_SIZE, 28, 28, 1), (1, 2), -1, 1)
    dataset = tf.data.Dataset.from_tensors(images).repeat()
    names = ("ours", "same update", "two passes")
    candidates = [f(dataset) for f in (ours, same_update, two_passes)]
    for step in candidates:
        seconds(step, 2)  # Traces, and warms up.
    table = []
    for i in range(rounds):
        # Another one goes first each time.
        row = [0.0] * 3
        for j in range(3):
            k = (i + j) % 3
            row[k] = seconds(candidates[k], steps)
        table.append(row)
        print(
            "  ".join(
                f"{name} {1000 * value:.0f} ms"
                for name, value in zip(names, row, strict=True)
            ),
            flush=True,
        )
    for k, name in enumerate(names):
        median = statistics.median(row[k] for row in table)
        print(
            f"{name}: median {1000 * median:.0f} ms a step, "
            f"{BATCH_SIZE / median:.0f} images a second"
        )
    for k in (1, 2):
        ratios = sorted(row[k] / row[0] for row in table)
        print(
            f"time of {names[k]} / time of ours: median "
            f"{statistics.median(ratios):.3f}, from {ratios[0]:.3f} "
            f"to {ratios[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
