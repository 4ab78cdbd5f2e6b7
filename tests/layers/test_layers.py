import contextlib
import functools

import keras
import numpy as np
import pytest

from gan_blocks import gradients, layers

BACKEND = keras.backend.backend()
every_backend = pytest.mark.every_backend
tensorflow_only = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="TensorFlow has a path of its own"
)
CONVOLUTIONS = [
    layers.StridedConvBlock,
    layers.TransposedConvBlock,
    layers.ResizeConvBlock,
]
BLOCKS = [*CONVOLUTIONS, layers.DenseBlock]


def numpy(tensor):
    return np.asarray(
        keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float64"))
        if BACKEND == "tensorflow"
        else keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    )


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape)


def drawn(shape, dtype=None):
    """Initializer of kernels; JAX would compile its own for every shape."""
    return keras.ops.cast(normal(*shape) * 0.1, dtype)


def images_for(block, batch=4):
    if block is layers.DenseBlock:
        return normal(batch, 6).astype("float32")
    return normal(batch, 8, 8, 3).astype("float32")


def skip_where_channels_cannot_be_first():
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


def double_precision():
    if BACKEND != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


# Batch normalization ---------------------------------------------------------


@every_backend
@pytest.mark.parametrize("shape", [(6, 3), (5, 4, 3), (4, 5, 6, 3)])
def test_batch_normalization_in_training_follows_its_formula(shape):
    inputs = normal(*shape).astype("float32")
    layer = layers.BatchNormalization(momentum=0.75)
    layer.build(shape)
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.0, -1.0, 1.0])
    outputs = numpy(layer(inputs, training=True))
    axes = tuple(range(len(shape) - 1))
    mean, variance = inputs.mean(axes), inputs.var(axes)
    expected = (inputs - mean) / np.sqrt(variance + 1e-3) * [1, 2, 3]
    np.testing.assert_allclose(outputs, expected + [0, -1, 1], atol=2e-5)
    np.testing.assert_allclose(numpy(layer.moving_mean), 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(layer.moving_variance), 0.75 + 0.25 * variance, rtol=1e-5
    )


