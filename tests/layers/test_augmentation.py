import h5py
import keras
import numpy as np
import pytest
from keras import ops
from support.layers import (
    assert_close,
    assert_equal,
    on_tensorflow,
    squared_gradient,
    to_numpy,
)

from gan_blocks import gradients, layers, penalties
from gan_blocks.gan.model import GAN

every_backend = pytest.mark.every_backend
OPERATIONS = ("color", "flip", "rotation", "translation", "cutout")


def random_images(*shape, dtype="float32"):
    random = np.random.default_rng(0)
    # No value is 0, so tests find the pixels that an operation sets to 0.
    return random.uniform(0.1, 1, shape).astype(dtype)


def draws(count, number=1, seed=7):
    """Returns the numbers that a layer draws per operation: 3 per image."""
    generator = keras.random.SeedGenerator(seed)
    return [
        to_numpy(
            keras.random.uniform((3, count, 1, 1, 1), seed=generator)
        ).reshape(3, count)
        for _ in range(number)
    ]


def augment(images, *policy, probability=1.0):
    layer = layers.DiffAugment(policy, probability, seed=7)
    return to_numpy(layer(images, training=True))


# Operations ------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize("channels", [1, 3])
def test_color_follows_its_formulas(channels):
    images = random_images(16, 5, 6, channels)
    expected = images.astype("float64")
    chances, amounts = np.stack(draws(16, 3))[:, :2].swapaxes(0, 1)
    chosen = chances < 0.6
    for i in range(16):
        image = expected[i]
        if chosen[0, i]:
            image = image + (amounts[0, i] - 0.5)
        if chosen[1, i]:
            gray = image.mean(-1, keepdims=True)
            image = gray + (image - gray) * (2 * amounts[1, i])
        if chosen[2, i]:
            mean = image.mean()
            image = mean + (image - mean) * (amounts[2, i] + 0.5)
        expected[i] = image
    assert 0 < chosen.sum() < chosen.size
    outputs = augment(images, "color", probability=0.6)
    assert_close(outputs, expected, atol=1e-6)


def shift(image, down, right):
    height, width, _ = image.shape
    padded = np.pad(image, ((height, height), (width, width), (0, 0)))
    return padded[height - down :, width - right :][:height, :width]


@pytest.mark.parametrize(
    "size", [(16, 28), pytest.param((7, 5), marks=every_backend)]
)
def test_translation_shifts_by_up_to_an_eighth_and_fills_with_zeros(size):
    images = random_images(64, *size, 2)
    outputs = augment(images, "translation")
    limits = [int(one / 8 + 0.5) for one in size]
    (numbers,) = draws(64)
    moves = [
        np.floor(numbers[1 + i] * (2 * limit + 1)).astype(int) - limit
        for i, limit in enumerate(limits)
    ]
    for i, limit in enumerate(limits):
        assert set(moves[i]) == set(range(-limit, limit + 1))
    for image, output, *move in zip(images, outputs, *moves, strict=True):
        assert_equal(output, shift(image, *move))


