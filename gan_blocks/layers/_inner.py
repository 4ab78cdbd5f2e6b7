"""Helpers for layers that contain other layers."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import keras

from gan_blocks._types import Tensor
from gan_blocks.layers._data_format import Shape, channels_axis
from gan_blocks.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
)

Normalization: TypeAlias = Literal["batch", "layer", "group", "instance"] | None
Padding: TypeAlias = Literal["same", "valid"]
Pair: TypeAlias = int | tuple[int, int]
NORMALIZATIONS = ("batch", "layer", "group", "instance", None)


def arguments(layer: keras.Layer, name: str) -> dict[str, Any]:
    """Returns the arguments that an inner layer gets from its outer layer."""
    return {
        "name": name,
        "dtype": layer.dtype_policy,
        "trainable": layer.trainable,
    }


def attributes(layer: keras.Layer, *names: str) -> dict[str, Any]:
    """Returns attributes by name, for a layer's config."""
    return {name: getattr(layer, name) for name in names}


def build(layers: Iterable[keras.Layer], input_shape: Shape) -> None:
    """Builds layers that run one after another."""
    for layer in layers:
        layer.build(input_shape)
        input_shape = layer.compute_output_shape(input_shape)


def call(layers: Iterable[keras.Layer], inputs: Tensor) -> Tensor:
    """Runs layers one after another. Keras passes `training` to each."""
    for layer in layers:
        inputs = layer(inputs)
    return inputs


def output_shape(
    layers: Iterable[keras.Layer], input_shape: Shape
) -> tuple[int | None, ...]:
    """Returns the output shape of layers that run one after another."""
    for layer in layers:
        input_shape = layer.compute_output_shape(input_shape)
    return tuple(input_shape)


def normalizer(
    layer: Any, name: str, channels: Any, data_format: str | None
) -> keras.Layer:
    """Creates the normalization of a block. Dense layers have no `channels`."""
    options = {
        "axis": channels_axis(data_format),
        "epsilon": layer.epsilon,
        **arguments(layer, name),
    }
    if layer.normalization == "batch":
        return BatchNormalization(
            momentum=layer.momentum,
            synchronized=layer.synchronized,
            **options,
        )
    if layer.normalization == "layer":
        groups = 1
    elif layer.normalization == "instance":
        groups = channels
    else:
        groups = next(n for n in range(32, 0, -1) if channels % n == 0)
    return GroupNormalization(groups, **options)
