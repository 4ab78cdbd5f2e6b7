import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_equal,
    on_tensorflow,
    shifted,
    squared_gradient,
    to_numpy,
)

from gan_blocks import layers

every_backend = pytest.mark.every_backend


def deviations(features, groups):
    """Returns the mean deviation of each image's group, as in the paper."""
    outputs = np.zeros(len(features))
    for i in range(groups):
        outputs[i::groups] = features[i::groups].astype("float64").std(0).mean()
    return outputs


@every_backend
@pytest.mark.parametrize(
    "batch, group_size, groups",
    [(8, 4, 2), (6, 2, 3), (6, 4, 1), (2, 4, 1)],
)
def test_the_new_channel_is_the_mean_deviation_of_each_group(
    batch, group_size, groups
):
    inputs = shifted(batch, 3, 2, 5)
    outputs = to_numpy(layers.MinibatchStdDev(group_size)(inputs))
    assert_equal(outputs[..., :5], inputs)
    expected = np.zeros((batch, 3, 2))
    expected += deviations(inputs, groups)[:, None, None]
    assert_close(outputs[..., 5], expected, rtol=1e-5)
    assert groups == 1 or np.ptp(expected) > 0.01


@every_backend
def test_identical_images_have_almost_no_deviation():
    for inputs in (shifted(1, 3, 3, 2), np.ones((4, 3, 3, 2), "float32")):
        outputs = to_numpy(layers.MinibatchStdDev()(inputs))
        assert_close(outputs[..., 2], 1e-4, rtol=1e-4)


def test_vectors_have_a_deviation_too():
    inputs = shifted(8, 30)
    outputs = to_numpy(layers.MinibatchStdDev()(inputs))
    assert_close(outputs[:, 30], deviations(inputs, 2), rtol=1e-5)


@on_tensorflow
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_graphs_accept_an_unknown_batch_size(jit_compile):
    import tensorflow as tf

    layer = layers.MinibatchStdDev()
    graph = tf.function(
        layer,
        input_signature=[tf.TensorSpec((None, 3, 2, 5))],
        jit_compile=jit_compile,
    )
    for batch in (8, 5, 1):
        inputs = shifted(batch, 3, 2, 5)
        assert_close(graph(inputs), layer(inputs), rtol=1e-5)


@every_backend
@pytest.mark.parametrize("identical", [True, False])
def test_a_deviation_of_zero_can_be_differentiated_twice(identical):
    layer = layers.MinibatchStdDev()
    scale = keras.Variable(1.0)
    inputs = np.ones((4, 2, 2, 1)) if identical else shifted(4, 2, 2, 1)
    inputs = keras.ops.convert_to_tensor(inputs, "float32")
    value, (derivative,) = squared_gradient(
        lambda inputs, training: layer(scale * inputs)[..., 1:], inputs, [scale]
    )
    # The gradient is proportional to the scale, so its square is quadratic.
    assert_close(derivative, 2 * to_numpy(value), rtol=1e-4, atol=1e-6)
    assert (to_numpy(value) < 1e-6) == identical


@pytest.mark.parametrize("arguments", [{}, {"axis": 1}, {"epsilon": 0.5}])
def test_pixel_normalization_follows_its_formula(arguments):
    inputs = shifted(3, 4, 2, 5)
    inputs[0] = 0.0
    axis, epsilon = arguments.get("axis", -1), arguments.get("epsilon", 1e-8)
    square = np.mean(inputs.astype("float64") ** 2, axis, keepdims=True)
    outputs = layers.PixelNormalization(**arguments)(inputs)
    assert_close(outputs, inputs / np.sqrt(square + epsilon), rtol=1e-5)


@every_backend
@pytest.mark.parametrize(
    "layer", [layers.MinibatchStdDev, layers.PixelNormalization]
)
def test_statistics_do_not_overflow_in_float16(layer):
    # The squares exceed the range of float16.
    inputs = 1000 * shifted(4, 3, 3, 8)
    outputs = layer(dtype="mixed_float16")(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    expected = to_numpy(layer()(inputs))
    assert_close(outputs, expected, rtol=2e-3, atol=1e-6)
