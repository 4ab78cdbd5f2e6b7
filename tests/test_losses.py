import itertools
from typing import get_args

import keras
import numpy as np
import pytest
from keras import ops
from support.layers import assert_close, to_numpy

from gan_blocks import gradients, losses

pytestmark = pytest.mark.every_backend

REAL = np.array([[2.0], [-1.0], [0.5]])
FAKE = np.array([[-3.0], [1.5], [0.0]])


def log_sigmoid(x):
    return -np.log1p(np.exp(-np.asarray(x, "float64")))


# The papers' formulas in NumPy with float64. Literals are computed by hand.
EXPECTED = {
    "non_saturating": (
        -log_sigmoid(REAL).mean() - log_sigmoid(-FAKE).mean(),
        -log_sigmoid(FAKE).mean(),
    ),
    "minimax": (
        -log_sigmoid(REAL).mean() - log_sigmoid(-FAKE).mean(),
        log_sigmoid(-FAKE).mean(),
    ),
    # (1 + 4 + 0.25) / 6 + (9 + 2.25 + 0) / 6 and (16 + 0.25 + 1) / 6.
    "least_squares": (16.5 / 6, 17.25 / 6),
    # (0 + 2 + 0.5) / 3 + (0 + 2.5 + 1) / 3 and -(-3 + 1.5 + 0) / 3.
    "hinge": (2.0, 0.5),
    # -0.5 - 0.5 and 0.5.
    "wasserstein": (-1.0, 0.5),
    "relativistic_pairing": (
        -log_sigmoid(REAL - FAKE).mean(),
        -log_sigmoid(FAKE - REAL).mean(),
    ),
}


def sigmoid(x):
    return np.exp(log_sigmoid(x))


ONES = np.ones((3, 1))
# The derivatives of the formulas, computed by hand and multiplied by the number
# of logits: of the discriminator's loss with respect to the real and the fake
# logits, and of the generator's loss with respect to the fake logits.
SLOPES = {
    "non_saturating": (-sigmoid(-REAL), sigmoid(FAKE), -sigmoid(-FAKE)),
    "minimax": (-sigmoid(-REAL), sigmoid(FAKE), -sigmoid(FAKE)),
    "least_squares": (REAL - 1, FAKE, FAKE - 1),
    "hinge": (-1.0 * (REAL < 1.0), 1.0 * (FAKE > -1.0), -ONES),
    "wasserstein": (-ONES, ONES, -ONES),
    "relativistic_pairing": (
        -sigmoid(FAKE - REAL),
        sigmoid(FAKE - REAL),
        -sigmoid(REAL - FAKE),
    ),
}
every_loss = pytest.mark.parametrize("name", get_args(losses.LossName))


@every_loss
def test_losses_equal_their_formulas(name):
    loss = losses.get(name)
    real, fake = (ops.convert_to_tensor(x, "float32") for x in (REAL, FAKE))
    found = loss.discriminator(real, fake), loss.generator(real, fake)
    assert all(value.shape == () for value in found)
    assert_close(ops.stack(found), EXPECTED[name], rtol=2e-6)


@every_loss
def test_slopes_equal_the_derivatives_of_the_formulas(name):
    loss = losses.get(name)
    real, fake = (ops.convert_to_tensor(x, "float32") for x in (REAL, FAKE))
    calls = [
        (lambda logits: loss.discriminator(logits, fake), real),
        (lambda logits: loss.discriminator(real, logits), fake),
        (lambda logits: loss.generator(real, logits), fake),
    ]
    for (call, logits), expected in zip(calls, SLOPES[name], strict=True):
        value, pullback = gradients.input_vjp(call, logits)
        slope = pullback(ops.ones_like(value))
        assert_close(slope, expected / 3, rtol=2e-6, atol=1e-7)