@pytest.mark.parametrize(
    "arguments, dtype",
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
        inputs = keras.ops.cast(normal(*shape), layer.compute_dtype)
        direction = keras.ops.cast(normal(*shape, seed=1), layer.compute_dtype)
        _, pull = gradients.input_vjp(
            lambda x, layer=layer: layer(x, training=True),
            inputs,
            layer.variables,
        )
        outputs, _, pull_variables = gradients.vjp(
            lambda layer=layer, inputs=inputs: (
                layer(inputs, training=True),
                None,
            ),
            layer.trainable_variables,
            layer.variables,
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
    assert len(results[0]) == len(results[1])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        scale = np.abs(numpy(theirs)).max()
        np.testing.assert_allclose(
            numpy(ours), numpy(theirs), atol=tolerance * scale
        )


@every_backend
def test_batch_normalization_of_a_single_value_keeps_its_averages_finite():
    layer = layers.BatchNormalization(momentum=0.5)
    outputs = layer(np.full((1, 1, 1, 2), 3.0, "float32"), training=True)
    np.testing.assert_allclose(numpy(outputs), 0.0)
    np.testing.assert_allclose(numpy(layer.moving_mean), 1.5)
    np.testing.assert_allclose(numpy(layer.moving_variance), 0.5)


@every_backend
@pytest.mark.parametrize("frozen", [False, True])
def test_batch_normalization_outside_training_uses_its_averages(frozen):
    layer = layers.BatchNormalization()
    layer.build((None, 4, 4, 2))
    layer.moving_mean.assign([1.0, 2.0])
    layer.moving_variance.assign([4.0, 9.0])
    layer.trainable = not frozen
    inputs = normal(3, 4, 4, 2).astype("float32")
    outputs = numpy(layer(inputs, training=frozen))
    expected = (inputs - [1, 2]) / np.sqrt(np.array([4, 9]) + 1e-3)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(numpy(layer.moving_mean), [1, 2])


@every_backend
def test_batch_normalization_leaves_masked_values_out_as_keras_does():
    inputs = normal(4, 5, 3).astype("float32")
    mask = np.arange(20).reshape(4, 5) % 3 > 0
    ours = layers.BatchNormalization()
    theirs = keras.layers.BatchNormalization()
    np.testing.assert_allclose(
        numpy(ours(inputs, training=True, mask=mask)),
        numpy(theirs(inputs, training=True, mask=mask)),
        atol=1e-6,
    )
    assert np.abs(numpy(ours(inputs, training=True, mask=mask))).max() > 0.5


def test_batch_normalization_takes_the_config_and_the_weights_of_keras():
    theirs = keras.layers.BatchNormalization(momentum=0.7, scale=False)
    theirs.build((None, 3))
    config = theirs.get_config()
    ours = layers.BatchNormalization.from_config(config)
    assert ours.get_config() == config
    assert layers.BatchNormalization().momentum == 0.9
    ours.build((None, 3))
    ours.set_weights([np.full(3, i + 2.0) for i in range(3)])
    theirs.set_weights(ours.get_weights())
    inputs = normal(4, 3).astype("float32")
    np.testing.assert_allclose(numpy(ours(inputs)), numpy(theirs(inputs)))


# Second derivatives ----------------------------------------------------------


class StoppedMean(keras.layers.Layer):
    """The mistake: a variance that does not see its own mean."""

    def call(self, inputs, training=None):
        mean = keras.ops.mean(inputs, (0, 1, 2), keepdims=True)
        stopped = keras.ops.stop_gradient(mean)
        variance = keras.ops.mean((inputs - stopped) ** 2, (0, 1, 2))
        return (inputs - mean) * keras.ops.rsqrt(variance + 1e-3)


def penalty_by_hand(scale, inputs, weights, shape, axes):
    """R1 of `sum(tanh(normalize(features)) * weights)`, without autodiff.

    `shape` shows the features so that statistics are taken over `axes`.
    """
    features = (scale * inputs + 0.1 * (scale * inputs) ** 2).reshape(shape)
    centred = features - features.mean(axes, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-3)
    normalized = centred / deviation
    outputs = np.tanh(normalized.reshape(inputs.shape))
    gradient = ((1 - outputs**2) * weights).reshape(shape)
    along = (gradient * normalized).mean(axes, keepdims=True)
    gradient -= gradient.mean(axes, keepdims=True) + along * normalized
    gradient = (gradient / deviation).reshape(inputs.shape)
    return np.sum((gradient * (scale + 0.2 * scale**2 * inputs)) ** 2)


def error_of_second_derivative(
    layer, shape=(4, 5, 5, 6), axes=(0, 1, 2), **how
):
    """Holds R1's derivative against finite differences of the formula."""
    scale, inputs = normal(5, 5, 6, seed=2), normal(4, 5, 5, 6)
    weights, direction = normal(6, seed=3), normal(5, 5, 6, seed=4)
    above, below = (
        penalty_by_hand(scale + step * direction, inputs, weights, shape, axes)
        for step in (1e-5, -1e-5)
    )
    expected = (above - below) / 2e-5
    gradient = second_derivative(layer, scale, inputs, weights, **how)
    return abs(np.sum(gradient * direction) / expected - 1)


def second_derivative(layer, scale, inputs, weights, compiled=lambda f: f):
    scale = keras.Variable(scale, dtype=layer.dtype)
    inputs = keras.ops.cast(inputs, layer.dtype)
    weights = keras.ops.cast(weights, layer.dtype)
    layer.build(inputs.shape)
    state = [scale, *layer.variables]

    def outputs(inputs):
        features = scale * inputs + 0.1 * (scale * inputs) ** 2
        features = layer(features, training=True)
        return keras.ops.sum(keras.ops.tanh(features) * weights)

    def penalty():
        value, pullback = gradients.input_vjp(
            outputs, inputs, state, differentiable=True
        )
        gradient = pullback(keras.ops.ones_like(value))
        return keras.ops.sum(gradient**2), None

    def run():
        value, _, pullback = gradients.vjp(penalty, [scale], state)
        return pullback(keras.ops.ones_like(value))[0]

    return keras.ops.convert_to_numpy(compiled(run)())


@every_backend
def test_batch_normalization_can_be_differentiated_twice():
    assert error_of_second_derivative(layers.BatchNormalization()) < 1e-4


@every_backend
def test_batch_normalization_of_another_axis_can_be_differentiated_twice():
    layer = layers.BatchNormalization(axis=1)
    assert error_of_second_derivative(layer, axes=(0, 2, 3)) < 1e-4


@every_backend
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_normalization_can_be_differentiated_twice(groups):
    layer = layers.GroupNormalization(groups)
    shape = (4, 25, groups, 6 // groups)
    assert error_of_second_derivative(layer, shape, axes=(1, 3)) < 1e-4


@every_backend
def test_the_check_of_second_derivatives_would_notice_a_stopped_mean():
    assert error_of_second_derivative(StoppedMean()) > 0.1


@tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_fused_kernel_can_be_differentiated_twice_when_compiled(
    jit_compile,
):
    import tensorflow as tf

    compiled = functools.partial(tf.function, jit_compile=jit_compile)
    layer = layers.BatchNormalization()
    assert error_of_second_derivative(layer, compiled=compiled) < 1e-4


@tensorflow_only  # elsewhere Keras computes the mean of float64 in float32
def test_float64_is_differentiated_twice_in_float64():
    layer = layers.BatchNormalization(dtype="float64")
    assert error_of_second_derivative(layer) < 1e-7


@tensorflow_only
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_fused_kernel_moves_the_same_averages_when_compiled(dtype):
    import tensorflow as tf

    inputs = tf.constant(normal(2, 3, 3, 4), "float32")
    averages = []
    for jit_compile in (False, True):
        layer = layers.BatchNormalization(dtype=dtype)
        layer.build(inputs.shape)
        tf.function(
            lambda layer=layer: layer(inputs, training=True),
            jit_compile=jit_compile,
        )()
        averages.append(numpy(layer.moving_variance))
    np.testing.assert_allclose(*averages, rtol=1e-5)
    expected = 0.9 + 0.1 * inputs.numpy().var((0, 1, 2))
    np.testing.assert_allclose(averages[0], expected, rtol=1e-2)


# Convolutions ----------------------------------------------------------------


def derivatives(layer, images, wrap=lambda function: function):
    """Returns outputs, gradients, and gradients of the gradients' squares."""
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

    return [numpy(one) for one in compute()]


def same_two(name, shape, *arguments, **options):
    """Returns Keras' layer and ours, with the same weights."""
    theirs = getattr(keras.layers, name)(*arguments, **options)
    ours = getattr(layers, name).from_config(theirs.get_config())
    for layer in (ours, theirs):
        layer.build(shape)
    ours.set_weights(theirs.get_weights())
    return ours, theirs


@tensorflow_only
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
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_equal_keras_in_outputs_and_two_derivatives(
    name, size, kernel_size, strides, padding, channels
):
    inputs, filters = channels, 6
    if name == "Conv2DTranspose":
        inputs, filters = filters, channels
    elif padding == "valid" and size == (1, 1):
        size = (3, 3)
    shape = (2, *size, inputs)
    pair = same_two(
        name, shape, filters, kernel_size, strides, padding, use_bias=False
    )
    images = normal(*shape).astype("float32")
    for ours, theirs in zip(
        *(derivatives(layer, images) for layer in pair), strict=True
    ):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale)


@tensorflow_only
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_convolutions_compute_in_the_precision_they_are_told(dtype):
    shape = (2, 8, 8, 3)
    pair = same_two(
        "Conv2D", shape, 6, 4, 2, "same", dtype=dtype, use_bias=False
    )
    images = normal(*shape).astype("float32")
    ours, theirs = (derivatives(layer, images)[:3] for layer in pair)
    assert pair[0](images).dtype == pair[1](images).dtype
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-2 * np.abs(other).max())


@tensorflow_only
def test_convolutions_of_few_channels_are_compiled_by_xla_to_the_same():
    import tensorflow as tf

    shape = (2, 8, 8, 3)
    pair = same_two("Conv2D", shape, 6, 4, 2, "same", use_bias=False)
    images = normal(*shape).astype("float32")
    compile_it = functools.partial(tf.function, jit_compile=True)
    ours = derivatives(pair[0], images, compile_it)
    theirs = derivatives(pair[1], images)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


conv2d = functools.partial(layers.Conv2D, use_bias=False)


@tensorflow_only
@pytest.mark.parametrize(
    ("layer", "shape", "blockwise"),
    [
        (layers.Conv2DTranspose(3, 4, 2, padding="same"), (2, 8, 8, 32), True),
        (layers.Conv2DTranspose(1, 5, 2, padding="same"), (2, 7, 7, 32), True),
        (layers.Conv2DTranspose(16, 4, 2, padding="same"), (2, 8, 8, 8), False),
        (conv2d(32, 4, 2, padding="same"), (2, 16, 16, 3), True),
        (conv2d(32, 4, 2, padding="same"), (2, 16, 16, 8), False),
        (conv2d(6, 3, 1, groups=3), (2, 16, 16, 3), False),
        (conv2d(6, 3, dilation_rate=2), (2, 16, 16, 3), False),
        (layers.Conv2D(32, 4, 2, padding="same"), (2, 16, 16, 3), False),
    ],
)
def test_few_channels_are_computed_by_blocks(layer, shape, blockwise):
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
    assert ("DepthToSpace" in kinds) == blockwise


@every_backend
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("name", "size"), [("Conv2D", (3, 5)), ("Conv2DTranspose", (1, 1))]
)
def test_a_convolution_at_a_single_position_equals_keras(
    name, size, use_bias, strides
):
    shape = (2, *size, 4)
    pair = same_two(
        name, shape, 6, (3, 5), strides, use_bias=use_bias, activation="tanh"
    )
    images = normal(*shape).astype("float32")
    ours, theirs = (layer(images) for layer in pair)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(numpy(ours), numpy(theirs), atol=1e-5)


