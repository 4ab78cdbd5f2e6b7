"""Generators and discriminators, stacked from blocks into Keras models."""

import math

import keras

from gan_blocks.layers import (
    DenseBlock,
    StridedConvBlock,
    TransposedConvBlock,
)


def dcgan_generator(
    image_shape,
    latent_dim=100,
    base_filters=64,
    max_filters=1024,
    block=TransposedConvBlock,
    first_block=TransposedConvBlock,
    last_block=TransposedConvBlock,
    output_activation="tanh",
):
    """Builds DCGAN's generator: latents grow to an image by doublings.

    The latents are projected to a small map, whose shorter side is 4 to 7
    pixels; each block then doubles height and width and halves the channels.
    At 64 x 64 pixels these are the paper's 1024, 512, 256 and 128 channels.
    The paper has kernels of 5 and ReLU, this function the defaults of
    `TransposedConvBlock`: kernels of 4, against checkerboards, and leaky ReLU.

    Args:
        image_shape: `(height, width, channels)`, or `(channels, height,
            width)` if Keras is set to `"channels_first"`. The shorter side is
            4, 5, 6 or 7 times a power of two, such as 28, 64, 96 or 128, at
            least 8; the longer side is a multiple of the same power of two.
        latent_dim: Integer, the length of a latent vector. Defaults to 100.
        base_filters: Integer; the last hidden map has twice as many channels.
            Defaults to 64.
        max_filters: Integer, the most channels of any map. Defaults to 1024.
        block: What makes a hidden stage: called as `block(filters)`, it
            returns a layer that doubles height and width. A class of your own
            will do, and so will a function, or one of our classes with other
            arguments: `functools.partial(TransposedConvBlock, kernel_size=5)`.
            Defaults to `TransposedConvBlock`.
        first_block: What makes the first stage, which makes maps of the
            latents: called as `first_block(filters, kernel_size, strides=1,
            padding="valid")`. Defaults to `TransposedConvBlock`.
        last_block: What makes the last stage: called as `last_block(channels,
            normalization=None, activation=None)`. Defaults to
            `TransposedConvBlock`.
        output_activation: Name of the activation of the images, or None.
            Defaults to `"tanh"`, for images in [-1, 1].

    Returns:
        A `keras.Sequential` named `"generator"`: latents `(batch, latent_dim)`
        to images `(batch, *image_shape)`, in float32 under mixed precision.

    Raises:
        ValueError: If the shape cannot be reached by doublings, or if `block`
            does not double.

    Example:
    ```python
    import keras
    from gan_blocks import networks

    generator = networks.dcgan_generator((28, 28, 1), base_filters=8)
    images = generator(keras.random.normal((2, 100)))
    assert images.shape == (2, 28, 28, 1)
    ```

    Reference:
        [Unsupervised Representation Learning with Deep Convolutional
        Generative Adversarial Networks](https://arxiv.org/abs/1511.06434)
    """
    image_shape = _checked_shape(image_shape)
    _check_positive(
        latent_dim=latent_dim,
        base_filters=base_filters,
        max_filters=max_filters,
    )
    height, width, channels = _channels_last(image_shape)
    doublings = _doublings(height, width)
    start = (height >> doublings, width >> doublings)
    filters = [
        min(base_filters << i, max_filters) for i in range(doublings, 0, -1)
    ]
    model = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            keras.layers.Reshape(_data_format((1, 1, latent_dim))),
            first_block(filters[0], start, strides=1, padding="valid"),
            *[block(n) for n in filters[1:]],
            last_block(channels, normalization=None, activation=None),
            keras.layers.Activation(output_activation, dtype=_output_dtype()),
        ],
        name="generator",
    )
    if model.output_shape[1:] != image_shape:
        raise ValueError(
            "`block` and `last_block` must double height and width, and "
            f"`last_block` return images of shape {image_shape}. Received: "
            f"block={block}, last_block={last_block}, which return "
            f"{model.output_shape[1:]}"
        )
    return model


