import functools

import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_close_to_scale,
    assert_equal,
    normal,
    on_tensorflow,
    shifted,
    squared_gradient,
    to_numpy,
)

from gan_blocks import gradients, layers

every_backend = pytest.mark.every_backend
shifted64 = functools.partial(shifted, dtype="float64")


@every_backend
@pytest.mark.parametrize("shape", [(6, 3), (5, 4, 3), (4, 5, 6, 3)])
def test_batch_normalization_in_training_follows_its_formula(shape):
    inputs = shifted(*shape)
    layer = layers.BatchNormalization(momentum=0.75)
    layer.build(shape)
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.0, -1.0, 1.0])
    outputs = to_numpy(layer(inputs, training=True))
    axes = tuple(range(len(shape) - 1))
    mean, variance = inputs.mean(axes), inputs.var(axes)
    expected = (inputs - mean) / np.sqrt(variance + 1e-3) * [1, 2, 3]
    assert_close(outputs, expected + [0, -1, 1], atol=2e-5)
    assert_close(layer.moving_mean, 0.25 * mean, rtol=1e-5)
    assert_close(layer.moving_variance, 0.75 + 0.25 * variance, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "dtype"),
    [
        ({}, "float32"),
        ({}, "mixed_float16"),
        ({}, "mixed_bfloat16"),
        ({"axis": 1}, "float32"),
        ({"scale": False}, "float32"),
        ({"center": False}, "float32"),
    ],
)
@pytest.mark.parametrize("shape", [(8, 6), (4, 6, 5, 6)])
def test_batch_normalization_equals_keras_in_outputs_gradients_and_averages(
    shape, arguments, dtype
):
    results = []
    for cls in (layers.BatchNormalization, keras.layers.BatchNormalization):
        layer = cls(momentum=0.9, dtype=dtype, **arguments)
        layer.build(shape)
        inputs = keras.ops.cast(shifted64(*shape), layer.compute_dtype)
        direction = keras.ops.cast(
            shifted64(*shape, seed=1), layer.compute_dtype
        )
        call = functools.partial(layer, training=True)
        _, pull = gradients.input_vjp(call, inputs)
        outputs, _, pull_variables = gradients.vjp(
            lambda call=call, inputs=inputs: (call(inputs), None),
            layer.trainable_variables,
        )
        results.append(
            [
                outputs,
                pull(direction),
                *pull_variables(direction),
                layer.moving_mean,
                layer.moving_variance,
            ]
        )
    tolerance = {"float32": 1e-4, "mixed_float16": 1e-2}.get(dtype, 8e-2)
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        assert_close_to_scale(ours, theirs, tolerance)


@every_backend
@pytest.mark.parametrize("epsilon", [1e-5, 1e-8])
def test_batch_normalization_adds_a_small_epsilon(epsilon):
    inputs = 1e-3 * normal(64, 3)
    outputs = layers.BatchNormalization(epsilon=epsilon)(inputs, training=True)
    expected = inputs - inputs.mean(0)
    expected /= np.sqrt(inputs.var(0) + epsilon)
    assert_close(outputs, expected, rtol=2e-3)


@every_backend
def test_the_averages_stay_finite_for_a_single_value():
    layer = layers.BatchNormalization(momentum=0.5)
    outputs = layer(np.full((1, 1, 1, 2), 3.0, "float32"), training=True)
    assert_close(outputs, 0.0)
    assert_close(layer.moving_mean, 1.5)
    assert_close(layer.moving_variance, 0.5)


@every_backend
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_normalization_outside_training_uses_its_averages(frozen):
    layer = layers.BatchNormalization()
    layer.build((None, 4, 4, 2))
    layer.moving_mean.assign([1.0, 2.0])
    layer.moving_variance.assign([4.0, 9.0])
    layer.trainable = not frozen
    inputs = shifted(3, 4, 4, 2)
    outputs = to_numpy(layer(inputs, training=frozen))
    expected = (inputs - [1, 2]) / np.sqrt(np.array([4, 9]) + 1e-3)
    assert_close(outputs, expected, atol=1e-5)
    assert_equal(layer.moving_mean, [1, 2])


@every_backend
def test_batch_normalization_ignores_masked_values_as_keras_does():
    inputs = shifted(4, 5, 3)
    mask = np.arange(20).reshape(4, 5) % 3 > 0
    kinds = (layers.BatchNormalization, keras.layers.BatchNormalization)
    ours, theirs = (
        to_numpy(kind()(inputs, training=True, mask=mask)) for kind in kinds
    )
    assert_close(ours, theirs, atol=1e-6)
    assert np.abs(ours).max() > 0.5


def test_batch_normalization_accepts_the_config_and_weights_of_keras():
    theirs = keras.layers.BatchNormalization(momentum=0.7, scale=False)
    theirs.build((None, 3))
    config = theirs.get_config()
    ours = layers.BatchNormalization.from_config(config)
    assert ours.get_config() == config
    assert layers.BatchNormalization().momentum == 0.9
    ours.build((None, 3))
    ours.set_weights([np.full(3, i + 2.0) for i in range(3)])
    theirs.set_weights(ours.get_weights())
    inputs = shifted(4, 3)
    assert_close(ours(inputs), theirs(inputs))


