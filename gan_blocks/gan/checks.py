"""Checks of the networks and of the arguments of `compile`."""

import inspect
from typing import Any

import keras
import numpy as np

from gan_blocks import losses
from gan_blocks.gan import ranges

_COMPILE_ARGUMENTS = ("jit_compile", "run_eagerly", "steps_per_execution")


def matching_shapes(generator, discriminator, conditional=False):
    """Checks that two networks fit each other, can be trained and be saved.

    Returns:
        The shapes of a latent and of an image, without the batch axis.
    """
    latent_shape = _input_shape(generator, "generator", conditional)
    if None in latent_shape:
        raise ValueError(
            "The latents must have a known shape, because training draws them. "
            "Give the input of the generator all its sizes, for example "
            "`keras.Input((4, 4, 8))`. Received: a generator of latents of "
            f"shape {latent_shape}"
        )
    image_shape = _output_shape(
        generator, latent_shape, "generator", conditional
    )
    expected_shape = _input_shape(discriminator, "discriminator", conditional)
    if not compatible(image_shape, expected_shape):
        raise ValueError(
            "The discriminator must accept the images of the generator. "
            f"Received: a generator that returns images of shape {image_shape} "
            f"and a discriminator that accepts images of shape {expected_shape}"
        )
    logits_shape = _output_shape(
        discriminator, image_shape, "discriminator", conditional
    )
    if logits_shape[-1:] != (1,):
        raise ValueError(
            "The discriminator must return logits of shape (batch, 1), or "
            "patches (batch, height, width, 1). Received: a discriminator "
            f"with outputs of shape {('batch', *logits_shape)}"
        )
    _check_logits(discriminator, image_shape, conditional)
    _check_shared_variables(generator, discriminator)
    for name, network in (
        ("generator", generator),
        ("discriminator", discriminator),
    ):
        _check_regularizers(name, network)
        _check_config(name, network)
    return latent_shape, image_shape


def _check_logits(discriminator, image_shape, conditional):
    if None in image_shape:
        return  # No image can be drawn.
    extremes = ranges.probe(discriminator, image_shape, conditional)
    if np.min(extremes) >= 0 and 0 < np.max(extremes) <= 1:
        raise ValueError(
            "The discriminator must return logits. Remove its last activation, "
            "because the losses apply it. Received: a discriminator whose "
            "outputs stay in [0, 1], even with large weights of both signs"
        )


def _check_shared_variables(generator, discriminator):
    of_generator = {id(variable) for variable in generator.variables}
    shared = [v.path for v in discriminator.variables if id(v) in of_generator]
    if shared:
        raise ValueError(
            "The generator and the discriminator must not share a layer, "
            "because each of them has its own optimizer. Received: networks "
            f"that share the variables {shared}"
        )


def _check_regularizers(name, network):
    regularized = [
        layer.name
        for layer in network._flatten_layers()
        if layer.activity_regularizer is not None
    ]
    if network.losses or regularized:
        raise ValueError(
            "Regularizers inside the networks have no effect in a GAN. Use "
            "`weight_decay` of the optimizer, or a penalty. Received: a "
            f"{name} with {len(network.losses)} regularization losses, and "
            f"with activity regularizers in the layers {regularized}"
        )


def _check_config(name, layer):
    """Checks that Keras can create a layer from its configuration."""
    by_arguments = getattr(layer.from_config, "__func__", None) in (
        keras.Layer.from_config.__func__,
        keras.Model.from_config.__func__,
    )
    try:
        config = layer.get_config()
        if by_arguments and "layers" not in config:
            inspect.signature(type(layer)).bind(**config)
    except (NotImplementedError, TypeError) as error:
        reason = " ".join(str(error).partition("Example")[0].split())
        raise ValueError(
            f"`{name}` could not be loaded after it is saved, because Keras "
            f"cannot create `{type(layer).__name__}` from its `get_config()`. "
            "Let its constructor accept `**kwargs` and pass them to "
            "`super().__init__`, and let `get_config` return the other "
            f"arguments. Received: {reason}"
        ) from error
    if "layers" in config:
        for inner in getattr(layer, "layers", ()):
            _check_config(name, inner)


def _input_shape(network, name, conditional):
    shape = getattr(network, "input_shape", None)
    if shape is None and network.built:
        shape = (network.get_build_config() or {}).get("input_shape")
    if shape is None:
        raise ValueError(
            f"`{name}` must be built. Call it once, or begin it with "
            f"`keras.Input`. Received: {network}"
        )
    if isinstance(shape, list) and isinstance(shape[0], int | None):
        shape = tuple(shape)  # A loaded model has lists in place of tuples.
    if conditional:
        if not isinstance(shape, list) or len(shape) != 2 or len(shape[1]) != 1:
            raise ValueError(
                f"With `num_classes`, `{name}` must have two inputs, the "
                "second of which is a label: keras.Input((), dtype='int32'). "
                f"Received: a {name} with inputs of shape {shape}"
            )
        shape = shape[0]
    elif isinstance(shape, (list, dict)):
        raise ValueError(
            f"`{name}` must have one input. A second input, for labels, needs "
            f"`num_classes`. Received: a {name} with inputs of shape {shape}"
        )
    return tuple(shape[1:])


