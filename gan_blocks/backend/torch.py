"""torch: autograd graphs, and the processes of `torch.distributed`."""

import contextlib

import keras
import torch
from torch import distributed

# Gradients.


def vjp(function, variables):
    values = [variable.value for variable in variables]
    with torch.enable_grad():
        output, auxiliary = function()
    return (
        output.detach(),
        keras.tree.map_structure(_detach, auxiliary),
        lambda cotangent: (
            torch.autograd.grad(output, values, cotangent, allow_unused=True)
            if values  # Not if all weights are frozen.
            else ()
        ),
    )


def _detach(tensor):
    return None if tensor is None else tensor.detach()


def input_vjp(function, inputs, differentiable):
    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad(), keras.StatelessScope():
        output = function(inputs)

    def pullback(cotangent):
        (gradient,) = torch.autograd.grad(
            output, inputs, cotangent, create_graph=differentiable
        )
        return gradient

    return output if differentiable else output.detach(), pullback


def apply(optimizer, gradients, variables):
    if replica_count() > 1 and gradients:
        gradients = _summed(gradients)
    with torch.no_grad():
        optimizer.apply(gradients, variables)


def _summed(gradients):
    """Sums gradients over the processes, in one message."""
    known = [gradient for gradient in gradients if gradient is not None]
    flat = all_reduce_sum(torch.cat([one.flatten() for one in known]))
    sums = iter(flat.split([one.numel() for one in known]))
    return [
        None if gradient is None else next(sums).reshape(gradient.shape)
        for gradient in gradients
    ]


# Steps and compilation.


def training_step(update):
    return update


evaluation_step = training_step


COMPILES_EACH_SHAPE = False


def compiled_inference(function):
    return torch.no_grad()(function)


def sync_variables(model):
    del model  # Keras keeps the values in the variables.


def keep_values(model):
    del model
    return contextlib.nullcontext([])


def batch_variance(tensor):
    # On one core of a CPU, this takes 0.08 ms for 64 color images of 32 pixels,
    # and `torch.var` along the first axis takes 1.16 ms.
    return (tensor - tensor.mean(0)).square().mean(0)


# Replicas.


def replica_count():
    return distributed.get_world_size() if _in_group() else 1


def replica_index():
    return distributed.get_rank() if _in_group() else 0


def rows(batch_size):
    size, rest = divmod(batch_size, replica_count())
    if rest:
        raise ValueError(
            "`batch_size` must be a multiple of the number of processes "
            f"that train together. Received: batch_size={batch_size} and "
            f"{replica_count()} processes"
        )
    return slice(replica_index() * size, (replica_index() + 1) * size)


def all_reduce_sum(tensor):
    if not _in_group():
        return tensor
    tensor = tensor.detach().clone().contiguous()
    distributed.all_reduce(tensor)
    return tensor


def all_reduce_mean(tensor):
    if replica_count() == 1:
        return tensor
    return _DifferentiableSum.apply(tensor) / replica_count()


class _DifferentiableSum(torch.autograd.Function):
    @staticmethod
    def forward(context, tensor):
        del context
        return all_reduce_sum(tensor)

    @staticmethod
    def backward(context, gradient):
        del context
        # The sum in each process depends on the values of all processes.
        return _DifferentiableSum.apply(gradient)


def broadcast(variables):
    if _in_group():
        for variable in variables:
            distributed.broadcast(variable.value.data, src=0)


def as_reducible_logs(logs):
    return logs


def is_chief(model):
    del model
    return replica_index() == 0


def from_chief(value, model):
    del model
    values = [value]
    if _in_group():
        distributed.broadcast_object_list(values)
    return values[0]


def _in_group():
    return distributed.is_available() and distributed.is_initialized()


# Devices.


def gpu_names():
    number = torch.cuda.device_count()
    return [torch.cuda.get_device_name(i) for i in range(number)]
