"""Helpers for the tests of layers."""

import functools

import keras
import numpy as np
import pytest

from gan_blocks import gradients

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow only"
)


def readable(value):
    """Returns the name of a parametrized test's argument."""
    return getattr(value, "__name__", str(value))


def to_numpy(values):
    return np.asarray(keras.ops.convert_to_numpy(values)).astype("float64")


def assert_close(actual, expected, **tolerance):
    np.testing.assert_allclose(
        to_numpy(actual), to_numpy(expected), **tolerance
    )


def assert_close_to_scale(actual, expected, tolerance):
    """Allows errors relative to the largest expected value."""
    scale = np.abs(to_numpy(expected)).max()
    assert_close(actual, expected, atol=tolerance * scale)


def assert_equal(actual, expected):
    np.testing.assert_array_equal(to_numpy(actual), to_numpy(expected))


def normal(*shape, seed=0, mean=0.0, deviation=1.0, dtype="float32"):
    generator = np.random.default_rng(seed)
    return generator.normal(mean, deviation, shape).astype(dtype)


shifted = functools.partial(normal, mean=1.0, deviation=2.0)


def squared_gradient(network, inputs, variables):
    """Returns the square of the input gradient, and its own gradients."""

    def square():
        gradient = gradients.input_gradient(network, inputs)
        return keras.ops.sum(gradient**2), None

    value, _, pullback = gradients.vjp(square, variables)
    return value, pullback(keras.ops.ones_like(value))


def skip_if_channels_first_is_unsupported():
    try:
        keras.ops.conv(
            np.ones((1, 3, 4, 4), "float32"),
            np.ones((2, 2, 3, 4), "float32"),
            data_format="channels_first",
        )
    except Exception as error:
        if "NHWC" not in str(error):
            raise
        pytest.skip("TensorFlow on this CPU convolves channels-last only")