@every_backend
@pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
def test_convolutions_of_any_size_and_of_channels_first_are_those_of_keras(
    name,
):
    layer, _ = same_two(name, (None, None, None, 3), 3, 4, 2, "same")
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, 3)
    assert layer(np.ones((2, 8, 8, 3), "float32")).shape[3] == 3
    skip_where_channels_cannot_be_first()
    shape = (2, 3, 1, 1)
    pair = same_two(name, shape, 6, 4, 2, "same", data_format="channels_first")
    images = normal(*shape).astype("float32")
    ours, theirs = (numpy(layer(images)) for layer in pair)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


# Group normalization ---------------------------------------------------------


@every_backend
@pytest.mark.parametrize(
    "shape, axis, groups, dtype",
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
        results.append(layer(normal(*shape).astype("float32")))
    assert results[0].dtype == results[1].dtype
    np.testing.assert_allclose(
        numpy(results[0]),
        numpy(results[1]),
        atol=2e-5 if dtype == "float32" else 0.1,
    )


# Blocks ----------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize(
    "block, arguments, size, expected",
    [
        (layers.StridedConvBlock, {}, (8, 6), (4, 3)),
        (layers.StridedConvBlock, {}, (7, 5), (4, 3)),
        (layers.StridedConvBlock, {"kernel_size": 5}, (8, 6), (4, 3)),
        (layers.StridedConvBlock, {"strides": 1}, (8, 6), (8, 6)),
        (layers.StridedConvBlock, {"padding": "valid"}, (8, 6), (3, 2)),
        (layers.StridedConvBlock, {"strides": (1, 2)}, (8, 6), (8, 3)),
        (layers.TransposedConvBlock, {}, (4, 3), (8, 6)),
        (layers.TransposedConvBlock, {"kernel_size": 5}, (4, 3), (8, 6)),
        (
            layers.TransposedConvBlock,
            {"kernel_size": 7, "strides": 1, "padding": "valid"},
            (1, 1),
            (7, 7),
        ),
        (layers.ResizeConvBlock, {}, (4, 3), (8, 6)),
        (layers.ResizeConvBlock, {"strides": (3, 1)}, (4, 3), (12, 3)),
        (layers.ResizeConvBlock, {"interpolation": "bilinear"}, (4, 3), (8, 6)),
        (layers.ResizeConvBlock, {"padding": "valid"}, (4, 3), (6, 4)),
    ],
)
def test_convolution_blocks_change_the_size_as_they_say(
    block, arguments, size, expected
):
    layer = block(
        4,
        normalization=None,
        activation=None,
        kernel_initializer="ones",
        **arguments,
    )
    outputs = layer(np.ones((2, *size, 3), "float32"))
    assert tuple(outputs.shape) == (2, *expected, 4)
    assert layer.compute_output_shape((2, *size, 3)) == (2, *expected, 4)
    unknown = (None, None, None)
    assert layer.compute_output_shape((*unknown, 3)) == (*unknown, 4)
    first = block(4, data_format="channels_first", **arguments)
    assert first.compute_output_shape((2, 3, *size)) == (2, 4, *expected)


