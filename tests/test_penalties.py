import contextlib
import functools

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common import dtypes
from support import gans

from gan_blocks import gradients, layers, penalties

every_backend = pytest.mark.every_backend

SHAPE = (6, 6, 2)


def set_precision(dtype):
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


@pytest.fixture
def float64(monkeypatch):
    set_precision("float64")
    # On JAX and torch, Keras casts the results of some operations to float32.
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield


def discriminator(normalization, dtype="float64"):
    """Builds a discriminator whose weights are not close to zero."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.StridedConvBlock(
                4, normalization=normalization, activation="softplus"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    random = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.3, 0.5, weight.shape).astype(dtype))
    return model


def number(scalar):
    return float(ops.convert_to_numpy(scalar))


def images(seed):
    values = np.random.default_rng(seed).uniform(-1, 1, (5, *SHAPE))
    return ops.convert_to_tensor(values, dtype=keras.config.floatx())


def random_direction(variables):
    random = np.random.default_rng(2)
    return [random.normal(size=variable.shape) for variable in variables]


def slope_by_differences(value, variables, step=1e-5):
    direction = random_direction(variables)
    start = [ops.convert_to_numpy(v).copy() for v in variables]

    def value_at(distance):
        for variable, origin, one in zip(
            variables, start, direction, strict=True
        ):
            variable.assign(origin + distance * one)
        return number(value())

    return (value_at(step) - value_at(-step)) / (2 * step)


def slope_by_gradients(value, variables):
    output, _, pullback = gradients.vjp(lambda: (value(), None), variables)
    return sum(
        np.vdot(ops.convert_to_numpy(gradient), one)
        for gradient, one in zip(
            pullback(ops.ones_like(output)),
            random_direction(variables),
            strict=True,
        )
        if gradient is not None
    )


@every_backend
@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize(
    "penalty",
    [penalties.R1, penalties.R2, penalties.GradientPenalty],
)
def test_gradients_of_penalties_equal_finite_differences(
    penalty, normalization, float64
):
    model = discriminator(normalization)
    real, fake = images(seed=0), images(seed=1)
    penalty = penalty(3.0)

    def value():
        if penalty.seed_generator:  # The same random points in each call.
            penalty.seed_generator.state.assign([7, 0])
        return penalty(model, real, fake)

    variables = model.trainable_variables
    slope = slope_by_gradients(value, variables)
    assert slope == pytest.approx(
        slope_by_differences(value, variables), rel=1e-6
    )


@pytest.mark.parametrize("penalty", [penalties.R1, penalties.R2])
def test_batch_norm_gives_the_same_gradients_in_float32_as_in_float64(
    penalty, float64
):
    """TensorFlow's fused kernel, which Keras uses for float32, is wrong."""
    slopes = {}
    for dtype in ("float64", "float32"):
        set_precision(dtype)
        model = discriminator("batch", dtype)
        value = functools.partial(
            penalty(3.0), model, images(seed=0), images(seed=1)
        )
        slopes[dtype] = slope_by_gradients(value, model.trainable_variables)
    assert slopes["float32"] == pytest.approx(slopes["float64"], rel=2e-5)


def linear(slope):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, use_bias=False)]
    )
    model.set_weights([np.array([[slope], [0.0]], "float32")])
    return model


@every_backend
def test_penalties_of_a_linear_discriminator_equal_their_formulas():
    real, fake = ops.ones((4, 2)), ops.zeros((4, 2))
    assert number(penalties.R1(10.0)(linear(3.0), real, fake)) == 45.0
    assert number(penalties.R2(4.0)(linear(3.0), real, fake)) == 18.0
    found = number(penalties.GradientPenalty(10.0)(linear(3.0), real, fake))
    assert found == pytest.approx(40.0)


