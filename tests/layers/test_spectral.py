import keras
import numpy as np
import pytest
from support.layers import (
    assert_close,
    assert_equal,
    normal,
    readable,
    to_numpy,
)

from gan_blocks import gradients, layers, penalties
from gan_blocks.gan.model import GAN

every_backend = pytest.mark.every_backend


def build_dense():
    """Returns a layer with a known kernel and estimate."""
    layer = layers.SpectralNormalization(keras.layers.Dense(3, use_bias=False))
    layer.build((None, 5))
    layer.layer.kernel.assign(normal(5, 3, seed=1))
    layer.singular_vector.assign(normal(3, seed=2))
    return layer


def power_iteration(kernel, vector):
    """Returns the singular value, its derivative and the new vector."""
    left = kernel @ vector
    left /= np.linalg.norm(left)
    vector = left @ kernel
    vector /= np.linalg.norm(vector)
    return left @ kernel @ vector, np.outer(left, vector), vector


@every_backend
@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [
        (keras.layers.Dense, (4,), (2, 5)),
        (layers.Conv2D, (4, 3, 2), (2, 7, 7, 3)),
        (layers.Conv2DTranspose, (4, 3, 2), (2, 7, 7, 3)),
    ],
    ids=readable,
)
def test_the_kernel_is_divided_by_its_largest_singular_value(
    kind, arguments, shape
):
    inner, inputs = kind(*arguments), normal(*shape)
    layer = layers.SpectralNormalization(inner, power_iterations=200)
    layer.build(inputs.shape)
    inner.kernel.assign(normal(*inner.kernel.shape))
    inner.bias.assign([1.0, 2.0, 3.0, 4.0])
    before = to_numpy(inner.kernel)
    outputs = to_numpy(layer(inputs, training=True))
    assert_equal(inner.kernel, before)

    is_transposed = kind is layers.Conv2DTranspose
    kernel = before.swapaxes(2, 3) if is_transposed else before
    largest = np.linalg.svd(kernel.reshape(-1, 4), compute_uv=False)[0]
    inner.kernel.assign(before / largest)
    assert_close(outputs, inner(inputs), atol=1e-5)
    assert abs(largest - 1) > 0.1
    assert outputs.shape == tuple(layer.compute_output_shape(shape))


@every_backend
def test_an_embedding_is_divided_by_its_largest_singular_value():
    inner = keras.layers.Embedding(4, 3)
    layer = layers.SpectralNormalization(inner, power_iterations=200)
    layer.build((None,))
    vectors = normal(4, 3)
    inner.embeddings.assign(vectors)
    outputs = layer(np.array([3, 1]), training=True)
    largest = np.linalg.svd(vectors, compute_uv=False)[0]
    assert_close(outputs, vectors[[3, 1]] / largest, atol=1e-5)
    assert_equal(inner.embeddings, vectors)


@every_backend
def test_each_training_call_adds_one_iteration_to_the_estimate():
    layer = build_dense()
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


def test_no_weight_of_a_frozen_layer_is_trained():
    inner = keras.layers.Dense(2)
    layer = layers.SpectralNormalization(inner, trainable=False)
    model = keras.Sequential([keras.Input((3,)), layer])
    before = model.get_weights()
    model(normal(4, 3), training=True)
    assert not model.trainable_variables
    for one, other in zip(before, model.get_weights(), strict=True):
        assert_equal(one, other)


