"""Generators and discriminators as plain Keras models."""

import math
from collections.abc import Callable, Sequence

import keras

from gan_blocks._checks import check_positive_integer
from gan_blocks.layers import (
    DenseBlock,
    StridedConvBlock,
    TransposedConvBlock,
)

__all__ = [
    "dcgan_discriminator",
    "dcgan_generator",
    "mlp_discriminator",
    "mlp_generator",
]


def dcgan_generator(
    image_shape: Sequence[int],
    latent_dim: int = 100,
    base_filters: int = 64,
    max_filters: int = 1024,
    block: Callable[..., keras.Layer] = TransposedConvBlock,
    first_block: Callable[..., keras.Layer] = TransposedConvBlock,
    last_block: Callable[..., keras.Layer] = TransposedConvBlock,
    output_activation: str | None = "tanh",
) -> keras.Sequential:
    """Builds the generator of DCGAN.

    The first block projects the latents to a feature map whose shorter side
    is 4 to 7 pixels. Each further block doubles height and width and halves
    the number of channels. For 64 x 64 pixels the numbers of channels are 1024,
    512, 256 and 128, as in the paper. The paper uses ReLU and a kernel size of
    5. The defaults of `TransposedConvBlock` are leaky ReLU and a kernel size of
    4, which avoids checkerboard artifacts.

    Args:
        image_shape: `(height, width, channels)`, or `(channels, height,
            width)` if the image data format of Keras is `"channels_first"`.
            The shorter side is 4, 5, 6 or 7 times a power of two, at least 8,
            for example 28, 64, 96 or 128. The longer side is a multiple of
            the same power of two.
        latent_dim: Length of a latent vector. Defaults to 100.
        base_filters: Half the number of channels before the last block.
            Defaults to 64.
        max_filters: Maximum number of channels. Defaults to 1024.
        block: Function or class that creates a hidden block. It is called as
            `block(filters)` and returns a layer that doubles height and
            width. To pass other arguments to a block, use
            `functools.partial(TransposedConvBlock, kernel_size=5)`. With
            `ResizeConvBlock` here and as `last_block`, photographs are much
            better after the same number of steps. Defaults to
            `TransposedConvBlock`, as in the paper.
        first_block: Function or class that creates the first block. It is
            called as `first_block(filters, kernel_size, strides=1,
            padding="valid")`. Defaults to `TransposedConvBlock`.
        last_block: Function or class that creates the last block. It is
            called as `last_block(channels, normalization=None,
            activation=None)`. Defaults to `TransposedConvBlock`.
        output_activation: Name of the activation of the images, or `None`.
            Defaults to `"tanh"`, for images in [-1, 1].

    Returns:
        A `keras.Sequential` named `"generator"`, from latents `(batch,
        latent_dim)` to images `(batch, *image_shape)`. The images are float32
        under mixed precision.

    Raises:
        ValueError: If the image shape is not supported, or if `block` or
            `last_block` does not double height and width.

    Example:

    ```python
    import keras
    from gan_blocks import networks

    generator = networks.dcgan_generator((28, 28, 1), base_filters=8)
    images = generator(keras.random.normal((2, 100)))
    assert images.shape == (2, 28, 28, 1)
    ```

    Reference:
        Radford et al., 2015, Unsupervised Representation Learning with Deep
        Convolutional Generative Adversarial Networks,
        https://arxiv.org/abs/1511.06434
    """
    image_shape = _check_image_shape(image_shape)
    check_positive_integer("latent_dim", latent_dim)
    check_positive_integer("base_filters", base_filters)
    check_positive_integer("max_filters", max_filters)
    height, width, channels = _channels_last(image_shape)
    doublings = _count_doublings(height, width)
    start = (height >> doublings, width >> doublings)
    filters = [
        min(base_filters << i, max_filters) for i in range(doublings, 0, -1)
    ]
    model = keras.Sequential(
        [
            keras.Input((latent_dim,)),
            keras.layers.Reshape(_to_data_format((1, 1, latent_dim))),
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
            f"`last_block` must return images of shape {image_shape}. "
            f"Received: block={block}, last_block={last_block}, which return "
            f"images of shape {model.output_shape[1:]}"
        )
    return model


def dcgan_discriminator(
    image_shape: Sequence[int],
    base_filters: int = 64,
    max_filters: int = 1024,
    block: Callable[..., keras.Layer] = StridedConvBlock,
    first_block: Callable[..., keras.Layer] = StridedConvBlock,
) -> keras.Sequential:
    """Builds the discriminator of DCGAN.

    Each block halves height and width and doubles the number of channels,
    until the shorter side has 4 to 7 pixels. A dense layer then computes one
    logit. The first block has no normalization, so that the discriminator can
    compare the brightness and contrast of images. For 64 x 64 pixels the
    numbers of channels are 64, 128, 256 and 512.

    Args:
        image_shape: See `dcgan_generator`.
        base_filters: Number of channels after the first block. Defaults to
            64.
        max_filters: Maximum number of channels. Defaults to 1024.
        block: Function or class that creates a hidden block. It is called as
            `block(filters)` and returns a layer that halves height and width.
            For WGAN-GP, whose penalty is not valid with batch normalization,
            use `functools.partial(StridedConvBlock, normalization="layer")`.
            Defaults to `StridedConvBlock`.
        first_block: Function or class that creates the first block. It is
            called as `first_block(base_filters, normalization=None)`.
            Defaults to `StridedConvBlock`.

    Returns:
        A `keras.Sequential` named `"discriminator"`, from images `(batch,
        *image_shape)` to logits `(batch, 1)`. The logits are float32 under
        mixed precision.

    Raises:
        ValueError: If the image shape is not supported.

    Example:

    ```python
    import keras
    from gan_blocks import networks

    discriminator = networks.dcgan_discriminator((28, 28, 1), base_filters=8)
    logits = discriminator(keras.random.uniform((2, 28, 28, 1), -1, 1))
    assert logits.shape == (2, 1)
    ```

    Reference:
        Radford et al., 2015, Unsupervised Representation Learning with Deep
        Convolutional Generative Adversarial Networks,
        https://arxiv.org/abs/1511.06434
    """
    image_shape = _check_image_shape(image_shape)
    check_positive_integer("base_filters", base_filters)
    check_positive_integer("max_filters", max_filters)
    height, width, _ = _channels_last(image_shape)
    filters = [
        min(base_filters << i, max_filters)
        for i in range(_count_doublings(height, width))
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
    image_shape: Sequence[int],
    latent_dim: int = 100,
    units: Sequence[int] = (256, 512, 1024),
    block: Callable[[int], keras.Layer] | None = None,
    output_activation: str | None = "tanh",
) -> keras.Sequential:
    """Builds a generator of dense layers, for small images or toy data.

    Args:
        image_shape: Shape of one image, such as `(28, 28, 1)`, or `(2,)` for
            points in the plane.
        latent_dim: Length of a latent vector. Defaults to 100.
        units: Number of units of each hidden layer, in order. Defaults to
            `(256, 512, 1024)`.
        block: Function or class that creates a hidden layer. It is called as
            `block(units)`. Defaults to `None`: a `DenseBlock`
            without normalization and with He initialization.
        output_activation: Name of the activation of the outputs. Use `None`
            for data that is not limited to [-1, 1]. Defaults to `"tanh"`.

    Returns:
        A `keras.Sequential` named `"generator"`, from latents `(batch,
        latent_dim)` to `(batch, *image_shape)`. The outputs are float32 under
        mixed precision.

    Raises:
        ValueError: If a size is not a positive integer.

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
    image_shape = _check_image_shape(image_shape)
    check_positive_integer("latent_dim", latent_dim)
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


def mlp_discriminator(
    image_shape: Sequence[int],
    units: Sequence[int] = (1024, 512, 256),
    block: Callable[[int], keras.Layer] | None = None,
) -> keras.Sequential:
    """Builds a discriminator of dense layers, for small images or toy data.

    Args:
        image_shape: Shape of one image, such as `(28, 28, 1)`, or `(2,)` for
            points in the plane.
        units: Number of units of each hidden layer, in order. Defaults to
            `(1024, 512, 256)`.
        block: Function or class that creates a hidden layer. It is called as
            `block(units)`. For example, `functools.partial(DenseBlock,
            normalization=None, dropout=0.3)`. Defaults to `None`: a
            `DenseBlock` without normalization and with He initialization.

    Returns:
        A `keras.Sequential` named `"discriminator"`, from images `(batch,
        *image_shape)` to logits `(batch, 1)`. The logits are float32 under
        mixed precision.

    Raises:
        ValueError: If a size is not a positive integer.

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
            keras.Input(_check_image_shape(image_shape)),
            keras.layers.Flatten(),
            *[(block or _dense_block)(n) for n in units],
            keras.layers.Dense(1, dtype=_output_dtype()),
        ],
        name="discriminator",
    )


