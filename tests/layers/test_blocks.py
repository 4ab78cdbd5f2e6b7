import contextlib

import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_close_to_scale,
    assert_equal,
    normal,
    on_tensorflow,
    readable,
    shifted,
    squared_gradient,
    to_numpy,
)

from gan_blocks import layers

every_backend = pytest.mark.every_backend


def small_kernel(shape, dtype=None):
    """Initializes kernels with NumPy, as JAX compiles for every shape."""
    kernel = normal(*shape, mean=0.1, deviation=0.2, dtype="float64")
    return keras.ops.cast(kernel, dtype)


def inputs_for(block):
    is_dense = block is layers.DenseBlock
    return shifted(4, 6) if is_dense else shifted(4, 8, 8, 3)


def seed_states(block):
    return [v for v in block.variables if "seed" in v.path]


@every_backend
@pytest.mark.parametrize(
    ("block", "arguments", "size", "expected"),
    [
        (layers.StridedConvBlock, {}, (8, 6), (4, 3)),
        (layers.StridedConvBlock, {}, (7, 5), (4, 3)),
        (layers.StridedConvBlock, {"padding": "valid"}, (8, 6), (3, 2)),
        (layers.StridedConvBlock, {"strides": (1, 2)}, (8, 6), (8, 3)),
        (layers.TransposedConvBlock, {}, (4, 3), (8, 6)),
        (layers.TransposedConvBlock, {"kernel_size": 5}, (4, 3), (8, 6)),
        (layers.TransposedConvBlock, {"padding": "valid"}, (1, 1), (4, 4)),
        (layers.ResizeConvBlock, {}, (4, 3), (8, 6)),
        (layers.ResizeConvBlock, {"strides": (3, 1)}, (4, 3), (12, 3)),
        (layers.ResizeConvBlock, {"padding": "valid"}, (4, 3), (6, 4)),
    ],
    ids=readable,
)
def test_convolution_blocks_have_the_documented_output_shape(
    block, arguments, size, expected
):
    layer = block(4, normalization=None, kernel_initializer="ones", **arguments)
    outputs = layer(np.ones((2, *size, 3), "float32"))
    assert tuple(outputs.shape) == (2, *expected, 4)
    assert layer.compute_output_shape((2, *size, 3)) == (2, *expected, 4)
    first = block(4, data_format="channels_first", **arguments)
    assert first.compute_output_shape((2, 3, *size)) == (2, 4, *expected)


@pytest.mark.parametrize("strides", [0, 2.0, "2", (1, 2, 3), np.int64(2)])
def test_factors_that_are_no_integers_or_pairs_are_refused(strides):
    with pytest.raises(ValueError, match="`strides` must be a positive"):
        layers.ResizeConvBlock(4, strides=strides)


@every_backend
@pytest.mark.parametrize(
    ("block", "normalization"),
    [
        (layers.StridedConvBlock, "batch"),
        (layers.TransposedConvBlock, "layer"),
        (layers.ResizeConvBlock, "group"),
    ],
)
def test_convolution_blocks_built_without_a_size_run_at_any_size(
    block, normalization
):
    layer = block(
        4, normalization=normalization, kernel_initializer=small_kernel
    )
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert model.output_shape == (None, None, None, 4)
    for size in (8, 12):
        inputs = np.ones((2, size, size, 3), "float32")
        outputs = model(inputs, training=True)
        assert tuple(outputs.shape) == layer.compute_output_shape(inputs.shape)