@every_backend
@pytest.mark.parametrize(
    "block, normalization",
    [
        (layers.StridedConvBlock, "batch"),
        (layers.TransposedConvBlock, "layer"),
        (layers.ResizeConvBlock, "group"),
    ],
)
def test_convolution_blocks_run_at_any_size_once_built_without_one(
    block, normalization
):
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            block(4, normalization=normalization, kernel_initializer=drawn),
        ]
    )
    assert model.output_shape == (None, None, None, 4)
    for size in (8, 12):
        outputs = model(np.ones((2, size, size, 3), "float32"), training=True)
        shape = model.layers[0].compute_output_shape((2, size, size, 3))
        assert tuple(outputs.shape) == shape


@every_backend
@pytest.mark.parametrize(
    "block, linear",
    [
        (
            layers.StridedConvBlock(5, kernel_initializer=drawn),
            keras.layers.Conv2D(
                5, 4, 2, "same", use_bias=False, kernel_initializer="zeros"
            ),
        ),
        (
            layers.TransposedConvBlock(5, kernel_initializer=drawn),
            keras.layers.Conv2DTranspose(
                5, 4, 2, "same", use_bias=False, kernel_initializer="zeros"
            ),
        ),
        (
            layers.ResizeConvBlock(5, kernel_initializer=drawn),
            keras.Sequential(
                [
                    keras.layers.UpSampling2D(2),
                    keras.layers.Conv2D(
                        5,
                        3,
                        padding="same",
                        use_bias=False,
                        kernel_initializer="zeros",
                    ),
                ]
            ),
        ),
        (
            layers.DenseBlock(5, kernel_initializer=drawn),
            keras.layers.Dense(5, use_bias=False, kernel_initializer="zeros"),
        ),
    ],
)
def test_a_block_is_linear_then_normalization_then_leaky_relu(block, linear):
    inputs = images_for(type(block))
    by_hand = keras.Sequential(
        [
            linear,
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.LeakyReLU(0.2),
        ]
    )
    by_hand.build(inputs.shape)
    block.build(inputs.shape)
    by_hand.set_weights(block.get_weights())
    for training in (True, False):
        np.testing.assert_allclose(
            numpy(block(inputs, training=training)),
            numpy(by_hand(inputs, training=training)),
            atol=1e-4,
        )
    np.testing.assert_allclose(
        block.get_weights()[3], by_hand.get_weights()[3], atol=1e-5
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    "arguments, biased",
    [
        ({}, False),
        ({"normalization": "layer"}, False),
        ({"normalization": None}, True),
        ({"use_bias": True}, True),
        ({"normalization": None, "use_bias": False}, False),
    ],
)
def test_a_bias_is_there_where_no_normalization_follows(
    block, arguments, biased
):
    assert block(4, **arguments).linear.use_bias is biased


