"""Compares the training step with those of other projects, on equal networks.

    python tests/benchmarks/step_speed.py [NETWORKS] [ROUNDS] [STEPS]

NETWORKS is `digits` (the default), `dcgan` or `tiny`, see `peers.py`. The
candidates, on TensorFlow:

- ours: `GAN.fit`.
- hand_written: the same update in a bare `tf.function`, without logs or a
  trainer. This is the lower limit for ours.
- keras_io: the step of the DCGAN examples of Keras, with `fit`: generate, train
  the discriminator on real and generated images in one batch, generate again,
  train the generator (https://keras.io/examples/generative/dcgan_overriding_train_step/).
- tutorial: the DCGAN tutorial of TensorFlow: one forward pass of the generator,
  both gradients from the same discriminator, then both updates, in its own loop
  (https://www.tensorflow.org/tutorials/generative/dcgan).
- pytorch: the eager step of PyTorch's DCGAN example, in a process of its own,
  if torch is installed and the networks are `dcgan`
  (https://github.com/pytorch/examples/tree/main/dcgan).

The other projects use `keras.layers`, ours uses `gan_blocks.layers` with the
same variables and results. The candidates take turns, and ratios are computed
per round, so that a machine whose speed drifts slows all equally. Prints
medians.
"""

import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import peers  # noqa: E402
import tensorflow as tf  # noqa: E402
import timing  # noqa: E402

from gan_blocks import layers  # noqa: E402


def cross_entropy(label, logits):
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.fill(tf.shape(logits), label), logits=logits
        )
    )


def setting(name):
    """Returns the networks, the batch size and endless batches."""
    networks, shape = peers.NETWORKS[name]
    images = tf.random.stateless_uniform(shape, (1, 2), -1, 1)
    return networks, shape[0], tf.data.Dataset.from_tensors(images).repeat()


def draw(number):
    return tf.random.normal((number, 1, 1, peers.LATENT_DIM))


def ours(networks, batch_size, dataset):
    return timing.by_fit(peers.our_gan(networks), dataset)


def in_a_loop(step, dataset):
    batches = iter(dataset)

    def call():
        losses = step(next(batches))
        return lambda: [loss.numpy() for loss in losses]

    return timing.by_calls(call)


def hand_written(networks, batch_size, dataset):
    generator, discriminator = networks(layers)
    g_optimizer, d_optimizer = peers.adam(), peers.adam()
    g_optimizer.build(generator.trainable_variables)
    d_optimizer.build(discriminator.trainable_variables)

    @tf.function
    def step(real):
        with tf.GradientTape() as g_tape:
            fake = generator(draw(batch_size), training=True)
        with tf.GradientTape() as d_tape:
            d_loss = cross_entropy(
                1.0, discriminator(real, training=True)
            ) + cross_entropy(0.0, discriminator(fake, training=True))
        variables = discriminator.trainable_variables
        d_optimizer.apply(d_tape.gradient(d_loss, variables), variables)
        with tf.GradientTape(watch_accessed_variables=False) as fake_tape:
            fake_tape.watch(fake)
            g_loss = cross_entropy(1.0, discriminator(fake, training=True))
        to_images = fake_tape.gradient(g_loss, fake)
        variables = generator.trainable_variables
        gradients = g_tape.gradient(fake, variables, to_images)
        g_optimizer.apply(gradients, variables)
        return d_loss, g_loss

    return in_a_loop(step, dataset)


class KerasIO(keras.Model):
    """The model of the Keras example."""

    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        self.d_optimizer, self.g_optimizer = peers.adam(), peers.adam()
        self.d_loss = keras.metrics.Mean("d_loss")
        self.g_loss = keras.metrics.Mean("g_loss")
        self.compile()

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, real):
        number = tf.shape(real)[0]
        fake = self.generator(draw(number), training=True)
        both = tf.concat([fake, real], axis=0)
        shape = (number, 1, 1, 1)
        labels = tf.concat([tf.ones(shape), tf.zeros(shape)], axis=0)
        labels += 0.05 * tf.random.uniform(tf.shape(labels))
        with tf.GradientTape() as tape:
            logits = self.discriminator(both, training=True)
            d_loss = self.loss_fn(labels, logits)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, variables), variables)
        with tf.GradientTape() as tape:
            fake = self.generator(draw(number), training=True)
            logits = self.discriminator(fake, training=True)
            g_loss = self.loss_fn(tf.zeros(shape), logits)
        variables = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, variables), variables)
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


def keras_io(networks, batch_size, dataset):
    model = KerasIO(*networks(keras.layers))
    return timing.by_fit(model, dataset)


def tutorial(networks, batch_size, dataset):
    generator, discriminator = networks(keras.layers)
    g_optimizer, d_optimizer = peers.adam(), peers.adam()

    @tf.function
    def step(real):
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(draw(batch_size), training=True)
            real_logits = discriminator(real, training=True)
            fake_logits = discriminator(fake, training=True)
            g_loss = cross_entropy(1.0, fake_logits)
            d_loss = cross_entropy(1.0, real_logits) + cross_entropy(
                0.0, fake_logits
            )
        for tape, loss, network, optimizer in (
            (g_tape, g_loss, generator, g_optimizer),
            (d_tape, d_loss, discriminator, d_optimizer),
        ):
            variables = network.trainable_variables
            optimizer.apply_gradients(
                zip(tape.gradient(loss, variables), variables, strict=True)
            )
        return d_loss, g_loss

    g_optimizer.build(generator.trainable_variables)
    d_optimizer.build(discriminator.trainable_variables)
    return in_a_loop(step, dataset)


def pytorch(networks, batch_size, dataset):
    """Starts the PyTorch example in a process that waits for numbers."""
    script = pathlib.Path(__file__).with_name("pytorch_example.py")
    process = subprocess.Popen(
        [sys.executable, script, str(batch_size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(steps):
        print(steps, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return run


def main():
    name, rounds, steps = [
        *sys.argv[1:],
        *("digits", 7, 10)[len(sys.argv) - 1 :],
    ]
    networks, batch_size, dataset = setting(name)
    makers = [ours, hand_written, keras_io, tutorial]
    if name == "dcgan" and importlib.util.find_spec("torch"):
        makers.append(pytorch)
    runs = [make(networks, batch_size, dataset) for make in makers]
    table = timing.in_turn(runs, int(rounds), int(steps))
    print(f"{name}, batches of {batch_size}, {rounds} rounds of {steps} steps")
    print("| step | ms | images/s | time / time of ours |\n|---|---|---|---|")
    for k, make in enumerate(makers):
        time_of = timing.median(table, k)
        ratios = sorted(row[k] / row[0] for row in table)
        print(
            f"| {make.__name__} | {1000 * time_of:.1f} "
            f"| {batch_size / time_of:.0f} | {statistics.median(ratios):.3f} "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f}) |"
        )


if __name__ == "__main__":
    main()
