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
