import contextlib
import inspect

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
    skip_if_channels_first_is_unsupported,
    to_numpy,
)

every_backend = pytest.mark.every_backend
CONVOLUTIONS = [
    layers.StridedConvBlock,
    layers.TransposedConvBlock,
    layers.ResizeConvBlock,
]
BLOCKS = [*CONVOLUTIONS, layers.DenseBlock]


def small_kernel(shape, dtype=None):
    """Initializes kernels with NumPy, as JAX compiles for every shape."""
    kernel = normal(*shape, mean=0.1, deviation=0.2, dtype="float64")
    return keras.ops.cast(kernel, dtype)


def inputs_for(block):
    shape = (4, 6) if block is layers.DenseBlock else (4, 8, 8, 3)
    return normal(*shape, mean=1.0, deviation=2.0)


def seed_states(block):
    return [v for v in block.variables if "seed" in v.path]


@pytest.mark.parametrize(
    "block", [*BLOCKS, layers.ResidualDownBlock, layers.ResidualUpBlock]
)
def test_blocks_store_their_arguments_under_the_same_names(block):
    names = {*inspect.signature(block).parameters} - {"kwargs"}
    config = block(4).get_config()
    assert {*config} == names | {"name", "trainable", "dtype"}
    for name in names - {"kernel_initializer"}:
        assert getattr(block(4), name) == config[name]


