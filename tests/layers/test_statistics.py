import functools

from gan_blocks import gradients, layers
import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_equal,
    normal,
    on_tensorflow,
    save_and_load,
    to_numpy,
)

every_backend = pytest.mark.every_backend
shifted = functools.partial(normal, mean=1.0, deviation=2.0)


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


def test_vectors_and_channels_first_have_a_deviation_too():
    inputs = shifted(8, 3, 2, 5)
    expected = to_numpy(layers.MinibatchStdDev()(inputs))
    first = layers.MinibatchStdDev(data_format="channels_first")
    outputs = first(inputs.transpose(0, 3, 1, 2))
    assert_close(to_numpy(outputs).transpose(0, 2, 3, 1), expected, rtol=1e-5)
    assert first.compute_output_shape((None, 5, 3, None)) == (None, 6, 3, None)
    outputs = to_numpy(layers.MinibatchStdDev()(inputs.reshape(8, 30)))
    assert_close(outputs[:, 30], deviations(inputs, 2), rtol=1e-5)


@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
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

    def penalty():
        outputs, pullback = gradients.input_vjp(
            lambda x: layer(scale * x)[..., 1:], inputs, differentiable=True
        )
        gradient = pullback(keras.ops.ones_like(outputs))
        return keras.ops.sum(gradient**2), None

    value, _, pullback = gradients.vjp(penalty, [scale])
    (derivative,) = pullback(keras.ops.ones_like(value))
    # The gradient is proportional to the scale, so its square is quadratic.
    assert_close(derivative, 2 * to_numpy(value), rtol=1e-4, atol=1e-6)
    assert (to_numpy(value) < 1e-6) == identical


def test_pixel_normalization_follows_its_formula():
    inputs = shifted(3, 4, 2, 5)
    norm = np.sqrt((inputs.astype("float64") ** 2).mean(-1, keepdims=True))
    outputs = to_numpy(layers.PixelNormalization()(inputs))
    assert_close(outputs, inputs / norm, rtol=1e-5)
    outputs = to_numpy(layers.PixelNormalization(axis=1)(inputs.swapaxes(1, 3)))
    assert_close(outputs.swapaxes(1, 3), inputs / norm, rtol=1e-5)
    outputs = to_numpy(layers.PixelNormalization(epsilon=0.5)(inputs[:, 0, 0]))
    norm = np.sqrt((inputs[:, 0, 0].astype("float64") ** 2).mean(1) + 0.5)
    assert_close(outputs, inputs[:, 0, 0] / norm[:, None], rtol=1e-5)
    zeros = np.zeros((2, 5), "float32")
    assert_equal(layers.PixelNormalization()(zeros), zeros)


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


@pytest.mark.parametrize(
    "layer",
    [
        layers.MinibatchStdDev(2, "channels_last", name="deviation"),
        layers.MinibatchStdDev(data_format="channels_first"),
        layers.PixelNormalization(axis=2, epsilon=0.1),
    ],
)
def test_a_loaded_layer_equals_the_original(layer, tmp_path):
    model = keras.Sequential([keras.Input((4, 3, 5)), layer])
    inputs = shifted(4, 4, 3, 5)
    save_and_load(model, inputs, tmp_path)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.MinibatchStdDev(1),
            "`group_size` must be an integer of at least 2.*group_size=1",
        ),
        (
            lambda: layers.MinibatchStdDev(data_format="first"),
            "`data_format` must be 'channels_last'.*'first'",
        ),
        (lambda: layers.MinibatchStdDev()(np.zeros(3)), "min_ndim=2"),
        (
            lambda: layers.PixelNormalization(epsilon=0),
            "`epsilon` must be positive.*epsilon=0",
        ),
    ],
)
def test_invalid_arguments_and_inputs_are_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