@every_backend
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "normalization, groups",
    [("batch", None), ("layer", 1), ("group", 24), ("instance", 48)],
)
def test_each_normalization_takes_its_statistics_over_what_it_names(
    normalization, groups, data_format
):
    if data_format == "channels_first":
        skip_where_channels_cannot_be_first()
    block = layers.StridedConvBlock(
        48,
        normalization=normalization,
        activation=None,
        data_format=data_format,
        kernel_initializer=drawn,
    )
    inputs = normal(3, 12, 12, 3).astype("float32")
    if data_format == "channels_first":
        inputs = inputs.transpose(0, 3, 1, 2)
    outputs = numpy(block(inputs, training=True))
    if data_format == "channels_first":
        outputs = outputs.transpose(0, 2, 3, 1)
    if normalization == "batch":
        parts = outputs.reshape(-1, 48).T
    else:
        parts = outputs.reshape(3, 36, groups, 48 // groups)
        parts = parts.transpose(0, 2, 1, 3).reshape(3 * groups, -1)
    np.testing.assert_allclose(parts.mean(1), 0.0, atol=1e-4)
    np.testing.assert_allclose(parts.std(1), 1.0, atol=1e-2)
    assert np.abs(outputs.mean(-1)).max() > 1e-2


@every_backend
@pytest.mark.parametrize("block", CONVOLUTIONS)
def test_channels_first_computes_what_channels_last_does(block):
    skip_where_channels_cannot_be_first()
    inputs = images_for(block)
    last = block(4, data_format="channels_last", kernel_initializer=drawn)
    first = block(4, data_format="channels_first", kernel_initializer=drawn)
    results = []
    for layer, order in ((last, (0, 1, 2, 3)), (first, (0, 3, 1, 2))):
        tensor = keras.ops.convert_to_tensor(inputs.transpose(order))
        layer.build(tensor.shape)
        layer.set_weights(last.get_weights())
        outputs, pullback = gradients.input_vjp(
            lambda x, layer=layer: layer(x, training=True),
            tensor,
            layer.variables,
        )
        back = np.argsort(order)
        gradient = pullback(outputs)
        results.append([numpy(outputs), numpy(gradient)])
        results[-1] = [array.transpose(back) for array in results[-1]]
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(a).max())


