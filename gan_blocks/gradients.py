"""Gradients on every backend: the one place that names their autodiff.

The training step is written once, in Keras operations, on top of these
functions. TensorFlow records a tape, torch keeps a graph behind its tensors,
and JAX differentiates pure functions, for which the variables are handed in
and out through a `keras.StatelessScope`.
"""

import keras

from gan_blocks import replicas


def vjp(function, variables, state=()):
    """Runs a function and returns the way back: a vector-Jacobian product.

    Args:
        function: Called without arguments. Returns a pair: a tensor to
            differentiate, and a structure of tensors that come along, or
            `None`. It may update variables (moving averages, random seeds).
        variables: List of `keras.Variable`s to differentiate with respect to.
        state: All variables that the function reads or updates; those in
            `variables` may be among them. Only JAX, where a function must be
            pure, needs to know.

    Returns:
        `(output, auxiliary, pullback)`, the first two as constants that carry
        no gradients of their own. `pullback(cotangent)` takes a tensor
        of the output's shape and dtype, and returns one gradient per
        variable. To be called once.

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
    return _BACKEND.vjp(function, variables, state)


def input_vjp(function, inputs, state=(), differentiable=False):
    """Runs a function of a tensor and returns the way back to that tensor.

    No variable changes, whatever the function assigns: the networks are
    left as they were, moving averages and random seeds included.

    Args:
        function: Called with `inputs`. Returns a tensor.
        inputs: Tensor to differentiate with respect to.
        state: As in `vjp`.
        differentiable: Whether the gradient will be differentiated again, by
            a `vjp` around this call. Only torch needs to know. Defaults to
            `False`.

    Returns:
        `(output, pullback)`. `pullback(cotangent)` returns the gradient, of
        the inputs' shape. To be called once.

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
    return _BACKEND.input_vjp(function, inputs, state, differentiable)


