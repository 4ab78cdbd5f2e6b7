import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_equal,
    normal,
    squared_gradient,
    to_numpy,
)

from gan_blocks import gradients, layers

every_backend = pytest.mark.every_backend


def build_layer(channels, gamma=0.7, **arguments):
    layer = layers.SelfAttention2D(**arguments)
    layer.build((None, None, None, channels))
    for i, weight in enumerate(layer.trainable_weights):
        weight.assign(normal(*weight.shape, seed=i))
    layer.gamma.assign(gamma)
    return layer


def attention_in_numpy(layer, inputs):
    batch, height, width, channels = inputs.shape
    positions = inputs.astype("float64").reshape(batch, -1, channels)
    names = ("query", "key", "value", "projection")
    convolutions = [getattr(layer, name) for name in names]
    query, key, value, projection = (
        to_numpy(convolution.kernel)[0, 0] for convolution in convolutions
    )
    scores = np.einsum(
        "bqc,bkc->bqk", positions @ query, positions @ key, optimize=True
    )
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    sums = weights @ (positions @ value) @ projection
    return inputs + to_numpy(layer.gamma) * sums.reshape(inputs.shape)


@every_backend
@pytest.mark.parametrize("channels", [17, 3])
def test_attention_follows_its_formula(channels):
    layer, inputs = build_layer(channels), normal(2, 4, 3, channels)
    assert_close(layer(inputs), attention_in_numpy(layer, inputs), atol=1e-4)
    narrow, half = {17: (2, 8), 3: (1, 1)}[channels]
    shapes = [to_numpy(w).shape[2:] for w in layer.trainable_weights]
    assert sorted(shapes) == sorted(
        [(), (channels, narrow), (channels, narrow), (channels, half)]
        + [(half, channels)]
    )


def test_attention_starts_as_the_identity_and_learns_gamma_first():
    layer, inputs = layers.SelfAttention2D(), normal(2, 4, 4, 8)
    assert_equal(layer(inputs), inputs)
    outputs, _, pullback = gradients.vjp(
        lambda: (layer(inputs), None), [layer.gamma]
    )
    (gradient,) = pullback(keras.ops.ones_like(outputs))
    layer.gamma.assign(1.0)
    expected = np.sum(to_numpy(layer(inputs)) - inputs)
    assert_close(gradient, expected, rtol=1e-3)


@every_backend
def test_second_derivatives_of_attention_are_correct():
    # Smaller steps of the finite differences are too inaccurate in float32.
    layer, inputs, step = build_layer(4, gamma=0.5), normal(2, 2, 2, 4), 3e-3
    inputs = keras.ops.convert_to_tensor(0.5 * inputs)
    variables = layer.trainable_variables
    _, derivatives = squared_gradient(layer, inputs, variables)
    directions = [
        normal(*variable.shape, seed=10 + i)
        for i, variable in enumerate(variables)
    ]
    expected = sum(
        np.sum(to_numpy(derivative) * direction)
        for derivative, direction in zip(derivatives, directions, strict=True)
    )
    values = []
    for sign in (1, -2):
        for variable, direction in zip(variables, directions, strict=True):
            variable.assign(variable + sign * step * direction)
        value, _ = squared_gradient(layer, inputs, variables)
        values.append(to_numpy(value))
    difference = (values[0] - values[1]) / (2 * step)
    assert_close(difference, expected, rtol=1e-2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_softmax_is_computed_in_float32(policy):
    inputs = normal(1, 32, 32, 8)
    layer = build_layer(8, gamma=1.0, dtype=policy)
    # Equal scores, so the outputs are means of about a thousand values.
    layer.query.kernel.assign(np.zeros((1, 1, 8, 1)))
    outputs = layer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy[6:]
    expected = attention_in_numpy(layer, inputs)
    assert_close(outputs, expected, atol=0.06)
