"""A stateless scope that can be nested."""

from collections.abc import Iterable

import keras

from gan_blocks._types import Tensor


class NestedScope(keras.StatelessScope):
    """A `keras.StatelessScope` that sees the values of the scope around it.

    Inside a plain `keras.StatelessScope`, a variable that is not in its own
    mapping has the value from outside all scopes. On JAX that is wrong in a
    training step, which runs in a scope of its own.

    Args:
        state_mapping: Pairs of a variable and its value in this scope.
    """

    def __init__(
        self, state_mapping: Iterable[tuple[keras.Variable, Tensor]] = ()
    ) -> None:
        super().__init__(state_mapping=list(state_mapping))
        self._updated: dict[int, keras.Variable] = {}

    def __enter__(self):
        super().__enter__()
        if self.original_scope is not None:
            self.state_mapping = {
                **self.original_scope.state_mapping,
                **self.state_mapping,
            }
        return self

    def add_update(self, update):
        variable, _ = update
        self._updated[id(variable)] = variable
        super().add_update(update)

    @property
    def updated(self) -> list[keras.Variable]:
        """The variables that were assigned in this scope."""
        return list(self._updated.values())