@pytest.mark.parametrize(
    "size", [(8, 12), pytest.param((7, 9), marks=every_backend)]
)
def test_cutout_sets_a_window_of_half_the_size_to_zero(size):
    images = random_images(200, *size, 3)
    (numbers,) = draws(200)
    # Windows with an even length are centered on a corner of pixels.
    half = [(one + 1) // 2 for one in size]
    centers = [
        np.floor(numbers[1 + i] * (size[i] + 1 - half[i] % 2)).astype(int)
        for i in range(2)
    ]
    expected = images.copy()
    for image, *center in zip(expected, *centers, strict=True):
        # The border cuts off up to half of the window.
        window = [
            np.clip(
                center[i] - half[i] // 2 + np.arange(half[i]), 0, size[i] - 1
            )
            for i in range(2)
        ]
        image[np.ix_(*window)] = 0
    assert_equal(augment(images, "cutout"), expected)
    assert {*centers[0]} == {*range(size[0] + 1 - half[0] % 2)}


@every_backend
def test_rotation_and_flip_produce_all_eight_symmetries_of_a_square():
    image = random_images(1, 5, 5, 2)
    images = np.repeat(image, 96, 0)
    turned = [np.rot90(image[0], k) for k in range(4)]
    flipped = [one[:, ::-1] for one in turned]

    def seen(*policy):
        return as_bytes(augment(images, *policy))

    def as_bytes(images):
        return {one.astype("float64").tobytes() for one in images}

    assert seen("rotation") == as_bytes(turned)
    assert seen("flip") == as_bytes([turned[0], flipped[0]])
    assert seen("rotation", "flip") == as_bytes(turned + flipped)


def test_images_are_flipped_then_rotated_then_shifted():
    images = random_images(64, 16, 16, 1)
    moving, turning, flipping = draws(64, 3)
    together = augment(images, "translation", "flip", "rotation")
    for i, image in enumerate(images):
        if flipping[1, i] < 0.5:
            image = image[:, ::-1]
        turns = 2 * (turning[1, i] < 0.5) + (turning[2, i] < 0.5)
        image = np.rot90(image, turns)
        down, right = np.floor(moving[1:, i] * 5).astype(int) - 2
        assert_equal(together[i], shift(image, down, right))


# Probability and random numbers ----------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_images_do_not_change_outside_training_or_at_probability_0(dtype):
    images = ops.cast(random_images(8, 6, 6, 3) - 0.5, dtype)
    adaptive = layers.AdaptiveAugment(OPERATIONS, dtype=dtype)
    still = layers.DiffAugment(OPERATIONS, probability=0, dtype=dtype)
    always = layers.DiffAugment(OPERATIONS, dtype=dtype)
    for outputs in (
        adaptive(images, training=True),
        still(images, training=True),
        always(images, training=False),
        always(images),
    ):
        assert keras.backend.standardize_dtype(outputs.dtype) == dtype
        assert to_numpy(ops.all(outputs == images))
    assert not to_numpy(ops.all(always(images, training=True) == images))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_has_the_given_probability(operation):
    images = random_images(4000, 6, 6, 2)
    outputs = augment(images, operation, probability=0.3)
    share = (outputs != images).any((1, 2, 3)).mean()
    # Some draws change nothing: half of the flips, a quarter of the rotations,
    # and one in nine shifts by up to one pixel. Color has three chances.
    effect = {"flip": 1 / 2, "rotation": 3 / 4, "translation": 8 / 9}
    expected = 0.3 * effect.get(operation, 1)
    if operation == "color":
        expected = 1 - 0.7**3
    assert abs(share - expected) < 0.03


def test_each_image_and_each_call_gets_new_random_numbers():
    layer = layers.DiffAugment(("cutout",), seed=1)
    images = np.ones((64, 16, 16, 1), "float32")
    first, second = (to_numpy(layer(images, training=True)) for _ in range(2))
    again = layers.DiffAugment(("cutout",), seed=1)(images, training=True)
    assert_equal(first, again)
    assert (first != second).any()
    assert len({one.tobytes() for one in first}) > 32


@every_backend
@pytest.mark.parametrize("seed", [-1, 2**40, np.int64(3)])
def test_every_integer_is_a_seed(seed, tmp_path):
    layer = layers.DiffAugment(("flip",), seed=seed)
    model = keras.Sequential([keras.Input((4, 4, 1)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = random_images(8, 4, 4, 1)
    outputs = loaded(images, training=True)
    assert_equal(outputs, model(images, training=True))


# Gradients -------------------------------------------------------------------


@every_backend
def test_gradients_equal_those_of_an_affine_function():
    images = random_images(4, 8, 8, 3)
    direction = np.random.default_rng(2).normal(size=images.shape)
    cotangent = np.random.default_rng(1).normal(size=images.shape)
    layer = layers.DiffAugment(OPERATIONS, 0.7, seed=7)

    def at(inputs):
        # Each call draws the same numbers, as `input_vjp` keeps no state.
        output, pullback = gradients.input_vjp(
            lambda inputs: layer(inputs, training=True),
            ops.convert_to_tensor(inputs),
        )
        gradient = pullback(ops.convert_to_tensor(cotangent, "float32"))
        return to_numpy(output), to_numpy(gradient)

    (start, gradient), (end, other) = at(images), at(images + direction)
    assert_equal(gradient, other)
    assert_close(
        (cotangent * (end - start)).sum(),
        (gradient * direction).sum(),
        rtol=1e-5,
    )


@every_backend
def test_second_derivatives_of_r1_are_correct():
    # For the discriminator w x^2 / 2, the penalty is the squared norm of the
    # transposed augmentation of w x. No other layer can hide an error.
    images = ops.convert_to_tensor(random_images(4, 8, 8, 3))
    layer = layers.DiffAugment(OPERATIONS, 0.7, seed=7)

    class Square(keras.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, inputs):
            return self.scale * ops.sum(inputs**2, (1, 2, 3)) / 2

    network = keras.Sequential([keras.Input((8, 8, 3)), layer, Square()])
    value, (slope,) = squared_gradient(
        network, images, network.trainable_variables
    )
    gradient = gradients.input_gradient(network, images)
    _, back = gradients.input_vjp(
        lambda inputs: layer(inputs, training=True), images
    )
    with keras.StatelessScope():
        seen = layer(images, training=True)
    assert_close(gradient, back(seen), rtol=1e-5)
    assert_close(slope, 2 * to_numpy(value), rtol=1e-5)


@on_tensorflow
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_compiled_gradients_equal_those_of_a_linear_function(jit_compile):
    import tensorflow as tf

    # XLA draws other numbers, but all operations without brightness are linear:
    # the image y = A x has the squared norm y . A x = x . A^T y.
    images = tf.constant(random_images(4, 8, 8, 3))
    layer = layers.DiffAugment(OPERATIONS[1:], 0.7, seed=7)

    def augment(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
        return outputs, tape.gradient(outputs, images, outputs)

    signature = [tf.TensorSpec((None, 8, 8, 3))]
    compiled = tf.function(augment, signature, jit_compile=jit_compile)
    outputs, gradient = map(to_numpy, compiled(images))
    assert (outputs != to_numpy(images)).any()
    assert_close(
        (outputs**2).sum(), (to_numpy(images) * gradient).sum(), rtol=1e-5
    )


# Adaptive augmentation -------------------------------------------------------


@every_backend
def test_the_probability_follows_the_signs_of_the_logits():
    layer = layers.AdaptiveAugment(
        images_to_adapt=100, maximum=0.25, interval=1
    )

    def after(*logits):
        layer.observe(ops.reshape(ops.convert_to_tensor(logits), (-1, 1)))
        return float(layer.probability)

    assert after(-1.0, -2.0) == 0
    rising = [after(*[0.1] * 10) for _ in range(3)]
    assert_close(rising, [0.1, 0.2, 0.25], rtol=1e-6)
    # 9 of 10 positive logits have a mean sign of 0.8, above the target of 0.6;
    # 7 of 10 have a mean sign of 0.4.
    assert_close(after(*[-1.0] * 5), 0.2, rtol=1e-6)
    assert_close(after(-9.0, *[0.1] * 9), 0.25, rtol=1e-6)
    assert_close(after(*[-0.1] * 3, *[9.0] * 7), 0.15, rtol=1e-6)
    # All logits of a patch count for the sign, but the patch is one image.
    layer.observe(ops.ones((2, 4, 4, 1), "bfloat16"))
    assert_close(float(layer.probability), 0.17, rtol=1e-6)


@every_backend
def test_the_probability_follows_the_mean_sign_of_four_batches():
    layer = layers.AdaptiveAugment(images_to_adapt=100)

    def after(*negatives):
        """Returns the probability after batches of 5 with negative logits."""
        for number in negatives:
            logits = np.where(np.arange(5) < number, -1.0, 1.0)
            layer.observe(ops.convert_to_tensor(logits[:, None], "float32"))
        return float(layer.probability)

    assert after(0, 0, 0) == 0
    assert_close(after(3), 0.2, rtol=1e-6)  # A mean sign of 14 / 20.
    assert_close(after(4, 0, 0, 0), 0.2, rtol=1e-6)  # 12 / 20, the target.
    assert_close(after(0, 0, 5), 0.2, rtol=1e-6)
    assert after(0) == 0  # 10 / 20.
    layer.trainable = False
    assert after(0, 0, 0, 0) == 0


def test_a_file_of_version_0_1_has_no_observed_signs(tmp_path):
    def build():
        augment = layers.AdaptiveAugment(("flip",), interval=1, name="augment")
        return keras.Sequential([keras.Input((4, 4, 1)), augment]), augment

    path = tmp_path / "model.weights.h5"
    model, augment = build()
    augment.probability.assign(0.25)
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        names = list(file["layers"])
        del file[f"layers/{names[0]}/vars/1"]
    model, augment = build()
    model.load_weights(path)
    assert float(augment.probability) == 0.25
    assert_equal(augment.observed, [0, 0, 0])


def build_gan(*augmentations, **options):
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Reshape((8, 8, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *augmentations,
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softplus"),
            keras.layers.Dense(1),
        ]
    )
    gan = GAN(generator, discriminator, seed=1)
    gan.compile("adam", "adam", penalty=penalties.R1(1.0), **options)
    return gan


def fit(gan, logit=None):
    """Trains two steps, after setting the last bias to `logit`."""
    if logit is not None:
        gan.discriminator.layers[-1].bias.assign([logit])
    images = 2 * random_images(32, 8, 8, 1) - 1
    return gan.fit(images, batch_size=16, shuffle=False, verbose=0).history


@pytest.mark.slow
@every_backend
def test_a_gan_with_augmentation_trains_and_resumes(tmp_path):
    # Few operations, because JAX compiles each of them for two GANs.
    adaptive = layers.AdaptiveAugment(
        ("flip",), images_to_adapt=100, seed=3, interval=3
    )
    gan = build_gan(layers.DiffAugment(("cutout",), seed=3), adaptive)
    logs = fit(gan, 9.0)
    assert all(np.isfinite(values).all() for values in logs.values())
    gan.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    for one, other in zip(
        gan.discriminator.layers, loaded.discriminator.layers, strict=True
    ):
        assert one.get_config() == other.get_config()
    assert_equal(adaptive.observed, [32, 32, 2])
    assert fit(loaded) == fit(gan)
    assert_close(float(adaptive.probability), 0.48, rtol=1e-5)
    for one, other in zip(gan.variables, loaded.variables, strict=True):
        assert_equal(one, other)


def test_each_discriminator_step_adapts_the_probability_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = layers.AdaptiveAugment(("flip", "cutout"), images_to_adapt=100)
    gan = build_gan(layer, discriminator_steps=2)
    assert np.isfinite(fit(gan, 9.0)["d_loss"]).all()
    assert layer.probability.dtype == "float32"
    assert_close(float(layer.probability), 0.64, rtol=1e-5)
    fit(gan, -9.0)
    assert float(layer.probability) < 1e-6