def input_gradient(network, inputs):
    """Returns the gradient of the sum of a network's outputs to its inputs.

    What gradient penalties are made of: the network runs in training mode,
    the result can be differentiated again inside `vjp`, and no variable
    changes.

    Args:
        network: A Keras model or layer.
        inputs: Tensor.

    Returns:
        Tensor of the inputs' shape.

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
        network.variables,
        differentiable=True,
    )
    return pullback(keras.ops.ones_like(outputs))


def inference(function):
    """Returns a function compiled as the backend does it, without gradients.

    For drawing images, outside of training: TensorFlow makes a graph of it,
    JAX compiles it, and torch runs it without taking notes for gradients.

    Args:
        function: A function `(values, inputs, training)` of a list of tensors,
            a tensor (or a list of them) and a boolean that returns a tensor
            and changes nothing.

    Returns:
        The same function. It is compiled anew for `training` and, on JAX, for
        each shape of the inputs.

    Example:

    ```python
    import keras
    from gan_blocks import gradients

    scale = gradients.inference(
        lambda values, inputs, training: values[0] * inputs
    )
    print(scale([keras.ops.ones(3)], keras.ops.ones((2, 3)), False).shape)
    ```
    """
    return _BACKEND.inference(function)


def loss_cotangent(loss, optimizer):
    """Returns what a `pullback` starts from, so that gradients can be applied.

    That is one, times the optimizer's loss scale (under `mixed_float16`), and
    divided by the number of replicas, over which the gradients are summed.

    Args:
        loss: Scalar tensor.
        optimizer: The optimizer that the gradients are for.

    Returns:
        Tensor of the loss's shape and dtype.
    """
    share = keras.ops.ones_like(loss) / replicas.number()
    return keras.ops.cast(optimizer.scale_loss(share), loss.dtype)


def apply(optimizer, gradients, variables):
    """Applies gradients to exactly the variables the optimizer was built on.

    Args:
        optimizer: A built `keras.optimizers.Optimizer`.
        gradients: List of tensors.
        variables: List of `keras.Variable`s, in the order of `build`.
    """
    _BACKEND.apply(optimizer, gradients, variables)


class _TensorFlow:
    @staticmethod
    def vjp(function, variables, state):
        import tensorflow as tf

        values = [variable.value for variable in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            output, auxiliary = function()
        return (
            output,
            auxiliary,
            lambda cotangent: tape.gradient(output, values, cotangent),
        )

    @staticmethod
    def input_vjp(function, inputs, state, differentiable):
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            with keras.StatelessScope():
                output = function(inputs)
        return output, lambda cotangent: tape.gradient(
            output, inputs, cotangent
        )

    @staticmethod
    def apply(optimizer, gradients, variables):
        optimizer.apply(gradients, variables)

    @staticmethod
    def inference(function):
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)


def _detach(tensor):
    return None if tensor is None else tensor.detach()


class _Torch:
    @staticmethod
    def vjp(function, variables, state):
        import torch

        values = [variable.value for variable in variables]
        with torch.enable_grad():
            output, auxiliary = function()
        return (
            output.detach(),
            keras.tree.map_structure(_detach, auxiliary),
            lambda cotangent: torch.autograd.grad(
                output, values, cotangent, allow_unused=True
            ),
        )

    @staticmethod
    def input_vjp(function, inputs, state, differentiable):
        import torch

        inputs = inputs.detach().requires_grad_()
        with torch.enable_grad(), keras.StatelessScope():
            output = function(inputs)

        def pullback(cotangent):
            (gradient,) = torch.autograd.grad(
                output, inputs, cotangent, create_graph=differentiable
            )
            return gradient

        return output if differentiable else output.detach(), pullback

    @staticmethod
    def apply(optimizer, gradients, variables):
        import torch

        if replicas.number() > 1:
            gradients = _summed(gradients)
        with torch.no_grad():
            optimizer.apply(gradients, variables)

    @staticmethod
    def inference(function):
        import torch

        return torch.no_grad()(function)


def _summed(gradients):
    """Returns the sums of gradients over the replicas, in one message."""
    known = [gradient for gradient in gradients if gradient is not None]
    flat = keras.ops.concatenate([keras.ops.ravel(one) for one in known])
    sums = iter(replicas.total(flat).split([one.numel() for one in known]))
    return [
        None if gradient is None else next(sums).reshape(gradient.shape)
        for gradient in gradients
    ]


class _JAX:
    @staticmethod
    def vjp(function, variables, state):
        import jax

        known = {id(variable) for variable in variables}
        state = [variable for variable in state if id(variable) not in known]
        state_values = [variable.value for variable in state]

        def pure(values):
            mapping = [
                *zip(variables, values, strict=True),
                *zip(state, state_values, strict=True),
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                output, auxiliary = function()
            updated = [scope.get_current_value(v) for v in state]
            return output, (auxiliary, updated)

        output, pullback, (auxiliary, updated) = jax.vjp(
            pure, [variable.value for variable in variables], has_aux=True
        )
        for variable, value in zip(state, updated, strict=True):
            variable.assign(value)
        return output, auxiliary, lambda cotangent: pullback(cotangent)[0]

    @staticmethod
    def input_vjp(function, inputs, state, differentiable):
        import jax

        mapping = [(variable, variable.value) for variable in state]

        def pure(inputs):
            with keras.StatelessScope(state_mapping=mapping):
                return function(inputs)

        output, pullback = jax.vjp(pure, inputs)
        return output, lambda cotangent: pullback(cotangent)[0]

    @staticmethod
    def apply(optimizer, gradients, variables):
        # Not `optimizer.apply`: a `LossScaleOptimizer` branches on traced
        # values, and each branch may assign variables only statelessly.
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

    @staticmethod
    def inference(function):
        import jax

        return jax.jit(function, static_argnums=2)


_BACKEND = {"tensorflow": _TensorFlow, "torch": _Torch, "jax": _JAX}[
    keras.backend.backend()
]