@every_backend
@pytest.mark.parametrize(
    "build",
    [
        lambda: layers.StridedConvBlock(
            4, dropout=0.5, kernel_initializer=drawn
        ),
        lambda: layers.DenseBlock(
            64, dropout=0.5, normalization=None, kernel_initializer=drawn
        ),
    ],
)
def test_dropout_comes_last_and_differs_from_call_to_call(build):
    keras.utils.set_random_seed(0)
    block = build()
    inputs = images_for(type(block))
    first, second = (numpy(block(inputs, training=True)) for _ in range(2))
    assert 0.3 < np.mean(first == 0.0) < 0.7
    assert np.any((first == 0.0) != (second == 0.0))
    assert np.all(numpy(block(inputs, training=False)) != 0.0)
    seeds = [v for v in block.variables if "seed" in v.path]
    assert len(seeds) == 1


@every_backend
def test_dropout_goes_on_from_the_seed_that_is_in_its_state():
    def seeds(block):
        return [v for v in block.variables if "seed" in v.path]

    keras.utils.set_random_seed(0)
    block, other = (layers.DenseBlock(64, dropout=0.5) for _ in range(2))
    inputs = images_for(layers.DenseBlock)
    first = numpy(block(inputs, training=True))
    assert np.any((numpy(other(inputs, training=True)) == 0) != (first == 0))

    config = block.get_config()
    assert not any("seed" in name for name in config)
    again = layers.DenseBlock.from_config(config)
    again.build(inputs.shape)
    again.set_weights(block.get_weights())
    for state, saved in zip(seeds(again), seeds(block), strict=True):
        state.assign(saved)
    second = numpy(block(inputs, training=True))
    np.testing.assert_array_equal(numpy(again(inputs, training=True)), second)

    keras.utils.set_random_seed(0)
    again = layers.DenseBlock(64, dropout=0.5)
    np.testing.assert_array_equal(numpy(again(inputs, training=True)), first)


