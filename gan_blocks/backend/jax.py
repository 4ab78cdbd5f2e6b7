"""JAX: pure functions, which take and return the values of variables.

A function that reads or assigns Keras variables becomes pure inside a
`NestedScope`: it reads the given values, and the scope collects the values that
it assigns.
"""

import jax

from gan_blocks.backend.scope import NestedScope

# Gradients.


def vjp(function, variables):
    updated = []

    def pure(values):
        with NestedScope(zip(variables, values, strict=True)) as scope:
            output, auxiliary = function()
        updated.extend(scope.updated)
        values = [scope.get_current_value(variable) for variable in updated]
        return output, (auxiliary, values)

    output, pullback, (auxiliary, values) = jax.vjp(
        pure, [variable.value for variable in variables], has_aux=True
    )
    for variable, value in zip(updated, values, strict=True):
        variable.assign(value)
    return output, auxiliary, lambda cotangent: pullback(cotangent)[0]


def input_vjp(function, inputs, differentiable):
    del differentiable  # Every function can be differentiated again.

    def pure(inputs):
        with NestedScope():
            return function(inputs)

    output, pullback = jax.vjp(pure, inputs)
    return output, lambda cotangent: pullback(cotangent)[0]


def apply(optimizer, gradients, variables):
    # Not `optimizer.apply`: a `LossScaleOptimizer` branches on traced values,
    # and a branch must not assign variables.
    new_values, new_state = optimizer.stateless_apply(
        [variable.value for variable in optimizer.variables],
        gradients,
        [variable.value for variable in variables],
    )
    for variable, value in zip(
        [*variables, *optimizer.variables],
        [*new_values, *new_state],
        strict=True,
    ):
        variable.assign(value)


# Steps and compilation.


def training_step(update):
    """Gives `update(model, data)` the signature that Keras calls on JAX."""
    return _stateless(update, lambda model: [model.optimizer.variables])


def evaluation_step(update):
    return _stateless(update, lambda model: [])


def _stateless(update, optimizer_variables):
    def step(model, state, data):
        groups = [
            model.trainable_variables,
            model.non_trainable_variables,
            *optimizer_variables(model),
            model.metrics_variables,
        ]
        mapping = [
            pair
            for variables, values in zip(groups, state, strict=True)
            for pair in zip(variables, values, strict=True)
        ]
        with NestedScope(mapping) as scope:
            logs = update(model, data)
            state = tuple(
                [scope.get_current_value(variable) for variable in variables]
                for variables in groups
            )
        return logs, state

    return step


def compiled_inference(function):
    return jax.jit(function, static_argnums=2)


def sync_variables(model):
    # During `fit`, Keras keeps the values outside of the variables.
    model.jax_state_sync()


# Replicas. One step sees the whole batch, on all devices.


def replica_count():
    return 1


def replica_index():
    return 0


def all_reduce_sum(tensor):
    return tensor


def all_reduce_mean(tensor):
    return tensor


def broadcast(variables):
    del variables


def as_reducible_logs(logs):
    return logs


def is_chief(model):
    del model
    return jax.process_index() == 0


# Devices.


def gpu_names():
    return [d.device_kind for d in jax.devices() if d.platform != "cpu"]
