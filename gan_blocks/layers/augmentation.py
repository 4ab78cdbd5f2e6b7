"""Augmentation that gradients pass through, for discriminators."""

import random

import keras
from keras import ops

from gan_blocks.layers.data_format import standardize

OPERATIONS = ("color", "flip", "rotation", "translation", "cutout")


def _brightness(images, change):
    return images + change


def _saturation(images, change):
    gray = ops.mean(images, -1, keepdims=True)
    return images + (images - gray) * (2.0 * change)


def _contrast(images, change):
    mean = ops.mean(images, (1, 2, 3), keepdims=True)
    return images + (images - mean) * change


def _whole(numbers, count):
    """Returns whole numbers from 0 to `count - 1`, made of ones in [0, 1)."""
    count = ops.cast(count, numbers.dtype)
    return ops.cast(ops.floor(numbers * count), "int32")


def _shift(numbers, size):
    """Returns shifts by up to an eighth, rounded, of the size."""
    limit = (size + 4) // 8
    return _whole(numbers, 2 * limit + 1) - limit


def _in_window(positions, numbers, size):
    """Returns which positions lie in a window of half the size, rounded up."""
    length = (size + 1) // 2
    # The centre of the window is anywhere, so that the border may cut it off.
    centre = _whole(numbers, size + 1 - length % 2)
    first = centre - length // 2
    return (positions >= first) & (positions < first + length)


def _masked(images, kept):
    """Returns the images, 0 where they are not kept."""
    # Several times faster on TensorFlow than `where`, which has to broadcast.
    return images * ops.cast(kept[..., None], images.dtype)


def _positions(images):
    """Returns the numbers of the rows and columns, `(1, rows, 1)` and so on."""
    height, width = ops.shape(images)[1:3]
    rows = ops.reshape(ops.arange(height, dtype="int32"), (1, -1, 1))
    columns = ops.reshape(ops.arange(width, dtype="int32"), (1, 1, -1))
    return height, width, rows, columns


def _pixels(images, rows, columns):
    """Returns images of the pixels at these places; outside they are 0."""
    batch, height, width, channels = ops.shape(images)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows = ops.clip(rows, 0, height - 1)
    columns = ops.clip(columns, 0, width - 1)
    image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1))
    # One gather from all pixels of all images is faster than one along an axis
    # and, unlike a product with one-hot matrices, exact on every device.
    index = (image * height + rows) * width + columns
    pixels = ops.take(ops.reshape(images, (-1, channels)), index, axis=0)
    return _masked(pixels, inside)


