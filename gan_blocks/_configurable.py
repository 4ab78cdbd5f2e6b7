"""Serialization of objects that are not Keras layers."""

import inspect
from typing import Any, Self


class Configurable:
    """Lets Keras save an object as its constructor's arguments.

    Each argument must be stored as an attribute of the same name.
    """

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = inspect.signature(type(self)).parameters
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Creates the object from the dictionary of `get_config`."""
        return cls(**config)