def _dense_block(units: int) -> DenseBlock:
    # DCGAN's small initial weights need a normalization. Without one, the
    # signal would fade from layer to layer.
    return DenseBlock(units, normalization=None, kernel_initializer="he_normal")


def _output_dtype() -> str:
    """Returns float32 under mixed precision, otherwise the global dtype."""
    return keras.config.dtype_policy().variable_dtype


def _to_data_format(shape):
    """Converts `(height, width, channels)` to the global data format."""
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


def _check_image_shape(image_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(image_shape)
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError(
            "`image_shape` must be a tuple of positive integers. "
            f"Received: image_shape={image_shape}"
        )
    return shape


def _count_doublings(height: int, width: int) -> int:
    """Returns how many doublings lead from 4 to 7 pixels to this size."""
    power = _largest_factor(height, width)
    if power > 1 and height % power == 0 and width % power == 0:
        return power.bit_length() - 1
    larger = (max(height, 8), max(width, 8))
    while any(n % _largest_factor(*larger) for n in larger):
        factor = _largest_factor(*larger)
        larger = tuple(math.ceil(n / factor) * factor for n in larger)
    nearest = f"{larger[0]} x {larger[1]}"
    if power > 1:
        smaller = (height // power * power, width // power * power)
        nearest = f"{smaller[0]} x {smaller[1]} and {nearest}"
    raise ValueError(
        "`image_shape` must have a shorter side of 4, 5, 6 or 7 times a power "
        "of two, at least 8 pixels, and a longer side that is a multiple of "
        f"the same power. The nearest sizes: {nearest} pixels. Received: "
        f"{height} x {width} pixels"
    )


def _largest_factor(height: int, width: int) -> int:
    """Returns the power of two that reduces the shorter side to 4 to 7."""
    return 1 << max((min(height, width) // 4).bit_length() - 1, 0)
