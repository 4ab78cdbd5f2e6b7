"""JAX: pure functions, which take and return the values of variables.

A function that reads or assigns Keras variables becomes pure inside a
`NestedScope`: it reads the given values, and the scope collects the values that
it assigns.
"""

import contextlib
import signal
import threading

import jax
import keras
from jax.experimental import multihost_utils

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


COMPILES_EACH_SHAPE = True  # XLA has no dynamic shapes.


def compiled_inference(function):
    return jax.jit(function, static_argnums=2)


def sync_variables(model):
    # During `fit`, Keras keeps the values outside of the variables.
    model.jax_state_sync()


@contextlib.contextmanager
def keep_values(model):
    """Puts the values back that `fit` takes out of the variables.

    Keras passes the values from step to step and leaves the variables empty
    until the epoch ends, or for good if the first step raises an error. A step
    that runs deletes its old values, so the references here hold no memory.

    Yields:
        Callbacks for the call of `fit`, `evaluate` or `predict`.
    """
    variables = [*model.variables, *model.metrics_variables]
    if getattr(model, "optimizer", None) is not None:
        variables += model.optimizer.variables
    values = [variable.value for variable in variables]
    interrupt = _InterruptBetweenSteps()
    try:
        with interrupt:
            yield [interrupt]
    except BaseException as error:
        sync_variables(model)
        for variable, value in zip(variables, values, strict=True):
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        model._jax_state = None
        if any(v._value is None or v._value.is_deleted() for v in variables):
            error.add_note(
                "The weights of the GAN were lost, because JAX deletes them "
                "when a step begins, and this step failed. Load the GAN from "
                "a file, or build it again."
            )
        raise


class _InterruptBetweenSteps(keras.callbacks.Callback):
    """Delays Ctrl-C until the values of the running step are stored.

    Python would interrupt between the end of a step and the assignment of its
    values, when the old values are already deleted. The second Ctrl-C has its
    usual effect.
    """

    pressed = False

    def __enter__(self):
        handler = signal.getsignal(signal.SIGINT)
        owner = getattr(handler, "__self__", None)
        if isinstance(owner, _InterruptBetweenSteps) and not owner.active:
            handler = signal.default_int_handler  # An earlier `fit` failed.
        self.active = (
            threading.current_thread() is threading.main_thread()
            and handler is signal.default_int_handler
        )
        if self.active:
            signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *error):
        if self.active and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.active = False
        if error[0] is None:
            self.on_train_batch_begin(None)

    def _handle(self, number, frame):
        if self.pressed or not self.active:
            signal.default_int_handler(number, frame)
        self.pressed = True

    def on_train_batch_begin(self, batch, logs=None):
        if self.pressed:
            raise KeyboardInterrupt

    on_test_batch_begin = on_predict_batch_begin = on_train_batch_begin


def batch_variance(tensor):
    return keras.ops.var(tensor, axis=0)


# Replicas. One step sees the whole batch, on all devices.


def replica_count():
    return 1


def replica_index():
    return 0


def rows(batch_size):
    distribution = keras.distribution.distribution()
    if distribution is None:
        return slice(None)
    count = distribution.num_model_replicas
    if batch_size % count:
        raise ValueError(
            "`batch_size` must be a multiple of the number of devices that "
            f"train together. Received: batch_size={batch_size} and {count} "
            "devices"
        )
    # The layout knows the devices of this process.
    layout = distribution.get_data_layout((batch_size,)).backend_layout
    parts = layout.addressable_devices_indices_map((batch_size,)).values()
    starts, stops, _ = zip(
        *(part[0].indices(batch_size) for part in parts), strict=True
    )
    return slice(min(starts), max(stops))


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


def from_chief(value, model):
    del model
    return bool(multihost_utils.broadcast_one_to_all(value))


# Devices.


def gpu_names():
    return [d.device_kind for d in jax.devices() if d.platform != "cpu"]
