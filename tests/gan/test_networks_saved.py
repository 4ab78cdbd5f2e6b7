"""Every kind of network that a GAN accepts is saved, loaded and continued."""

import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN

pytestmark = pytest.mark.every_backend

SHAPE = (4, 4, 1)
register = keras.saving.register_keras_serializable(package="test_networks")


@register
class Block(keras.layers.Layer):
    """A layer that creates its inner layer in the constructor."""

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.activation = activation
        self.dense = keras.layers.Dense(units, activation)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        config = {"units": self.units, "activation": self.activation}
        return {**super().get_config(), **config}


@register
class Generator(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(16, "tanh")
        self.reshape = keras.layers.Reshape(SHAPE)

    def call(self, latents):
        return self.reshape(self.dense(latents))


@register
class Discriminator(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(1)

    def call(self, images):
        return self.dense(self.flatten(images))


@register
class WithArguments(keras.Model):
    def __init__(self, units, network, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.network = network
        self.block = Block(units)

    def call(self, inputs):
        return self.network(self.block(inputs))

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {
            **super().get_config(),
            "units": self.units,
            "network": network,
        }

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        return cls(network=network, **config)


@register
class ConditionalGenerator(Generator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(3, 2)

    def call(self, inputs):
        latents, labels = inputs
        return super().call(
            ops.concatenate([latents, self.embedding(labels)], axis=-1)
        )


@register
class ConditionalDiscriminator(Discriminator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = keras.layers.Embedding(3, 16)

    def call(self, inputs):
        images, labels = inputs
        features = self.flatten(images) * self.embedding(labels)
        return self.dense(features)


class Unregistered(Generator):
    pass


@register
class OwnGAN(GAN):
    def __init__(self, *networks, factor=1, **kwargs):
        super().__init__(*networks, **kwargs)
        self.factor = factor

        self.own = self.add_weight(name="own")

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def sequential(*layers, shape=(6,)):
    return keras.Sequential([keras.Input(shape), *layers])


def dense_generator():
    return sequential(
        keras.layers.Dense(16, "tanh"), keras.layers.Reshape(SHAPE)
    )


def dense_discriminator():
    return sequential(
        keras.layers.Flatten(), keras.layers.Dense(1), shape=SHAPE
    )


def called(network, *inputs):
    """Builds a network by a call, like the error message asks."""
    inputs = [np.zeros(shape, "float32") for shape in inputs]
    network(inputs if len(inputs) > 1 else inputs[0])
    return network


def built(network, shape):
    network.build(shape)
    return network


def functional():
    latents = keras.Input((6,))
    branches = [keras.layers.Dense(8)(latents) for _ in range(2)]
    images = keras.layers.Concatenate()(branches)
    images = keras.layers.Activation("tanh")(images)
    generator = keras.Model(latents, keras.layers.Reshape(SHAPE)(images))
    images = keras.Input(SHAPE)
    features = keras.layers.Flatten()(images)
    branches = [keras.layers.Dense(n)(features) for n in (3, 5)]
    logits = keras.layers.Dense(1)(keras.layers.Concatenate()(branches))
    return generator, keras.Model(images, logits)


KINDS = {
    "Sequential": lambda: (dense_generator(), dense_discriminator()),
    "Sequential without Input": lambda: (
        called(keras.Sequential(dense_generator().layers), (1, 6)),
        called(keras.Sequential(dense_discriminator().layers), (1, *SHAPE)),
    ),
    "Functional with branches": functional,
    "subclassed, called": lambda: (
        called(Generator(), (1, 6)),
        called(Discriminator(), (1, *SHAPE)),
    ),
    "subclassed, built": lambda: (
        built(Generator(), (None, 6)),
        built(Discriminator(), (None, *SHAPE)),
    ),
    "subclassed, with arguments": lambda: (
        called(WithArguments(5, Generator()), (1, 6)),
        called(Discriminator(name="critic"), (1, *SHAPE)),
    ),
    "subclassed inside Sequential": lambda: (
        sequential(Generator()),
        sequential(Discriminator(), shape=SHAPE),
    ),
    "Sequential inside Sequential": lambda: (
        sequential(dense_generator()),
        sequential(dense_discriminator(), shape=SHAPE),
    ),
    "own blocks": lambda: (
        sequential(Block(16, "tanh"), keras.layers.Reshape(SHAPE)),
        sequential(keras.layers.Flatten(), Block(1), shape=SHAPE),
    ),
    "not registered": lambda: (
        called(Unregistered(), (1, 6)),
        dense_discriminator(),
    ),
    "Lambda": lambda: (
        sequential(keras.layers.Lambda(lambda x: 2 * x), dense_generator()),
        dense_discriminator(),
    ),
    "frozen layer": lambda: (
        sequential(keras.layers.Dense(6, trainable=False), dense_generator()),
        dense_discriminator(),
    ),
    "conditional Functional": gans.conditional_networks,
    "conditional subclassed": lambda: (
        called(ConditionalGenerator(), (1, 4), (1,)),
        called(ConditionalDiscriminator(), (1, *SHAPE), (1,)),
    ),
    "subclass of GAN": lambda: (dense_generator(), dense_discriminator()),
}


def build(kind):
    num_classes = 3 if "conditional" in kind else None
    options = {"num_classes": num_classes, "ema_momentum": 0.9, "seed": 0}
    build = GAN
    if kind == "subclass of GAN":
        build, options["factor"] = OwnGAN, 3
    gan = build(*KINDS[kind](), **options)
    # Compiling takes much longer than a few steps.
    gan.compile("adam", "rmsprop", run_eagerly=True)
    return gan


def train(gan):
    labels = None if gan.num_classes is None else np.arange(8) % 3
    gan.fit(gans.images(8), labels, batch_size=4, shuffle=False, verbose=0)


# Keras warns of a model that is built by `build` and does not define it.
@pytest.mark.filterwarnings("ignore:`build:UserWarning")
@pytest.mark.parametrize(
    "by", ["save", pytest.param("save_weights", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_continues_after_loading(kind, by, tmp_path):
    gan = build(kind)
    train(gan)
    if by == "save":
        gan.save(tmp_path / "gan.keras")
        loaded = keras.saving.load_model(
            tmp_path / "gan.keras",
            custom_objects={"Unregistered": Unregistered},
            safe_mode=kind != "Lambda",
        )
        assert type(loaded) is type(gan)
    else:
        gan.save_weights(tmp_path / "gan.weights.h5")
        loaded = build(kind)
        loaded.load_weights(tmp_path / "gan.weights.h5")
    train(gan)
    train(loaded)
    gans.assert_same_state(gan, loaded)
    np.testing.assert_array_equal(
        gan.generate(3, seed=0), loaded.generate(3, seed=0)
    )


class NoKeywords(keras.Model):
    def __init__(self):
        super().__init__()
        self.network = dense_generator()

    def call(self, latents):
        return self.network(latents)


class NoConfig(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.network = sequential(keras.layers.Dense(units), dense_generator())

    def call(self, latents):
        return self.network(latents)


class IncompleteConfig(NoConfig):
    def get_config(self):
        return super(NoConfig, self).get_config()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (NoKeywords, "`NoKeywords`.*unexpected keyword argument"),
        (lambda: NoConfig(6), "must override `get_config"),
        (lambda: IncompleteConfig(6), "missing a required argument: 'units'"),
    ],
    ids=["no keywords", "no config", "incomplete config"],
)
@pytest.mark.parametrize("inside_sequential", [False, True])
def test_a_network_that_could_not_be_loaded_is_refused(
    network, message, inside_sequential
):
    network = network()
    generator = sequential(network) if inside_sequential else network
    with pytest.raises(
        ValueError, match="`generator` could not be.*" + message
    ):
        GAN(called(generator, (1, 6)), dense_discriminator())
