"""Draws cat faces in color."""

import copy
import functools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, overload

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from gan_blocks._checks import height_and_width
from gan_blocks.samples import cat_shapes as shapes
from gan_blocks.samples.cat_attributes import (
    Attributes,
    cat_attributes,
    check_arguments,
    value_names,
)

_Color: TypeAlias = str | int


class _Fur(NamedTuple):
    coat: str
    deep: str  # darker: ears, cheeks, lids
    stripes: str
    muzzle: str
    bib: str
    patches: tuple[str, str]
    points: tuple[str, str, str]  # edge of the mask, mask, muzzle
    ink: str
    whiskers: str


_FURS = {
    "orange": _Fur(
        coat="#f6a052",
        deep="#ec8b3c",
        stripes="#d26a28",
        muzzle="#fee3c0",
        bib="#fff6e9",
        patches=("#7b4a34", "#fff6e9"),
        points=("#d97a38", "#b3572a", "#cf7f4f"),
        ink="#7c3a17",
        whiskers="#fff6e9",
    ),
    "gray": _Fur(
        coat="#a5b1bf",
        deep="#92a0b1",
        stripes="#6b798c",
        muzzle="#dfe6ec",
        bib="#fafbfc",
        patches=("#5b6678", "#f6f2ea"),
        points=("#7e8b9d", "#566276", "#7c899c"),
        ink="#3d4655",
        whiskers="#fafbfc",
    ),
    "black": _Fur(
        coat="#4f4a5c",
        deep="#423d4e",
        stripes="#7d7689",
        muzzle="#817a8d",
        bib="#fbf6ee",
        patches=("#d98643", "#fbf6ee"),
        points=("#383342", "#25212b", "#4a4456"),
        ink="#1d1a22",
        whiskers="#fbf6ee",
    ),
    "white": _Fur(
        coat="#fdf9f3",
        deep="#efe6da",
        stripes="#d3c4b3",
        muzzle="#ffffff",
        bib="#bfc6d2",
        patches=("#ef9d52", "#5a5260"),
        points=("#d8c3b2", "#9b7a68", "#b99b8a"),
        ink="#7b6a63",
        whiskers="#7b6a63",
    ),
    "cream": _Fur(
        coat="#f9e0b5",
        deep="#f0cd97",
        stripes="#d7a566",
        muzzle="#fff5e2",
        bib="#fffaf2",
        patches=("#c78a4e", "#fffaf2"),
        points=("#d5ab7c", "#9a6a48", "#b88a66"),
        ink="#86592f",
        whiskers="#86592f",
    ),
    "brown": _Fur(
        coat="#b07b54",
        deep="#9c6a45",
        stripes="#744829",
        muzzle="#eacdac",
        bib="#fdf3e6",
        patches=("#4f3226", "#eeb276"),
        points=("#84563a", "#583526", "#7d5542"),
        ink="#45281a",
        whiskers="#fdf3e6",
    ),
}
_IRISES = {  # right and left
    "green": ("#8fd152", "#8fd152"),
    "gold": ("#fdc53f", "#fdc53f"),
    "blue": ("#62bbf0", "#62bbf0"),
    "odd": ("#fdc53f", "#62bbf0"),
}
_BACKGROUNDS = {  # center and edge
    "teal": ("#bfe8e0", "#66bdb8"),
    "rose": ("#fbd3cf", "#ee9a9c"),
    "yellow": ("#fdeeb5", "#f5c657"),
    "sky": ("#d3e9fa", "#86b9e6"),
    "lavender": ("#e2d9f6", "#ae9ade"),
    "sage": ("#dfeecb", "#9fc98d"),
}
_DARK = "#2e2229"
_PINK = "#f8b0ac"
_NOSE = "#ea7a82"
_TONGUE = "#f28a92"
_BLUSH = "#ff6f7d50"

# Cats are drawn large and then reduced, because Pillow's edges are not smooth.
_MIN_CANVAS = 192  # pixels
_MIN_REDUCTION = 3

_SILHOUETTES = {
    name: [*ears, *shapes.CHEEKS, shapes.HEAD]
    for name, ears in shapes.EARS.items()
}
_OUTLINES = {
    name: [shapes.grown(part, 0.05) for part in parts]
    for name, parts in _SILHOUETTES.items()
}
_RIMS = {
    name: [shapes.grown(eye, 0.04) for eye in eyes]
    for name, eyes in shapes.EYES.items()
}
_FLAP_OUTLINES = [shapes.grown(flap, 0.045) for flap in shapes.FLAPS]
_NOSE_OUTLINE = shapes.grown(shapes.NOSE, 0.025)
_TONGUE_OUTLINE = shapes.grown(shapes.TONGUE, 0.03)
_LIPS = [shapes.ribbon(lip, 0.04) for lip in shapes.LIPS]
_WHISKER = shapes.ribbon(shapes.WHISKER, 0.035, 0.015)