@every_backend
@pytest.mark.parametrize(
    ("block", "linear"),
    [
        (
            layers.StridedConvBlock,
            [keras.layers.Conv2D(5, 4, 2, "same", use_bias=False)],
        ),
        (
            layers.TransposedConvBlock,
            [keras.layers.Conv2DTranspose(5, 4, 2, "same", use_bias=False)],
        ),
        (
            layers.ResizeConvBlock,
            [
                keras.layers.UpSampling2D(2),
                keras.layers.Conv2D(5, 3, padding="same", use_bias=False),
            ],
        ),
        (layers.DenseBlock, [keras.layers.Dense(5, use_bias=False)]),
    ],
)
def test_blocks_are_a_linear_layer_then_normalization_then_leaky_relu(
    block, linear
):
    inputs = inputs_for(block)
    layer = block(5, kernel_initializer=small_kernel)
    expected = keras.Sequential(
        [
            *linear,
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.LeakyReLU(0.2),
        ]
    )
    expected.build(inputs.shape)
    layer.build(inputs.shape)
    expected.set_weights(layer.get_weights())
    for training in (True, False):
        assert_close(
            layer(inputs, training=training),
            expected(inputs, training=training),
            atol=1e-4,
        )
    assert_close(layer.get_weights()[3], expected.get_weights()[3], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "has_bias"),
    [
        ({}, False),
        ({"normalization": "layer"}, False),
        ({"normalization": None}, True),
        ({"use_bias": True}, True),
        ({"normalization": None, "use_bias": False}, False),
    ],
    ids=readable,
)
def test_blocks_have_a_bias_if_no_normalization_follows(arguments, has_bias):
    block = layers.DenseBlock(4, **arguments)
    block.build((None, 6))
    assert any(w.name == "bias" for w in block.weights) is has_bias


