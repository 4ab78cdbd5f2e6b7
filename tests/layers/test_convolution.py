import functools

import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_close_to_scale,
    on_tensorflow,
    readable,
    shifted,
    skip_if_channels_first_is_unsupported,
    squared_gradient,
    to_numpy,
)

from gan_blocks import layers

every_backend = pytest.mark.every_backend
biasless_conv = functools.partial(layers.Conv2D, use_bias=False)


def build_pair(name, shape, *arguments, **options):
    """Returns our layer and the layer of Keras, with the same weights."""
    theirs = getattr(keras.layers, name)(*arguments, **options)
    ours = getattr(layers, name).from_config(theirs.get_config())
    for layer in (ours, theirs):
        layer.build(shape)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def derivatives(layer, images, wrap=lambda function: function):
    """Returns outputs, gradients, and gradients of the squared gradients."""
    import tensorflow as tf

    images = tf.constant(images)
    kernel = layer.kernel.value

    @wrap
    def compute():
        with tf.GradientTape() as outer:
            outer.watch(images)
            with tf.GradientTape() as inner:
                inner.watch(images)
                outputs = layer(images)
                loss = tf.reduce_sum(tf.sin(outputs))
            first = inner.gradient(loss, [images, kernel])
            squares = sum(tf.reduce_sum(tf.square(one)) for one in first)
        return outputs, *first, *outer.gradient(squares, [images, kernel])

    return [to_numpy(one) for one in compute()]


def assert_all_close(ours, theirs, tolerance):
    for one, other in zip(ours, theirs, strict=True):
        assert_close_to_scale(one, other, tolerance)


@on_tensorflow
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
@pytest.mark.parametrize(
    ("size", "kernel_size", "strides"),
    [
        ((6, 8), 4, 2),
        ((7, 9), 5, 2),
        ((7, 6), (3, 5), 2),
        ((5, 7), 3, 1),
        ((8, 7), 3, 3),
        ((9, 5), 5, 4),
        ((4, 4), 4, 1),
        ((1, 1), 3, 1),
    ],
)
@pytest.mark.parametrize(
    ("padding", "channels"),
    [
        ("same", 3),
        ("valid", 1),
        pytest.param("same", 1, marks=pytest.mark.slow),
        pytest.param("valid", 3, marks=pytest.mark.slow),
    ],
)
def test_convolutions_equal_keras_in_outputs_and_two_derivatives(
    name, size, kernel_size, strides, padding, channels
):
    inputs, filters = channels, 6
    if name == "Conv2DTranspose":
        inputs, filters = filters, channels
    elif padding == "valid" and size == (1, 1):
        size = (3, 3)
    shape = (2, *size, inputs)
    pair = build_pair(
        name, shape, filters, kernel_size, strides, padding, use_bias=False
    )
    images = shifted(*shape)
    assert_all_close(*(derivatives(layer, images) for layer in pair), 1e-5)


@on_tensorflow
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_convolutions_compute_in_the_precision_of_their_dtype(dtype):
    shape = (2, 8, 8, 3)
    pair = build_pair(
        "Conv2D", shape, 6, 4, 2, "same", dtype=dtype, use_bias=False
    )
    images = shifted(*shape)
    assert pair[0](images).dtype == pair[1](images).dtype
    assert_all_close(*(derivatives(layer, images)[:3] for layer in pair), 2e-2)


@pytest.mark.slow
@on_tensorflow
def test_convolutions_in_blocks_have_the_same_results_with_xla():
    import tensorflow as tf

    shape = (2, 8, 8, 3)
    ours, theirs = build_pair("Conv2D", shape, 6, 4, 2, "same", use_bias=False)
    images = shifted(*shape)
    compiled = functools.partial(tf.function, jit_compile=True)
    assert_all_close(
        derivatives(ours, images, compiled), derivatives(theirs, images), 1e-4
    )


@on_tensorflow
@pytest.mark.parametrize(
    ("layer", "shape", "in_blocks"),
    [
        (layers.Conv2DTranspose(3, 4, 2, padding="same"), (2, 8, 8, 32), True),
        (layers.Conv2DTranspose(1, 5, 2, padding="same"), (2, 7, 7, 32), True),
        (layers.Conv2DTranspose(16, 4, 2, padding="same"), (2, 8, 8, 8), False),
        (biasless_conv(32, 4, 2, padding="same"), (2, 16, 16, 3), True),
        (biasless_conv(32, 4, 2, padding="same"), (2, 16, 16, 8), False),
        (biasless_conv(6, 3, 1, groups=3), (2, 16, 16, 3), False),
        (biasless_conv(6, 3, dilation_rate=2), (2, 16, 16, 3), False),
        (layers.Conv2D(32, 4, 2, padding="same"), (2, 16, 16, 3), False),
    ],
)
def test_images_with_few_channels_are_computed_in_blocks(
    layer, shape, in_blocks
):
    import tensorflow as tf

    layer.build(shape)

    @tf.function
    def compute(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
        return outputs, tape.gradient(outputs, images)

    graph = compute.get_concrete_function(tf.zeros(shape)).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert ("DepthToSpace" in kinds) == in_blocks


@every_backend
@pytest.mark.parametrize(
    "arguments", [{}, {"use_bias": False}, {"strides": 2}], ids=readable
)
@pytest.mark.parametrize(
    ("name", "size"), [("Conv2D", (3, 5)), ("Conv2DTranspose", (1, 1))]
)
def test_convolutions_at_a_single_position_equal_keras(name, size, arguments):
    shape = (2, *size, 4)
    pair = build_pair(name, shape, 6, (3, 5), activation="tanh", **arguments)
    ours, theirs = (layer(shifted(*shape)) for layer in pair)
    assert ours.shape == theirs.shape
    assert_close(ours, theirs, atol=1e-5)


@every_backend
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
def test_convolutions_support_unknown_sizes(name):
    layer, _ = build_pair(name, (None, None, None, 3), 3, 4, 2, "same")
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, 3)
    assert layer(np.ones((2, 8, 8, 3), "float32")).shape[3] == 3


@every_backend
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
def test_convolutions_with_channels_first_equal_keras(name):
    skip_if_channels_first_is_unsupported()
    shape = (2, 3, 1, 1)
    pair = build_pair(
        name, shape, 6, 4, 2, "same", data_format="channels_first"
    )
    ours, theirs = (layer(shifted(*shape)) for layer in pair)
    assert_close(ours, theirs, atol=1e-5)


@every_backend
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel_size", "strides"), [(4, 2), (5, 2), ((3, 4), (1, 3)), ((2, 5), 3)]
)
def test_transposed_convolutions_equal_keras(kernel_size, strides, padding):
    shape = (2, 4, 3, 6)
    pair = build_pair(
        "Conv2DTranspose", shape, 5, kernel_size, strides, padding
    )
    images = keras.ops.convert_to_tensor(shifted(*shape))
    results = []
    for layer in pair:
        network = keras.Sequential([layer, keras.layers.Activation("sigmoid")])
        square, derivatives = squared_gradient(network, images, [layer.kernel])
        results.append([layer(images), square, derivatives[0]])
    assert_all_close(*results, 1e-4)
