import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import GAN, layers, losses, penalties

pytestmark = pytest.mark.every_backend


def classifier(units=1, activation=None, **options):
    head = keras.layers.Dense(units, activation, **options)
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), head]
    )


def two_inputs():
    inputs = keras.Input((4, 4, 1)), keras.Input((3,))
    return keras.Model(inputs, classifier()(inputs[0]))


def nested(**options):
    """Returns a discriminator with a regularized layer two models deep."""
    return keras.Sequential([keras.Input((4, 4, 1)), classifier(**options)])


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
        (
            {"discriminator": classifier(1, "sigmoid")},
            r"outputs stay in \[0, 1\]",
        ),
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
        (
            {"discriminator": nested(activity_regularizer="l2")},
            r"Regularizers .* activity regularizers in the layers \['dense",
        ),
        (
            {
                "generator": keras.Sequential(
                    [gans.generator(), keras.layers.ActivityRegularization(1.0)]
                )
            },
            "Regularizers .* have no effect.*generator.*activity_regul",
        ),
        (
            {
                "generator": keras.Sequential(
                    [
                        keras.Input((None, 1, 6)),
                        keras.layers.Conv2DTranspose(1, 4),
                    ]
                )
            },
            r"latents must have a known shape.*\(None, 1, 6\)",
        ),
    ],
    ids=["shapes", "ten logits", "sigmoid", "two inputs", "two outputs"]
    + ["regularizer", "not built", "activity regularizer"]
    + ["ActivityRegularization", "unknown latents"],
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


class LossWith(losses.NonSaturating):
    def __init__(self, part):
        super().__init__()
        self.part = part


class PenaltyWith(penalties.R1):
    def __init__(self, part):
        super().__init__()
        self.part = part


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
        ({"weighted_metrics": ["accuracy"]}, "Received.*weighted_metrics"),
        ({"loss_weights": [1, 2]}, "Received.*loss_weights"),
        (
            {"loss": LossWith(keras.Variable(1.0))},
            r"`loss` must not hold variables.*\['part'\]",
        ),
        ({"loss": LossWith([keras.random.SeedGenerator(0)])}, "hold variables"),
        ({"loss": LossWith(keras.metrics.Mean())}, "hold variables"),
        ({"loss": LossWith(keras.layers.Dropout(0.1))}, "hold variables"),
        ({"penalty": PenaltyWith(keras.Variable(1.0))}, "`penalty` must not"),
        ({"loss": keras.ops.mean}, "two methods.*function mean"),
        ({"loss": "l2"}, "loss"),
        ({"penalty": 3}, "`penalty` must be a `Penalty`"),
        ({"penalty": [penalties.R1]}, "`penalty` must be a `Penalty`"),
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


def test_networks_that_share_a_layer_are_refused():
    shared = keras.layers.Dense(16)
    generator = keras.Sequential(
        [keras.Input((16,)), shared, keras.layers.Reshape((4, 4, 1))]
    )
    discriminator = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), shared]
        + [keras.layers.Dense(1)]
    )
    with pytest.raises(ValueError, match=r"share a layer.*dense.*/kernel"):
        GAN(generator, discriminator)


def test_parts_without_variables_are_accepted_in_losses_and_penalties():
    parts = [keras.layers.Rescaling(2.0), np.ones(3), keras.ops.ones(3), "text"]
    for part in parts:
        gans.compiled(loss=LossWith(part), penalty=PenaltyWith(part))


def augmented():
    discriminator = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.AdaptiveAugment(("flip",))]
        + [gans.discriminator()]
    )
    return GAN(gans.generator(), discriminator)


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic_pairing"])
def test_adaptive_augment_needs_a_loss_with_a_threshold(loss):
    with pytest.raises(ValueError, match="AdaptiveAugment.*decision_threshold"):
        augmented().compile("adam", "adam", loss=loss)
    augmented().compile("adam", "adam", loss="least_squares")


@pytest.mark.parametrize("trained_before", [False, True])
@pytest.mark.parametrize("trainable", [False, True])
def test_trainable_must_not_change_after_compile(trainable, trained_before):
    gan = gans.small_gan()
    layer = gan.discriminator.layers[-1]
    layer.trainable = not trainable
    gans.compiled(gan, run_eagerly=True)
    if trained_before:
        gan.fit(gans.images(8), verbose=0)
    layer.trainable = trainable
    with pytest.raises(ValueError, match="discriminator.*Call `compile`"):
        gan.fit(gans.images(8), verbose=0)
    with pytest.raises(ValueError, match="discriminator.*Call `compile`"):
        gan.train_on_batch(gans.images(8))
    before = gans.values(layer.weights)
    gans.compiled(gan, run_eagerly=True)
    gan.fit(gans.images(8), verbose=0)
    (gans.assert_changed if trainable else gans.assert_same)(
        before, gans.values(layer.weights)
    )


def test_an_optimizer_cannot_be_used_in_two_models():
    optimizers = keras.optimizers.Adam(), keras.optimizers.Adam()
    gans.small_gan().compile(*optimizers)
    with pytest.raises(ValueError, match="do not use an optimizer in two"):
        gans.small_gan().compile(*optimizers)


@pytest.mark.parametrize("seed", [np.int64(3), -5, 2**31, 2**40 + 1])
def test_every_integer_is_a_seed(seed, tmp_path):
    gan = GAN(gans.generator(), gans.discriminator(), seed=seed)
    gan.save(tmp_path / "gan.keras")
    again = keras.saving.load_model(tmp_path / "gan.keras")
    assert again.seed == gan.seed == seed % 2**31
    gans.assert_same(gans.values(gan.variables), gans.values(again.variables))


@pytest.mark.parametrize("seed", [1.5, "one"])
def test_a_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer"):
        GAN(gans.generator(), gans.discriminator(), seed=seed)