@every_backend
@pytest.mark.parametrize(
    ("normalization", "groups"), [("layer", 1), ("group", 24), ("instance", 48)]
)
def test_each_normalization_divides_the_channels_into_groups(
    normalization, groups
):
    block = layers.StridedConvBlock(
        48,
        normalization=normalization,
        activation=None,
        kernel_initializer=small_kernel,
    )
    outputs = to_numpy(block(shifted(3, 12, 12, 3)))
    parts = outputs.reshape(3, 36, groups, 48 // groups)
    assert_close(parts.mean((1, 3)), 0.0, atol=1e-4)
    assert_close(parts.std((1, 3)), 1.0, atol=1e-2)
    assert np.abs(outputs.mean(-1)).max() > 1e-2


@every_backend
@pytest.mark.parametrize(
    ("block", "normalization"),
    [
        (layers.StridedConvBlock, "batch"),
        (layers.StridedConvBlock, "layer"),
        (layers.ResizeConvBlock, "instance"),
        (layers.DenseBlock, "batch"),
    ],
)
def test_epsilon_is_added_to_the_variance(block, normalization):
    layer = block(
        4,
        normalization=normalization,
        kernel_initializer=small_kernel,
        epsilon=1e8,
    )
    outputs = layer(inputs_for(block), training=True)
    assert np.abs(to_numpy(outputs)).max() < 1e-2


@every_backend
@pytest.mark.parametrize(
    "block",
    [
        layers.TransposedConvBlock,
        layers.ResizeConvBlock,
        layers.DenseBlock,
        layers.ResidualUpBlock,
    ],
)
def test_without_momentum_the_averages_are_those_of_the_last_batch(block):
    layer = block(4, kernel_initializer=small_kernel, momentum=0)
    inputs = inputs_for(block)
    layer(5 * inputs, training=True)
    trained = layer(inputs, training=True)
    assert_close(layer(inputs), trained, atol=1e-4)


@every_backend
def test_dropout_is_last_and_different_in_each_call():
    block = layers.DenseBlock(64, dropout=0.5)
    inputs = inputs_for(layers.DenseBlock)
    first, second = (to_numpy(block(inputs, training=True)) for _ in range(2))
    assert 0.3 < np.mean(first == 0.0) < 0.7
    assert np.any((first == 0.0) != (second == 0.0))
    assert np.all(to_numpy(block(inputs, training=False)) != 0.0)


@every_backend
def test_dropout_continues_from_its_saved_seed_state():
    block, other = (layers.DenseBlock(64, dropout=0.5) for _ in range(2))
    inputs = inputs_for(layers.DenseBlock)
    first = to_numpy(block(inputs, training=True))
    unlike = to_numpy(other(inputs, training=True))
    assert np.any((unlike == 0) != (first == 0))

    config = block.get_config()
    assert not any("seed" in name for name in config)
    again = layers.DenseBlock.from_config(config)
    again.build(inputs.shape)
    again.set_weights(block.get_weights())
    for state, saved in zip(
        seed_states(again), seed_states(block), strict=True
    ):
        state.assign(saved)
    assert_equal(again(inputs, training=True), block(inputs, training=True))

    keras.utils.set_random_seed(0)
    again = layers.DenseBlock(64, dropout=0.5)
    assert_equal(again(inputs, training=True), first)


def test_kernels_start_as_in_dcgan_and_differ_between_blocks():
    kernels = []
    for _ in range(2):
        block = layers.StridedConvBlock(64)
        block.build((None, 8, 8, 32))
        kernels.append(to_numpy(block.weights[0]))
    for kernel in kernels:
        assert abs(kernel.std() / 0.02 - 1) < 0.05
        assert abs(kernel.mean()) < 1e-3
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


@every_backend
def test_a_frozen_block_does_not_update_its_averages():
    config = layers.StridedConvBlock(4, trainable=False).get_config()
    block = layers.StridedConvBlock.from_config(config)
    inputs = inputs_for(layers.StridedConvBlock)
    block(inputs, training=True)
    assert not block.trainable_variables
    (mean,) = (w for w in block.weights if w.name == "moving_mean")
    assert_equal(mean, 0.0)
    block.trainable = True
    block(inputs, training=True)
    assert np.any(to_numpy(mean) != 0.0)


@every_backend
@pytest.mark.parametrize(
    ("block", "policy", "compute", "variable"),
    [
        (layers.StridedConvBlock, "mixed_float16", "float16", "float32"),
        (layers.TransposedConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.ResizeConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.DenseBlock, "mixed_float16", "float16", "float32"),
        (layers.DenseBlock, "float64", "float64", "float64"),
    ],
)
def test_the_dtype_policy_applies_to_all_inner_layers(
    block, policy, compute, variable
):
    context = contextlib.nullcontext()
    if keras.backend.backend() == "jax":
        import jax

        context = jax.enable_x64(True)
    with context:
        layer = block(
            4, dtype=policy, dropout=0.1, kernel_initializer=small_kernel
        )
        outputs = layer(inputs_for(block), training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == compute
        assert {v.dtype for v in layer.weights} == {variable}
        assert np.all(np.isfinite(to_numpy(outputs)))


@on_tensorflow
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_compiled_blocks_train_with_mixed_precision(jit_compile):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.StridedConvBlock(4),
            layers.TransposedConvBlock(2, normalization="layer"),
        ]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = model.get_weights()
    inputs = inputs_for(layers.StridedConvBlock)
    model.fit(inputs, np.zeros((4, 8, 8, 2)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.any(old != new) and np.all(np.isfinite(new))


@every_backend
@pytest.mark.parametrize(
    ("block", "arguments", "has_checkerboard"),
    [
        (layers.TransposedConvBlock, {}, False),
        (layers.TransposedConvBlock, {"kernel_size": 5}, True),
        (layers.ResizeConvBlock, {}, False),
        (layers.ResizeConvBlock, {"kernel_size": 5}, False),
    ],
    ids=readable,
)
def test_only_kernels_not_divisible_by_the_stride_leave_checkerboards(
    block, arguments, has_checkerboard
):
    layer = block(1, kernel_initializer="ones", **arguments)
    outputs = to_numpy(layer(np.ones((1, 8, 8, 1), "float32")))
    inside = outputs[0, 4:-4, 4:-4, 0]
    assert (np.ptp(inside) > 0.1) == has_checkerboard


@every_backend
@pytest.mark.parametrize(
    ("kernel_size", "strides", "filters", "is_joined"),
    [
        (3, 2, 3, True),
        (3, 2, 16, True),
        ((1, 5), (3, 2), 2, True),
        (3, 1, 2, True),
        (4, 2, 2, False),
    ],
)
def test_upsampling_and_convolution_in_one_equal_the_two_layers(
    kernel_size, strides, filters, is_joined, monkeypatch
):
    monkeypatch.setattr("gan_blocks.backend.gpu_names", list)
    shape = (2, 5, 4, 8)
    layer = layers.ResizeConvBlock(
        filters,
        kernel_size,
        strides,
        normalization=None,
        activation=None,
        kernel_initializer=small_kernel,
    )
    layer.build(shape)
    assert layer._can_join() == is_joined
    resize, convolution = layer.layers
    convolution.bias.assign(np.arange(filters))
    inputs = normal(*shape)
    results = []
    for parts in ([layer], [resize, convolution]):
        network = keras.Sequential([*parts, keras.layers.Activation("sigmoid")])
        value, gradients = squared_gradient(
            network, keras.ops.convert_to_tensor(inputs), [convolution.kernel]
        )
        results.append([network(inputs), value, gradients[0]])
    for actual, expected in zip(*results, strict=True):
        assert_close_to_scale(actual, expected, 1e-4)
