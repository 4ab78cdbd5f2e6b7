"""Behavior that layers have in common: files, data formats and errors."""

import functools
import inspect
import re

import keras
import numpy as np
import pytest
from support.layers import (
    assert_close_to_scale,
    assert_equal,
    readable,
    shifted,
    skip_if_channels_first_is_unsupported,
    to_numpy,
)

from gan_blocks import gradients
from gan_blocks.layers import (
    AdaptiveAugment,
    DenseBlock,
    DiffAugment,
    MinibatchStdDev,
    PixelNormalization,
    ResidualDownBlock,
    ResidualUpBlock,
    ResizeConvBlock,
    SelfAttention2D,
    StridedConvBlock,
    TransposedConvBlock,
)

OPERATIONS = ("color", "flip", "rotation", "translation", "cutout")


def make(layer, **arguments):
    """Returns a layer. Layers with filters or units have 4 by default."""
    sizes = {"filters", "units"} & {*inspect.signature(layer).parameters}
    return layer(**{**dict.fromkeys(sizes, 4), **arguments})


def inputs_for(layer):
    return shifted(4, 6) if layer is DenseBlock else shifted(4, 6, 6, 8)


# Saved files -----------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        StridedConvBlock,
        TransposedConvBlock,
        ResizeConvBlock,
        DenseBlock,
        ResidualDownBlock,
        ResidualUpBlock,
    ],
)
def test_the_config_of_a_block_contains_every_argument(layer):
    names = {*inspect.signature(layer).parameters} - {"kwargs"}
    assert {*make(layer).get_config()} == names | {"name", "trainable", "dtype"}


SAVED = [
    (StridedConvBlock, {"kernel_size": 5, "strides": (1, 2)}),
    (StridedConvBlock, {"padding": "valid", "dropout": 0.25}),
    (TransposedConvBlock, {"normalization": "instance"}),
    (TransposedConvBlock, {"dtype": "mixed_bfloat16"}),
    (TransposedConvBlock, {"spectral_normalization": True, "trainable": False}),
    (ResizeConvBlock, {"interpolation": "bilinear", "strides": 3}),
    (ResizeConvBlock, {"spectral_normalization": True}),
    (DenseBlock, {"negative_slope": 0.3, "name": "stage"}),
    (DenseBlock, {"momentum": 0.5, "epsilon": 0.25}),
    (DenseBlock, {"activation": "tanh", "use_bias": True}),
    (DenseBlock, {"kernel_initializer": "glorot_uniform"}),
    (DenseBlock, {"spectral_normalization": True, "dtype": "mixed_bfloat16"}),
    (ResidualDownBlock, {"spectral_normalization": True}),
    (ResidualDownBlock, {"preactivation": False, "trainable": False}),
    (ResidualDownBlock, {"normalization": "group", "activation": "leaky_relu"}),
    (ResidualUpBlock, {"dtype": "mixed_bfloat16", "name": "up"}),
    (ResidualUpBlock, {"strides": 3, "kernel_initializer": "he_normal"}),
    (ResidualUpBlock, {"strides": np.int64(2), "epsilon": 0.25}),
    (SelfAttention2D, {"trainable": False, "data_format": "channels_last"}),
    (SelfAttention2D, {"spectral_normalization": True, "name": "attention"}),
    (SelfAttention2D, {"dtype": "mixed_bfloat16"}),
    (MinibatchStdDev, {"group_size": 2, "name": "deviation"}),
    (MinibatchStdDev, {"data_format": "channels_first"}),
    (PixelNormalization, {"axis": 2, "epsilon": 0.1}),
]


@pytest.mark.parametrize(("layer", "arguments"), SAVED, ids=readable)
def test_a_loaded_layer_equals_the_saved_one(layer, arguments, tmp_path):
    inputs = inputs_for(layer)
    saved = make(layer, **arguments)
    model = keras.Sequential([keras.Input(inputs.shape[1:]), saved])
    for i, weight in enumerate(model.weights):
        weight.assign(abs(shifted(*weight.shape, seed=i)))
    model.save(tmp_path / "model.keras")
    (loaded,) = keras.saving.load_model(tmp_path / "model.keras").layers

    outputs = saved(inputs)
    assert_equal(loaded(inputs), outputs)
    assert tuple(outputs.shape) == saved.compute_output_shape(inputs.shape)
    assert outputs.dtype == saved.compute_dtype
    assert loaded.get_config() == saved.get_config()
    assert loaded.trainable is saved.trainable
    assert len(loaded.variables) == len(saved.variables)
    assert {weight.dtype for weight in loaded.weights} <= {"float32"}


# Data formats ----------------------------------------------------------------


def on_every_backend(*values):
    return pytest.param(*values, marks=pytest.mark.every_backend)


