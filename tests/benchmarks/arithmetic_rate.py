"""Compares the arithmetic of a training step with the limit of the machine.

    python tests/benchmarks/arithmetic_rate.py [NETWORKS] [ROUNDS]

Counts the multiplications and additions of the convolutions in one training
step, and measures the time of the step in `fit`. In turn with it, the product
of two large float32 matrices is measured, the fastest operation of TensorFlow.
Everything in a step that is not a convolution counts as lost time.
"""

import os
import statistics
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import step_speed  # noqa: E402
import tensorflow as tf  # noqa: E402
import timing  # noqa: E402

from gan_blocks import layers  # noqa: E402

SIDE = 4096  # Of the matrices.


def layer_operations(layer):
    """Returns the operations of one image's forward pass through a layer."""
    if not isinstance(
        layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose
    ):
        return 0
    # The whole kernel is applied at each position of the output, or of the
    # input if the convolution is transposed.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    positions = (layer.input if transposed else layer.output).shape[1:3]
    return 2 * positions[0] * positions[1] * layer.kernel.shape.num_elements()


def step_operations(generator, discriminator):
    """Returns the operations of a training step, per image.

    The gradient of a kernel or of the input of a layer costs as much as the
    forward pass.
    """
    g, d = (
        [n for n in map(layer_operations, network.layers) if n]
        for network in (generator, discriminator)
    )
    # Forward pass, gradients of the kernels, and gradients of the inputs,
    # which the first layer does not need.
    generator_step = 3 * sum(g) - g[0]
    discriminator_step = 2 * (3 * sum(d) - d[0])  # real and generated
    through_discriminator = 2 * sum(d)  # forward and back to the images
    return generator_step + discriminator_step + through_discriminator


def main():
    name, rounds = [*sys.argv[1:], *("digits", 7)[len(sys.argv) - 1 :]]
    networks, batch_size, dataset = step_speed.setting(name)
    generator, discriminator = networks(layers)
    operations = batch_size * step_operations(generator, discriminator)
    train = step_speed.ours(networks, batch_size, dataset)
    matrix = tf.random.normal((SIDE, SIDE))

    def multiply():
        product = tf.matmul(matrix, matrix)
        return product[0, 0].numpy

    rates = []
    table = timing.in_turn([train, timing.by_calls(multiply)], int(rounds), 10)
    for step, product in table:
        rates.append((operations / step, 2 * SIDE**3 / product))
        print(
            "step {:.1f}, product {:.1f} GFLOP/s".format(
                *(rate / 1e9 for rate in rates[-1])
            )
        )
    share = statistics.median(step / product for step, product in rates)
    print(
        f"{name}: {operations / 1e9:.1f} GFLOP per step ({batch_size} images); "
        f"{share:.1%} of the rate of the matrix product"
    )


if __name__ == "__main__":
    main()
