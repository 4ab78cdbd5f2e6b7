import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN

pytestmark = pytest.mark.every_backend


def classifier(units=1, activation=None, **options):
    head = keras.layers.Dense(units, activation, **options)
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), head]
    )


def two_inputs():
    inputs = keras.Input((4, 4, 1)), keras.Input((3,))
    return keras.Model(inputs, classifier()(inputs[0]))


def two_outputs():
    latents = keras.Input((6,))
    return keras.Model(latents, [gans.generator()(latents)] * 2)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            {"discriminator": gans.discriminator(image_shape=(4, 4, 3))},
            r"\(4, 4, 1\).*\(4, 4, 3\)",
        ),
        (
            {"discriminator": classifier(10)},
            r"logits of shape \(batch, 1\).*\('batch', 10\)",
        ),
        ({"discriminator": classifier(1, "sigmoid")}, "ends in sigmoid"),
        ({"discriminator": two_inputs()}, "discriminator.*one input"),
        ({"generator": two_outputs()}, "generator.*one output"),
        (
            {"discriminator": classifier(kernel_regularizer="l2")},
            "weight_decay",
        ),
        (
            {"generator": keras.Sequential([keras.layers.Dense(4)])},
            "`generator` must be built",
        ),
    ],
    ids=["shapes", "ten logits", "sigmoid", "two inputs", "two outputs"]
    + ["regularizer", "not built"],
)
def test_networks_that_cannot_form_a_gan_raise_an_error(networks, message):
    given = {
        "generator": gans.generator(),
        "discriminator": gans.discriminator(),
    }
    with pytest.raises(ValueError, match=message):
        GAN(**given | networks)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_distribution", "gaussian"),
        ("ema_momentum", 1.0),
        ("ema_momentum", 0.0),
    ],
)
def test_the_constructor_refuses_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=name):
        GAN(gans.generator(), gans.discriminator(), **{name: value})


ADAM = keras.optimizers.Adam()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adam"}, "two optimizers.*None, optimizer"),
        ({"discriminator_optimizer": None}, "two optimizers.*=None"),
        (
            {"generator_optimizer": ADAM, "discriminator_optimizer": ADAM},
            "two objects",
        ),
        ({"metrics": ["accuracy"]}, r"Received: \['metrics'\]"),
        ({"loss": keras.ops.mean}, "two methods.*function mean"),
        ({"loss": "l2"}, "loss"),
        ({"penalty": 3}, "penalty"),
        ({"discriminator_steps": 0}, "discriminator_steps"),
    ],
)
def test_compile_says_what_a_gan_needs(arguments, message):
    optimizers = {
        "generator_optimizer": "adam",
        "discriminator_optimizer": "adam",
    }
    if "optimizer" in arguments:
        optimizers = {}
    with pytest.raises(ValueError, match=message):
        GAN(gans.generator(), gans.discriminator()).compile(
            **optimizers | arguments
        )


def test_fit_before_compile_says_to_compile():
    with pytest.raises(ValueError, match=r"gan\.compile\("):
        GAN(gans.generator(), gans.discriminator()).fit(gans.images())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": gans.images(), "y": np.zeros(32)}, "images only.*tuple of 2"),
        ({"x": {"image": gans.images()}}, "images only"),
        ({"x": np.zeros((8, 5, 5, 1))}, r"\(4, 4, 1\).*\(5, 5, 1\)"),
    ],
)
def test_data_other_than_images_of_the_right_shape_raises_an_error(
    arguments, message
):
    with pytest.raises(ValueError, match=message):
        gans.compiled().fit(**arguments, verbose=0)


@pytest.mark.parametrize(
    ("activation", "scale", "batch_size", "warns"),
    [
        ("tanh", 255.0, 8, True),
        ("tanh", 255.0, 32, True),
        ("tanh", 1.0, 8, False),
        ("sigmoid", 1.0, 8, True),
        ("linear", 255.0, 8, False),
    ],
)
def test_images_out_of_range_cause_one_warning(
    activation, scale, batch_size, warns, recwarn
):
    gan = gans.compiled(
        GAN(gans.generator(activation=activation), gans.discriminator())
    )
    gan.fit(gans.images() * scale, batch_size=batch_size, epochs=2, verbose=0)
    found = [str(w.message) for w in recwarn if "range" in str(w.message)]
    assert len(found) == warns
    if warns:
        assert "Scale the images" in found[0]
