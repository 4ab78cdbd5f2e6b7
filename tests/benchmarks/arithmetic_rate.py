"""Compares the step's arithmetic with what the machine can do at its best.

    python tests/benchmarks/arithmetic_rate.py [NETWORKS] [ROUNDS]

Counts the multiplications and additions of the convolutions in one step of a
`GAN` by their formulas, times the step as `fit` runs it, and in turn with it a
product of two large float32 matrices, which is the fastest that TensorFlow
does here. Everything in a step that is no convolution counts as lost time.
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

SIDE = 4096  # of the matrices


def layer_operations(layer):
    """Returns the operations of one image's forward pass through a layer."""
    if not isinstance(
        layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose
    ):
        return 0
    # Each position of a convolution's output, or of a transposed one's input,
    # meets the whole kernel.
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    positions = (layer.input if transposed else layer.output).shape[1:3]
    return 2 * positions[0] * positions[1] * layer.kernel.shape.num_elements()


def step_operations(generator, discriminator):
    """Returns the operations of one image's share of a training step.

    A gradient with respect to a kernel, or to a layer's input, costs as much
    as the forward pass.
    """
    ours = [layer_operations(layer) for layer in generator.layers]
    ours = [number for number in ours if number]
    theirs = [layer_operations(layer) for layer in discriminator.layers]
    theirs = [number for number in theirs if number]
    # Forward, kernels, and inputs: those of the first layer nobody needs.
    generator_step = 3 * sum(ours) - ours[0]
    discriminator_step = 2 * (3 * sum(theirs) - theirs[0])  # real, generated
    through_discriminator = 2 * sum(theirs)  # forward, and back to the images
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
        f"{name}: {operations / 1e9:.1f} GFLOP a step of {batch_size} images; "
        f"{share:.1%} of the matrix product's rate"
    )


if __name__ == "__main__":
    main()
