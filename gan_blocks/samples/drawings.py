"""Draws cat faces with a pen: white lines on black."""

import math

import numpy as np
from PIL import Image, ImageDraw

from gan_blocks._checks import check_positive_integer
from gan_blocks.samples import cat_shapes as shapes
from gan_blocks.samples.cat_attributes import (
    Attributes,
    cat_attributes,
    check_arguments,
    value_names,
)

_WIDTH = 0.11  # of a line: 1.5 of 28 pixels, similar to Quick, Draw!
_MIN_CANVAS = 168  # pixels; cats are drawn large and then reduced
_MIN_REDUCTION = 3
_WAVE_HEIGHT = 0.03  # of each wave in a line


def line_cats(number: int, image_size: int = 28, seed: int = 0) -> np.ndarray:
    """Returns line drawings of cat faces, white on black.

    The drawings resemble Quick, Draw! cats and can train a dense GAN without a
    download. Cat `i` of a seed has the ears, eyes, mouth, whiskers and tilt of
    cat `i` in `synthetic_cats`. It has stripes on its forehead if its pattern
    is `"tabby"`. The width and height of the faces vary, and all lines are
    slightly wavy.

    Args:
        number: Number of cats, at least 1.
        image_size: Height and width in pixels, at least 1. The width of the
            lines suits the default of 28.
        seed: Integer of at least 0. Defaults to 0. Cat `i` of a seed is the
            same for every `number` and `image_size`.

    Returns:
        Array of uint8 of shape `(number, image_size, image_size, 1)`.

    Raises:
        ValueError: If an argument is out of range or not an integer.

    Example:

    ```python
    from gan_blocks import samples

    drawings = samples.line_cats(16)
    assert drawings.shape == (16, 28, 28, 1)
    ```

    Reference:
        The Quick, Draw! Dataset, whose cats these drawings resemble,
        https://github.com/googlecreativelab/quickdraw-dataset
    """
    check_arguments(number, seed)
    check_positive_integer("image_size", image_size)
    images = np.empty((number, image_size, image_size, 1), np.uint8)
    for index, image in enumerate(images):
        # A separate random stream, which leaves the attributes unchanged.
        generator = np.random.default_rng((seed, index, 1))
        drawn = draw_lines(cat_attributes(seed, index), generator, image_size)
        image[..., 0] = np.asarray(drawn)
    return images


def draw_lines(
    attributes: Attributes, generator: np.random.Generator, image_size: int
) -> Image.Image:
    """Returns a line drawing of one cat face, with random waves."""
    names = value_names(attributes)
    reduction = max(_MIN_REDUCTION, math.ceil(_MIN_CANVAS / image_size))
    side = reduction * image_size
    canvas = Image.new("L", (side, side))
    hand = _Hand(canvas, attributes, generator)
    for ear in shapes.EARS[names["ears"]]:
        hand.outline(ear)
    hand.outline(shapes.HEAD)
    if names["ears"] == "folded":
        for flap in shapes.FLAPS:
            hand.outline(flap)
    if names["pattern"] == "tabby":
        for x in (-0.2, 0, 0.2):
            hand.line(np.linspace((1.4 * x, -0.5), (x, -0.2), 6))
    _draw_eyes(hand, names)
    _draw_mouth(hand, names)
    _draw_whiskers(hand, attributes["whiskers"])
    return canvas.reduce(reduction)


class _Hand:
    """Draws wavy lines."""

    def __init__(
        self,
        image: Image.Image,
        attributes: Attributes,
        generator: np.random.Generator,
    ) -> None:
        self.draw = ImageDraw.Draw(image)
        self.generator = generator
        scale = image.width / 2
        stretch = generator.uniform((0.72, 0.70), (0.90, 0.92))
        rotation = shapes.rotated(np.eye(2), attributes["tilt"])
        self.matrix = scale * np.diag(stretch) @ rotation
        self.center = scale * (1 + generator.uniform(-0.05, 0.05, 2))
        self.width = scale * generator.uniform(0.9, 1.1) * _WIDTH

    def outline(self, shape: np.ndarray) -> None:
        """Draws the outline of a shape and clears its inside."""
        shape = self._wavy(shape, closed=True)
        self._fill(shapes.grown(shape, self.width / 2), 255)
        self._fill(shapes.grown(shape, -self.width / 2), 0)

    def dot(self, shape: np.ndarray) -> None:
        self._fill(self._wavy(shape, closed=True), 255)

    def line(self, line: np.ndarray) -> None:
        self._fill(shapes.ribbon(self._wavy(line), self.width), 255)

    def _fill(self, shape: np.ndarray, brightness: int) -> None:
        self.draw.polygon(shape.ravel().tolist(), brightness)

    def _wavy(self, points: np.ndarray, closed: bool = False) -> np.ndarray:
        # Whole periods let the ends of a closed line meet.
        waves = (1, 2) if closed else (0.4, 0.9)
        along = np.linspace(0, 2 * np.pi, len(points), endpoint=not closed)
        phases = self.generator.uniform(0, 2 * np.pi, (2, 2, 1))
        for wave, phase in zip(waves, phases, strict=True):
            points = points + _WAVE_HEIGHT * np.sin(wave * along + phase).T
        return points @ self.matrix + self.center


def _draw_eyes(hand: _Hand, names: dict[str, str]) -> None:
    shape, pupil = names["eye_shape"], names["pupils"]
    for eye, round_pupil in zip(
        shapes.EYES[shape], shapes.PUPILS["round"], strict=True
    ):
        x, y = eye.mean(axis=0)
        if shape == "sleepy":
            hand.line(shapes.arc(x, y - 0.05, 0.19, 0.15, 10, 170))
        elif shape == "almond" and pupil == "round":
            hand.outline(eye)
        elif shape == "almond":
            hand.dot((eye - (x, y)) * 0.65 + (x, y))
        elif pupil == "round":
            hand.dot(round_pupil)
        else:
            hand.line(np.linspace((x, y - 0.17), (x, y + 0.17), 5))


def _draw_mouth(hand: _Hand, names: dict[str, str]) -> None:
    hand.dot(shapes.NOSE)
    for lip in shapes.LIPS:
        hand.line(lip * (1.6, 1.3) - (0, 0.11))
    if names["mouth"] == "tongue":
        hand.line(shapes.arc(0, 0.64, 0.10, 0.14, 180, 0))


def _draw_whiskers(hand: _Hand, droop: float) -> None:
    for degrees, root in shapes.WHISKER_ROOTS.items():
        whisker = shapes.rotated(shapes.WHISKER * 1.15, droop + 2 * degrees)
        whisker = np.linspace(whisker[0], whisker[1], 7) + root + (0.12, -0.16)
        for line in shapes.pair(whisker):
            hand.line(line)
