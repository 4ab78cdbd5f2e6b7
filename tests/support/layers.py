"""Helpers for the tests of layers."""

import keras
import numpy as np
import pytest

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow only"
)


def to_numpy(values):
    return np.asarray(keras.ops.convert_to_numpy(values)).astype("float64")


def assert_close(actual, expected, **tolerance):
    np.testing.assert_allclose(
        to_numpy(actual), to_numpy(expected), **tolerance
    )


def assert_equal(actual, expected):
    np.testing.assert_array_equal(to_numpy(actual), to_numpy(expected))


def normal(*shape, seed=0, mean=0.0, deviation=1.0, dtype="float32"):
    generator = np.random.default_rng(seed)
    return generator.normal(mean, deviation, shape).astype(dtype)


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


def save_and_load(model, inputs, folder):
    """Returns the loaded model, after a check of its outputs and layers."""
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    expected = model(inputs)
    assert_equal(loaded(inputs), expected)
    shape = model.compute_output_shape(inputs.shape)
    assert tuple(expected.shape) == tuple(shape)
    for layer, other in zip(model.layers, loaded.layers, strict=True):
        assert other.get_config() == layer.get_config()
        assert other.trainable is layer.trainable
        assert len(other.variables) == len(layer.variables)
    return loaded
