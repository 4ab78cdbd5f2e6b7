from gan_blocks import gradients, layers, penalties
from gan_blocks.gan.model import GAN
import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_equal,
    normal,
    save_and_load,
    to_numpy,
)

every_backend = pytest.mark.every_backend
LAYERS = [
    lambda: keras.layers.Dense(4),
    lambda: layers.Conv2D(4, 3, strides=2),
    lambda: layers.Conv2DTranspose(4, 3, strides=2),
]


def inputs_for(layer):
    is_dense = isinstance(layer, keras.layers.Dense)
    return normal(2, 5) if is_dense else normal(2, 7, 7, 3)


def matrix(layer):
    kernel = to_numpy(layer.kernel)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        kernel = kernel.swapaxes(2, 3)
    return kernel.reshape(-1, kernel.shape[-1])


def spectral_dense(units, *shape, **arguments):
    """Returns a layer with a known kernel and estimate."""
    layer = layers.SpectralNormalization(
        keras.layers.Dense(units, use_bias=False), **arguments
    )
    layer.build(shape)
    layer.layer.kernel.assign(normal(shape[-1], units, seed=1))
    layer.singular_vector.assign(normal(units, seed=2))
    return layer


def power_iteration(kernel, vector):
    """Returns the singular value, its derivative and the new vector."""
    left = kernel @ vector
    left /= np.linalg.norm(left)
    vector = left @ kernel
    vector /= np.linalg.norm(vector)
    return left @ kernel @ vector, np.outer(left, vector), vector


@every_backend
@pytest.mark.parametrize("build", LAYERS)
def test_the_kernel_is_divided_by_its_largest_singular_value(build):
    inner = build()
    layer = layers.SpectralNormalization(inner, power_iterations=200)
    inputs = inputs_for(inner)
    layer.build(inputs.shape)
    inner.kernel.assign(normal(*inner.kernel.shape))
    inner.bias.assign([1.0, 2.0, 3.0, 4.0])
    before = to_numpy(inner.kernel)
    outputs = to_numpy(layer(inputs, training=True))
    assert_equal(inner.kernel, before)

    largest = np.linalg.svd(matrix(inner), compute_uv=False)[0]
    inner.kernel.assign(before / largest)
    assert_close(outputs, inner(inputs), atol=1e-5)
    assert abs(largest - 1) > 0.1
    expected = layer.compute_output_shape(inputs.shape)
    assert outputs.shape == tuple(expected)


@every_backend
def test_each_training_call_adds_one_iteration_to_the_estimate():
    layer = spectral_dense(3, 2, 5)
    kernel, vector = to_numpy(layer.layer.kernel), normal(3, seed=2)
    inputs = normal(2, 5)
    for training in (True, True, False, False):
        sigma, _, vector = power_iteration(kernel, vector)
        outputs = to_numpy(layer(inputs, training=training))
        assert_close(outputs, inputs @ kernel / sigma, rtol=1e-4)
        if not training:
            vector = to_numpy(layer.singular_vector)
        assert_close(layer.singular_vector, vector, rtol=1e-4)
    layer.trainable = False
    layer(inputs, training=True)
    assert_equal(layer.singular_vector, vector)


@every_backend
def test_the_gradient_includes_the_singular_value_with_fixed_vectors():
    layer = spectral_dense(3, 2, 5)
    kernel, inputs, direction = (
        normal(5, 3, seed=1),
        normal(2, 5),
        normal(2, 3, seed=3),
    )
    _, _, pullback = gradients.vjp(
        lambda: (layer(inputs, training=True), None),
        layer.trainable_variables,
    )
    (gradient,) = pullback(keras.ops.convert_to_tensor(direction))
    sigma, derivative, vector = power_iteration(kernel, normal(3, seed=2))
    upstream = inputs.T @ direction
    expected = upstream / sigma
    expected -= np.sum(upstream * kernel) / sigma**2 * derivative
    assert_close(gradient, expected, atol=1e-5)
    assert_close(layer.singular_vector, vector, rtol=1e-4)


@every_backend
def test_a_gradient_penalty_has_the_correct_gradient():
    layer = spectral_dense(3, 2, 5)
    inputs = keras.ops.convert_to_tensor(normal(2, 5))
    penalty = penalties.R1(weight=2.0)
    value, _, pullback = gradients.vjp(
        lambda: (penalty(layer, inputs, inputs), None),
        layer.trainable_variables,
    )
    (gradient,) = pullback(keras.ops.ones_like(value))
    kernel = to_numpy(layer.layer.kernel)
    sigma, derivative, _ = power_iteration(kernel, normal(3, seed=2))
    slope = kernel.sum(
        axis=1, keepdims=True
    )  # The gradient of the outputs' sum.
    square = np.sum(slope**2)
    assert_close(value, square / sigma**2, rtol=1e-5)
    expected = 2 * slope / sigma**2 - 2 * square / sigma**3 * derivative
    assert_close(gradient, expected, atol=1e-4)
    assert_equal(layer.singular_vector, normal(3, seed=2))