def dcgan_discriminator(
    image_shape,
    base_filters=64,
    max_filters=1024,
    block=StridedConvBlock,
    first_block=StridedConvBlock,
):
    """Builds DCGAN's discriminator: an image shrinks to one logit.

    Each block halves height and width and doubles the channels, down to a map
    whose shorter side is 4 to 7 pixels; a dense layer turns it into one logit.
    The first block has no normalization, so that the discriminator sees the
    brightness and the contrast of the images. At 64 x 64 pixels there are 64,
    128, 256 and 512 channels.

    Args:
        image_shape: As in `dcgan_generator`.
        base_filters: Integer, the number of channels after the first block.
            Defaults to 64.
        max_filters: Integer, the most channels of any map. Defaults to 1024.
        block: What makes a hidden stage: called as `block(filters)`, it
            returns a layer that halves height and width. A class of your own
            will do, and so will a function, or one of our classes with other
            arguments: for WGAN-GP, whose penalty is not valid with
            batch normalization, `functools.partial(StridedConvBlock,
            normalization="layer")`. Defaults to `StridedConvBlock`.
        first_block: What makes the first stage: called as
            `first_block(base_filters, normalization=None)`. Defaults to
            `StridedConvBlock`.

    Returns:
        A `keras.Sequential` named `"discriminator"`: images `(batch,
        *image_shape)` to logits `(batch, 1)`, in float32 under mixed precision.

    Raises:
        ValueError: If the shape cannot be halved to 4 to 7 pixels.

    Example:
    ```python
    import keras
    from gan_blocks import networks

    discriminator = networks.dcgan_discriminator((28, 28, 1), base_filters=8)
    logits = discriminator(keras.random.uniform((2, 28, 28, 1), -1, 1))
    assert logits.shape == (2, 1)
    ```

    Reference:
        [Unsupervised Representation Learning with Deep Convolutional
        Generative Adversarial Networks](https://arxiv.org/abs/1511.06434)
    """
    image_shape = _checked_shape(image_shape)
    _check_positive(base_filters=base_filters, max_filters=max_filters)
    height, width, _ = _channels_last(image_shape)
    filters = [
        min(base_filters << i, max_filters)
        for i in range(_doublings(height, width))
    ]
    return keras.Sequential(
        [
            keras.Input(image_shape),
            first_block(filters[0], normalization=None),
            *[block(n) for n in filters[1:]],
            keras.layers.Flatten(),
            keras.layers.Dense(
                1,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
                dtype=_output_dtype(),
            ),
        ],
        name="discriminator",
    )


def mlp_generator(
    image_shape,
    latent_dim=100,
    units=(256, 512, 1024),
    block=None,
    output_activation="tanh",
):
    """Builds a generator of dense layers, for small images or toy data.

    Args:
        image_shape: Shape of what is generated, such as `(28, 28, 1)`, or
            `(2,)` for points in the plane.
        latent_dim: Integer, the length of a latent vector. Defaults to 100.
        units: The units of each hidden layer, from the latents on. Defaults to
            `(256, 512, 1024)`.
        block: What makes a hidden stage: called as `block(units)`, it returns
            a layer. Defaults to None, a `DenseBlock` without normalization and
            with He's initialization.
        output_activation: Name of the activation of the outputs, or None for
            data that is not limited to [-1, 1]. Defaults to `"tanh"`.

    Returns:
        A `keras.Sequential` named `"generator"`: latents `(batch, latent_dim)`
        to `(batch, *image_shape)`, in float32 under mixed precision.

    Raises:
        ValueError: If a number is not a positive integer.

    Example:
    ```python
    import keras
    from gan_blocks import networks

    generator = networks.mlp_generator(
        (2,), latent_dim=8, units=(32, 32), output_activation=None
    )
    points = generator(keras.random.normal((5, 8)))
    assert points.shape == (5, 2)
    ```
    """
    image_shape = _checked_shape(image_shape)
    _check_positive(latent_dim=latent_dim)
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            *[(block or _dense_block)(n) for n in units],
            keras.layers.Dense(math.prod(image_shape)),
            keras.layers.Reshape(image_shape),
            keras.layers.Activation(output_activation, dtype=_output_dtype()),
        ],
        name="generator",
    )


