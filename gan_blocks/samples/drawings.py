"""Faces of cats, drawn with a pen: white lines on black."""

import math

import numpy as np
from PIL import Image, ImageDraw

from gan_blocks.samples import cat_shapes as shapes
from gan_blocks.samples.cat_attributes import (
    cat_attributes,
    check_arguments,
    value_names,
)

_WIDTH = 0.11  # of a line: 1.5 of 28 pixels, about as in Quick, Draw!
_LEAST_CANVAS = 168
_LEAST_TIMES = 3
_STRAY = 0.03  # height of each wave in a line


def line_cats(number, image_size=28, seed=0):
    """Returns cats' faces drawn with a pen: white lines on black.

    The cats of `synthetic_cats`, in the manner of Quick, Draw!: what a dense
    GAN can be tried on without a network. Cat `i` of a seed has the ears, the
    eyes, the mouth, the whiskers and the tilt of that seed's cat `i` there,
    and stripes on its forehead if its pattern is `"tabby"`. Each is wider or
    taller than the next, and no line is quite where it should be.

    Args:
        number: How many cats, at least 1.
        image_size: Height and width in pixels, at least 1. Defaults to 28,
            for which the lines are made.
        seed: Integer of at least 0. Defaults to 0. The cats of a seed are the
            same, and in the same order, whatever the number and the size.

    Returns:
        Array of uint8 and shape `(number, image_size, image_size, 1)`.

    Raises:
        ValueError: If an argument is not such an integer.

    Example:

    ```python
    from gan_blocks import samples

    drawings = samples.line_cats(16)
    assert drawings.shape == (16, 28, 28, 1)
    ```

    Reference:
        The Quick, Draw! Dataset, whose cats these resemble,
        https://github.com/googlecreativelab/quickdraw-dataset
    """
    check_arguments(number, image_size, seed)
    images = np.empty((number, image_size, image_size, 1), np.uint8)
    for index, image in enumerate(images):
        # A stream of its own, so that the attributes stay the cat's.
        generator = np.random.default_rng((seed, index, 1))
        drawn = draw_lines(cat_attributes(seed, index), generator, image_size)
        image[..., 0] = drawn
    return images


def draw_lines(attributes, generator, image_size):
    """Returns one cat's face, drawn by a hand that trembles at random.

    Args:
        attributes: Dictionary, as `cat_attributes` makes it.
        generator: `numpy.random.Generator` of the hand's movements.
        image_size: Height and width in pixels.

    Returns:
        A `PIL.Image.Image` in grey.
    """
    names = value_names(attributes)
    times = max(_LEAST_TIMES, math.ceil(_LEAST_CANVAS / image_size))
    canvas = Image.new("L", (times * image_size,) * 2)
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
    return canvas.reduce(times)


class _Hand:
    """Draws lines that stray a little from where they should be."""

    def __init__(self, image, attributes, generator):
        self.draw = ImageDraw.Draw(image)
        self.generator = generator
        scale = image.width / 2
        stretch = generator.uniform((0.72, 0.70), (0.90, 0.92))
        turned = shapes.turned(np.eye(2), attributes["tilt"])
        self.matrix = scale * np.diag(stretch) @ turned
        self.middle = scale * (1 + generator.uniform(-0.05, 0.05, 2))
        self.width = scale * generator.uniform(0.9, 1.1) * _WIDTH

    def outline(self, shape):
        """Draws around a shape, whose inside hides what was there before."""
        shape = self._strayed(shape, closed=True)
        self._fill(shapes.grown(shape, self.width / 2), 255)
        self._fill(shapes.grown(shape, -self.width / 2), 0)

    def dot(self, shape):
        self._fill(self._strayed(shape, closed=True), 255)

    def line(self, line):
        self._fill(shapes.ribbon(self._strayed(line), self.width), 255)

    def _fill(self, shape, brightness):
        self.draw.polygon(shape.ravel().tolist(), brightness)

    def _strayed(self, points, closed=False):
        # Waves of whole turns meet again where a closed line ends.
        waves = (1, 2) if closed else (0.4, 0.9)
        along = np.linspace(0, 2 * np.pi, len(points), endpoint=not closed)
        phases = self.generator.uniform(0, 2 * np.pi, (2, 2, 1))
        for wave, phase in zip(waves, phases, strict=True):
            points = points + _STRAY * np.sin(wave * along + phase).T
        return points @ self.matrix + self.middle


def _draw_eyes(hand, names):
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


def _draw_mouth(hand, names):
    hand.dot(shapes.NOSE)
    for lip in shapes.LIPS:
        hand.line(lip * (1.6, 1.3) - (0, 0.11))
    if names["mouth"] == "tongue":
        hand.line(shapes.arc(0, 0.64, 0.10, 0.14, 180, 0))


def _draw_whiskers(hand, droop):
    for turn, root in shapes.WHISKER_ROOTS.items():
        whisker = shapes.turned(shapes.WHISKER * 1.15, droop + 2 * turn)
        whisker = np.linspace(*whisker, 7) + root + (0.12, -0.16)
        for line in shapes.pair(whisker):
            hand.line(line)
