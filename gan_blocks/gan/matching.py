"""What the two networks of a GAN must have in common."""

import keras


def matching_shapes(generator, discriminator, conditional=False):
    """Returns the shapes of latents and images, without the batch."""
    latent_shape = _input_shape(generator, "generator", conditional)
    image_shape = _output_shape(
        generator, latent_shape, "generator", conditional
    )
    expected_shape = _input_shape(discriminator, "discriminator", conditional)
    if not compatible(image_shape, expected_shape):
        raise ValueError(
            "The generator's images must be what the discriminator takes. "
            f"Received: a generator of images {image_shape} and a "
            f"discriminator of images {expected_shape}"
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
            "The discriminator must return logits, as the losses are "
            "computed from logits; leave out the activation at its end. "
            f"Received: a discriminator that ends in {activation.__name__}"
        )
    for name, network in zip(
        ("generator", "discriminator"), (generator, discriminator), strict=True
    ):
        if network.losses:
            raise ValueError(
                "Regularizers inside the networks are not trained with: use "
                "the optimizer's `weight_decay`, or a penalty. Received: a "
                f"{name} with {len(network.losses)} regularization losses"
            )
    return latent_shape, image_shape


def _input_shape(network, name, conditional):
    shape = getattr(network, "input_shape", None)
    if shape is None and network.built:
        shape = (network.get_build_config() or {}).get("input_shape")
    if shape is None:
        raise ValueError(
            f"`{name}` must be built, so that its shapes are known: call it "
            f"once, or begin it with `keras.Input`. Received: {network}"
        )
    if conditional:
        if not isinstance(shape, list) or len(shape) != 2 or len(shape[1]) != 1:
            raise ValueError(
                f"With `num_classes`, `{name}` must have two inputs, the "
                "second of which is a label: keras.Input((), dtype='int32'). "
                f"Received inputs of shape {shape}"
            )
        shape = shape[0]
    elif isinstance(shape, (list, dict)):
        raise ValueError(
            f"`{name}` must have one input, or a second one of labels if "
            f"`num_classes` is given. Received inputs of shape {shape}"
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
    """Whether two shapes may be the same, `None` standing for any size."""
    return len(shape) == len(other) and all(
        a == b or a is None or b is None
        for a, b in zip(shape, other, strict=True)
    )


def output_range(generator):
    """Returns the interval that the last activation maps to, if known."""
    return {
        keras.activations.tanh: (-1.0, 1.0),
        keras.activations.sigmoid: (0.0, 1.0),
    }.get(_output_activation(generator))


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
