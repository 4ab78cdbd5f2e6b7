import functools

import keras
import numpy as np
import pytest
from support.layers import (
    assert_equal,
    normal,
    skip_if_channels_first_is_unsupported,
    to_numpy,
)

from gan_blocks import layers, networks

every_backend = pytest.mark.every_backend


@pytest.fixture
def channels_first():
    data_format = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(data_format)


def small(family, part, **options):
    """Builds a small network for images of 8 x 8 pixels."""
    options |= {"base_filters": 2} if family == "dcgan" else {"units": (4,)}
    return getattr(networks, f"{family}_{part}")((8, 8, 1), **options)


def shapes(model):
    return [
        layer.output.shape[1:]
        for layer in model.layers
        if len(layer.output.shape) == 4
    ]


@pytest.mark.parametrize(
    "size, start, doublings",
    [
        ((8, 8), (4, 4), 1),
        ((28, 28), (7, 7), 2),
        ((96, 96), (6, 6), 4),
        ((128, 128), (4, 4), 5),
        ((48, 64), (6, 8), 3),
        ((40, 56), (5, 7), 3),
        ((96, 64), (6, 4), 4),
        ((80, 32), (10, 4), 3),
    ],
)
def test_dcgan_doubles_the_size_starting_from_4_to_7_pixels(
    size, start, doublings
):
    generator = networks.dcgan_generator((*size, 3), base_filters=2)
    maps = shapes(generator)
    assert maps[1] == (*start, 2 * 2**doublings)
    for small, large in zip(maps[1:-2], maps[2:-1], strict=True):
        assert large[:2] == (2 * small[0], 2 * small[1])
        assert large[2] in (small[2] // 2, 3)
    assert len(maps) == doublings + 3
    assert generator.name == "generator"
    assert generator.input_shape == (None, 100)
    assert generator.output_shape == (None, *size, 3)

    discriminator = networks.dcgan_discriminator((*size, 3), base_filters=2)
    assert shapes(discriminator) == [
        (size[0] >> i, size[1] >> i, 2**i) for i in range(1, doublings + 1)
    ]
    assert discriminator.name == "discriminator"
    assert discriminator.input_shape == (None, *size, 3)
    assert discriminator.output_shape == (None, 1)


def test_dcgan_for_64_pixels_has_the_filters_of_the_paper():
    kernel = 4 * 4
    generator = networks.dcgan_generator((64, 64, 3))
    hidden = [1024, 512, 256, 128]
    assert [shape[-1] for shape in shapes(generator)[1:-1]] == [*hidden, 3]
    expected = 100 * kernel * 1024 + sum(4 * n for n in hidden)
    expected += sum(kernel * n * n // 2 for n in hidden[:-1])
    assert generator.count_params() == expected + kernel * 128 * 3 + 3

    discriminator = networks.dcgan_discriminator((64, 64, 3))
    expected = kernel * 3 * 64 + 64 + sum(4 * n for n in [128, 256, 512])
    expected += sum(kernel * n * 2 * n for n in [64, 128, 256])
    assert discriminator.count_params() == expected + 4 * 4 * 512 + 1


def test_max_filters_limits_the_channels_of_every_layer():
    generator = networks.dcgan_generator(
        (64, 64, 3), base_filters=8, max_filters=16
    )
    assert [s[-1] for s in shapes(generator)[1:-1]] == [16, 16, 16, 16, 3]
    discriminator = networks.dcgan_discriminator(
        (64, 64, 3), base_filters=8, max_filters=16
    )
    assert [s[-1] for s in shapes(discriminator)] == [8, 16, 16, 16]


def test_every_dcgan_block_except_the_ends_has_batch_norm():
    generator = networks.dcgan_generator((32, 32, 3), base_filters=2)
    discriminator = networks.dcgan_discriminator((32, 32, 3), base_filters=2)
    for model, blocks in (
        (generator, ["batch", "batch", "batch", None]),
        (discriminator, [None, "batch", "batch"]),
    ):
        assert blocks == [
            layer.normalization
            for layer in model.layers
            if hasattr(layer, "normalization")
        ]


@pytest.mark.parametrize(
    "size, nearest",
    [
        ((100, 100), "nearest sizes: 96 x 96 and 112 x 112 pixels.*100 x 100"),
        ((31, 31), "nearest sizes: 28 x 28 and 32 x 32 pixels"),
        ((50, 64), "nearest sizes: 48 x 64 and 56 x 64 pixels"),
        ((63, 100), "nearest sizes: 56 x 96 and 64 x 112 pixels"),
        ((218, 178), "nearest sizes: 192 x 160 and 224 x 192 pixels"),
        ((5, 5), "nearest sizes: 8 x 8 pixels"),
        ((4, 30), "nearest sizes: 8 x 30 pixels"),
    ],
)
def test_an_unsupported_size_is_an_error_with_the_nearest_sizes(size, nearest):
    for build in (networks.dcgan_generator, networks.dcgan_discriminator):
        with pytest.raises(ValueError, match=nearest):
            build((*size, 1))


def test_a_custom_block_needs_only_the_argument_filters():
    def double(filters):
        return keras.layers.Conv2DTranspose(filters, 2, 2, name="double")

    def halve(filters):
        return keras.layers.Conv2D(filters, 2, 2, name="halve")

    options = {"image_shape": (16, 16, 3), "base_filters": 2}
    generator = networks.dcgan_generator(**options, block=double)
    discriminator = networks.dcgan_discriminator(**options, block=halve)
    assert generator.get_layer("double") and discriminator.get_layer("halve")
    logits = discriminator(generator(np.ones((2, 100), "float32")))
    assert tuple(logits.shape) == (2, 1)


def test_a_block_can_be_a_partial_of_our_blocks():
    generator = networks.dcgan_generator(
        (16, 16, 3),
        base_filters=2,
        block=functools.partial(layers.ResizeConvBlock, activation="relu"),
        last_block=layers.ResizeConvBlock,
    )
    resized = [
        n for n in generator.layers if isinstance(n, layers.ResizeConvBlock)
    ]
    assert [n.activation for n in resized] == ["relu", None]
    critic = networks.dcgan_discriminator(
        (16, 16, 3),
        base_filters=2,
        block=functools.partial(layers.StridedConvBlock, normalization="layer"),
    )
    assert [n.normalization for n in critic.layers[:2]] == [None, "layer"]


@pytest.mark.parametrize("argument", ["block", "last_block"])
def test_a_generator_block_that_does_not_double_the_size_is_an_error(argument):
    def same(filters, **arguments):
        return keras.layers.Conv2D(filters, 3, padding="same")

    with pytest.raises(ValueError, match=r"must double.*\(8, 8, 3\)"):
        networks.dcgan_generator((16, 16, 3), **{argument: same})


@every_backend
def test_mlps_support_images_and_points():
    for shape in ((2,), (6, 5, 1)):
        generator = networks.mlp_generator(shape, 7, units=(5, 4))
        discriminator = networks.mlp_discriminator(shape, units=(4, 5))
        size = int(np.prod(shape))
        assert generator.count_params() == 7 * 5 + 5 + 5 * 4 + 4 + 5 * size
        assert discriminator.count_params() == 4 * size + 4 + 5 * 4 + 5 + 6
        assert generator.output_shape == (None, *shape)
        logits = discriminator(generator(np.ones((3, 7), "float32")))
        assert tuple(logits.shape) == (3, 1)


def test_mlps_accept_a_custom_block():
    block = functools.partial(layers.DenseBlock, activation="relu", dropout=0.3)
    generator = networks.mlp_generator((2,), 3, units=(4,), block=block)
    discriminator = networks.mlp_discriminator((2,), units=(4,), block=block)
    for layer in (generator.layers[0], discriminator.layers[1]):
        assert (layer.activation, layer.dropout) == ("relu", 0.3)
        assert layer.normalization == "batch"


@pytest.mark.parametrize("family", ["dcgan", "mlp"])
def test_only_the_output_activation_limits_the_outputs(family):
    latents = normal(64, 100, deviation=1e4)
    model = small(family, "generator")
    assert np.abs(to_numpy(model(latents))).max() <= 1.0
    model = small(family, "generator", output_activation=None)
    model.set_weights([w * 100 for w in model.get_weights()])
    assert np.abs(to_numpy(model(latents))).max() > 1.0


@every_backend
@pytest.mark.parametrize("family", ["dcgan", "mlp"])
def test_images_and_logits_are_float32_under_mixed_precision(family):
    keras.config.set_dtype_policy("mixed_bfloat16")
    generator = small(family, "generator")
    discriminator = small(family, "discriminator")
    assert generator.layers[1].compute_dtype == "bfloat16"
    assert discriminator.layers[1].compute_dtype == "bfloat16"
    images = generator(np.ones((2, 100), "float32"))
    logits = discriminator(images)
    for tensor in (images, logits):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float32"


@every_backend
def test_dcgan_uses_the_image_data_format_of_keras(channels_first):
    generator = networks.dcgan_generator((3, 8, 12), base_filters=2)
    discriminator = networks.dcgan_discriminator((3, 8, 12), base_filters=2)
    assert shapes(generator)[1] == (4, 4, 6)
    assert generator.output_shape == (None, 3, 8, 12)
    skip_if_channels_first_is_unsupported()
    images = generator(np.ones((2, 100), "float32"))
    assert tuple(images.shape) == (2, 3, 8, 12)
    assert tuple(discriminator(images).shape) == (2, 1)


@every_backend
@pytest.mark.parametrize("part", ["generator", "discriminator"])
@pytest.mark.parametrize("family", ["dcgan", "mlp"])
def test_saved_and_cloned_networks_return_the_same_outputs(
    family, part, tmp_path
):
    model = small(family, part)
    inputs = normal(3, *model.input_shape[1:])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for other in (loaded, cloned):
        assert other.name == model.name
        assert_equal(other(inputs), model(inputs))


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        ("dcgan_generator", {"image_shape": (28,)}, r"have three.*\(28,\)"),
        ("dcgan_discriminator", {"image_shape": (None, 28, 1)}, "be .*None"),
        ("mlp_generator", {"image_shape": ()}, "must be"),
        ("dcgan_generator", {"latent_dim": 0}, "must be .*latent_dim=0"),
        ("dcgan_discriminator", {"base_filters": 0}, "must be"),
        ("dcgan_generator", {"max_filters": -1}, "must be"),
        ("mlp_discriminator", {"units": (4, 0)}, ""),
    ],
)
def test_errors_name_the_invalid_argument(build, arguments, message):
    (name,) = arguments
    arguments = {"image_shape": (28, 28, 1), **arguments}
    with pytest.raises(ValueError, match=f"`{name}`.*{message}"):
        getattr(networks, build)(**arguments)
