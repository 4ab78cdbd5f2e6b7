"""Where the channels of images are."""

import keras


def standardize(data_format):
    """Returns a data format of Keras; for None, the one set in Keras."""
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            "`data_format` must be 'channels_last' or 'channels_first'. "
            f"Received: data_format={data_format!r}"
        )
    return data_format


def channels_axis(data_format):
    """Returns the axis of the channels."""
    return 1 if data_format == "channels_first" else -1


def known_channels(input_shape, data_format):
    """Returns the number of channels, on which a layer's weights depend."""
    channels = input_shape[channels_axis(data_format)]
    if channels is None:
        raise ValueError(
            "The number of channels must be known. Received an input of "
            f"shape {tuple(input_shape)}"
        )
    return channels
