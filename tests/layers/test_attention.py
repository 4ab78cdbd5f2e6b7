import keras
import numpy as np
import pytest

from gan_blocks import gradients, layers

every_backend = pytest.mark.every_backend


def numpy(tensor):
    tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def trained(channels, gamma=0.7, **arguments):
    layer = layers.SelfAttention2D(**arguments)
    layer.build((None, None, None, channels))
    for i, weight in enumerate(layer.trainable_weights):
        weight.assign(normal(*weight.shape, seed=i))
    layer.gamma.assign(gamma)
    return layer


def attention_by_hand(layer, inputs):
    batch, height, width, channels = inputs.shape
    positions = inputs.astype("float64").reshape(batch, -1, channels)
    query, key, value, projection = (
        numpy(convolution.kernel)[0, 0]
        for convolution in (
            layer.query,
            layer.key,
            layer.value,
            layer.projection,
        )
    )
    scores = np.einsum(
        "bqc,bkc->bqk", positions @ query, positions @ key, optimize=True
    )
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    found = weights @ (positions @ value) @ projection
    return inputs + numpy(layer.gamma) * found.reshape(inputs.shape)


@every_backend
@pytest.mark.parametrize("channels", [17, 3])
def test_attention_follows_its_formula(channels):
    layer, inputs = trained(channels), normal(2, 4, 3, channels)
    np.testing.assert_allclose(
        numpy(layer(inputs)), attention_by_hand(layer, inputs), atol=1e-4
    )
    narrow, half = {17: (2, 8), 3: (1, 1)}[channels]
    shapes = [numpy(w).shape[2:] for w in layer.trainable_weights]
    assert sorted(shapes) == sorted(
        [(), (channels, narrow), (channels, narrow), (channels, half)]
        + [(half, channels)]
    )


def test_attention_starts_as_the_identity_and_learns_gamma_first():
    layer, inputs = layers.SelfAttention2D(), normal(2, 4, 4, 8)
    np.testing.assert_array_equal(numpy(layer(inputs)), inputs)
    outputs, _, pullback = gradients.vjp(
        lambda: (layer(inputs), None), [layer.gamma], layer.variables
    )
    (gradient,) = pullback(keras.ops.ones_like(outputs))
    layer.gamma.assign(1.0)
    expected = np.sum(numpy(layer(inputs)) - inputs)
    np.testing.assert_allclose(numpy(gradient), expected, rtol=1e-3)


@every_backend
def test_attention_can_be_differentiated_twice():
    # In float32, a step of finite differences can be no smaller.
    layer, inputs, step = trained(4, gamma=0.5), normal(2, 2, 2, 4), 3e-3
    inputs = keras.ops.convert_to_tensor(0.5 * inputs)

    def penalty():
        gradient = gradients.input_gradient(layer, inputs)
        return keras.ops.sum(gradient**2), None

    variables = layer.trainable_variables
    value, _, pullback = gradients.vjp(penalty, variables, layer.variables)
    derivatives = pullback(keras.ops.ones_like(value))
    directions = [
        normal(*variable.shape, seed=10 + i)
        for i, variable in enumerate(variables)
    ]
    expected = sum(
        np.sum(numpy(derivative) * direction)
        for derivative, direction in zip(derivatives, directions, strict=True)
    )
    values = []
    for sign in (1, -2):
        for variable, direction in zip(variables, directions, strict=True):
            variable.assign(variable + sign * step * direction)
        values.append(numpy(penalty()[0]))
    difference = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose(difference, expected, rtol=1e-2)


def test_channels_may_come_first():
    try:
        kernel = np.ones((1, 1, 3, 4), "float32")
        keras.ops.conv(normal(1, 3, 4, 4), kernel, data_format="channels_first")
    except Exception as error:
        if "NHWC" not in str(error):
            raise
        pytest.skip("TensorFlow on this CPU convolves channels-last only")
    last, inputs = trained(8), normal(2, 4, 3, 8)
    first = layers.SelfAttention2D(data_format="channels_first")
    moved = inputs.transpose(0, 3, 1, 2)
    first.build(moved.shape)
    first.set_weights(last.get_weights())
    outputs = numpy(first(moved)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(outputs, numpy(last(inputs)), atol=1e-4)


def test_all_kernels_can_be_normalized():
    layer = layers.SelfAttention2D(spectral_normalization=True)
    inputs = normal(2, 4, 4, 8)
    layer.build(inputs.shape)
    layer.gamma.assign(1.0)
    layer(inputs, training=True)
    expected = numpy(layer(inputs))
    for weight in layer.trainable_weights:
        if weight is not layer.gamma:
            weight.assign(4.0 * weight)
    np.testing.assert_allclose(numpy(layer(inputs)), expected, atol=1e-5)
    assert np.abs(expected - inputs).max() > 0.1
    assert len(layer.non_trainable_weights) == 4


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_softmax_is_taken_in_full_precision(policy):
    inputs = normal(1, 32, 32, 8)
    layer = trained(8, gamma=1.0, dtype=policy)
    # All scores alike, so that the mean of a thousand values is taken.
    layer.query.kernel.assign(np.zeros((1, 1, 8, 1)))
    outputs = layer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy[6:]
    expected = attention_by_hand(layer, inputs)
    np.testing.assert_allclose(numpy(outputs), expected, atol=0.06)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "attention"},
        {"spectral_normalization": True, "dtype": "mixed_bfloat16"},
        {"trainable": False, "data_format": "channels_last"},
    ],
)
def test_a_saved_layer_comes_back_as_it_was(arguments, tmp_path):
    inputs = normal(2, 4, 4, 8)
    layer = layers.SelfAttention2D(**arguments)
    model = keras.Sequential([keras.Input((None, None, 8)), layer])
    layer.gamma.assign(0.5)
    model(inputs, training=True)
    expected = numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(inputs)), expected)
    assert loaded.layers[0].get_config() == layer.get_config()
    assert loaded.layers[0].trainable is layer.trainable
    assert model.output_shape == (None, None, None, 8)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.SelfAttention2D(data_format="first"),
            "`data_format` must be 'channels_last'.*'first'",
        ),
        (
            lambda: layers.SelfAttention2D().build((None, 4, 4, None)),
            "channels must be known",
        ),
        (
            lambda: layers.SelfAttention2D()(np.zeros((2, 8))),
            "expected ndim=4, found ndim=2",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()