class _Augment(keras.layers.Layer):
    """Augments images with `self.probability`, which the subclass sets."""

    def __init__(self, policy, seed=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        policy = tuple(policy)
        if not policy or not set(policy) <= set(OPERATIONS):
            raise ValueError(
                f"`policy` must be a tuple of one or more of {OPERATIONS}. "
                f"Received: policy={policy}"
            )
        self.policy = policy
        self.seed = random.randint(1, 10**9) if seed is None else seed
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.data_format = standardize(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        """Checks the shape of the images."""
        first = self.data_format == "channels_first"
        height, width = input_shape[2:] if first else input_shape[1:3]
        if "rotation" in self.policy and height != width:
            raise ValueError(
                "`policy` must not contain 'rotation' where the images are not "
                f"square. Received: images of height {height} and width {width}"
            )

    def call(self, inputs, training=None):
        """Returns the images, augmented if `training`."""
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
        """Returns for each image: whether to do it, and two random numbers."""
        shape = (3, ops.shape(images)[0], *[1] * (ndim - 1))
        numbers = keras.random.uniform(
            shape, dtype="float32", seed=self.seed_generator
        )
        return ops.less(numbers[0], self.probability), numbers[1], numbers[2]

    def _move(self, images):
        height, width, rows, columns = _positions(images)
        # This follows a pixel back to where it comes from, so what is done to
        # the image last comes first.
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
        return _pixels(images, rows, columns)

    def _cut_out(self, images):
        height, width, rows, columns = _positions(images)
        chosen, down, right = self._draw(images, 3)
        in_rows = _in_window(rows, down, height)
        in_columns = _in_window(columns, right, width)
        return _masked(images, ~(chosen & in_rows & in_columns))

    def compute_output_shape(self, input_shape):
        """Returns the shape of the images."""
        return tuple(input_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "policy": self.policy,
            "seed": self.seed,
            "data_format": self.data_format,
        }


@keras.saving.register_keras_serializable(package="gan_blocks")
class DiffAugment(_Augment):
    """Augments what a discriminator sees, real and generated images alike.

    With few real images, up to some ten thousand, a discriminator learns them
    by heart and the generator gets worse again. As the first layer of the
    discriminator, this shows it each image changed at random, in its own step
    and in the generator's; the gradient passes through, so the generator is
    not led to draw the changes. Augmenting the data set instead would do
    just that.

    It acts where `training` is true only, as in the steps of `GAN`. Each image
    has its own random numbers, and each call new ones. The operations, in this
    order:

    - `"color"`: adds up to 0.5, up or down (brightness); multiplies the
      distance of each value from the mean of its pixel's channels by 0 to 2
      (saturation: nothing changes in images of one channel), and from the mean
      of the image by 0.5 to 1.5 (contrast). Nothing is clipped.
    - `"flip"`: swaps left and right in half of the images.
    - `"rotation"`: turns by 0, 90, 180 or 270 degrees. Square images only.
    - `"translation"`: moves by up to an eighth of height and width; what comes
      in is 0.
    - `"cutout"`: sets a rectangle of half the height and half the width, the
      centre of which is anywhere in the image, to 0.

    The paper has `"color"`, `"translation"` and `"cutout"`, the defaults. At
    a probability of 1 the generator cannot know which way is up if images are
    turned, nor which is left if they are flipped.

    Args:
        policy: Tuple of the operations, of the above. Defaults to
            `("color", "translation", "cutout")`.
        probability: Float from 0 to 1. Each of brightness, saturation,
            contrast and the other operations is done to each image with this
            probability, independently of the others. Defaults to 1, as in the
            paper. Images to which nothing is done stay exactly as they are.
        seed: Integer, or None to draw one. Defaults to None.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to None,
            the one set in Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        `(batch, height, width, channels)`, or `(batch, channels, height,
        width)` for `"channels_first"`. The values lie in [-1, 1], with 0 a
        medium gray.

    Output shape:
        That of the input.

    Raises:
        ValueError: If an argument is not one of the above, or if images that
            are not square would be turned.

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
        [Differentiable Augmentation for Data-Efficient GAN
        Training](https://arxiv.org/abs/2006.10738)
    """

    def __init__(
        self,
        policy=("color", "translation", "cutout"),
        probability=1.0,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(policy, seed, data_format, **kwargs)
        if not 0 <= probability <= 1:
            raise ValueError(
                "`probability` must be from 0 to 1. "
                f"Received: probability={probability}"
            )
        self.probability = probability

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "probability": self.probability}


@keras.saving.register_keras_serializable(package="gan_blocks")
class AdaptiveAugment(_Augment):
    """Augments only as much as the discriminator overfits.

    For small sets of images whose right amount of augmentation is not known:
    `DiffAugment` with a probability that starts at 0 and is found while the
    GAN is trained. The more real images the discriminator is sure of, the
    more it has learned them by heart. After each batch, the probability
    rises where the mean sign of the logits of the real images is above
    `target`, and falls where it is not. (A mean sign of 0.6 means that 80% of
    the real images are taken for real.)

    `GAN` calls `observe` in each step of a discriminator, wherever the layer
    stands in it. The probability is saved with the GAN.

    Of the paper's list this has the flips, the quarter turns, translation
    (here without mirrored borders), brightness, contrast and saturation, which
    act as described at `DiffAugment`; it has no scaling, free rotation, change
    of hue, filters or noise. As long as many images escape each operation, the
    generator learns to draw them without, even where images are turned. The
    paper adjusts by the mean sign over four batches, this by each batch.

    Args:
        policy: Tuple of the operations, see `DiffAugment`. Leave out
            `"rotation"` where images are not square. Defaults to
            `("color", "flip", "rotation", "translation")`.
        target: Float between -1 and 1, the mean sign aimed at. Defaults to
            0.6.
        images_to_adapt: Integer, the number of real images after which the
            probability would have risen from 0 to 1. Defaults to 500,000,
            the paper's, which trains on 25 million; choose less for short
            trainings. Of a distributed training, only the images of one
            replica count.
        maximum: Float from 0 to 1, the limit of the probability. Defaults to
            0.8, up to which the paper finds that generated images do not
            look augmented.
        seed: Integer, or None to draw one. Defaults to None.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to None,
            the one set in Keras.
        **kwargs: `name`, `dtype` and `trainable`, as in every Keras layer.

    Input shape:
        As in `DiffAugment`.

    Output shape:
        That of the input.

    Raises:
        ValueError: If an argument is not one of the above, or if images that
            are not square would be turned.

    Example:
    ```python
    import numpy as np
    from gan_blocks.layers import AdaptiveAugment

    layer = AdaptiveAugment(images_to_adapt=1000)
    layer.observe(np.array([[3.0], [1.0]]))  # All taken for real.
    print(float(layer.probability))  # 0.002
    ```

    Reference:
        [Training Generative Adversarial Networks with Limited
        Data](https://arxiv.org/abs/2006.06676)
    """

    def __init__(
        self,
        policy=("color", "flip", "rotation", "translation"),
        target=0.6,
        images_to_adapt=500_000,
        maximum=0.8,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(policy, seed, data_format, **kwargs)
        if not -1 < target < 1:
            raise ValueError(
                f"`target` must lie between -1 and 1. Received: target={target}"
            )
        if images_to_adapt < 1:
            raise ValueError(
                "`images_to_adapt` must be at least 1. "
                f"Received: images_to_adapt={images_to_adapt}"
            )
        if not 0 <= maximum <= 1:
            raise ValueError(
                f"`maximum` must be from 0 to 1. Received: maximum={maximum}"
            )
        self.target = target
        self.images_to_adapt = images_to_adapt
        self.maximum = maximum
        self.probability = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
            name="probability",
            # The replicas of a distributed training share it.
            aggregation="mean",
        )

    def observe(self, real_logits):
        """Adjusts the probability, by what a discriminator says of real images.

        Args:
            real_logits: Tensor `(batch, ...)`, positive where an image is
                taken for real. No gradient passes through.
        """
        logits = ops.stop_gradient(ops.convert_to_tensor(real_logits))
        sign = ops.mean(ops.cast(ops.sign(logits), "float32"))
        count = ops.cast(ops.shape(logits)[0], "float32")
        step = count / self.images_to_adapt
        step = ops.where(sign > self.target, step, -step)
        self.probability.assign(
            ops.clip(self.probability.value + step, 0.0, self.maximum)
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "target": self.target,
            "images_to_adapt": self.images_to_adapt,
            "maximum": self.maximum,
        }