@every_backend
def test_penalties_of_a_curved_discriminator_equal_their_formulas():
    random = np.random.default_rng(0)
    kernel, head = random.normal(size=(3, 4)), random.normal(size=(4, 1))
    real, fake = random.normal(size=(2, 5, 3)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activation="tanh", use_bias=False),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    model.set_weights([kernel, head])

    def squared_norms(points):
        """Returns those of the gradient of D(x) = tanh(x K) h."""
        slopes = 1 - np.tanh(points @ kernel) ** 2
        return np.square((slopes * head[:, 0]) @ kernel.T).sum(axis=1)

    seed = keras.random.SeedGenerator(7)
    mix = ops.convert_to_numpy(keras.random.uniform((5, 1), seed=seed))
    norms = np.sqrt(squared_norms(mix * real + (1 - mix) * fake))
    for penalty, expected in (
        (penalties.R1(3.0), 1.5 * squared_norms(real).mean()),
        (penalties.R2(3.0), 1.5 * squared_norms(fake).mean()),
        (penalties.GradientPenalty(3.0, 7), 3 * ((norms - 1) ** 2).mean()),
    ):
        found = penalty(model, *map(ops.convert_to_tensor, (real, fake)))
        assert number(found) == pytest.approx(expected, rel=1e-5)


@every_backend
def test_the_gradient_penalty_of_a_constant_discriminator_has_a_gradient():
    model = linear(0.0)
    real, fake = ops.ones((4, 2)), ops.zeros((4, 2))
    output, _, pullback = gradients.vjp(
        lambda: (penalties.GradientPenalty(10.0)(model, real, fake), None),
        model.trainable_variables,
    )
    assert float(output) == pytest.approx(10.0, rel=1e-5)
    gradient = ops.convert_to_numpy(pullback(ops.ones(()))[0])
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("penalty", "arguments"),
    [
        (penalties.R1(0.5), {"weight": 0.5, "interval": 1}),
        (penalties.R2(2.0, interval=16), {"weight": 2.0, "interval": 16}),
        (penalties.GradientPenalty(1.0, 3), {"weight": 1.0, "seed": 3}),
    ],
)
def test_penalties_are_restored_from_their_config(penalty, arguments):
    config = keras.saving.serialize_keras_object(penalty)
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is type(penalty)
    assert restored.get_config() == arguments


@every_backend
def test_a_lazy_penalty_is_multiplied_by_its_interval():
    def logged(penalty):
        keras.utils.set_random_seed(0)
        gan = gans.compiled(rate=0.0, penalty=penalty)
        return gan.fit(gans.images(2), epochs=7, verbose=0).history["penalty"]

    always = logged(penalties.R1(2.0))
    lazy = logged(penalties.R1(2.0, interval=3))
    tripled = 3 * always[0]
    assert tripled > 0
    np.testing.assert_allclose(
        lazy, [tripled, 0, 0, tripled, 0, 0, tripled], rtol=1e-4
    )


class Drift(penalties.Penalty):
    """Runs the discriminator in training, which changes its statistics."""

    def __call__(self, discriminator, real_images, fake_images):
        logits = discriminator(real_images, training=True)
        return self.weight * ops.mean(ops.square(logits))


@every_backend
def test_a_lazy_penalty_of_ones_own_changes_no_statistics():
    for interval in (1, 2):
        penalty = Drift(0.1, interval=interval)
        gan = gans.compiled(gans.small_gan(), rate=0.0, penalty=penalty)
        before = gans.values(gan.discriminator.non_trainable_variables)
        keras.utils.set_random_seed(0)
        logs = gan.fit(gans.images(), batch_size=8, verbose=0).history
        assert logs["penalty"][0] > 0
        after = gans.values(gan.discriminator.non_trainable_variables)
        if interval == 1:
            with_penalty = after
    assert len(before) == 2  # The mean and the variance.
    gans.assert_changed(before, after)
    gans.assert_changed(with_penalty, after)


def test_a_lazy_penalty_cannot_draw_random_numbers():
    penalty = Drift(0.1, interval=2)
    penalty.seed_generator = keras.random.SeedGenerator(0)
    with pytest.raises(ValueError, match="`interval` must be 1.*Drift"):
        gans.compiled(penalty=penalty)


@every_backend
@pytest.mark.parametrize("seed", [-1, 2**31, 2**40, np.int64(3)])
def test_every_integer_is_a_seed(seed):
    penalty = penalties.GradientPenalty(seed=seed)
    assert penalty.seed == seed
    network = discriminator(None, "float32")
    assert np.isfinite(number(penalty(network, images(0), images(1))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "`weight` must not be negative"),
        ({"interval": 0}, "`interval` must be a positive int"),
        ({"interval": 1.5}, "`interval` must be a positive int"),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        penalties.R1(**arguments)
