"""TensorFlow: gradient tapes, `tf.function` and `tf.distribute`."""

import contextlib
import functools

import keras
import tensorflow as tf

# Gradients.


def vjp(function, variables):
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        output, auxiliary = function()
    return (
        output,
        auxiliary,
        lambda cotangent: tape.gradient(output, values, cotangent),
    )


def input_vjp(function, inputs, differentiable):
    del differentiable  # A tape around this one records its gradients.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        with keras.StatelessScope():
            output = function(inputs)
    return output, lambda cotangent: tape.gradient(output, inputs, cotangent)


def apply(optimizer, gradients, variables):
    optimizer.apply(gradients, variables)


# Steps and compilation.


def training_step(update):
    return update


evaluation_step = training_step


COMPILES_EACH_SHAPE = False


def compiled_inference(function):
    # TensorFlow counts the traces of a method over all objects, and warns about
    # five. Each partial function is counted alone.
    return tf.function(functools.partial(function), reduce_retracing=True)


def sync_variables(model):
    del model  # Keras keeps the values in the variables.


def keep_values(model):
    del model
    return contextlib.nullcontext([])


def batch_variance(tensor):
    return keras.ops.var(tensor, axis=0)


# Replicas.


def replica_count():
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_index():
    replica = tf.distribute.get_replica_context()
    return replica.replica_id_in_sync_group if replica else 0


def rows(batch_size):
    del batch_size  # The strategy divides the batches.
    return slice(None)


def all_reduce_sum(tensor):
    return tensor  # Keras sums gradients and metrics itself.


def all_reduce_mean(tensor):
    replica = tf.distribute.get_replica_context()
    if replica is None or replica_count() == 1:
        return tensor
    return replica.all_reduce("MEAN", tensor)


def broadcast(variables):
    del variables  # Variables made under a strategy are equal.


def as_reducible_logs(logs):
    workers = tf.distribute.MultiWorkerMirroredStrategy
    if not isinstance(tf.distribute.get_strategy(), workers):
        return logs
    # Keras also takes the mean along the first axis, which scalars lack:
    # https://github.com/tensorflow/tensorflow/issues/72388
    return {name: value[None] for name, value in logs.items()}


def is_chief(model):
    return model.distribute_strategy.extended.should_checkpoint


def from_chief(value, model):
    strategy = model.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return value
    mine = float(value and is_chief(model))
    values = strategy.run(lambda: tf.constant(mine))
    return bool(strategy.reduce("SUM", values, axis=None) > 0)


# Devices.


def gpu_names():
    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.get_visible_devices("GPU")
    ]
