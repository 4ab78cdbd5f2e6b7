from gan_blocks import GAN
import keras
import numpy as np
import pytest
from support.gans import (
    compiled,
    discriminator,
    generator,
    images,
)

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            (generator(), discriminator(image_shape=(8, 8, 1))),
            r"\(4, 4, 1\).*\(8, 8, 1\)",
        ),
        (
            (generator(), discriminator(image_shape=(4, 4, 3))),
            r"\(4, 4, 1\).*\(4, 4, 3\)",
        ),
        (
            (
                generator(),
                keras.Sequential(
                    [
                        keras.Input((4, 4, 1)),
                        keras.layers.Flatten(),
                        keras.layers.Dense(10),
                    ]
                ),
            ),
            r"logits of shape \(batch, 1\).*\('batch', 10\)",
        ),
        (
            (
                generator(),
                keras.Sequential(
                    [
                        discriminator(),
                        keras.layers.Activation("sigmoid"),
                    ]
                ),
            ),
            "ends in sigmoid",
        ),
        (
            (keras.Sequential([keras.layers.Dense(4)]), discriminator()),
            "`generator` must be built",
        ),
    ],
)
def test_networks_that_do_not_fit_raise_an_error_with_both_shapes(
    networks, message
):
    with pytest.raises(ValueError, match=message):
        GAN(*networks)


def test_networks_with_several_inputs_or_outputs_raise_an_error():
    latents = keras.Input((6,))
    image = generator()(latents)
    two_outputs = keras.Model(latents, [image, image])
    with pytest.raises(ValueError, match="generator.*one output"):
        GAN(two_outputs, discriminator())
    inputs = keras.Input((4, 4, 1)), keras.Input((3,))
    logit = keras.layers.Dense(1)(keras.layers.Flatten()(inputs[0]))
    with pytest.raises(ValueError, match="discriminator.*one input"):
        GAN(generator(), keras.Model(inputs, logit))


def test_regularizers_without_effect_raise_an_error():
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_regularizer="l2"),
        ]
    )
    with pytest.raises(ValueError, match="weight_decay"):
        GAN(generator(), network)


@pytest.mark.parametrize(
    "arguments",
    [
        {"latent_distribution": "gaussian"},
        {"ema_momentum": 1.0},
        {"ema_momentum": 0.0},
    ],
)
def test_the_constructor_refuses_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GAN(generator(), discriminator(), **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"discriminator_steps": 0}, {"penalty": 3}, {"loss": "l2"}],
)
def test_compile_refuses_arguments_of_the_wrong_type(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GAN(generator(), discriminator()).compile("adam", "adam", **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adam"}, "two optimizers.*None, optimizer"),
        ({"generator_optimizer": "adam"}, "two optimizers.*=None"),
        (
            {
                "generator_optimizer": "adam",
                "discriminator_optimizer": "adam",
                "metrics": ["accuracy"],
            },
            r"Received: \['metrics'\]",
        ),
        (
            {
                "generator_optimizer": "adam",
                "discriminator_optimizer": "adam",
                "loss": keras.ops.mean,
            },
            "two methods.*function mean",
        ),
    ],
)
def test_compile_says_what_a_gan_needs(arguments, message):
    with pytest.raises(ValueError, match=message):
        GAN(generator(), discriminator()).compile(**arguments)


def test_fit_before_compile_says_to_compile():
    with pytest.raises(ValueError, match=r"gan\.compile\("):
        GAN(generator(), discriminator()).fit(images())


def test_one_optimizer_for_both_networks_raises_an_error():
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="two objects"):
        GAN(generator(), discriminator()).compile(optimizer, optimizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": images(), "y": np.zeros(32)}, "images only.*tuple of 2"),
        ({"x": {"image": images()}}, "images only"),
        ({"x": [images(), images()]}, "images only"),
        ({"x": np.zeros((8, 5, 5, 1))}, r"\(4, 4, 1\).*\(5, 5, 1\)"),
    ],
)
def test_data_other_than_images_of_the_right_shape_raises_an_error(
    arguments, message
):
    with pytest.raises(ValueError, match=message):
        compiled().fit(**arguments, verbose=0)


@pytest.mark.parametrize("batch_size", [8, 32])
@pytest.mark.parametrize(
    ("activation", "scale", "warns"),
    [
        ("tanh", 255.0, True),
        ("tanh", 1.0, False),
        ("sigmoid", 1.0, True),
        ("linear", 255.0, False),
    ],
)
def test_images_out_of_range_cause_one_warning(
    activation, scale, warns, batch_size, recwarn
):
    gan = compiled(GAN(generator(activation=activation), discriminator()))
    gan.fit(images() * scale, batch_size=batch_size, epochs=2, verbose=0)
    found = [str(w.message) for w in recwarn if "range" in str(w.message)]
    assert len(found) == warns
    if warns:
        assert "Scale the images" in found[0]
