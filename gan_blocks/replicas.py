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
    "index",
    "is_chief",
    "undistributed",
]


def count() -> int:
    """Returns the number of replicas that share a training step.

    Returns:
        Integer, at least 1.

    Example:

    ```python
    from gan_blocks import replicas

    assert replicas.count() == 1
    ```
    """
    return backend.replica_count()


def index() -> int | Tensor:
    """Returns the number of this replica. Call it inside a step.

    Returns:
        Integer from 0; on TensorFlow a scalar integer tensor.

    Example:

    ```python
    from gan_blocks import replicas

    assert replicas.index() == 0
    ```
    """
    return backend.replica_index()


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Returns the sum of a tensor over the processes of torch.

    All processes must call it, in the same order. On TensorFlow, Keras sums
    gradients and metrics itself, so the tensor is returned unchanged.

    Args:
        tensor: Tensor with the same shape on each replica.

    Returns:
        Tensor of that shape. It carries no gradients.

    Example:

    ```python
    import keras
    from gan_blocks import replicas

    images_seen = replicas.all_reduce_sum(keras.ops.convert_to_tensor(64))
    ```
    """
    return backend.all_reduce_sum(tensor)


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """Returns the mean of a tensor over the replicas. Differentiable.

    All replicas must call it, in the same order.

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

    On TensorFlow, variables that are created under a strategy are equal
    already.

    Args:
        variables: The same Keras variables in each process.

    Example:

    ```python
    import keras
    from gan_blocks import replicas

    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    replicas.broadcast(dense.variables)
    ```
    """
    backend.broadcast(variables)


def as_reducible_logs(logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the logs of a step in the shape that Keras can average.

    Under `tf.distribute.MultiWorkerMirroredStrategy`, Keras averages logs
    along their first axis, which scalars do not have.

    Args:
        logs: Dictionary of scalar tensors.

    Returns:
        Dictionary of scalars, or of tensors of shape `(1,)` there.

    Example:

    ```python
    import keras
    from gan_blocks import replicas

    logs = replicas.as_reducible_logs({"loss": keras.ops.ones(())})
    ```
    """
    return backend.as_reducible_logs(logs)


def is_chief(model: keras.Model) -> bool:
    """Returns True in the one process that writes the shared files.

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
    return backend.is_chief(model)


@contextlib.contextmanager
def undistributed() -> Iterator[None]:
    """Switches off the distribution of new variables over devices.

    Keras creates an optimizer for comparison when it saves a model. On JAX
    with several processes, the creation of its variables would wait for all
    the other processes.

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
