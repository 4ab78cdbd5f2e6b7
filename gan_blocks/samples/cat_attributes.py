"""Attributes of the drawn cats, drawn at random from a seed and an index."""

from typing import TypeAlias

import numpy as np

from gan_blocks._checks import check_positive_integer

# The possible values of each attribute. A cat stores the index of its value.
CAT_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "fur": ("orange", "gray", "black", "white", "cream", "brown"),
    "pattern": ("plain", "tabby", "tuxedo", "calico", "points"),
    "ears": ("pointed", "round", "folded"),
    "eyes": ("green", "gold", "blue", "odd"),
    "eye_shape": ("round", "almond", "sleepy"),
    "pupils": ("round", "slit"),
    "mouth": ("smile", "tongue"),
    "background": ("teal", "rose", "yellow", "sky", "lavender", "sage"),
}

# Narrow, so that features stay in about the same place.
_RANGES = {
    "tilt": (-9, 9),
    "whiskers": (-10, 15),
    "size": (0.92, 1.0),
    "x": (-0.03, 0.03),
    "y": (-0.03, 0.03),
}

# Integers for the names in `CAT_ATTRIBUTES`, floats for those in `_RANGES`.
Attributes: TypeAlias = dict[str, int | float]


def cat_attributes(seed: int, index: int) -> Attributes:
    """Returns the attributes of one cat of a seed."""
    generator = np.random.default_rng((seed, index))
    counts = [len(values) for values in CAT_ATTRIBUTES.values()]
    low, high = zip(*_RANGES.values(), strict=True)
    values = generator.integers(counts).tolist()
    values += generator.uniform(low, high).tolist()
    return dict(zip([*CAT_ATTRIBUTES, *_RANGES], values, strict=True))


def value_names(attributes: Attributes) -> dict[str, str]:
    """Returns the names of the values that a cat has of `CAT_ATTRIBUTES`."""
    return {
        name: values[int(attributes[name])]
        for name, values in CAT_ATTRIBUTES.items()
    }


def check_arguments(number: int, seed: int) -> None:
    """Raises a `ValueError` if an argument of a drawing function is wrong."""
    check_positive_integer("number", number)
    check_positive_integer("seed", seed, minimum=0)