@pytest.mark.parametrize(
    ("layer", "arguments", "tolerance"),
    [
        on_every_backend(StridedConvBlock, {}, 1e-5),
        on_every_backend(StridedConvBlock, {"normalization": "layer"}, 1e-5),
        on_every_backend(TransposedConvBlock, {}, 1e-5),
        on_every_backend(ResizeConvBlock, {}, 1e-5),
        (StridedConvBlock, {"normalization": "group", "filters": 48}, 1e-5),
        (StridedConvBlock, {"normalization": "instance"}, 1e-5),
        (ResidualDownBlock, {"normalization": "instance"}, 1e-5),
        (ResidualUpBlock, {}, 1e-5),
        (ResidualUpBlock, {"normalization": "layer"}, 1e-5),
        (SelfAttention2D, {}, 1e-5),
        (MinibatchStdDev, {}, 1e-6),
        (DiffAugment, {"policy": OPERATIONS, "seed": 7}, 0.0),
    ],
    ids=readable,
)
def test_channels_first_equals_channels_last(layer, arguments, tolerance):
    skip_if_channels_first_is_unsupported()
    last = make(layer, data_format="channels_last", **arguments)
    first = make(layer, data_format="channels_first", **arguments)
    inputs = inputs_for(layer)
    moved = np.moveaxis(inputs, -1, 1)
    last.build(inputs.shape)
    first.build(moved.shape)
    for i, weight in enumerate(last.trainable_weights):
        weight.assign(shifted(*weight.shape, seed=i))
    first.set_weights(last.get_weights())

    expected = outputs_and_gradient(last, inputs)
    actual = outputs_and_gradient(first, moved)
    assert actual[0].shape == first.compute_output_shape(moved.shape)
    for one, other in zip(actual, expected, strict=True):
        assert_close_to_scale(np.moveaxis(one, 1, -1), other, tolerance)


def outputs_and_gradient(layer, inputs):
    outputs, pullback = gradients.input_vjp(
        functools.partial(layer, training=True),
        keras.ops.convert_to_tensor(inputs),
    )
    return to_numpy(outputs), to_numpy(pullback(outputs))


# Errors ----------------------------------------------------------------------

INVALID_ARGUMENTS = [
    (StridedConvBlock, "normalization", "bach", "one of .*'batch'.*'instance'"),
    (DenseBlock, "normalization", "group", "'batch', 'layer' or None"),
    (ResidualDownBlock, "activation", "rellu", "None or the name"),
    (TransposedConvBlock, "activation", keras.ops.tanh, "None or the name"),
    (DenseBlock, "dropout", 1.0, "less than 1"),
    (DenseBlock, "dropout", -0.1, "at least 0"),
    (ResizeConvBlock, "interpolation", "cubic", "'nearest' or 'bilinear'"),
    (ResizeConvBlock, "strides", 0, "a positive integer or a pair"),
    (ResidualUpBlock, "strides", (2, 2), "a positive integer"),
    (SelfAttention2D, "data_format", "first", "'channels_last'"),
    (MinibatchStdDev, "group_size", 1, "an integer of at least 2"),
    (PixelNormalization, "epsilon", 0, "positive"),
    (DiffAugment, "policy", (), "a tuple of one or"),
    (DiffAugment, "policy", ("color", "blur"), "a tuple of one or"),
    (DiffAugment, "probability", 1.1, "from 0 to 1"),
    (DiffAugment, "probability", -0.1, "from 0 to 1"),
    (AdaptiveAugment, "target", 1, "between -1 and 1"),
    (AdaptiveAugment, "target", -1, "between -1 and 1"),
    (AdaptiveAugment, "maximum", 1.1, "from 0 to 1"),
    (AdaptiveAugment, "images_to_adapt", 0, "a positive integer"),
    (AdaptiveAugment, "interval", 0, "a positive integer"),
]


@pytest.mark.parametrize(
    ("layer", "argument", "value", "expected"), INVALID_ARGUMENTS, ids=readable
)
def test_invalid_arguments_are_errors_that_name_them(
    layer, argument, value, expected
):
    received = re.escape(f"{argument}={value!r}")
    message = f"`{argument}` .*must .*{expected}.*Received: {received}"
    with pytest.raises(ValueError, match=message):
        make(layer, **{argument: value})


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (DenseBlock, (2, 4, 4, 3), "expected ndim=2, found ndim=4"),
        (ResidualDownBlock, (2, 3), "expected ndim=4, found ndim=2"),
        (SelfAttention2D, (2, 8), "expected ndim=4, found ndim=2"),
        (MinibatchStdDev, (3,), "min_ndim=2"),
        (ResidualDownBlock, (None, 4, 4, None), "channels must be known"),
        (SelfAttention2D, (None, 4, 4, None), "channels must be known"),
        (AdaptiveAugment, (2, 8, 6, 1), "height 8 and width 6"),
    ],
    ids=readable,
)
def test_inputs_of_an_unsupported_shape_are_errors(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        make(layer)(keras.Input(batch_shape=shape))