def test_kernels_start_as_dcgan_says_and_differ_between_blocks():
    kernels = []
    for _ in range(2):
        block = layers.StridedConvBlock(64)
        block.build((None, 8, 8, 32))
        kernels.append(numpy(block.linear.kernel))
    for kernel in kernels:
        assert abs(kernel.std() / 0.02 - 1) < 0.05
        assert abs(kernel.mean()) < 1e-3
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


@pytest.mark.parametrize(
    "initializer",
    [
        None,
        "he_normal",
        keras.initializers.TruncatedNormal(stddev=0.02, seed=1),
        keras.initializers.serialize(keras.initializers.Constant(0.5)),
    ],
)
@pytest.mark.parametrize("block", BLOCKS)
def test_every_kind_of_initializer_survives_the_config(block, initializer):
    layer = block(4, kernel_initializer=initializer)
    config = layer.get_config()
    again = block.from_config(config)
    assert again.get_config() == config
    expected = keras.initializers.get(initializer)
    expected = expected or keras.initializers.RandomNormal(stddev=0.02)
    assert type(again.linear.kernel_initializer) is type(expected)


@pytest.mark.parametrize(
    "block, arguments",
    [
        (layers.StridedConvBlock, {"kernel_size": 5, "strides": (1, 2)}),
        (layers.StridedConvBlock, {"padding": "valid", "dropout": 0.25}),
        (layers.TransposedConvBlock, {"normalization": "instance"}),
        (layers.TransposedConvBlock, {"dtype": "mixed_bfloat16"}),
        (layers.ResizeConvBlock, {"interpolation": "bilinear", "strides": 3}),
        (layers.DenseBlock, {"negative_slope": 0.3, "name": "stage"}),
        (layers.DenseBlock, {"activation": "tanh", "use_bias": True}),
        (layers.DenseBlock, {"trainable": False}),
    ],
)
def test_a_saved_block_comes_back_as_it_was(block, arguments, tmp_path):
    inputs = images_for(block)
    model = keras.Sequential(
        [keras.Input(inputs.shape[1:]), block(4, **arguments)]
    )
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(abs(normal(*variable.shape)))
    expected = numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded(inputs)), expected)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_array_equal(numpy(cloned(inputs)), expected)
    config = model.layers[0].get_config()
    for other in (loaded, cloned):
        assert other.layers[0].get_config() == config
        assert other.layers[0].trainable is arguments.get("trainable", True)


@every_backend
@pytest.mark.parametrize("restored", [False, True])
def test_a_frozen_block_leaves_its_averages_alone(restored):
    block = layers.StridedConvBlock(4, trainable=False)
    if restored:
        block = layers.StridedConvBlock.from_config(block.get_config())
    block(images_for(layers.StridedConvBlock), training=True)
    assert not block.trainable_variables
    np.testing.assert_array_equal(numpy(block.layers[1].moving_mean), 0.0)
    block.trainable = True
    block(images_for(layers.StridedConvBlock), training=True)
    assert np.any(numpy(block.layers[1].moving_mean) != 0.0)


@every_backend
@pytest.mark.parametrize(
    "block, policy, compute, variable",
    [
        (layers.StridedConvBlock, "mixed_float16", "float16", "float32"),
        (layers.StridedConvBlock, "float64", "float64", "float64"),
        (layers.TransposedConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.ResizeConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.DenseBlock, "mixed_float16", "float16", "float32"),
        (layers.DenseBlock, "float64", "float64", "float64"),
    ],
)
def test_a_block_passes_its_dtype_policy_on(block, policy, compute, variable):
    with double_precision():
        layer = block(4, dtype=policy, dropout=0.1, kernel_initializer=drawn)
        outputs = layer(images_for(block), training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == compute
        assert {v.dtype for v in layer.weights} == {variable}
        assert np.all(np.isfinite(numpy(outputs)))


@tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_blocks_train_when_compiled(policy, jit_compile):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.StridedConvBlock(4, dtype=policy),
            layers.TransposedConvBlock(2, dtype=policy, normalization="layer"),
        ]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = model.get_weights()
    model.fit(
        images_for(layers.StridedConvBlock), np.zeros((4, 8, 8, 2)), verbose=0
    )
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.any(old != new) and np.all(np.isfinite(new))


