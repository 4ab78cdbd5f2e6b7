from gan_blocks import layers
import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    normal,
    save_and_load,
    skip_if_channels_first_is_unsupported,
    to_numpy,
)

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
    return outputs + (
        to_numpy(block.linear.bias) if block.linear.use_bias else 0
    )


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
def test_a_down_block_adds_the_pooled_branch_and_input(
    preactivation,
):
    inputs = normal(2, 6, 5, 3)
    block = layers.ResidualDownBlock(4, preactivation=preactivation)
    block.build(inputs.shape)
    randomize(block)
    outputs = to_numpy(block(inputs, training=True))
    branch = relu(inputs) if preactivation else inputs
    branch = convolve(relu(convolve(branch, block.first)), block.second)
    # As in the paper, the convolution comes first.
    shortcut = pool(convolve(inputs, projection(block)))
    expected = pool(branch) + shortcut
    assert_close(outputs, expected, atol=1e-5)
    assert outputs.shape == block.compute_output_shape(inputs.shape)


@every_backend
def test_an_up_block_adds_the_upsampled_branch_and_input():
    inputs = normal(2, 3, 2, 3)
    block = layers.ResidualUpBlock(4)
    block.build(inputs.shape)
    randomize(block)
    outputs = to_numpy(block(inputs, training=True))
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


@pytest.mark.parametrize("normalization", ["batch", "layer", "instance"])
@pytest.mark.parametrize("block", BLOCKS)
def test_channels_first_equals_channels_last(block, normalization):
    skip_if_channels_first_is_unsupported()
    inputs = normal(2, 6, 4, 3)
    last = block(4, normalization=normalization)
    first = block(4, normalization=normalization, data_format="channels_first")
    expected = to_numpy(last(inputs, training=True))
    moved = inputs.transpose(0, 3, 1, 2)
    first.build(moved.shape)
    first.set_weights(last.get_weights())
    outputs = to_numpy(first(moved, training=True))
    assert outputs.shape == first.compute_output_shape(moved.shape)
    outputs = outputs.transpose(0, 2, 3, 1)
    assert_close(outputs, expected, atol=1e-4)


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


@pytest.mark.parametrize(
    "initializer", ["glorot_uniform", keras.initializers.HeNormal()]
)
def test_the_kernels_of_a_block_start_with_different_values(initializer):
    block = layers.ResidualDownBlock(4, kernel_initializer=initializer)
    block.build((None, 8, 8, 4))
    first, second = (
        to_numpy(one.linear.kernel) for one in (block.first, block.second)
    )
    assert first.shape == second.shape
    assert np.all(first != second)


@pytest.mark.parametrize("block", BLOCKS)
def test_spectral_normalization_applies_to_all_three_convolutions(block):
    inputs = normal(2, 4, 4, 3)
    layer = block(4, spectral_normalization=True)
    layer(inputs, training=True)
    expected = to_numpy(layer(inputs))
    convolutions = (layer.first, layer.second, projection(layer))
    for one in convolutions:
        one.linear.kernel.assign(4.0 * one.linear.kernel)
    assert_close(layer(inputs), expected, atol=1e-4)
    estimates = [w for w in layer.weights if "singular" in w.name]
    assert len(estimates) == len(convolutions)


@pytest.mark.parametrize(
    "build",
    [
        lambda: layers.ResidualDownBlock(4, spectral_normalization=True),
        lambda: layers.ResidualDownBlock(3, 5, 1, False, trainable=False),
        lambda: layers.ResidualDownBlock(
            4, normalization="group", activation="leaky_relu"
        ),
        lambda: layers.ResidualUpBlock(4, dtype="mixed_bfloat16", name="up"),
        lambda: layers.ResidualUpBlock(
            4, strides=3, kernel_initializer=keras.initializers.Constant(0.1)
        ),
    ],
)
def test_a_loaded_block_equals_the_original(build, tmp_path):
    inputs = normal(2, 6, 6, 3)
    model = keras.Sequential([keras.Input((6, 6, 3)), build()])
    model(inputs, training=True)
    assert model(inputs).dtype == model.layers[0].compute_dtype
    loaded = save_and_load(model, inputs, tmp_path)
    assert {weight.dtype for weight in loaded.weights} == {"float32"}


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.ResidualDownBlock(4, strides=0),
            "`strides` must be a positive integer.*strides=0",
        ),
        (
            lambda: layers.ResidualUpBlock(4, strides=(2, 2)),
            r"`strides` must be a positive integer.*\(2, 2\)",
        ),
        (
            lambda: layers.ResidualUpBlock(4, normalization="bach"),
            "`normalization` must be one of .*'bach'",
        ),
        (
            lambda: layers.ResidualDownBlock(4, activation="rellu"),
            "`activation` must be .*'rellu'",
        ),
        (
            lambda: layers.ResidualDownBlock(4, data_format="first"),
            "`data_format` must be .*'first'",
        ),
        (lambda: layers.ResidualDownBlock(0), "filters"),
        (
            lambda: layers.ResidualDownBlock(4).build((None, 4, 4, None)),
            "channels must be known",
        ),
        (
            lambda: layers.ResidualDownBlock(4)(np.zeros((2, 3))),
            "expected ndim=4, found ndim=2",
        ),
    ],
)
def test_invalid_arguments_and_inputs_are_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
