"""Differentiable augmentation for discriminators."""

import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gan_blocks._checks import as_seed, check_positive_integer
from gan_blocks._types import Tensor
from gan_blocks.layers._data_format import DataFormat, Shape, standardize

__all__ = ["AdaptiveAugment", "DiffAugment"]

_OPERATIONS = ("color", "flip", "rotation", "translation", "cutout")


def _brightness(images, change):
    return images + change


def _saturation(images, change):
    gray = ops.mean(images, -1, keepdims=True)
    return images + (images - gray) * (2.0 * change)


def _contrast(images, change):
    mean = ops.mean(images, (1, 2, 3), keepdims=True)
    return images + (images - mean) * change


def _integers(numbers, count):
    """Maps numbers in [0, 1) to integers from 0 to `count - 1`."""
    count = ops.cast(count, numbers.dtype)
    return ops.cast(ops.floor(numbers * count), "int32")


def _shift(numbers, size):
    """Maps numbers in [0, 1) to shifts by up to an eighth of the size."""
    limit = (size + 4) // 8
    return _integers(numbers, 2 * limit + 1) - limit


def _in_window(positions, numbers, size):
    """Returns True for positions in a window of half the size, rounded up."""
    length = (size + 1) // 2
    # The center is anywhere in the image, so the border may cut the window.
    center = _integers(numbers, size + 1 - length % 2)
    first = center - length // 2
    return (positions >= first) & (positions < first + length)


def _keep(images, mask):
    """Returns the images with 0 where the mask is False."""
    # This is several times as fast as `where` on TensorFlow, which would have
    # to broadcast.
    return images * ops.cast(mask[..., None], images.dtype)


def _grid(images):
    """Returns height, width, row numbers and column numbers."""
    height, width = ops.shape(images)[1:3]
    rows = ops.reshape(ops.arange(height, dtype="int32"), (1, -1, 1))
    columns = ops.reshape(ops.arange(width, dtype="int32"), (1, 1, -1))
    return height, width, rows, columns


def _gather(images, rows, columns):
    """Returns the pixels at these positions, with 0 outside of the images."""
    batch, height, width, channels = ops.shape(images)  # pyright: ignore
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows = ops.clip(rows, 0, height - 1)
    columns = ops.clip(columns, 0, width - 1)
    image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1))
    # One gather from all pixels of all images is faster than a gather along
    # an axis. Unlike a product with one-hot matrices, it is exact.
    index = (image * height + rows) * width + columns
    pixels = ops.take(ops.reshape(images, (-1, channels)), index, axis=0)
    return _keep(pixels, inside)