def mlp_discriminator(image_shape, units=(1024, 512, 256), block=None):
    """Builds a discriminator of dense layers, for small images or toy data.

    Args:
        image_shape: Shape of one image, such as `(28, 28, 1)`, or `(2,)` for
            points in the plane.
        units: The units of each hidden layer, from the images on. Defaults to
            `(1024, 512, 256)`.
        block: What makes a hidden stage: called as `block(units)`, it returns
            a layer, such as `functools.partial(DenseBlock, normalization=None,
            dropout=0.3)`. Defaults to None, a `DenseBlock` without
            normalization and with He's initialization.

    Returns:
        A `keras.Sequential` named `"discriminator"`: images `(batch,
        *image_shape)` to logits `(batch, 1)`, in float32 under mixed precision.

    Raises:
        ValueError: If a number is not a positive integer.

    Example:
    ```python
    import keras
    from gan_blocks import networks

    discriminator = networks.mlp_discriminator((2,), units=(32, 32))
    logits = discriminator(keras.random.normal((5, 2)))
    assert logits.shape == (5, 1)
    ```
    """
    return keras.Sequential(
        [
            keras.Input(_checked_shape(image_shape)),
            keras.layers.Flatten(),
            *[(block or _dense_block)(n) for n in units],
            keras.layers.Dense(1, dtype=_output_dtype()),
        ],
        name="discriminator",
    )


def _dense_block(units):
    # DCGAN's small weights would make the signal die out where no
    # normalization restores it.
    return DenseBlock(units, normalization=None, kernel_initializer="he_normal")


def _output_dtype():
    """Returns float32 under mixed precision, else the dtype of everything."""
    return keras.config.dtype_policy().variable_dtype


def _data_format(shape):
    """Returns `(height, width, channels)` in the order Keras is set to."""
    if keras.config.image_data_format() == "channels_first":
        return (shape[2], shape[0], shape[1])
    return shape


def _channels_last(image_shape):
    if len(image_shape) != 3:
        raise ValueError(
            "`image_shape` must have three dimensions: height, width and "
            f"channels. Received: image_shape={image_shape}"
        )
    if keras.config.image_data_format() == "channels_first":
        return (image_shape[1], image_shape[2], image_shape[0])
    return image_shape


def _checked_shape(image_shape):
    shape = tuple(image_shape)
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError(
            "`image_shape` must be a tuple of positive integers. "
            f"Received: image_shape={image_shape}"
        )
    return shape


def _check_positive(**numbers):
    for name, number in numbers.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. "
                f"Received: {name}={number}"
            )


def _doublings(height, width):
    """Returns how often a map of 4 to 7 pixels is doubled to that size."""
    power = _power(height, width)
    if power > 1 and height % power == 0 and width % power == 0:
        return power.bit_length() - 1
    above = (max(height, 8), max(width, 8))
    while any(n % _power(*above) for n in above):
        power = _power(*above)
        above = tuple(-(-n // power) * power for n in above)
    nearest = f"{above[0]} x {above[1]}"
    power = _power(height, width)
    if power > 1:
        below = (height // power * power, width // power * power)
        nearest = f"{below[0]} x {below[1]} and {nearest}"
    raise ValueError(
        "`image_shape` must have a shorter side of 4, 5, 6 or 7 times a power "
        "of two, at least 8 pixels, and a longer side that is a multiple of "
        f"the same power. The nearest: {nearest} pixels. Received: "
        f"{height} x {width} pixels"
    )


def _power(height, width):
    """Returns the power of two that the shorter side is 4 to 7 times of."""
    return 1 << max((min(height, width) // 4).bit_length() - 1, 0)