@every_backend
def test_the_gradient_includes_the_singular_value_with_fixed_vectors():
    layer = build_dense()
    kernel, inputs = normal(5, 3, seed=1), normal(2, 5)
    direction = normal(2, 3, seed=3)
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
    layer = build_dense()
    inputs = keras.ops.convert_to_tensor(normal(2, 5))
    penalty = penalties.R1(weight=2.0)
    value, _, pullback = gradients.vjp(
        lambda: (penalty(layer, inputs, inputs), None),
        layer.trainable_variables,
    )
    (gradient,) = pullback(keras.ops.ones_like(value))
    kernel = to_numpy(layer.layer.kernel)
    sigma, derivative, _ = power_iteration(kernel, normal(3, seed=2))
    # The gradient of the sum of the outputs.
    slope = kernel.sum(axis=1, keepdims=True)
    square = np.sum(slope**2)
    assert_close(value, square / sigma**2, rtol=1e-5)
    expected = 2 * slope / sigma**2 - 2 * square / sigma**3 * derivative
    assert_close(gradient, expected, atol=1e-4)
    assert_equal(layer.singular_vector, normal(3, seed=2))


@every_backend
def test_a_kernel_of_zeros_stays_and_works_once_it_changes():
    layer = build_dense()
    layer.layer.kernel.assign(np.zeros((5, 3)))
    before = to_numpy(layer.singular_vector)
    outputs = to_numpy(layer(normal(2, 5), training=True))
    assert_equal(outputs, 0.0)
    assert_equal(layer.singular_vector, before)
    layer.layer.kernel.assign(normal(5, 3))
    assert np.abs(to_numpy(layer(normal(2, 5), training=True))).min() > 0.0


@every_backend
def test_the_kernel_is_divided_in_float32_inside_a_model_in_bfloat16():
    inner = keras.layers.Dense(3, use_bias=False, dtype="mixed_bfloat16")
    layer = layers.SpectralNormalization(inner, power_iterations=100)
    outer = keras.Sequential([layer], name="outer")
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential([keras.Input((5,)), outer])
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
    ("layer", "arguments", "number_of_kernels"),
    [
        (layers.StridedConvBlock, {"filters": 4, "normalization": None}, 1),
        (layers.TransposedConvBlock, {"filters": 4, "normalization": None}, 1),
        (layers.ResizeConvBlock, {"filters": 4, "normalization": None}, 1),
        (layers.ResidualDownBlock, {"filters": 4}, 3),
        (layers.ResidualUpBlock, {"filters": 4}, 3),
        (layers.SelfAttention2D, {}, 4),
    ],
    ids=readable,
)
def test_every_kernel_of_a_layer_is_divided_by_its_singular_value(
    layer, arguments, number_of_kernels
):
    layer = layer(spectral_normalization=True, **arguments)
    inputs = normal(2, 4, 4, 8)
    layer.build(inputs.shape)
    for weight in layer.trainable_weights:
        if weight.name == "gamma":
            weight.assign(keras.ops.ones_like(weight))
    layer(inputs, training=True)
    expected = to_numpy(layer(inputs))
    kernels = [w for w in layer.trainable_weights if w.name == "kernel"]
    assert len(kernels) == number_of_kernels
    for kernel in kernels:
        kernel.assign(4.0 * kernel)
        assert_close(layer(inputs), expected, atol=1e-5)


@pytest.mark.slow
@every_backend
def test_a_gan_with_spectral_normalization_trains_and_resumes(tmp_path):
    generator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.SpectralNormalization(
                keras.layers.Dense(2, activation="tanh")
            ),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((2,)),
            layers.DenseBlock(
                4, normalization=None, spectral_normalization=True
            ),
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
    for variable, copy in zip(gan.variables, loaded.variables, strict=True):
        assert_equal(variable, copy)


def test_invalid_arguments_are_errors_that_name_them():
    message = "`layer` must be a Dense layer, a convolution.*Flatten"
    with pytest.raises(ValueError, match=message):
        layers.SpectralNormalization(keras.layers.Flatten())
    message = "`dtype` must be that of the kernel.*float16"
    with pytest.raises(ValueError, match=message):
        layers.SpectralNormalization(keras.layers.Dense(1), dtype="float16")
    message = "`power_iterations` must be a positive integer.*iterations=0"
    with pytest.raises(ValueError, match=message):
        layers.SpectralNormalization(keras.layers.Dense(1), power_iterations=0)
