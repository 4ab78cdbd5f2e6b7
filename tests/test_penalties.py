import contextlib
import functools

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common import dtypes

import gan_blocks
from gan_blocks import gradients, layers, networks, penalties

every_backend = pytest.mark.every_backend

SHAPE = (6, 6, 2)


def set_precision(dtype):
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


@pytest.fixture
def float64(monkeypatch):
    set_precision("float64")
    # Keras computes in float64 on TensorFlow, but takes it for float32 in the
    # operations of JAX and torch.
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with contextlib.ExitStack() as stack:
        if keras.backend.backend() == "jax":
            import jax

            stack.enter_context(jax.enable_x64(True))
        yield


def discriminator(normalization):
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.StridedConvBlock(
                4, normalization=normalization, activation="softplus"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


def number(scalar):
    return float(ops.convert_to_numpy(scalar))


def spread_out(model, dtype="float64"):
    """Gives every trainable weight values at which nothing is tiny."""
    random = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0.3, 0.5, weight.shape).astype(dtype))


def images(number=5, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, (number, *SHAPE))
    return ops.convert_to_tensor(values, dtype=keras.config.floatx())


def slope_by_differences(value, variables, direction, step):
    start = [ops.convert_to_numpy(v).copy() for v in variables]
    ends = []
    for sign in (1, -1):
        for variable, origin, one in zip(
            variables, start, direction, strict=True
        ):
            variable.assign(origin + sign * step * one)
        ends.append(number(value()))
    for variable, origin in zip(variables, start, strict=True):
        variable.assign(origin)
    return (ends[0] - ends[1]) / (2 * step)


def slope_by_gradients(value, variables, state, direction):
    output, _, pullback = gradients.vjp(
        lambda: (value(), None), variables, state
    )
    slopes = [
        np.vdot(ops.convert_to_numpy(gradient), one)
        for gradient, one in zip(
            pullback(ops.ones_like(output)), direction, strict=True
        )
        if gradient is not None
    ]
    return sum(slopes)


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
    spread_out(model)
    real, fake = images(seed=0), images(seed=1)
    penalty = penalty(3.0)
    noise = penalty.seed_generator
    noise_state = [noise.state] if noise is not None else []

    def value():
        if noise is not None:  # The same points on the lines each time.
            noise.state.assign([7, 0])
        return penalty(model, real, fake)

    variables = model.trainable_variables
    random = np.random.default_rng(2)
    direction = [random.normal(size=v.shape) for v in variables]
    assert slope_by_gradients(
        value, variables, [*model.variables, *noise_state], direction
    ) == pytest.approx(
        slope_by_differences(value, variables, direction, 1e-5), rel=1e-6
    )


@pytest.mark.parametrize("penalty", [penalties.R1, penalties.R2])
def test_through_batch_norm_float32_agrees_with_float64(penalty, float64):
    """Where TensorFlow takes its fused kernel, and Keras' own layer is off."""
    slopes = {}
    for dtype in ("float64", "float32"):
        set_precision(dtype)
        model = discriminator("batch")
        spread_out(model, dtype)
        real, fake = images(seed=0), images(seed=1)
        random = np.random.default_rng(2)
        variables = model.trainable_variables
        direction = [random.normal(size=v.shape) for v in variables]
        slopes[dtype] = slope_by_gradients(
            functools.partial(penalty(3.0), model, real, fake),
            variables,
            model.variables,
            direction,
        )
    assert slopes["float32"] == pytest.approx(slopes["float64"], rel=2e-5)


def linear(slope):
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, use_bias=False)]
    )
    model.set_weights([np.array([[slope], [0.0]], "float32")])
    return model


@every_backend
def test_penalties_of_a_linear_discriminator_are_known():
    real, fake = ops.ones((4, 2)), ops.zeros((4, 2))
    assert number(penalties.R1(10.0)(linear(3.0), real, fake)) == 45.0
    assert number(penalties.R2(4.0)(linear(3.0), real, fake)) == 18.0
    assert number(
        penalties.GradientPenalty(10.0)(linear(3.0), real, fake)
    ) == pytest.approx(40.0)


def test_r1_looks_at_real_images_and_r2_at_generated_ones():
    square = keras.Sequential(
        [keras.Input((1,)), keras.layers.Lambda(lambda x: x**2)]
    )
    real, fake = 2.0 * ops.ones((3, 1)), 5.0 * ops.ones((3, 1))
    # The slope of x**2 is 2 x.
    assert number(penalties.R1(2.0)(square, real, fake)) == 16.0
    assert number(penalties.R2(2.0)(square, real, fake)) == 100.0


def test_the_gradient_penalty_looks_between_the_images():
    square = keras.Sequential(
        [keras.Input((1,)), keras.layers.Lambda(lambda x: 0.5 * x**2)]
    )
    real, fake = 3.0 * ops.ones((2000, 1)), ops.ones((2000, 1))
    found = number(penalties.GradientPenalty(1.0, seed=0)(square, real, fake))
    # (x - 1)**2 for x uniform in [1, 3] has the mean 4/3.
    assert found == pytest.approx(4 / 3, rel=0.05)


@every_backend
def test_the_gradient_penalty_of_a_flat_discriminator_has_a_gradient():
    model = linear(0.0)
    real, fake = ops.ones((4, 2)), ops.zeros((4, 2))
    output, _, pullback = gradients.vjp(
        lambda: (penalties.GradientPenalty(10.0)(model, real, fake), None),
        model.trainable_variables,
        model.variables,
    )
    assert float(output) == pytest.approx(10.0, rel=1e-5)
    gradient = ops.convert_to_numpy(pullback(ops.ones(()))[0])
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "penalty",
    [penalties.R1(0.5), penalties.R2(2.0), penalties.GradientPenalty(1.0, 3)],
)
def test_penalties_are_serialised(penalty):
    config = keras.saving.serialize_keras_object(penalty)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(penalty)
    assert again.get_config() == penalty.get_config()


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="`weight` must not be negative"):
        penalties.R1(-1.0)


@every_backend
def test_a_lazy_penalty_is_computed_at_its_intervals_and_weighs_as_much():
    def logged(penalty):
        gan = gan_blocks.GAN(
            networks.mlp_generator((4, 4, 1), latent_dim=2, units=(4,)),
            networks.mlp_discriminator((4, 4, 1), units=(4,)),
            seed=0,
        )
        # So that nothing changes from step to step.
        still = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
        gan.compile(*still, penalty=penalty)
        images = np.linspace(-1, 1, 32, dtype="float32").reshape(2, 4, 4, 1)
        return gan.fit(images, epochs=7, verbose=0).history["penalty"]

    keras.utils.set_random_seed(0)
    always = logged(penalties.R1(2.0))
    keras.utils.set_random_seed(0)
    lazy = logged(penalties.R1(2.0, interval=3))
    whole = 3 * always[0]
    assert whole > 0
    np.testing.assert_allclose(
        lazy, [whole, 0, 0, whole, 0, 0, whole], rtol=1e-4
    )


def test_the_interval_is_saved_and_a_wrong_one_refused():
    lazy = penalties.R2(3.0, interval=16)
    copy = penalties.R2.from_config(lazy.get_config())
    assert (copy.weight, copy.interval) == (3.0, 16)
    assert penalties.R1().get_config() == {"weight": 10.0}
    for interval in (0, 1.5, -2):
        with pytest.raises(ValueError, match="`interval` must be an integer"):
            penalties.R1(interval=interval)