class _Augment(keras.layers.Layer):
    """Augments images with `self.probability`, which a subclass sets."""

    def __init__(
        self,
        policy: Sequence[str],
        seed: int | None,
        data_format: DataFormat | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        policy = tuple(policy)
        if not policy or not set(policy) <= set(_OPERATIONS):
            raise ValueError(
                f"`policy` must be a tuple of one or more of {_OPERATIONS}. "
                f"Received: policy={policy}"
            )
        self.policy = policy
        self.seed = random.randint(1, 10**9) if seed is None else seed
        self.seed_generator = keras.random.SeedGenerator(as_seed(self.seed))
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        first = self.data_format == "channels_first"
        height, width = input_shape[2:] if first else input_shape[1:3]
        if "rotation" in self.policy and height != width:
            raise ValueError(
                "`policy` must not contain 'rotation' if the images are not "
                f"square. Received: images of height {height} and width {width}"
            )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return inputs
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        images = ops.cast(inputs, dtype)
        if self.data_format == "channels_first":
            images = ops.moveaxis(images, 1, -1)
        if "color" in self.policy:
            for change in (_brightness, _saturation, _contrast):
                chosen, numbers, _ = self._draw(images, 4)
                numbers = ops.where(chosen, numbers - 0.5, 0.0)
                images = change(images, ops.cast(numbers, dtype))
        if {"flip", "rotation", "translation"} & set(self.policy):
            images = self._move(images)
        if "cutout" in self.policy:
            images = self._cut_out(images)
        if self.data_format == "channels_first":
            images = ops.moveaxis(images, -1, 1)
        return ops.cast(images, inputs.dtype)

    def _draw(self, images, ndim):
        """Draws per image: True with the probability, and two numbers."""
        shape = (3, ops.shape(images)[0], *[1] * (ndim - 1))
        numbers = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        return ops.less(numbers[0], self.probability), numbers[1], numbers[2]

    def _move(self, images):
        height, width, rows, columns = _grid(images)
        # This finds the source of each output pixel, so the last operation
        # comes first.
        if "translation" in self.policy:
            chosen, down, right = self._draw(images, 3)
            rows = rows - ops.where(chosen, _shift(down, height), 0)
            columns = columns - ops.where(chosen, _shift(right, width), 0)
        if "rotation" in self.policy:
            chosen, half, quarter = self._draw(images, 3)
            turn = chosen & (half < 0.5)
            rows, columns = (
                ops.where(turn, height - 1 - rows, rows),
                ops.where(turn, width - 1 - columns, columns),
            )
            turn = chosen & (quarter < 0.5)
            rows, columns = (
                ops.where(turn, columns, rows),
                ops.where(turn, width - 1 - rows, columns),
            )
        if "flip" in self.policy:
            chosen, half, _ = self._draw(images, 3)
            turn = chosen & (half < 0.5)
            columns = ops.where(turn, width - 1 - columns, columns)
        return _gather(images, rows, columns)

    def _cut_out(self, images):
        height, width, rows, columns = _grid(images)
        chosen, down, right = self._draw(images, 3)
        in_rows = _in_window(rows, down, height)
        in_columns = _in_window(columns, right, width)
        return _keep(images, ~(chosen & in_rows & in_columns))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "policy": self.policy,
            "seed": self.seed,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class DiffAugment(_Augment):
    """Augments the images that a discriminator sees, real and generated.

    With few real images, up to about ten thousand, a discriminator memorizes
    them and the generator gets worse after a while. As the first layer of the
    discriminator, `DiffAugment` changes each image at random, in the steps of
    both networks. Gradients pass through, so the generator does not learn to
    draw the changes, as it would if only the dataset were augmented.

    The layer acts only if `training` is true, as in the steps of `GAN`. Each
    image and each call gets new random numbers. The operations, in this order:

    - `"color"`: adds up to 0.5, up or down (brightness); multiplies the
      distance of each value from the mean of the pixel's channels by 0 to 2
      (saturation, without effect on images with one channel) and from the
      mean of the image by 0.5 to 1.5 (contrast). Values are not clipped.
    - `"flip"`: swaps left and right in half of the images.
    - `"rotation"`: rotates by 0, 90, 180 or 270 degrees. Square images only.
    - `"translation"`: shifts by up to an eighth of the height and width, and
      fills with 0.
    - `"cutout"`: sets a rectangle of half the height and half the width to 0.
      Its center is anywhere in the image.

    The paper uses the defaults. At a probability of 1, rotated or flipped
    generated images look as real as upright ones, so the generator may learn to
    draw them.

    Args:
        policy: Tuple of operations. Defaults to
            `("color", "translation", "cutout")`.
        probability: Probability of each operation for each image, from 0 to 1.
            Brightness, saturation and contrast count as three operations.
            Images without an operation do not change. Defaults to 1, as in the
            paper.
        seed: Integer seed. Defaults to `None`: drawn from Python's `random`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: the image data format of Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. Values in [-1, 1]: 0 is a medium gray.

    Output shape:
        Same as the input.

    Raises:
        ValueError: If an argument is invalid, or if `policy` contains
            `"rotation"` and the images are not square.

    Example:

    ```python
    import keras
    from gan_blocks.layers import DiffAugment, StridedConvBlock

    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            DiffAugment(),
            StridedConvBlock(8),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    images = keras.random.uniform((2, 8, 8, 3), -1.0, 1.0)
    assert discriminator(images, training=True).shape == (2, 1)
    ```

    Reference:
        Zhao et al., 2020, Differentiable Augmentation for Data-Efficient GAN
        Training, https://arxiv.org/abs/2006.10738
    """

    def __init__(
        self,
        policy: Sequence[str] = ("color", "translation", "cutout"),
        probability: float = 1.0,
        seed: int | None = None,
        data_format: DataFormat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, seed, data_format, **kwargs)
        if not 0 <= probability <= 1:
            raise ValueError(
                "`probability` must be from 0 to 1. "
                f"Received: probability={probability}"
            )
        self.probability = probability

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable(package="gan_blocks")
class AdaptiveAugment(_Augment):
    """Augments images only as much as the discriminator overfits.

    Works like `DiffAugment`, for small datasets where the right amount of
    augmentation is unknown. The probability starts at 0 and adapts during
    training. A discriminator that overfits is sure that the real images are
    real. After every `interval` batches, the probability rises if the mean sign
    of the logits of their real images is above `target`, and falls if it is
    below. A mean sign of 0.6 means that 80% of the real images have positive
    logits.

    `GAN` calls `observe` in each discriminator step, for a layer at any
    position in the discriminator. The probability is saved with the GAN.

    This layer has the following operations of the paper: flips, rotations by 90
    degrees, translation (without mirrored borders), brightness, contrast and
    saturation, as described in `DiffAugment`. It has no scaling, free rotation,
    hue, filters or noise. While an operation leaves many images unchanged, the
    generator learns to draw images without it, even for rotations.

    Args:
        policy: Tuple of operations, see `DiffAugment`. Leave out `"rotation"`
            if the images are not square. Defaults to
            `("color", "flip", "rotation", "translation")`.
        target: Target of the mean sign, between -1 and 1. Defaults to 0.6.
        images_to_adapt: Number of real images in which the probability can
            rise from 0 to 1. With several replicas, only the images of one
            replica count. Use fewer for a short training. Defaults to 500,000,
            as in the paper, which trains on 25 million images.
        maximum: Maximum of the probability, from 0 to 1. Defaults to 0.8. The
            paper finds that generated images do not look augmented up to this
            value.
        seed: Integer seed. Defaults to `None`: drawn from Python's `random`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `None`: the image data format of Keras.
        interval: Number of batches whose mean sign is compared with `target`.
            The mean sign of a single small batch takes few values, so it
            misses the target. Defaults to 4, as in the paper.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer. The
            probability does not change while `trainable` is False.

    Input shape:
        As in `DiffAugment`.

    Output shape:
        Same as the input.

    Raises:
        ValueError: If an argument is invalid, or if `policy` contains
            `"rotation"` and the images are not square.

    Example:

    ```python
    import numpy as np
    from gan_blocks.layers import AdaptiveAugment

    layer = AdaptiveAugment(images_to_adapt=1000)
    for _ in range(4):
        layer.observe(np.array([[3.0], [1.0]]))  # Both judged real.
    print(float(layer.probability))  # 0.008
    ```

    Reference:
        Karras et al., 2020, Training Generative Adversarial Networks with
        Limited Data, https://arxiv.org/abs/2006.06676
    """

    def __init__(
        self,
        policy: Sequence[str] = ("color", "flip", "rotation", "translation"),
        target: float = 0.6,
        images_to_adapt: int = 500_000,
        maximum: float = 0.8,
        seed: int | None = None,
        data_format: DataFormat | None = None,
        interval: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, seed, data_format, **kwargs)
        if not -1 < target < 1:
            raise ValueError(
                f"`target` must be between -1 and 1. Received: target={target}"
            )
        check_positive_integer("images_to_adapt", images_to_adapt)
        if not 0 <= maximum <= 1:
            raise ValueError(
                f"`maximum` must be from 0 to 1. Received: maximum={maximum}"
            )
        check_positive_integer("interval", interval)
        self.target = target
        self.images_to_adapt = images_to_adapt
        self.maximum = maximum
        self.interval = interval
        self.probability = self._add_state("probability", ())
        # Sum of the signs, number of images and number of batches since the
        # last change of the probability.
        self.observed = self._add_state("observed", (3,))

    def _add_state(self, name, shape):
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name=name,
            # The replicas of a distributed training share it.
            aggregation="mean",
        )

    def observe(self, real_logits: Tensor) -> None:
        """Adapts the probability to the logits of the real images of a batch.

        Args:
            real_logits: Tensor `(batch, ...)`, positive for images that the
                discriminator judges to be real. No gradient passes through.
        """
        if not self.trainable:
            return
        logits = ops.stop_gradient(ops.convert_to_tensor(real_logits))
        signs = ops.cast(ops.sign(logits), "float32")
        count = ops.shape(logits)[0]
        signs = ops.sum(ops.mean(ops.reshape(signs, (count, -1)), axis=1))
        batch = [signs, ops.cast(count, "float32"), ops.ones((), "float32")]
        observed = self.observed.value + ops.stack(batch)
        signs, images, batches = ops.unstack(observed)
        complete = batches >= self.interval
        change = ops.sign(signs / images - self.target)
        change = change * images / self.images_to_adapt
        self.probability.assign(
            ops.clip(
                self.probability.value + ops.where(complete, change, 0.0),
                0.0,
                self.maximum,
            )
        )
        self.observed.assign(ops.where(complete, 0.0, observed))

    def load_own_variables(self, store: Any) -> None:
        if len(store) == 1:  # A file of version 0.1.
            self.probability.assign(store["0"])
        else:
            super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "target": self.target,
            "images_to_adapt": self.images_to_adapt,
            "maximum": self.maximum,
            "interval": self.interval,
        }
