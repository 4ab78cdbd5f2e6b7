"""The replicas and processes that share one training step.

Each replica computes the step for its share of the batch. On TensorFlow the
replicas belong to a `tf.distribute` strategy, on torch they are the processes
of `torch.distributed`. JAX needs no replicas: one step sees the whole batch,
on all devices.
"""

import contextlib
from collections.abc import Iterator, Sequence

import keras

from gan_blocks import backend
from gan_blocks._types import Tensor

__all__ = [
    "all_reduce_mean",
    "all_reduce_sum",
    "as_reducible_logs",
    "broadcast",
    "count",
    "from_chief",
    "index",
    "is_chief",
    "rows",
    "undistributed",
]


def count() -> int:
    """Returns the number of replicas that share a training step, at least 1."""
    return backend.replica_count()


def index() -> int | Tensor:
    """Returns the number of this replica, from 0. Call it inside a step.

    Returns:
        Integer, or a scalar integer tensor on TensorFlow.
    """
    return backend.replica_index()


def rows(batch_size: int) -> slice:
    """Returns which rows of each batch this process reads.

    TensorFlow divides a `tf.data.Dataset` itself, so each process reads all
    rows. If several processes of JAX or torch train together, each process
    reads its part.

    Args:
        batch_size: Number of images in the batch of all processes together.

    Raises:
        ValueError: If the batch cannot be divided evenly.
    """
    return backend.rows(batch_size)


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Returns the sum of a tensor over the processes of torch.

    All processes must call this function, in the same order. On TensorFlow the
    tensor is returned unchanged, because Keras sums gradients and metrics.

    Args:
        tensor: Tensor with the same shape on each replica.

    Returns:
        Tensor of that shape. It carries no gradients.
    """
    return backend.all_reduce_sum(tensor)


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """Returns the mean of a tensor over the replicas.

    The mean is differentiable. All replicas must call this function, in the
    same order.

    Args:
        tensor: Tensor with the same shape on each replica.

    Returns:
        Tensor of that shape.

    Example:

    ```python
    import keras
    from gan_blocks import replicas

    features = keras.random.normal((8, 4))
    center = replicas.all_reduce_mean(keras.ops.mean(features, axis=0))
    ```
    """
    return backend.all_reduce_mean(tensor)


def broadcast(variables: Sequence[keras.Variable]) -> None:
    """Copies the values of the first process of torch to the others.

    It does nothing on TensorFlow and JAX, where the values are equal already.

    Args:
        variables: The same Keras variables in each process.
    """
    backend.broadcast(variables)


def as_reducible_logs(logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the logs of a step in a shape that Keras can average.

    Args:
        logs: Dictionary of scalar tensors.

    Returns:
        The same dictionary, or one with tensors of shape `(1,)` under
        `tf.distribute.MultiWorkerMirroredStrategy`, because Keras averages
        logs along their first axis there.
    """
    return backend.as_reducible_logs(logs)


def is_chief(model: keras.Model) -> bool:
    """Returns True in the one process that writes the shared files.

    Args:
        model: The Keras model that is trained.
    """
    return backend.is_chief(model)


def from_chief(value: bool, model: keras.Model) -> bool:
    """Returns the value of the process for which `is_chief` is True.

    All processes must call this function, in the same order, between steps.

    Args:
        value: The value of this process.
        model: The Keras model that is trained.
    """
    return backend.from_chief(value, model)


@contextlib.contextmanager
def undistributed() -> Iterator[None]:
    """Creates variables without distributing them over devices.

    Use it while one process saves a model: Keras creates an optimizer for
    comparison then. On JAX, the creation of distributed variables would wait
    for all other processes.

    Example:

    ```python
    import keras
    from gan_blocks import replicas

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with replicas.undistributed():
        copy = keras.models.clone_model(model)
    ```
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