@every_loss
def test_the_shape_of_the_logits_does_not_change_the_loss(name):
    loss = losses.get(name)
    column = np.random.default_rng(0).normal(size=(2, 24, 1)).astype("float32")
    patch = column.reshape(2, 2, 3, 4, 1)
    for method in (loss.discriminator, loss.generator):
        assert_close(method(*patch), method(*column), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@every_loss
def test_large_logits_give_finite_losses(name, dtype):
    loss = losses.get(name)
    large, zeros = 1e4 * ops.ones((3, 1), dtype), ops.zeros((3, 1), dtype)
    for real, fake in itertools.permutations((large, zeros, -large), 2):
        for method in (loss.discriminator, loss.generator):
            assert np.isfinite(float(method(real, fake)))


@every_loss
def test_generators_use_real_logits_only_if_the_loss_says_so(name):
    loss = losses.get(name)
    fake = ops.convert_to_tensor(FAKE, "float32")
    if loss.generator_needs_real_logits:
        a, b = (loss.generator(real * fake, fake) for real in (0.5, 2.0))
        assert float(a) != float(b)
    else:
        loss.generator(None, fake)


def test_non_saturating_smooths_only_the_real_label():
    loss = losses.NonSaturating(label_smoothing=0.1)
    expected = (
        -(0.9 * log_sigmoid(REAL) + 0.1 * log_sigmoid(-REAL)).mean()
        - log_sigmoid(-FAKE).mean()
    )
    assert_close(loss.discriminator(REAL, FAKE), expected, rtol=1e-6)
    expected = -log_sigmoid(FAKE).mean()
    assert_close(loss.generator(None, FAKE), expected, rtol=1e-6)


def test_the_keras_loss_smooths_only_the_real_label():
    loss = losses.LabelSmoothedBinaryCrossentropy(label_smoothing=0.1)
    real, fake = np.float32(REAL), np.float32(FAKE)
    on_real = -(0.9 * log_sigmoid(REAL) + 0.1 * log_sigmoid(-REAL)).mean()
    on_fake = -log_sigmoid(-FAKE).mean()
    found = loss(np.ones_like(real), real), loss(np.zeros_like(fake), fake)
    assert_close(ops.stack(found), [on_real, on_fake], rtol=1e-6)


def test_the_keras_loss_supports_the_reductions_of_keras():
    logits = np.random.default_rng(0).normal(size=(5, 2, 3, 1))
    labels = np.ones_like(logits)
    plain = losses.LabelSmoothedBinaryCrossentropy(0.0, reduction=None)
    keras_loss = keras.losses.BinaryCrossentropy(True, reduction=None)
    found = to_numpy(plain(labels, logits))
    assert found.shape == (5, 2, 3)
    assert_close(found, keras_loss(labels, logits), rtol=1e-5)
    summed = losses.LabelSmoothedBinaryCrossentropy(0.0, reduction="sum")
    assert_close(summed(labels, logits), found.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    "kind", [losses.NonSaturating, losses.LabelSmoothedBinaryCrossentropy]
)
def test_losses_are_restored_from_their_config(kind):
    config = keras.saving.serialize_keras_object(kind(0.25))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is kind
    assert restored.get_config() == kind(0.25).get_config()
    assert restored.label_smoothing == 0.25


def test_get_accepts_names_losses_and_configs():
    assert isinstance(losses.get("hinge"), losses.Hinge)
    loss = losses.NonSaturating(label_smoothing=0.1)
    assert losses.get(loss) is loss
    restored = losses.get(keras.saving.serialize_keras_object(loss))
    assert restored.label_smoothing == 0.1


@pytest.mark.parametrize("identifier", ["Hinge", None, losses.Hinge])
def test_get_lists_the_names_if_the_identifier_is_unknown(identifier):
    with pytest.raises(ValueError, match="relativistic_pairing"):
        losses.get(identifier)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_label_smoothing_out_of_range_is_an_error(smoothing):
    for loss in (losses.NonSaturating, losses.LabelSmoothedBinaryCrossentropy):
        with pytest.raises(ValueError, match="label_smoothing"):
            loss(label_smoothing=smoothing)
