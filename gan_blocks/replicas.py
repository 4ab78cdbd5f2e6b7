"""The replicas and processes that one training step is spread over.

A replica computes the step for its share of the batch. TensorFlow has them
under a `tf.distribute` strategy, torch as the processes of
`torch.distributed`. On JAX arrays know where they are: one step sees the whole
batch, on however many devices, so that there is always one replica.
"""

import contextlib
import functools

import keras


def number():
    """Returns how many replicas share a training step.

    Returns:
        Integer, at least 1.

    Example:
    ```python
    from gan_blocks import replicas

    assert replicas.number() == 1
    ```
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    group = _torch_group()
    return group.get_world_size() if group else 1


def index():
    """Returns which of the replicas this one is; to be asked in its step.

    Returns:
        Integer, or on TensorFlow a scalar tensor of integers, from 0.

    Example:
    ```python
    from gan_blocks import replicas

    assert replicas.index() == 0
    ```
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        return replica.replica_id_in_sync_group if replica else 0
    group = _torch_group()
    return group.get_rank() if group else 0


def total(tensor):
    """Returns the sum of a tensor over the processes of torch.

    All of them must ask for it, in the same order. On TensorFlow Keras sums
    gradients and metrics itself, and there the tensor is returned.

    Args:
        tensor: Tensor of the same shape on each replica.

    Returns:
        Tensor of that shape, not differentiable.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    images_seen = replicas.total(keras.ops.convert_to_tensor(64))
    ```
    """
    group = _torch_group()
    if not group:
        return tensor
    tensor = tensor.detach().clone().contiguous()
    group.all_reduce(tensor)
    return tensor


def mean(tensor):
    """Returns the mean of a tensor over the replicas, differentiable.

    All of them must ask for it, in the same order.

    Args:
        tensor: Tensor of the same shape on each replica.

    Returns:
        Tensor of that shape.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    features = keras.random.normal((8, 4))
    center = replicas.mean(keras.ops.mean(features, axis=0))
    ```
    """
    if number() == 1:
        return tensor
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        return replica.all_reduce("MEAN", tensor) if replica else tensor
    return _differentiable_total().apply(tensor) / number()


def align(variables):
    """Gives the processes of torch the values that the first of them has.

    TensorFlow does so when variables are made under a strategy.

    Args:
        variables: List of Keras variables, the same ones in each process.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    replicas.align(dense.variables)
    ```
    """
    group = _torch_group()
    if group:
        for variable in variables:
            group.broadcast(variable.value.data, src=0)


def reducible(logs):
    """Returns the logs of a step in the shape in which Keras takes their mean.

    Under `MultiWorkerMirroredStrategy` that is a mean along the first axis
    too, which scalars do not have (https://github.com/tensorflow/tensorflow/issues/72388).

    Args:
        logs: Dictionary of scalar tensors.

    Returns:
        Dictionary of scalars, or of tensors of shape `(1,)` there.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    logs = replicas.reducible({"loss": keras.ops.ones(())})
    ```
    """
    if keras.backend.backend() != "tensorflow":
        return logs
    import tensorflow as tf

    workers = tf.distribute.MultiWorkerMirroredStrategy
    if not isinstance(tf.distribute.get_strategy(), workers):
        return logs
    return {name: value[None] for name, value in logs.items()}


def is_chief(model):
    """Returns whether this process writes the files that all have in common.

    Args:
        model: The Keras model that is trained.

    Returns:
        Boolean. True in exactly one of the processes that train together.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert replicas.is_chief(model)
    ```
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return model.distribute_strategy.extended.should_checkpoint
    if backend == "jax":
        import jax

        return jax.process_index() == 0
    group = _torch_group()
    return not group or group.get_rank() == 0


@contextlib.contextmanager
def alone():
    """Returns a context in which this process makes variables for itself.

    To save a model, Keras makes an optimizer to compare with, whose variables
    JAX would put on the devices of all processes, with the help of each.

    Example:
    ```python
    import keras
    from gan_blocks import replicas

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with replicas.alone():
        copy = keras.models.clone_model(model)
    ```
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


@functools.cache
def _differentiable_total():
    import torch

    class Total(torch.autograd.Function):
        @staticmethod
        def forward(context, tensor):
            return total(tensor)

        @staticmethod
        def backward(context, gradient):
            # Each replica's total depends on what all of them put in.
            return Total.apply(gradient)

    return Total


def _torch_group():
    """Returns `torch.distributed` if this process takes part in it."""
    if keras.backend.backend() != "torch":
        return None
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed
    return None
