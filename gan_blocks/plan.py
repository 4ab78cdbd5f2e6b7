"""Networks and settings that work for most folders of pictures."""

import dataclasses
from typing import Any

import keras

from gan_blocks import losses, networks, penalties
from gan_blocks._checks import check_positive_integer
from gan_blocks.gan.model import GAN
from gan_blocks.layers import ProjectionHead, StridedConvBlock

__all__ = ["Plan"]

_CHOSEN: Any = None  # Default of the fields that `__post_init__` chooses.
_LATENT_DIM = 100
_LABEL_DIM = 32  # Numbers per class that the generator learns.
_BETA_1 = 0.5  # Adam's momentum. The default of 0.9 makes GANs oscillate.
_EMA_MOMENTUM = 0.999


@dataclasses.dataclass
class Plan:
    """Chooses networks and training settings for images of a given shape.

    The networks are those of DCGAN with few filters, so that the generator
    sees many images in little time. Label smoothing, a lazy R1 penalty and a
    moving average of the generator keep the training stable at a high learning
    rate. The settings were measured with gray images of 28 pixels and color
    images of 28 and 64 pixels.

    For gray images whose smallest feature map would have 6 or 7 pixels, such
    as images of 28 pixels, the discriminator has one more block.

    Args:
        image_shape: `(height, width, channels)` with 1, 3 or 4 channels. See
            `networks.dcgan_generator` for the sizes that are possible.
        num_classes: Number of classes of a conditional GAN. Defaults to
            `None`: the images have no labels.
        base_filters: Filters of the discriminator's first block. Defaults to
            64 for color images of up to 32 pixels, otherwise to 32.
        learning_rate: Learning rate of both networks. Defaults to 8e-4 for
            gray images and to 4e-4 for color images.
        batch_size: Images per training step. Defaults to 64.
        epochs: Number of passes over the images. Defaults to 100.
        flip: If True, half of the images are mirrored, left to right. Defaults
            to True for color images and to False for gray images, which may
            be digits or letters.
        seed: Seed of the weights, the noise and the order of the images.
            Defaults to 0.

    Raises:
        ValueError: If a number is not positive, or if the networks cannot
            have this image shape.

    Example:

    ```python
    from gan_blocks.plan import Plan

    plan = Plan((28, 28, 1), epochs=20)
    print(plan)
    gan = plan.build()
    assert gan.generate(5).shape == (5, 28, 28, 1)
    ```
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None = None
    base_filters: int = _CHOSEN
    learning_rate: float = _CHOSEN
    batch_size: int = 64
    epochs: int = 100
    flip: bool = _CHOSEN
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.image_shape) != 3 or self.image_shape[2] not in (1, 3, 4):
            raise ValueError(
                "`image_shape` must be (height, width, channels) with 1, 3 or "
                f"4 channels. Received: image_shape={self.image_shape}"
            )
        height, width, channels = self.image_shape
        self.image_shape = (height, width, channels)
        # Raises an error if DCGAN's networks cannot have this size.
        networks.dcgan_discriminator(self.image_shape, base_filters=1)
        gray = channels == 1
        if self.base_filters is None:
            small = min(height, width) <= 32
            self.base_filters = 64 if small and not gray else 32
        if self.learning_rate is None:
            self.learning_rate = 8e-4 if gray else 4e-4
        if self.flip is None:
            self.flip = not gray
        for name in ("base_filters", "batch_size", "epochs"):
            check_positive_integer(name, getattr(self, name))
        if self.learning_rate <= 0:
            raise ValueError(
                "`learning_rate` must be positive. Received: "
                f"learning_rate={self.learning_rate}"
            )

    def build(self) -> GAN:
        """Builds the GAN and compiles it.

        The initial weights depend on `seed` alone: Keras' global seed is set
        to it.
        """
        keras.utils.set_random_seed(self.seed)
        gan = GAN(
            self._generator(),
            self._discriminator(),
            ema_momentum=_EMA_MOMENTUM,
            num_classes=self.num_classes,
            seed=self.seed,
        )
        gan.compile(
            keras.optimizers.Adam(self.learning_rate, beta_1=_BETA_1),
            keras.optimizers.Adam(self.learning_rate, beta_1=_BETA_1),
            loss=losses.NonSaturating(label_smoothing=0.1),
            penalty=penalties.R1(0.1, interval=8),
        )
        return gan

    def __str__(self) -> str:
        height, width, channels = self.image_shape
        kind = {1: "gray", 3: "color", 4: "color with transparency"}[channels]
        rows = {
            "Images": f"{height} x {width} pixels, {kind}",
            "Classes": self.num_classes or "none",
            "Networks": f"DCGAN with {self.base_filters} base filters",
            "Learning rate": f"{self.learning_rate:g} (Adam, both networks)",
            "Batch size": self.batch_size,
            "Epochs": self.epochs,
            "Mirrored": "half of the images" if self.flip else "none",
            "Seed": self.seed,
        }
        return "\n".join(f"{name:<15}{value}" for name, value in rows.items())

    @property
    def _max_filters(self) -> int:
        return 8 * self.base_filters

    def _generator(self) -> keras.Model:
        code_dim = _LATENT_DIM + (_LABEL_DIM if self.num_classes else 0)
        generator = networks.dcgan_generator(
            self.image_shape, code_dim, self.base_filters, self._max_filters
        )
        if self.num_classes is None:
            return generator
        latents = keras.Input((_LATENT_DIM,), name="latents")
        labels = keras.Input((), dtype="int32", name="labels")
        code = keras.layers.Embedding(self.num_classes, _LABEL_DIM)(labels)
        code = keras.layers.Concatenate()([latents, code])
        return keras.Model([latents, labels], generator(code), name="generator")

    def _discriminator(self) -> keras.Model:
        network = networks.dcgan_discriminator(
            self.image_shape, self.base_filters, self._max_filters
        )
        *blocks, flatten, dense = network.layers
        *sides, filters = flatten.input.shape[1:]  # pyright: ignore
        one_more = self.image_shape[2] == 1 and min(sides) >= 6
        if self.num_classes is None and not one_more:
            return network
        if one_more:
            blocks.append(StridedConvBlock(2 * filters, kernel_size=3))
        images = keras.Input(self.image_shape, name="images")
        features = images
        for layer in (*blocks, flatten):
            features = layer(features)
        if self.num_classes is None:
            head = keras.layers.Dense.from_config(dense.get_config())
            return keras.Model(images, head(features), name="discriminator")
        labels = keras.Input((), dtype="int32", name="labels")
        logits = ProjectionHead(self.num_classes)([features, labels])
        return keras.Model([images, labels], logits, name="discriminator")