@every_backend
def test_a_kernel_of_zeros_stays_and_works_once_it_changes():
    layer = spectral_dense(3, 2, 5)
    layer.layer.kernel.assign(np.zeros((5, 3)))
    before = to_numpy(layer.singular_vector)
    outputs = to_numpy(layer(normal(2, 5), training=True))
    assert_equal(outputs, 0.0)
    assert_equal(layer.singular_vector, before)
    layer.layer.kernel.assign(normal(5, 3))
    assert np.abs(to_numpy(layer(normal(2, 5), training=True))).min() > 0.0


@every_backend
@pytest.mark.parametrize("nested", [False, True])
def test_the_kernel_is_divided_in_float32(nested):
    inner = keras.layers.Dense(3, use_bias=False, dtype="mixed_bfloat16")
    layer = layers.SpectralNormalization(inner, power_iterations=100)
    model = layer
    if nested:
        outer = keras.Sequential([layer], name="outer")
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = keras.Sequential([keras.Input((5,)), outer])
        assert model.outputs[0].dtype == "bfloat16"
    else:
        layer.build((None, 5))
    # A kernel rounded before the division would give different values.
    inner.kernel.assign(normal(5, 3))
    outputs = model(np.eye(5, dtype="float32"), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    kernel = normal(5, 3)
    kernel /= np.linalg.svd(kernel, compute_uv=False)[0]
    expected = to_numpy(keras.ops.cast(kernel, "bfloat16"))
    assert_equal(outputs, expected)


@pytest.mark.parametrize(
    "block, arguments",
    [
        (layers.StridedConvBlock, {"normalization": None, "dropout": 0.1}),
        (layers.TransposedConvBlock, {"trainable": False}),
        (layers.ResizeConvBlock, {"normalization": "group"}),
        (layers.DenseBlock, {"dtype": "mixed_bfloat16"}),
    ],
)
def test_a_loaded_block_with_spectral_normalization_equals_the_original(
    block, arguments, tmp_path
):
    inputs = normal(4, 6) if block is layers.DenseBlock else normal(4, 8, 8, 3)
    model = keras.Sequential(
        [
            keras.Input(inputs.shape[1:]),
            block(4, spectral_normalization=True, **arguments),
        ]
    )
    for _ in range(3):
        model(inputs, training=True)
    expected = to_numpy(model(inputs))
    (layer,) = save_and_load(model, inputs, tmp_path).layers
    layer.linear.kernel.assign(10 * layer.linear.kernel)
    atol = 0.02 * np.abs(expected).max()
    assert_close(layer(inputs), expected, atol=atol)


def test_configs_without_spectral_normalization_can_be_loaded():
    config = layers.StridedConvBlock(4).get_config()
    del config["spectral_normalization"]
    block = layers.StridedConvBlock.from_config(config)
    assert block.spectral_normalization is False
    assert block.layers[0] is block.linear


@every_backend
def test_a_gan_with_spectral_normalization_trains_and_resumes(tmp_path):
    generator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.DenseBlock(4, spectral_normalization=True),
            keras.layers.Dense(2, activation="tanh"),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.DenseBlock(
                4, normalization=None, spectral_normalization=True
            ),
            layers.MinibatchStdDev(),
            layers.SpectralNormalization(keras.layers.Dense(1)),
        ]
    )
    gan = GAN(generator, discriminator, seed=0)
    gan.compile("sgd", "sgd", loss="non_saturating", penalty=penalties.R1(1.0))
    images = np.tanh(normal(12, 2))
    before = discriminator.get_weights()
    gan.fit(images, batch_size=4, verbose=0, shuffle=False)
    for old, new in zip(before, discriminator.get_weights(), strict=True):
        assert np.any(old != new) and np.all(np.isfinite(new))
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    for one in (gan, loaded):
        one.fit(images, batch_size=4, verbose=0, shuffle=False)
    for a, b in zip(gan.variables, loaded.variables, strict=True):
        assert_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: layers.SpectralNormalization(keras.layers.Flatten()),
            "`layer` must be a Dense layer, a convolution.*Flatten",
        ),
        (
            lambda: layers.SpectralNormalization("dense"),
            "`layer` must be .*dense",
        ),
        (
            lambda: layers.SpectralNormalization(
                keras.layers.Dense(1), power_iterations=0
            ),
            "`power_iterations` must be a positive integer.*iterations=0",
        ),
    ],
)
def test_invalid_arguments_are_errors_that_name_them(build, message):
    with pytest.raises(ValueError, match=message):
        build()
