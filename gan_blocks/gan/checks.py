"""Checks of the networks, the arguments of `compile` and the data."""

import warnings
from typing import Any

import keras
from keras import ops

_COMPILE_ARGUMENTS = ("jit_compile", "run_eagerly", "steps_per_execution")
_RANGE_TOLERANCE = 1e-3  # Rounding may exceed [-1, 1] or [0, 1] by this much.


def matching_shapes(generator, discriminator, conditional=False):
    """Checks that two networks fit each other.

    Returns:
        The shapes of a latent and of an image, without the batch axis.
    """
    latent_shape = _input_shape(generator, "generator", conditional)
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
    activation = _output_activation(discriminator)
    if activation in (keras.activations.sigmoid, keras.activations.softmax):
        raise ValueError(
            "The discriminator must return logits. Remove its last activation, "
            "because the losses apply it. Received: a discriminator that ends "
            f"in {activation.__name__}"
        )
    for name, network in zip(
        ("generator", "discriminator"), (generator, discriminator), strict=True
    ):
        if network.losses:
            raise ValueError(
                "Regularizers inside the networks have no effect in a GAN. Use "
                "`weight_decay` of the optimizer, or a penalty. Received: a "
                f"{name} with {len(network.losses)} regularization losses"
            )
    return latent_shape, image_shape


def _input_shape(network, name, conditional):
    shape = getattr(network, "input_shape", None)
    if shape is None and network.built:
        shape = (network.get_build_config() or {}).get("input_shape")
    if shape is None:
        raise ValueError(
            f"`{name}` must be built. Call it once, or begin it with "
            f"`keras.Input`. Received: {network}"
        )
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


def _output_activation(network):
    """Returns the last activation of a Functional or Sequential model."""
    if not hasattr(network, "outputs"):
        return None
    for layer in reversed(network.layers):
        if hasattr(layer, "outputs"):
            return _output_activation(layer)
        activation = keras.activations.get(getattr(layer, "activation", None))
        if layer.weights or activation is not keras.activations.linear:
            return activation
    return None


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


def list_of_penalties(penalty) -> list[Any]:
    """Returns the argument `penalty` of `compile` as a list."""
    if penalty is None:
        return []
    penalties = penalty if isinstance(penalty, (list, tuple)) else [penalty]
    if not all(callable(one) for one in penalties):
        raise ValueError(
            "`penalty` must be a `Penalty`, a function, or a list of these. "
            f"Received: penalty={penalty}"
        )
    return list(penalties)


# The range of the real images. Only the training step sees data of every kind,
# so it logs the extremes, and a callback checks them.

EXTREMES = ("lowest", "highest")


def with_range_check(callbacks, model):
    """Adds a `RangeCheck` to the callbacks of `fit`."""
    check = RangeCheck()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        if not any(isinstance(one, RangeCheck) for one in callbacks.callbacks):
            check.set_model(model)
            callbacks.callbacks.append(check)
        return callbacks
    if not isinstance(callbacks, (list, tuple)):
        callbacks = [] if callbacks is None else [callbacks]
    return [*callbacks, check]


def extremes(images):
    """Returns the lowest and the highest value of images, by name."""
    return dict(zip(EXTREMES, (ops.min(images), ops.max(images)), strict=True))


class RangeCheck(keras.callbacks.Callback):
    """Warns after the first batch if the generator's range is too small."""

    def on_train_begin(self, logs=None):
        self.checked = False

    def on_train_batch_begin(self, batch, logs=None):
        # Not at the end of a batch: Keras would wait for the logs.
        if batch > 0:
            self._check()

    def on_epoch_end(self, epoch, logs=None):
        self._check()

    def _check(self):
        if self.checked:
            return
        self.checked = True
        activation: Any = _output_activation(self.model.generator)
        if activation is keras.activations.tanh:
            low, high = -1.0, 1.0
        elif activation is keras.activations.sigmoid:
            low, high = 0.0, 1.0
        else:
            return
        means = self.model.means.result()
        lowest, highest = (
            float(ops.convert_to_numpy(means[name])) for name in EXTREMES
        )
        if lowest < low - _RANGE_TOLERANCE or highest > high + _RANGE_TOLERANCE:
            warnings.warn(
                f"The real images range from {lowest:g} to {highest:g}, but "
                f"the last activation of the generator, {activation.__name__}, "
                f"ranges from {low:g} to {high:g}. Scale the images to that "
                "range. For example, `images / 127.5 - 1` scales 0..255 to "
                "[-1, 1].",
                stacklevel=2,
            )