@every_backend
@pytest.mark.parametrize(
    ("shape", "axis", "groups", "dtype"),
    [
        ((4, 6), -1, 3, "float32"),
        ((4, 5, 3, 6), -1, -1, "mixed_bfloat16"),
        ((4, 6, 5, 3), 1, 1, "float32"),
    ],
)
def test_group_normalization_equals_keras(shape, axis, groups, dtype):
    results = []
    for cls in (layers.GroupNormalization, keras.layers.GroupNormalization):
        layer = cls(groups=groups, axis=axis, dtype=dtype)
        layer.build(shape)
        layer.gamma.assign(np.arange(6))
        layer.beta.assign(np.arange(6)[::-1])
        results.append(layer(shifted(*shape)))
    ours, theirs = results
    assert ours.dtype == theirs.dtype
    tolerance = 2e-5 if dtype == "float32" else 0.1
    assert_close(ours, theirs, atol=tolerance)


# Second derivatives ----------------------------------------------------------


def penalty_in_numpy(scale, inputs, weights, shape, axes):
    """Returns R1 of `sum(tanh(normalize(features)) * weights)`.

    After a reshape to `shape`, features are normalized over `axes`.
    """
    features = (scale * inputs + 0.1 * (scale * inputs) ** 2).reshape(shape)
    centered = features - features.mean(axes, keepdims=True)
    deviation = np.sqrt((centered**2).mean(axes, keepdims=True) + 1e-3)
    normalized = centered / deviation
    outputs = np.tanh(normalized.reshape(inputs.shape))
    gradient = ((1 - outputs**2) * weights).reshape(shape)
    along = (gradient * normalized).mean(axes, keepdims=True)
    gradient -= gradient.mean(axes, keepdims=True) + along * normalized
    gradient = (gradient / deviation).reshape(inputs.shape)
    return np.sum((gradient * (scale + 0.2 * scale**2 * inputs)) ** 2)


def second_derivative_error(
    layer, shape=(4, 5, 5, 6), axes=(0, 1, 2), compiled=lambda f: f
):
    """Compares the derivative of R1 with finite differences in NumPy."""
    scale, inputs = shifted64(5, 5, 6, seed=2), shifted64(4, 5, 5, 6)
    weights, direction = shifted64(6, seed=3), shifted64(5, 5, 6, seed=4)
    above, below = (
        penalty_in_numpy(scale + step * direction, inputs, weights, shape, axes)
        for step in (1e-5, -1e-5)
    )
    expected = (above - below) / 2e-5

    layer.build(inputs.shape)
    variable = keras.Variable(scale, dtype=layer.dtype)
    inputs = keras.ops.cast(inputs, layer.dtype)
    weights = keras.ops.cast(weights, layer.dtype)

    def network(inputs, training):
        features = variable * inputs + 0.1 * (variable * inputs) ** 2
        features = layer(features, training=training)
        return keras.ops.sum(keras.ops.tanh(features) * weights)

    @compiled
    def derivative():
        return squared_gradient(network, inputs, [variable])[1][0]

    return abs(np.sum(to_numpy(derivative()) * direction) / expected - 1)


@every_backend
@pytest.mark.parametrize(("axis", "axes"), [(-1, (0, 1, 2)), (1, (0, 2, 3))])
def test_second_derivatives_of_batch_normalization_are_correct(axis, axes):
    layer = layers.BatchNormalization(axis=axis)
    assert second_derivative_error(layer, axes=axes) < 1e-4


@every_backend
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_second_derivatives_of_group_normalization_are_correct(groups):
    layer = layers.GroupNormalization(groups)
    shape = (4, 25, groups, 6 // groups)
    assert second_derivative_error(layer, shape, axes=(1, 3)) < 1e-4


@on_tensorflow
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_second_derivatives_are_correct_in_a_compiled_function(jit_compile):
    import tensorflow as tf

    compiled = functools.partial(tf.function, jit_compile=jit_compile)
    layer = layers.BatchNormalization()
    assert second_derivative_error(layer, compiled=compiled) < 1e-4


@on_tensorflow  # On JAX and torch, Keras computes float64 means in float32.
def test_second_derivatives_have_the_precision_of_float64():
    layer = layers.BatchNormalization(dtype="float64")
    assert second_derivative_error(layer) < 1e-7


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_xla_updates_the_averages_as_tensorflow_does(dtype):
    import tensorflow as tf

    inputs = tf.constant(shifted(2, 3, 3, 4))
    averages = []
    for jit_compile in (False, True):
        layer = layers.BatchNormalization(dtype=dtype)
        layer.build(inputs.shape)
        call = functools.partial(layer, inputs, training=True)
        tf.function(call, jit_compile=jit_compile)()
        averages.append(to_numpy(layer.moving_variance))
    assert_close(*averages, rtol=1e-5)
    expected = 0.9 + 0.1 * inputs.numpy().var((0, 1, 2))
    assert_close(averages[0], expected, rtol=1e-2)