@every_backend
@pytest.mark.parametrize(
    ("block", "arguments", "size", "expected"),
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
def test_convolution_blocks_have_the_documented_output_shape(
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
    ("block", "normalization"),
    [
        (layers.StridedConvBlock, "batch"),
        (layers.TransposedConvBlock, "layer"),
        (layers.ResizeConvBlock, "group"),
    ],
)
def test_convolution_blocks_built_without_a_size_run_at_any_size(
    block, normalization
):
    layer = block(
        4, normalization=normalization, kernel_initializer=small_kernel
    )
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert model.output_shape == (None, None, None, 4)
    for size in (8, 12):
        inputs = np.ones((2, size, size, 3), "float32")
        outputs = model(inputs, training=True)
        assert tuple(outputs.shape) == layer.compute_output_shape(inputs.shape)


@every_backend
@pytest.mark.parametrize(
    ("block", "linear"),
    [
        (
            layers.StridedConvBlock,
            [keras.layers.Conv2D(5, 4, 2, "same", use_bias=False)],
        ),
        (
            layers.TransposedConvBlock,
            [keras.layers.Conv2DTranspose(5, 4, 2, "same", use_bias=False)],
        ),
        (
            layers.ResizeConvBlock,
            [
                keras.layers.UpSampling2D(2),
                keras.layers.Conv2D(5, 3, padding="same", use_bias=False),
            ],
        ),
        (layers.DenseBlock, [keras.layers.Dense(5, use_bias=False)]),
    ],
)
def test_blocks_are_a_linear_layer_then_normalization_then_leaky_relu(
    block, linear
):
    inputs = inputs_for(block)
    layer = block(5, kernel_initializer=small_kernel)
    expected = keras.Sequential(
        [
            *linear,
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.LeakyReLU(0.2),
        ]
    )
    expected.build(inputs.shape)
    layer.build(inputs.shape)
    expected.set_weights(layer.get_weights())
    for training in (True, False):
        assert_close(
            layer(inputs, training=training),
            expected(inputs, training=training),
            atol=1e-4,
        )
    assert_close(layer.get_weights()[3], expected.get_weights()[3], atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("arguments", "has_bias"),
    [
        ({}, False),
        ({"normalization": "layer"}, False),
        ({"normalization": None}, True),
        ({"use_bias": True}, True),
        ({"normalization": None, "use_bias": False}, False),
    ],
)
def test_blocks_have_a_bias_if_no_normalization_follows(
    block, arguments, has_bias
):
    layer = block(4, **arguments)
    layer.build(inputs_for(block).shape)
    assert any(w.name == "bias" for w in layer.weights) is has_bias


@every_backend
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("normalization", "groups"),
    [("batch", None), ("layer", 1), ("group", 24), ("instance", 48)],
)
def test_each_normalization_uses_the_documented_axes(
    normalization, groups, data_format
):
    if data_format == "channels_first":
        skip_if_channels_first_is_unsupported()
    block = layers.StridedConvBlock(
        48,
        normalization=normalization,
        activation=None,
        data_format=data_format,
        kernel_initializer=small_kernel,
    )
    inputs = normal(3, 12, 12, 3, mean=1.0, deviation=2.0)
    if data_format == "channels_first":
        inputs = inputs.transpose(0, 3, 1, 2)
    outputs = to_numpy(block(inputs, training=True))
    if data_format == "channels_first":
        outputs = outputs.transpose(0, 2, 3, 1)
    if normalization == "batch":
        parts = outputs.reshape(-1, 48).T
    else:
        parts = outputs.reshape(3, 36, groups, 48 // groups)
        parts = parts.transpose(0, 2, 1, 3).reshape(3 * groups, -1)
    assert_close(parts.mean(1), 0.0, atol=1e-4)
    assert_close(parts.std(1), 1.0, atol=1e-2)
    assert np.abs(outputs.mean(-1)).max() > 1e-2


@every_backend
@pytest.mark.parametrize("block", CONVOLUTIONS)
def test_channels_first_equals_channels_last(block):
    skip_if_channels_first_is_unsupported()
    inputs = inputs_for(block)
    last = block(
        4, data_format="channels_last", kernel_initializer=small_kernel
    )
    first = block(
        4, data_format="channels_first", kernel_initializer=small_kernel
    )
    results = []
    for layer, order in ((last, (0, 1, 2, 3)), (first, (0, 3, 1, 2))):
        tensor = keras.ops.convert_to_tensor(inputs.transpose(order))
        layer.build(tensor.shape)
        layer.set_weights(last.get_weights())
        outputs, pullback = gradients.input_vjp(
            lambda x, layer=layer: layer(x, training=True), tensor
        )
        back = np.argsort(order)
        results.append(
            [
                to_numpy(one).transpose(back)
                for one in (outputs, pullback(outputs))
            ]
        )
    for one, other in zip(*results, strict=True):
        atol = 1e-4 * np.abs(one).max()
        assert_close(one, other, atol=atol)


@every_backend
@pytest.mark.parametrize(
    ("block", "arguments"),
    [
        (layers.StridedConvBlock, {"filters": 4}),
        (layers.DenseBlock, {"units": 64, "normalization": None}),
    ],
)
def test_dropout_is_last_and_different_in_each_call(block, arguments):
    layer = block(dropout=0.5, kernel_initializer=small_kernel, **arguments)
    inputs = inputs_for(block)
    first, second = (to_numpy(layer(inputs, training=True)) for _ in range(2))
    assert 0.3 < np.mean(first == 0.0) < 0.7
    assert np.any((first == 0.0) != (second == 0.0))
    assert np.all(to_numpy(layer(inputs, training=False)) != 0.0)
    assert len(seed_states(layer)) == 1


@every_backend
def test_dropout_continues_from_its_saved_seed_state():
    block, other = (layers.DenseBlock(64, dropout=0.5) for _ in range(2))
    inputs = inputs_for(layers.DenseBlock)
    first = to_numpy(block(inputs, training=True))
    unlike = to_numpy(other(inputs, training=True))
    assert np.any((unlike == 0) != (first == 0))

    config = block.get_config()
    assert not any("seed" in name for name in config)
    again = layers.DenseBlock.from_config(config)
    again.build(inputs.shape)
    again.set_weights(block.get_weights())
    for state, saved in zip(
        seed_states(again), seed_states(block), strict=True
    ):
        state.assign(saved)
    assert_equal(again(inputs, training=True), block(inputs, training=True))

    keras.utils.set_random_seed(0)
    again = layers.DenseBlock(64, dropout=0.5)
    assert_equal(again(inputs, training=True), first)


def test_kernels_start_as_in_dcgan_and_differ_between_blocks():
    kernels = []
    for _ in range(2):
        block = layers.StridedConvBlock(64)
        block.build((None, 8, 8, 32))
        kernels.append(to_numpy(block.weights[0]))
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
def test_the_config_contains_any_kind_of_initializer(block, initializer):
    layer = block(4, kernel_initializer=initializer)
    config = layer.get_config()
    again = block.from_config(config)
    assert again.get_config() == config
    expected = keras.initializers.get(initializer)
    expected = expected or keras.initializers.RandomNormal(stddev=0.02)
    assert type(again.kernel_initializer) is type(expected)


@pytest.mark.parametrize(
    ("block", "arguments"),
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
def test_a_loaded_or_cloned_block_equals_the_original(
    block, arguments, tmp_path
):
    inputs = inputs_for(block)
    model = keras.Sequential(
        [keras.Input(inputs.shape[1:]), block(4, **arguments)]
    )
    for variable in model.variables:
        if "seed" not in variable.path:
            variable.assign(
                abs(normal(*variable.shape, mean=1.0, deviation=2.0))
            )
    save_and_load(model, inputs, tmp_path)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    assert_equal(cloned(inputs), model(inputs))
    (layer,) = cloned.layers
    assert layer.get_config() == model.layers[0].get_config()
    assert layer.trainable is arguments.get("trainable", True)


@every_backend
@pytest.mark.parametrize("restored", [False, True])
def test_a_frozen_block_does_not_update_its_averages(restored):
    block = layers.StridedConvBlock(4, trainable=False)
    if restored:
        block = layers.StridedConvBlock.from_config(block.get_config())
    inputs = inputs_for(layers.StridedConvBlock)
    block(inputs, training=True)
    assert not block.trainable_variables
    (mean,) = (w for w in block.weights if w.name == "moving_mean")
    assert_equal(mean, 0.0)
    block.trainable = True
    block(inputs, training=True)
    assert np.any(to_numpy(mean) != 0.0)


@every_backend
@pytest.mark.parametrize(
    ("block", "policy", "compute", "variable"),
    [
        (layers.StridedConvBlock, "mixed_float16", "float16", "float32"),
        (layers.StridedConvBlock, "float64", "float64", "float64"),
        (layers.TransposedConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.ResizeConvBlock, "mixed_bfloat16", "bfloat16", "float32"),
        (layers.DenseBlock, "mixed_float16", "float16", "float32"),
        (layers.DenseBlock, "float64", "float64", "float64"),
    ],
)
def test_the_dtype_policy_applies_to_all_inner_layers(
    block, policy, compute, variable
):
    context = contextlib.nullcontext()
    if keras.backend.backend() == "jax":
        import jax

        context = jax.enable_x64(True)
    with context:
        layer = block(
            4, dtype=policy, dropout=0.1, kernel_initializer=small_kernel
        )
        outputs = layer(inputs_for(block), training=True)
        assert keras.backend.standardize_dtype(outputs.dtype) == compute
        assert {v.dtype for v in layer.weights} == {variable}
        assert np.all(np.isfinite(to_numpy(outputs)))


@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_compiled_blocks_train(policy, jit_compile):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.StridedConvBlock(4, dtype=policy),
            layers.TransposedConvBlock(2, dtype=policy, normalization="layer"),
        ]
    )
    model.compile("sgd", "mse", jit_compile=jit_compile)
    before = model.get_weights()
    inputs = inputs_for(layers.StridedConvBlock)
    model.fit(inputs, np.zeros((4, 8, 8, 2)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.any(old != new) and np.all(np.isfinite(new))


@every_backend
@pytest.mark.parametrize(
    ("block", "arguments", "has_checkerboard"),
    [
        (layers.TransposedConvBlock, {}, False),
        (layers.TransposedConvBlock, {"kernel_size": 5}, True),
        (layers.ResizeConvBlock, {}, False),
        (
            layers.ResizeConvBlock,
            {"kernel_size": 5, "interpolation": "bilinear"},
            False,
        ),
    ],
)
def test_only_kernels_not_divisible_by_the_stride_leave_checkerboards(
    block, arguments, has_checkerboard
):
    layer = block(1, kernel_initializer="ones", **arguments)
    outputs = to_numpy(layer(np.ones((1, 8, 8, 1), "float32")))
    inside = outputs[0, 4:-4, 4:-4, 0]
    assert (np.ptp(inside) > 0.1) == has_checkerboard


def test_a_dcgan_for_mnist_has_the_expected_shapes_and_weights():
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
    ("block", "arguments", "message"),
    [
        (
            layers.StridedConvBlock,
            {"normalization": "bach"},
            "`normalization` must be one of .*'batch'.*'instance'.*'bach'",
        ),
        (
            layers.TransposedConvBlock,
            {"activation": "rellu"},
            "`activation` must be .*'rellu'",
        ),
        (
            layers.TransposedConvBlock,
            {"activation": keras.ops.tanh},
            "`activation` must be None or the name",
        ),
        (
            layers.ResizeConvBlock,
            {"interpolation": "cubic"},
            "`interpolation` must be 'nearest' or 'bilinear'.*'cubic'",
        ),
        (
            layers.ResizeConvBlock,
            {"strides": 0},
            "`strides` must be .*strides=0",
        ),
        (layers.StridedConvBlock, {"strides": 0}, "strides"),
        (layers.StridedConvBlock, {"padding": "samee"}, "padding"),
        (layers.StridedConvBlock, {"filters": 0}, "filters"),
        (layers.DenseBlock, {"units": 0}, "units"),
        (
            layers.DenseBlock,
            {"normalization": "group"},
            "`normalization` of a DenseBlock .*'layer'.*'group'",
        ),
        (
            layers.DenseBlock,
            {"normalization": "instance"},
            "`normalization` of a DenseBlock .*'instance'",
        ),
        (
            layers.DenseBlock,
            {"dropout": 1.0},
            r"`dropout` must be .*dropout=1\.0",
        ),
        (layers.DenseBlock, {"dropout": -0.1}, "`dropout` must be"),
        (layers.DenseBlock, {"filter": 3}, "filter"),
    ],
)
def test_invalid_arguments_are_errors_that_name_them(block, arguments, message):
    first = "units" if block is layers.DenseBlock else "filters"
    with pytest.raises(ValueError, match=message):
        block(**{first: 4, **arguments})


def test_a_dense_block_refuses_images():
    with pytest.raises(ValueError, match="expected ndim=2, found ndim=4"):
        layers.DenseBlock(4)(np.zeros((2, 4, 4, 3)))