@every_backend
@pytest.mark.parametrize(
    "block, checkered",
    [
        (layers.TransposedConvBlock(1, kernel_initializer="ones"), False),
        (layers.TransposedConvBlock(1, 5, kernel_initializer="ones"), True),
        (layers.ResizeConvBlock(1, kernel_initializer="ones"), False),
        (
            layers.ResizeConvBlock(
                1, 5, interpolation="bilinear", kernel_initializer="ones"
            ),
            False,
        ),
    ],
)
def test_only_kernels_not_divisible_by_the_stride_leave_checkerboards(
    block, checkered
):
    outputs = numpy(block(np.ones((1, 8, 8, 1), "float32")))
    inside = outputs[0, 4:-4, 4:-4, 0]
    assert (np.ptp(inside) > 0.1) == checkered


def test_the_recipe_of_an_mnist_dcgan_can_be_spelled():
    generator = keras.Sequential(
        [
            keras.Input((1, 1, 100)),
            layers.TransposedConvBlock(256, 7, strides=1, padding="valid"),
            layers.TransposedConvBlock(128, 5, strides=2),
            layers.TransposedConvBlock(
                1, 5, normalization=None, activation="tanh"
            ),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.StridedConvBlock(128, 5),
            layers.StridedConvBlock(256, 5),
            keras.layers.Conv2D(1, 7),
        ]
    )
    assert generator.output_shape == (None, 28, 28, 1)
    assert discriminator.output_shape == (None, 1, 1, 1)
    assert generator.count_params() == (
        100 * 7 * 7 * 256 + 4 * 256 + 256 * 25 * 128 + 4 * 128 + 128 * 25 + 1
    )
    assert discriminator.count_params() == (
        25 * 128 + 4 * 128 + 128 * 25 * 256 + 4 * 256 + 256 * 49 + 1
    )
    assert [w.path.split("/", 1)[1] for w in generator.layers[0].weights] == [
        f"{generator.layers[0].name}/{name}"
        for name in (
            "linear/kernel",
            "normalization/gamma",
            "normalization/beta",
            "normalization/moving_mean",
            "normalization/moving_variance",
        )
    ]


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.StridedConvBlock(4, normalization="bach"),
            "`normalization` must be one of .*'batch'.*'instance'.*'bach'",
        ),
        (
            lambda: layers.TransposedConvBlock(4, activation="rellu"),
            "`activation` must be .*'rellu'",
        ),
        (
            lambda: layers.TransposedConvBlock(4, activation=keras.ops.tanh),
            "`activation` must be None or the name",
        ),
        (
            lambda: layers.ResizeConvBlock(4, interpolation="cubic"),
            "`interpolation` must be 'nearest' or 'bilinear'.*'cubic'",
        ),
        (
            lambda: layers.ResizeConvBlock(4, strides=0),
            "`strides` must be .*strides=0",
        ),
        (lambda: layers.StridedConvBlock(4, strides=0), "strides"),
        (lambda: layers.StridedConvBlock(4, padding="samee"), "padding"),
        (lambda: layers.StridedConvBlock(0), "filters"),
        (lambda: layers.DenseBlock(0), "units"),
        (
            lambda: layers.DenseBlock(4, normalization="group"),
            "`normalization` of a DenseBlock .*'layer'.*'group'",
        ),
        (
            lambda: layers.DenseBlock(4, normalization="instance"),
            "`normalization` of a DenseBlock .*'instance'",
        ),
        (
            lambda: layers.DenseBlock(4, dropout=1.0),
            r"`dropout` must be .*dropout=1\.0",
        ),
        (lambda: layers.DenseBlock(4, dropout=-0.1), "`dropout` must be"),
        (lambda: layers.DenseBlock(4, filter=3), "filter"),
        (
            lambda: layers.DenseBlock(4)(np.zeros((2, 4, 4, 3))),
            "expected ndim=2, found ndim=4",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(build, message):
    with pytest.raises(ValueError, match=message):
        build()
