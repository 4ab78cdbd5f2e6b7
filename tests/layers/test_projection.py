import keras
import numpy as np
import pytest
from support.layers import assert_close, assert_equal, normal, to_numpy

from gan_blocks import layers

every_backend = pytest.mark.every_backend
LABELS = np.array([2, 0, 2, 1], "int32")


def build(**arguments):
    """Returns a model of features and labels, and its head."""
    features, labels = keras.Input((5,)), keras.Input((), dtype="int32")
    head = layers.ProjectionHead(np.int64(3), **arguments)
    model = keras.Model([features, labels], head([features, labels]))
    for i, weight in enumerate(model.trainable_weights):
        weight.assign(normal(*weight.shape, seed=i))
    return model, head


def logits(features, kernel, bias, embedding):
    """Returns the logits of Miyato and Koyama, equation 4."""
    match = (embedding[LABELS] * features).sum(axis=1, keepdims=True)
    return features @ kernel + bias + match


@every_backend
def test_the_logits_are_a_dense_layer_plus_an_inner_product_with_the_class():
    model, head = build()
    weights = map(to_numpy, (*head.judge.weights, head.embedding))
    features = normal(4, 5)
    expected = logits(features, *weights)
    assert_close(model([features, LABELS]), expected, rtol=1e-5)


@every_backend
def test_both_matrices_can_be_divided_by_their_singular_values(tmp_path):
    model, head = build(spectral_normalization=True)
    features = normal(4, 5)
    for _ in range(50):
        outputs = model([features, LABELS], training=True)
    kernel, bias = map(to_numpy, head.judge.layer.weights)
    embedding = to_numpy(head.embedding.layer.embeddings)
    kernel /= np.linalg.norm(kernel)
    embedding /= np.linalg.svd(embedding, compute_uv=False)[0]
    expected = logits(features, kernel, bias, embedding)
    assert_close(outputs, expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded([features, LABELS]), model([features, LABELS]))


@every_backend
@pytest.mark.parametrize("spectral_normalization", [False, True])
def test_logits_are_float32_under_mixed_precision(spectral_normalization):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, _ = build(spectral_normalization=spectral_normalization)
    outputs = model([normal(4, 5), LABELS])
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert model.outputs[0].dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.parametrize("spectral_normalization", [False, True])
def test_no_weight_of_a_frozen_head_is_trained(spectral_normalization):
    model, head = build(
        spectral_normalization=spectral_normalization, trainable=False
    )
    assert not model.trainable_variables
    head.trainable = True
    assert len(model.trainable_variables) == 3


def test_a_number_of_classes_below_one_is_an_error():
    with pytest.raises(ValueError, match="`num_classes` must be a positive"):
        layers.ProjectionHead(0)


@pytest.mark.parametrize("shapes", [((5,), (1,)), ((4, 4, 5), ())])
def test_inputs_of_other_shapes_are_refused(shapes):
    features, labels = map(keras.Input, shapes)
    with pytest.raises(ValueError, match="Flatten.*Received.*shapes"):
        layers.ProjectionHead(3)([features, labels])
