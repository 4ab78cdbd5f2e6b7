"""The range of the images is compared with the range of the generator."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from support import gans

from gan_blocks import GAN, layers

pytestmark = pytest.mark.every_backend


def generator(*last, activation="tanh"):
    network = keras.Sequential(
        [keras.Input((6,)), gans.generator(activation=activation), *last]
    )
    return network


class Mask(keras.layers.Layer):
    """Sets the left half of each image to 0."""

    def call(self, images):
        return images * ops.array([0.0, 0.0, 1.0, 1.0])[:, None]


class Subclassed(keras.Model):
    """A generator whose activation is in no layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = gans.generator(activation="linear")

    def call(self, latents):
        return ops.tanh(self.network(latents))


def subclassed():
    network = Subclassed()
    network(np.zeros((1, 6), "float32"))
    return network


def normalized():
    """A generator whose last layer has the same scale for all weights."""
    last = layers.SpectralNormalization(keras.layers.Dense(16, use_bias=False))
    layer_norm = keras.layers.LayerNormalization(center=False, scale=False)
    network = [keras.Input((6,)), layer_norm, last]
    return keras.Sequential([*network, keras.layers.Reshape((4, 4, 1))])


def found_warnings(network, images, recwarn, batch_size=8, **options):
    network = GAN(network, gans.discriminator())
    gan = gans.compiled(network, run_eagerly=True)  # Tracing takes longer.
    gan.fit(images, batch_size=batch_size, epochs=2, verbose=0, **options)
    return [str(w.message) for w in recwarn if "range" in str(w.message)]


UNIT = (gans.images() + 1) / 2
TO_255 = keras.layers.Rescaling(127.5, 127.5)


@pytest.mark.parametrize(
    ("network", "images", "message"),
    [
        (
            generator,
            255 * UNIT,
            "to 2.., but .* from -1 to 1, .*127.5",
        ),
        (generator, UNIT, r"from 0.* but .* from -1 to 1, .*\* 2 - 1`"),
        (subclassed, UNIT, r"from -1 to 1, .*\* 2 - 1`"),
        (subclassed, 255 * UNIT, "from -1 to 1, .*127.5"),
        (lambda: generator(Mask()), 255 * UNIT, "from -1 to 1, .*127.5"),
        (
            lambda: generator(activation="sigmoid"),
            gans.images(),
            "from -0.* but .* from 0 to 1, .*Scale the images",
        ),
        (lambda: generator(TO_255), gans.images(), "from 0 to 255"),
    ],
    ids=["0 to 255", "0 to 1", "subclassed, 0 to 1", "subclassed, 0 to 255"]
    + ["mask", "sigmoid", "rescaled"],
)
def test_images_in_another_range_cause_one_warning(
    network, images, message, recwarn
):
    (found,) = found_warnings(network(), images, recwarn)
    assert re.search(message, found)


def test_the_warning_does_not_need_a_second_batch(recwarn):
    assert found_warnings(generator(), UNIT, recwarn, batch_size=32)


@pytest.mark.every_backend
def test_the_warning_comes_before_validation(recwarn):
    options = {"batch_size": 32, "validation_data": UNIT}
    assert found_warnings(generator(), UNIT, recwarn, **options)


@pytest.mark.parametrize(
    ("network", "images"),
    [
        (generator, gans.images()),
        (generator, gans.images() / 2),
        (generator, -UNIT),
        (generator, np.zeros((32, 4, 4, 1))),
        (subclassed, gans.images()),
        (lambda: generator(TO_255), 255 * UNIT),
        (lambda: generator(keras.layers.Rescaling(3.0)), 3 * gans.images()),
        (lambda: generator(Mask()), gans.images()),
        (lambda: generator(activation="sigmoid"), UNIT),
        (lambda: generator(activation="linear"), 255 * UNIT),
        (lambda: generator(activation="relu"), -255 * UNIT),
        (normalized, 255 * UNIT),
    ],
    ids=["tanh", "half of the range", "dark images", "constant images"]
    + ["subclassed", "tanh, rescaled to 255", "tanh, times 3", "tanh, masked"]
    + ["sigmoid", "linear", "relu", "normalized"],
)
def test_no_warning_without_evidence(network, images, recwarn):
    assert not found_warnings(network(), images, recwarn)


def test_a_conditional_generator_is_checked(recwarn):
    gan = GAN(*gans.conditional_networks(), num_classes=3)
    gans.compiled(gan).fit(UNIT, np.arange(32) % 3, batch_size=8, verbose=0)
    assert any("use `images * 2 - 1`" in str(w.message) for w in recwarn)


def discriminator(*last, **options):
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, **options),
            *last,
        ]
    )


class Sigmoid(keras.Model):
    """A discriminator whose activation is in no layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.network = gans.discriminator()

    def call(self, images):
        return ops.sigmoid(self.network(images))


@pytest.mark.parametrize(
    "network",
    [
        discriminator(activation="sigmoid"),
        discriminator(keras.layers.Activation("sigmoid")),
        discriminator(keras.layers.Activation("hard_sigmoid")),
    ],
    ids=["Dense", "Activation", "hard_sigmoid"],
)
def test_a_discriminator_that_returns_probabilities_is_refused(network):
    with pytest.raises(ValueError, match=r"outputs stay in \[0, 1\]"):
        GAN(gans.generator(), network)


def test_a_subclassed_discriminator_that_returns_probabilities_is_refused():
    network = Sigmoid()
    network(gans.images(1))
    with pytest.raises(ValueError, match=r"outputs stay in \[0, 1\]"):
        GAN(gans.generator(), network)


@pytest.mark.parametrize(
    "network",
    [
        discriminator(kernel_initializer="zeros"),
        discriminator(keras.layers.Rescaling(4.0, -2.0), activation="sigmoid"),
        discriminator(activation="tanh"),
        discriminator(activation="relu"),
        keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.Flatten(),
                layers.SpectralNormalization(keras.layers.Dense(8)),
                layers.SpectralNormalization(keras.layers.Dense(1)),
            ]
        ),
    ],
    ids=["zeros", "rescaled sigmoid", "tanh", "relu", "spectral"],
)
def test_a_discriminator_with_other_outputs_is_accepted(network):
    GAN(gans.generator(), network)
