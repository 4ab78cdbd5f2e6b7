"""What tells one drawn cat from another: attributes by seed and index."""

import numbers

import numpy as np

# The values of each attribute; a cat has the place of one in the tuple.
CAT_ATTRIBUTES = {
    "fur": ("orange", "grey", "black", "white", "cream", "brown"),
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


def cat_attributes(seed, index):
    """Returns the attributes of one cat.

    Args:
        seed: Integer of at least 0.
        index: Integer of at least 0: which of the seed's cats.

    Returns:
        Dictionary from each attribute's name to its value: an integer for
        those of `CAT_ATTRIBUTES`, a float for the others.
    """
    generator = np.random.default_rng((seed, index))
    kinds = [len(values) for values in CAT_ATTRIBUTES.values()]
    low, high = zip(*_RANGES.values(), strict=True)
    values = generator.integers(kinds).tolist()
    values += generator.uniform(low, high).tolist()
    return dict(zip([*CAT_ATTRIBUTES, *_RANGES], values, strict=True))


def value_names(attributes):
    """Returns the names of the values that a cat has of `CAT_ATTRIBUTES`.

    Args:
        attributes: Dictionary, as `cat_attributes` makes it.

    Returns:
        Dictionary from each attribute's name to that of its value.
    """
    return {
        name: values[attributes[name]]
        for name, values in CAT_ATTRIBUTES.items()
    }


def check_arguments(number, image_size, seed):
    """Raises a `ValueError` for an argument that is not such an integer."""
    for name, value, least in (
        ("number", number, 1),
        ("image_size", image_size, 1),
        ("seed", seed, 0),
    ):
        if not (isinstance(value, numbers.Integral) and value >= least):
            raise ValueError(
                f"`{name}` must be an integer of at least {least}. "
                f"Received: {name}={value!r}"
            )