@overload
def synthetic_cats(
    number: int,
    image_size: int | tuple[int, int] = 64,
    seed: int = 0,
    return_attributes: Literal[False] = False,
) -> np.ndarray: ...


@overload
def synthetic_cats(
    number: int,
    image_size: int | tuple[int, int] = 64,
    seed: int = 0,
    *,
    return_attributes: Literal[True],
) -> tuple[np.ndarray, dict[str, np.ndarray]]: ...


def synthetic_cats(
    number: int,
    image_size: int | tuple[int, int] = 64,
    seed: int = 0,
    return_attributes: bool = False,
) -> np.ndarray | tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns drawings of cat faces, in color.

    The cats are a data set for a first GAN. They need no download, have large
    simple shapes, and their number is not limited.

    Their distribution is known exactly, so the modes that a GAN generates can
    be counted. The attributes in `CAT_ATTRIBUTES` are independent, and the
    values of an attribute are equally likely. This gives 25,920 kinds of cats
    (modes), the product of the numbers of values. Five more attributes are
    continuous, independent and uniform:

    - `"tilt"`: rotation of the head, from -9 to 9 degrees, clockwise.
    - `"whiskers"`: how far the whiskers droop, from -10 to 15 degrees.
    - `"size"`: size of the face, from 0.92 to 1.
    - `"x"` and `"y"`: position of the face to the right of and below the
      center, from -0.03 to 0.03 times half the shorter side.

    One core draws about 1,000 cats of up to 64 pixels per second.

    Args:
        number: Number of cats, at least 1.
        image_size: `(height, width)` in pixels, or one integer for both, at
            least 1. Defaults to 64. Cats are recognizable from 16 pixels, all
            attributes from 32.
        seed: Integer of at least 0. Defaults to 0. Cat `i` of a seed is the
            same for every `number` and `image_size`.
        return_attributes: If True, also returns the attributes of the cats.
            Defaults to False.

    Returns:
        Array of uint8 of shape `(number, height, width, 3)`. With
        `return_attributes`, a tuple of this array and a dictionary. The
        dictionary maps the name of each attribute to an array with one value
        per cat: an integer index into the values of `CAT_ATTRIBUTES`, or a
        float for a continuous attribute.

    Raises:
        ValueError: If an argument is out of range or not an integer.

    Example:

    ```python
    from gan_blocks import samples

    cats, attributes = samples.synthetic_cats(16, return_attributes=True)
    assert cats.shape == (16, 64, 64, 3)
    furs = samples.CAT_ATTRIBUTES["fur"]
    print("The first cat is", furs[attributes["fur"][0]])
    ```
    """
    size = height_and_width(image_size)
    check_arguments(number, seed)
    attributes = [cat_attributes(seed, index) for index in range(number)]
    images = np.empty((number, *size, 3), np.uint8)
    for image, of_one in zip(images, attributes, strict=True):
        image[...] = np.asarray(draw_cat(of_one, *size))
    if not return_attributes:
        return images
    return images, {
        name: np.array([of_one[name] for of_one in attributes])
        for name in attributes[0]
    }


def draw_cat(attributes: Attributes, height: int, width: int) -> Image.Image:
    """Returns a drawing of one cat face, in color."""
    names = value_names(attributes)
    fur = _FURS[names["fur"]]
    side = min(height, width)
    reduction = max(_MIN_REDUCTION, math.ceil(_MIN_CANVAS / side))
    size = (reduction * width, reduction * height)
    canvas = _background(names["background"], size).copy()
    mask = Image.new("L", canvas.size)
    coat = Image.new("RGB", canvas.size, fur.deep)
    pen = _Pen(canvas, attributes)
    pen.fill(fur.ink, *_OUTLINES[names["ears"]])
    pen.on(mask).fill(255, *_SILHOUETTES[names["ears"]])
    _draw_coat(pen.on(coat), names, fur)
    canvas.paste(coat, mask=mask)
    _draw_ears(pen, names, fur)
    _draw_muzzle(pen, names, fur)
    _draw_whiskers(pen, fur, attributes["whiskers"])
    _draw_eyes(pen, names, fur)
    return canvas.reduce(reduction)


@functools.lru_cache(maxsize=len(_BACKGROUNDS))
def _background(name: str, size: tuple[int, int]) -> Image.Image:
    glow = Image.radial_gradient("L").resize(size)
    return ImageOps.colorize(glow, *_BACKGROUNDS[name])


class _Pen:
    """Fills shapes, at the position, size and tilt of a cat's attributes."""

    def __init__(self, image: Image.Image, attributes: Attributes) -> None:
        side = min(image.size)
        scale = side / 2
        self.matrix = shapes.rotated(np.eye(2), attributes["tilt"])
        self.matrix *= scale * attributes["size"]
        self.center = (
            scale * (image.width / side + attributes["x"]),
            scale * (image.height / side + attributes["y"]),
        )
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def on(self, image: Image.Image, mode: str | None = None) -> "_Pen":
        """Returns the same pen for another image, or in another mode."""
        pen = copy.copy(self)
        pen.draw = ImageDraw.Draw(image, mode)
        return pen

    def fill(self, color: _Color, *filled: np.ndarray) -> None:
        for shape in filled:
            points = shape @ self.matrix + self.center
            self.draw.polygon(points.ravel().tolist(), color)

    def fill_pair(
        self, colors: Sequence[_Color], filled: Sequence[np.ndarray]
    ) -> None:
        for shape, color in zip(filled, colors, strict=True):
            self.fill(color, shape)


