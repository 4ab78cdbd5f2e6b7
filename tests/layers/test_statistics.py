import keras
import numpy as np
import pytest

from gan_blocks import gradients, layers

BACKEND = keras.backend.backend()
every_backend = pytest.mark.every_backend


def numpy(tensor):
    tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape).astype("float32")


def deviations(features, groups):
    """Returns one number per image, group by group, as the paper says."""
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
    inputs = normal(batch, 3, 2, 5)
    outputs = numpy(layers.MinibatchStdDev(group_size)(inputs))
    np.testing.assert_array_equal(outputs[..., :5], inputs)
    expected = np.zeros((batch, 3, 2))
    expected += deviations(inputs, groups)[:, None, None]
    np.testing.assert_allclose(outputs[..., 5], expected, rtol=1e-5)
    assert groups == 1 or np.ptp(expected) > 0.01


@every_backend
def test_images_that_are_alike_have_almost_no_deviation():
    for inputs in (normal(1, 3, 3, 2), np.ones((4, 3, 3, 2), "float32")):
        outputs = numpy(layers.MinibatchStdDev()(inputs))
        np.testing.assert_allclose(outputs[..., 2], 1e-4, rtol=1e-4)


def test_vectors_and_channels_that_come_first_have_a_deviation_too():
    inputs = normal(8, 3, 2, 5)
    expected = numpy(layers.MinibatchStdDev()(inputs))
    first = layers.MinibatchStdDev(data_format="channels_first")
    outputs = first(inputs.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(
        numpy(outputs).transpose(0, 2, 3, 1), expected, rtol=1e-5
    )
    assert first.compute_output_shape((None, 5, 3, None)) == (None, 6, 3, None)
    outputs = numpy(layers.MinibatchStdDev()(inputs.reshape(8, 30)))
    np.testing.assert_allclose(outputs[:, 30], deviations(inputs, 2), rtol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow's graphs")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_batch_size_may_be_unknown_in_a_graph(jit_compile):
    import tensorflow as tf

    layer = layers.MinibatchStdDev()
    graph = tf.function(
        layer,
        input_signature=[tf.TensorSpec((None, 3, 2, 5))],
        jit_compile=jit_compile,
    )
    for batch in (8, 5, 1):
        inputs = normal(batch, 3, 2, 5)
        np.testing.assert_allclose(graph(inputs), layer(inputs), rtol=1e-5)


@every_backend
@pytest.mark.parametrize("alike", [True, False])
def test_a_deviation_of_zero_can_be_differentiated_twice(alike):
    layer = layers.MinibatchStdDev()
    scale = keras.Variable(1.0)
    inputs = np.ones((4, 2, 2, 1)) if alike else normal(4, 2, 2, 1)
    inputs = keras.ops.convert_to_tensor(inputs, "float32")

    def penalty():
        outputs, pullback = gradients.input_vjp(
            lambda x: layer(scale * x)[..., 1:], inputs, [scale], True
        )
        gradient = pullback(keras.ops.ones_like(outputs))
        return keras.ops.sum(gradient**2), None

    value, _, pullback = gradients.vjp(penalty, [scale], [scale])
    (derivative,) = pullback(keras.ops.ones_like(value))
    # The deviation grows with the scale, and so does its gradient.
    np.testing.assert_allclose(
        numpy(derivative), 2 * numpy(value), rtol=1e-4, atol=1e-6
    )
    assert (numpy(value) < 1e-6) == alike


def test_features_are_normalized_at_each_pixel():
    inputs = normal(3, 4, 2, 5)
    norm = np.sqrt((inputs.astype("float64") ** 2).mean(-1, keepdims=True))
    outputs = numpy(layers.PixelNormalization()(inputs))
    np.testing.assert_allclose(outputs, inputs / norm, rtol=1e-5)
    outputs = numpy(layers.PixelNormalization(axis=1)(inputs.swapaxes(1, 3)))
    np.testing.assert_allclose(outputs.swapaxes(1, 3), inputs / norm, rtol=1e-5)
    outputs = numpy(layers.PixelNormalization(epsilon=0.5)(inputs[:, 0, 0]))
    norm = np.sqrt((inputs[:, 0, 0].astype("float64") ** 2).mean(1) + 0.5)
    np.testing.assert_allclose(
        outputs, inputs[:, 0, 0] / norm[:, None], rtol=1e-5
    )
    zeros = np.zeros((2, 5), "float32")
    np.testing.assert_array_equal(layers.PixelNormalization()(zeros), zeros)


@every_backend
@pytest.mark.parametrize(
    "layer", [layers.MinibatchStdDev, layers.PixelNormalization]
)
def test_statistics_of_half_precision_do_not_overflow(layer):
    # Their squares are more than float16 can hold.
    inputs = 1000 * normal(4, 3, 3, 8)
    outputs = layer(dtype="mixed_float16")(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    expected = numpy(layer()(inputs))
    np.testing.assert_allclose(numpy(outputs), expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        layers.MinibatchStdDev(2, "channels_last", name="deviation"),
        layers.MinibatchStdDev(data_format="channels_first"),
        layers.PixelNormalization(axis=2, epsilon=0.1),
    ],
)
def test_a_saved_layer_comes_back_as_it_was(layer, tmp_path):
    model = keras.Sequential([keras.Input((4, 3, 5)), layer])
    inputs = normal(4, 4, 3, 5)
    assert model(inputs).shape[1:] == model.output_shape[1:]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    np.testing.assert_array_equal(numpy(loaded(inputs)), numpy(model(inputs)))


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.MinibatchStdDev(1),
            "`group_size` must be at least 2.*group_size=1",
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
def test_what_cannot_be_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()
