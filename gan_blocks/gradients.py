"""Gradients, with the same functions on TensorFlow, JAX and torch."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from gan_blocks import backend, replicas
from gan_blocks._types import Tensor

__all__ = [
    "apply",
    "compiled_inference",
    "input_gradient",
    "input_vjp",
    "loss_cotangent",
    "vjp",
]


def vjp(
    function: Callable[[], tuple[Tensor, Any]],
    variables: Sequence[keras.Variable],
) -> tuple[Tensor, Any, Callable[[Tensor], Sequence[Tensor]]]:
    """Runs a function and prepares its vector-Jacobian product.

    Args:
        function: Called without arguments. Returns a pair: the tensor to
            differentiate, and a structure of other tensors, or `None`. It may
            assign variables, such as moving averages and random seeds.
        variables: The variables to differentiate with respect to.

    Returns:
        `(output, auxiliary, pullback)`. The first two carry no gradients.
        `pullback(cotangent)` takes a tensor with the shape and dtype of
        `output` and returns one gradient per variable. Call it once.

    Example:

    ```python
    import keras
    from gan_blocks import gradients

    weight = keras.Variable([1.0, 2.0])
    output, _, pullback = gradients.vjp(
        lambda: (keras.ops.sum(weight**2), None), [weight]
    )
    print(pullback(keras.ops.ones(())))  # [2, 4]
    ```
    """
    return backend.vjp(function, variables)


def input_vjp(
    function: Callable[[Tensor], Tensor],
    inputs: Tensor,
    differentiable: bool = False,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Runs a function and prepares the gradient with respect to its input.

    No variable changes, even if the function assigns variables.

    Args:
        function: Takes `inputs` and returns a tensor.
        inputs: The tensor to differentiate with respect to.
        differentiable: If True, a `vjp` around this call can differentiate
            the gradient again. It matters on torch only. Defaults to False.

    Returns:
        `(output, pullback)`. `pullback(cotangent)` returns the gradient, which
        has the shape of `inputs`. Call it once.

    Example:

    ```python
    import keras
    from gan_blocks import gradients

    output, pullback = gradients.input_vjp(
        keras.ops.square, keras.ops.convert_to_tensor([1.0, 2.0])
    )
    print(pullback(keras.ops.ones(2)))  # [2, 4]
    ```
    """
    return backend.input_vjp(function, inputs, differentiable)


def input_gradient(network: Callable[..., Tensor], inputs: Tensor) -> Tensor:
    """Returns the gradient of a network's outputs with respect to its inputs.

    Gradient penalties use this function. The network runs in training mode, no
    variable changes, and a `vjp` around this call can differentiate the result
    again.

    Args:
        network: Keras model or layer.
        inputs: Tensor.

    Returns:
        Gradient of the sum of the outputs, with the shape of `inputs`.

    Example:

    ```python
    import keras
    from gan_blocks import gradients

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    print(gradients.input_gradient(network, keras.ops.ones((3, 2))).shape)
    ```
    """
    outputs, pullback = input_vjp(
        lambda inputs: network(inputs, training=True),
        inputs,
        differentiable=True,
    )
    return pullback(keras.ops.ones_like(outputs))


def compiled_inference(
    function: Callable[[list[Tensor], Any, bool], Tensor],
) -> Callable[[list[Tensor], Any, bool], Tensor]:
    """Compiles a function for use outside of training.

    TensorFlow builds a graph, JAX compiles, and torch records no gradients.

    Args:
        function: Takes a list of tensors, a tensor or a list of tensors, and a
            boolean. Returns a tensor and assigns no variables.

    Returns:
        The compiled function. It is compiled again for the other boolean and,
        on JAX, for each shape of the inputs.

    Example:

    ```python
    import keras
    from gan_blocks import gradients

    scale = gradients.compiled_inference(
        lambda values, inputs, training: values[0] * inputs
    )
    print(scale([keras.ops.ones(3)], keras.ops.ones((2, 3)), False).shape)
    ```
    """
    return backend.compiled_inference(function)


def loss_cotangent(
    loss: Tensor, optimizer: keras.optimizers.Optimizer
) -> Tensor:
    """Returns the cotangent of a loss, for `pullback`.

    It is 1, multiplied by the optimizer's loss scale (under `mixed_float16`)
    and divided by the number of replicas, because `apply` sums the gradients
    over the replicas.

    Args:
        loss: Scalar tensor.
        optimizer: The optimizer that will apply the gradients.

    Returns:
        Scalar tensor with the dtype of the loss.
    """
    share = keras.ops.ones_like(loss) / replicas.count()
    return keras.ops.cast(optimizer.scale_loss(share), loss.dtype)


def apply(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor],
    variables: Sequence[keras.Variable],
) -> None:
    """Applies gradients to the variables that the optimizer was built on.

    Args:
        optimizer: A built optimizer.
        gradients: One gradient per variable.
        variables: The variables, in the order of `optimizer.build`.
    """
    backend.apply(optimizer, gradients, variables)
