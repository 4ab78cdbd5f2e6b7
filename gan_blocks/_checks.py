"""Checks of arguments that several modules share."""

import numbers


def check_positive_integer(name: str, value: object, minimum: int = 1) -> None:
    """Raises a `ValueError` unless `value` is an integer of at least `minimum`.

    NumPy integers are accepted, booleans are not.
    """
    if (
        not isinstance(value, numbers.Integral)
        or isinstance(value, bool)
        or value < minimum
    ):
        wanted = (
            "a positive integer"
            if minimum == 1
            else f"an integer of at least {minimum}"
        )
        raise ValueError(
            f"`{name}` must be {wanted}. Received: {name}={value!r}"
        )


def height_and_width(image_size: object) -> tuple[int, int]:
    """Returns `(height, width)` of such a pair, or of one integer for both."""
    if isinstance(image_size, numbers.Integral):
        image_size = (image_size, image_size)
    if not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(isinstance(x, numbers.Integral) and x >= 1 for x in image_size)  # pyright: ignore[reportOperatorIssue]
    ):
        raise ValueError(
            "`image_size` must be a positive integer or a pair of them, "
            f"(height, width). Received: image_size={image_size!r}"
        )
    return int(image_size[0]), int(image_size[1])


def as_seed(seed: object) -> int | None:
    """Returns a seed that all random generators accept, or `None`.

    Each backend of Keras accepts other seeds. Here every integer is a seed.
    Only its last 31 bits count.
    """
    if seed is None:
        return None
    if not isinstance(seed, numbers.Integral):
        raise ValueError(
            f"`seed` must be an integer, or `None`. Received: seed={seed!r}"
        )
    return int(seed) % 2**31
