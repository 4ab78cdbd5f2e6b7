"""The position of the channels in image tensors."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import keras

DataFormat: TypeAlias = Literal["channels_last", "channels_first"]
Shape: TypeAlias = Sequence[int | None]


def standardize(data_format: str | None) -> Any:
    """Checks a data format. `None` is the image data format of Keras."""
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            "`data_format` must be 'channels_last' or 'channels_first'. "
            f"Received: data_format={data_format!r}"
        )
    return data_format


def channels_axis(data_format: str | None) -> int:
    return 1 if data_format == "channels_first" else -1


def known_channels(input_shape: Shape, data_format: str) -> int:
    """Returns the number of channels; raises an error if it is unknown."""
    channels = input_shape[channels_axis(data_format)]
    if channels is None:
        raise ValueError(
            "The number of channels must be known. "
            f"Received: an input of shape {tuple(input_shape)}"
        )
    return channels
