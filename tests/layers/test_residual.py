import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    normal,
    to_numpy,
)

from gan_blocks import layers

every_backend = pytest.mark.every_backend
BLOCKS = [layers.ResidualDownBlock, layers.ResidualUpBlock]


def randomize(block):
    for i, weight in enumerate(block.trainable_weights):
        weight.assign(0.3 * normal(*weight.shape, seed=i))


def convolve(images, block):
    """Convolves images with the kernel and bias of a block."""
    kernel, (_, height, width, _) = to_numpy(block.linear.kernel), images.shape
    before = (kernel.shape[0] - 1) // 2
    after = kernel.shape[0] - 1 - before
    images = np.pad(images, [(0, 0), (before, after), (before, after), (0, 0)])
    outputs = sum(
        images[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )
    bias = to_numpy(block.linear.bias) if block.linear.use_bias else 0
    return outputs + bias


def normalize(images, layer):
    mean, variance = images.mean((0, 1, 2)), images.var((0, 1, 2))
    outputs = (images - mean) / np.sqrt(variance + 1e-3)
    return outputs * to_numpy(layer.gamma) + to_numpy(layer.beta)


def pool(images):
    images = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2]
    return sum(images[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


def upsample(images):
    return images.repeat(2, axis=1).repeat(2, axis=2)


def relu(images):
    return np.maximum(images, 0.0)


def projection(block):
    (layer,) = [one for one in block.shortcut if one.name == "projection"]
    return layer


@every_backend
@pytest.mark.parametrize("preactivation", [True, False])
def test_a_down_block_adds_the_pooled_branch_and_input(preactivation):
    inputs = normal(2, 6, 5, 3)
    block = layers.ResidualDownBlock(4, preactivation=preactivation)
    block.build(inputs.shape)
    randomize(block)
    branch = relu(inputs) if preactivation else inputs
    branch = convolve(relu(convolve(branch, block.first)), block.second)
    # As in the paper, the convolution comes first.
    shortcut = pool(convolve(inputs, projection(block)))
    outputs = block(inputs, training=True)
    assert_close(outputs, pool(branch) + shortcut, atol=1e-5)
    assert outputs.shape == block.compute_output_shape(inputs.shape)


@every_backend
def test_an_up_block_adds_the_upsampled_branch_and_input():
    inputs = normal(2, 3, 2, 3)
    block = layers.ResidualUpBlock(4)
    block.build(inputs.shape)
    randomize(block)
    outputs = block(inputs, training=True)
    first, second = block.branch[0], block.first.layers[1]
    branch = convolve(upsample(relu(normalize(inputs, first))), block.first)
    branch = convolve(relu(normalize(branch, second)), block.second)
    shortcut = convolve(upsample(inputs), projection(block))
    assert_close(outputs, branch + shortcut, atol=1e-4)
    assert outputs.shape == block.compute_output_shape(inputs.shape)
    assert np.any(to_numpy(first.moving_mean) != 0.0)
    assert np.any(to_numpy(second.moving_mean) != 0.0)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_shortcut_is_the_input_if_the_shape_does_not_change(block):
    inputs = normal(2, 4, 4, 3)
    same = block(3, strides=1, normalization=None, activation="tanh")
    same.build(inputs.shape)
    randomize(same)
    branch = convolve(np.tanh(inputs.astype("float64")), same.first)
    branch = convolve(np.tanh(branch), same.second)
    assert_close(same(inputs), inputs + branch, atol=1e-5)
    other = block(5, strides=1)
    assert other(inputs).shape == (2, 4, 4, 5)
    assert projection(other).linear.kernel.shape == (1, 1, 3, 5)


@pytest.mark.parametrize(
    "normalization, groups", [("layer", 1), ("group", 8), ("instance", 8)]
)
def test_the_groups_of_the_first_normalization_divide_the_input_channels(
    normalization, groups
):
    block = layers.ResidualUpBlock(6, normalization=normalization)
    inputs = normal(2, 4, 4, 8)
    block.build((None, None, None, 8))
    grouped = inputs.astype("float64").reshape(2, 4, 4, groups, -1)
    grouped = grouped - grouped.mean((1, 2, 4), keepdims=True)
    variance = grouped.var((1, 2, 4), keepdims=True)
    expected = (grouped / np.sqrt(variance + 1e-3)).reshape(inputs.shape)
    assert_close(block.branch[0](inputs), expected, atol=1e-5)
    assert block(inputs).shape == (2, 8, 8, 6)


def test_the_kernels_of_a_block_start_with_different_values():
    initializer = keras.initializers.HeNormal()
    block = layers.ResidualDownBlock(4, kernel_initializer=initializer)
    block.build((None, 8, 8, 4))
    first, second = (
        to_numpy(one.linear.kernel) for one in (block.first, block.second)
    )
    assert first.shape == second.shape
    assert np.all(first != second)