def _draw_coat(pen: _Pen, names: dict[str, str], fur: _Fur) -> None:
    pattern = names["pattern"]
    if pattern == "points":
        pen.fill(fur.points[1], *shapes.EARS[names["ears"]])
    pen.fill(fur.deep, shapes.HEAD)
    pen.fill(fur.coat, shapes.HEAD * 0.97 - (0, 0.05))
    if pattern == "tabby":
        pen.fill(fur.stripes, *shapes.STRIPES)
    elif pattern == "tuxedo":
        pen.fill(fur.bib, shapes.BIB)
    elif pattern == "calico":
        pen.fill_pair(fur.patches, shapes.PATCHES)
    elif pattern == "points":
        pen.fill(fur.points[0], shapes.grown(shapes.MASK, 0.06))
        pen.fill(fur.points[1], shapes.MASK)


def _draw_ears(pen: _Pen, names: dict[str, str], fur: _Fur) -> None:
    if names["ears"] != "folded":
        pen.fill(_PINK, *shapes.INNER_EARS[names["ears"]])
        return
    backs = {"calico": fur.patches, "points": (fur.points[1],) * 2}
    pen.fill(fur.ink, *_FLAP_OUTLINES)
    pen.fill_pair(backs.get(names["pattern"], (fur.deep,) * 2), shapes.FLAPS)


def _draw_muzzle(pen: _Pen, names: dict[str, str], fur: _Fur) -> None:
    muzzle = {"tuxedo": fur.bib, "points": fur.points[2]}
    pen.fill(muzzle.get(names["pattern"], fur.muzzle), *shapes.MUZZLE)
    pen.on(pen.image, "RGBA").fill(_BLUSH, *shapes.BLUSH)
    if names["mouth"] == "tongue":
        pen.fill(_DARK, _TONGUE_OUTLINE)
        pen.fill(_TONGUE, shapes.TONGUE)
    pen.fill(_DARK, *_LIPS, _NOSE_OUTLINE)
    pen.fill(_NOSE, shapes.NOSE)


def _draw_whiskers(pen: _Pen, fur: _Fur, droop: float) -> None:
    for degrees, root in shapes.WHISKER_ROOTS.items():
        whisker = shapes.rotated(_WHISKER, droop + degrees) + root
        pen.fill(fur.whiskers, *shapes.pair(whisker))


def _draw_eyes(pen: _Pen, names: dict[str, str], fur: _Fur) -> None:
    pen.fill(_DARK, *_RIMS[names["eye_shape"]])
    pen.fill_pair(_IRISES[names["eyes"]], shapes.EYES[names["eye_shape"]])
    pen.fill(_DARK, *shapes.PUPILS[names["pupils"]])
    pen.fill("white", *shapes.GLINTS)
    if names["eye_shape"] == "sleepy":
        points = names["pattern"] == "points"
        pen.fill(fur.points[0] if points else fur.deep, *shapes.LIDS)
        pen.fill(_DARK, *shapes.LASHES)
