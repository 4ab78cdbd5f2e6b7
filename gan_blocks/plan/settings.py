"""The settings of a training run, and the GAN that they describe."""

import dataclasses
from typing import Any

import keras

from gan_blocks import layers, losses, networks, penalties
from gan_blocks._checks import check_positive_integer
from gan_blocks._precision import dtype_policy
from gan_blocks._screens import duration, table
from gan_blocks.gan.model import GAN

__all__ = [
    "AUGMENTATIONS",
    "EMA_MOMENTUM",
    "PRECISIONS",
    "Plan",
    "compile_gan",
]

_CHOSEN: Any = None  # Default of the fields that `__post_init__` chooses.
_LATENT_DIM = 100
_LABEL_DIM = 32  # Numbers per class that the generator learns.
_FEATURES = 128  # Computed from the latents by the generator of drawings.
_BETA_1 = 0.5  # Adam's momentum. The default of 0.9 makes GANs oscillate.
# The average is over about the last ninth of all steps, at most 10,000.
EMA_MOMENTUM = 0.9999
_POLICY = ("translation", "cutout")
AUGMENTATIONS = ("none", "diff", "adaptive")
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_MEASURED = "best in measurements"


@dataclasses.dataclass
class Plan:
    """Networks and settings to train a GAN on images of a given shape.

    The networks are those of DCGAN with few filters, so that the generator
    sees many images in little time. The generator has `layers.ResizeConvBlock`
    instead of transposed convolutions, and learns faster with it. Label
    smoothing, a lazy R1 penalty and a moving average of the generator keep the
    training stable at a high learning rate. The settings were measured with
    gray images of 28 pixels and color images of 28, 64 and 128 pixels.

    `make_plan` also chooses what depends on the images themselves, on their
    number and on the time. Settings that are not given depend on the shape
    alone.

    For gray images whose smallest feature map would have 6 or 7 pixels, such
    as images of 28 pixels, the discriminator has one more block.

    Args:
        image_shape: `(height, width, channels)` with 1, 3 or 4 channels. See
            `networks.dcgan_generator` for the sizes that are possible.
        num_classes: Number of classes of a conditional GAN. Defaults to
            `None`: the images have no labels.
        drawings: If True, the images are digits or other drawings, and not
            photographs. Without classes, the generator then starts from the
            latents and from features that a `DenseBlock` computes from them.
            With it, fewer digits are half one digit and half another, but
            photographs get much worse. Defaults to True for gray images.
        base_filters: Filters of the discriminator's first block. Defaults to
            64 for color images of up to 32 pixels, otherwise to 32.
        learning_rate: Learning rate of both networks. Defaults to 8e-4 for
            gray images and to 4e-4 for color images.
        batch_size: Images per training step. Defaults to 64.
        steps_per_round: Training steps between two pictures. Defaults to 125.
        rounds: Number of rounds. Defaults to 40.
        minutes: Time at which training ends, even if rounds are left. Defaults
            to `None`: no limit.
        augment: Augmentation of the real and the generated images: `"none"`,
            `"diff"` (`layers.DiffAugment`) or `"adaptive"`
            (`layers.AdaptiveAugment`). Defaults to `"none"`.
        flip: If True, half of the images are mirrored, left to right. Defaults
            to False for drawings, which may be digits or letters, and otherwise
            to True.
        precision: `"float32"`, or `"bfloat16"` to compute with 16 bits.
            Defaults to `"float32"`.
        seed: Seed of the weights, the noise and the order of the images.
            Defaults to 0.
        start_from: Name of the trained GAN that `fine_tune` continues. The
            plan then has no `base_filters`. Defaults to `None`: the networks
            are new.
        reasons: Why a setting was chosen, by the name of its row in the
            printed plan. Defaults to no reasons.

    Raises:
        ValueError: If a setting is out of its range, or if the networks cannot
            have this image shape.

    Example:

    ```python
    from gan_blocks.plan import Plan

    plan = Plan((28, 28, 1), rounds=20)
    print(plan)
    gan = plan.build()
    assert gan.generate(5).shape == (5, 28, 28, 1)
    ```
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None = None
    drawings: bool = _CHOSEN
    base_filters: int = _CHOSEN
    learning_rate: float = _CHOSEN
    batch_size: int = 64
    steps_per_round: int = 125
    rounds: int = 40
    minutes: float | None = None
    augment: str = "none"
    flip: bool = _CHOSEN
    precision: str = "float32"
    seed: int = 0
    start_from: str | None = None
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.image_shape) != 3 or self.image_shape[2] not in (1, 3, 4):
            raise ValueError(
                "`image_shape` must be (height, width, channels) with 1, 3 or "
                f"4 channels. Received: image_shape={self.image_shape}"
            )
        height, width, channels = self.image_shape
        self.image_shape = (height, width, channels)
        gray = channels == 1
        if self.drawings is None:
            self.drawings = gray
        names = ["batch_size", "steps_per_round", "rounds"]
        if self.start_from is None:
            # Raises an error if DCGAN's networks cannot have this size.
            networks.dcgan_discriminator(self.image_shape, base_filters=1)
            if self.base_filters is None:
                small = min(height, width) <= 32
                self.base_filters = 64 if small and not gray else 32
                self.reasons.setdefault("Networks", _MEASURED)
            names.append("base_filters")
        if self.learning_rate is None:
            self.learning_rate = 8e-4 if gray else 4e-4
            self.reasons.setdefault("Learning rate", _MEASURED)
        if self.flip is None:
            self.flip = not self.drawings
            self.reasons["Mirrored"] = (
                "drawings may be letters or digits"
                if self.drawings
                else "mirrored photographs usually look natural"
            )
        for name in names:
            check_positive_integer(name, getattr(self, name))
        for name in ("learning_rate", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}"
                )
        for name, choices in (
            ("augment", AUGMENTATIONS),
            ("precision", tuple(PRECISIONS)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"`{name}` must be one of {choices}. Received: "
                    f"{name}={getattr(self, name)!r}"
                )

    @property
    def steps(self) -> int:
        """The total number of training steps."""
        return self.steps_per_round * self.rounds

    def build(self) -> GAN:
        """Builds the GAN and compiles it.

        The initial weights depend on `seed` alone: Keras' global seed is set
        to it.

        Raises:
            ValueError: If the plan has a `start_from`.
        """
        if self.start_from is not None:
            raise ValueError(
                "`build` builds new networks, but the plan continues a trained "
                "GAN. Load it and use `fine_tune(gan, plan)`. Received: "
                f"start_from={self.start_from!r}"
            )
        keras.utils.set_random_seed(self.seed)
        with dtype_policy(PRECISIONS[self.precision]):
            gan = GAN(
                self._generator(),
                self._discriminator(),
                ema_momentum=EMA_MOMENTUM,
                num_classes=self.num_classes,
                seed=self.seed,
            )
        compile_gan(gan, self.learning_rate)
        return gan

    def augmentation(self) -> keras.layers.Layer | None:
        """Returns a new layer for `augment`, or `None` for `"none"`."""
        if self.augment == "diff":
            return layers.DiffAugment(_POLICY)
        if self.augment == "adaptive":
            return layers.AdaptiveAugment(_POLICY)
        return None

    def __str__(self) -> str:
        height, width, channels = self.image_shape
        kind = {1: "gray", 3: "color", 4: "color with transparency"}[channels]
        rows = {
            "Size": f"{height} x {width} pixels (height x width), {kind}",
            "Pictures": "drawings" if self.drawings else "",
            "Classes": str(self.num_classes or "none"),
            "Starts from": self.start_from or "",
            "Networks": f"DCGAN with {self.base_filters} base filters",
            "Learning rate": f"{self.learning_rate:g} (Adam, both networks)",
            "Batch size": str(self.batch_size),
            "Augmentation": self.augment,
            "Mirrored": "half of the pictures" if self.flip else "none",
            "Precision": self.precision,
            "Steps": f"{self.steps:,} ({self.steps_per_round} per round)",
            "Time": duration(60 * self.minutes) if self.minutes else "",
            "Seed": str(self.seed),
        }
        if self.start_from is not None:
            rows["Networks"] = "those of the trained GAN"
            rows["Learning rate"] = f"{self.learning_rate:g}"
        for name, reason in self.reasons.items():
            if rows.get(name):
                rows[name] += f": {reason}"
        return table({name: [text] for name, text in rows.items()})

    @property
    def _max_filters(self) -> int:
        return 8 * self.base_filters

    def _generator(self) -> keras.Model:
        inputs = code = latents = keras.Input((_LATENT_DIM,), name="latents")
        if self.num_classes is not None:
            labels = keras.Input((), dtype="int32", name="labels")
            label_code = keras.layers.Embedding(self.num_classes, _LABEL_DIM)
            code = keras.layers.Concatenate()([latents, label_code(labels)])
            inputs = [latents, labels]
        elif self.drawings:
            features = layers.DenseBlock(_FEATURES)(latents)
            code = keras.layers.Concatenate()([latents, features])
        generator = networks.dcgan_generator(
            self.image_shape,
            code.shape[1],
            self.base_filters,
            self._max_filters,
            block=layers.ResizeConvBlock,
            last_block=layers.ResizeConvBlock,
        )
        if code is latents:
            return generator
        return keras.Model(inputs, generator(code), name="generator")

    def _discriminator(self) -> keras.Model:
        network = networks.dcgan_discriminator(
            self.image_shape, self.base_filters, self._max_filters
        )
        *blocks, flatten, dense = network.layers
        *sides, filters = flatten.input.shape[1:]  # pyright: ignore
        one_more = self.image_shape[2] == 1 and min(sides) >= 6
        if self.augment == "none" and self.num_classes is None and not one_more:
            return network
        if one_more:
            blocks.append(layers.StridedConvBlock(2 * filters, kernel_size=3))
        if layer := self.augmentation():
            blocks.insert(0, layer)
        images = keras.Input(self.image_shape, name="images")
        features = images
        for layer in (*blocks, flatten):
            features = layer(features)
        if self.num_classes is None:
            head = keras.layers.Dense.from_config(dense.get_config())
            return keras.Model(images, head(features), name="discriminator")
        labels = keras.Input((), dtype="int32", name="labels")
        logits = layers.ProjectionHead(self.num_classes)([features, labels])
        return keras.Model([images, labels], logits, name="discriminator")


def compile_gan(gan: GAN, learning_rate: float) -> None:
    """Compiles a GAN with the loss, penalty and optimizers of all plans."""
    gan.compile(
        keras.optimizers.Adam(learning_rate, beta_1=_BETA_1),
        keras.optimizers.Adam(learning_rate, beta_1=_BETA_1),
        loss=losses.NonSaturating(label_smoothing=0.1),
        penalty=penalties.R1(0.1, interval=8),
    )