def _output_shape(network, input_shape, name, conditional):
    inputs = keras.KerasTensor((None, *input_shape))
    if conditional:
        inputs = [inputs, keras.KerasTensor((None,), "int32")]
    output = network.compute_output_spec(inputs)
    if not isinstance(output, keras.KerasTensor):
        raise ValueError(
            f"`{name}` must have one output. Received: a {name} with "
            f"{len(output)} outputs"
        )
    return tuple(output.shape[1:])


def compatible(shape, other):
    """Returns True if two shapes agree. `None` agrees with every size."""
    return len(shape) == len(other) and all(
        a == b or a is None or b is None
        for a, b in zip(shape, other, strict=True)
    )


def two_optimizers(generator_optimizer, discriminator_optimizer, kwargs):
    """Returns both optimizers; checks the other arguments of `compile` too."""
    if generator_optimizer is None or discriminator_optimizer is None:
        raise ValueError(
            "A GAN has two optimizers, `generator_optimizer` and "
            "`discriminator_optimizer`. Example: gan.compile("
            "keras.optimizers.Adam(2e-4, 0.5), "
            "keras.optimizers.Adam(2e-4, 0.5)). Received: "
            f"generator_optimizer={generator_optimizer}, "
            f"discriminator_optimizer={discriminator_optimizer}"
            f"{', optimizer' * ('optimizer' in kwargs)}"
        )
    unknown = kwargs.keys() - set(_COMPILE_ARGUMENTS)
    if unknown:
        raise ValueError(
            "`compile` of a GAN takes the following arguments of "
            f"`keras.Model.compile`: {_COMPILE_ARGUMENTS}. "
            f"Received: {sorted(unknown)}"
        )
    optimizers = (
        keras.optimizers.get(generator_optimizer),
        keras.optimizers.get(discriminator_optimizer),
    )
    if optimizers[0] is optimizers[1]:
        raise ValueError(
            "`generator_optimizer` and `discriminator_optimizer` must be two "
            f"objects. Received: {optimizers[0]} twice"
        )
    return optimizers


def adversarial_loss(loss, observers):
    """Returns the argument `loss` of `compile` as an object."""
    loss = losses.get(loss)
    _check_stateless("loss", loss)
    if observers and getattr(loss, "decision_threshold", None) is None:
        names = [type(layer).__name__ for layer in observers]
        raise ValueError(
            f"The layers {names} of the discriminator observe whether logits "
            "are above the `decision_threshold` of the loss. Use a loss that "
            'has one, such as "non_saturating" or "hinge". Received: '
            f"loss={loss} without a threshold"
        )
    return loss


def list_of_penalties(penalty) -> list[Any]:
    """Returns the argument `penalty` of `compile` as a list."""
    if penalty is None:
        return []
    penalties = penalty if isinstance(penalty, (list, tuple)) else [penalty]
    if any(isinstance(one, type) or not callable(one) for one in penalties):
        raise ValueError(
            "`penalty` must be a `Penalty`, a function, or a list of these. "
            f"Received: penalty={penalty}"
        )
    for one in penalties:
        _check_stateless("penalty", one)
        interval = getattr(one, "interval", 1)
        if interval > 1 and getattr(one, "seed_generator", None) is not None:
            raise ValueError(
                "`interval` must be 1 for a penalty that draws random numbers, "
                "because they would repeat. Received: a penalty "
                f"{type(one).__name__} with interval={interval}"
            )
    return list(penalties)


def _check_stateless(name, value):
    """Checks that a loss or a penalty holds no variables."""
    held = {
        attribute: keras.tree.flatten(content)
        for attribute, content in getattr(value, "__dict__", {}).items()
        if (name, attribute) != ("penalty", "seed_generator")
    }
    held = [
        attribute
        for attribute, parts in held.items()
        if any(
            isinstance(part, keras.random.SeedGenerator)
            or hasattr(part, "assign")
            or getattr(part, "variables", None)
            for part in parts
        )
    ]
    if held:
        raise ValueError(
            f"`{name}` must not hold variables, because a GAN neither trains "
            "nor saves them. Store constants as Python numbers. Put a state "
            "that changes into a layer of the discriminator. Received: "
            f"{name}={value} with variables in the attributes {held}"
        )
