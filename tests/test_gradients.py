import keras
import numpy as np
import pytest
from keras import ops
from support.layers import assert_close, assert_equal, to_numpy

from gan_blocks import gradients

pytestmark = pytest.mark.every_backend


def network(*layers):
    return keras.Sequential([keras.Input((3,)), *layers])


def test_vjp_returns_the_gradients_of_the_variables():
    weight = keras.Variable(np.array([[1.0, 2.0], [3.0, 4.0]], "float32"))
    inputs = ops.convert_to_tensor([[1.0, -1.0]])
    output, auxiliary, pullback = gradients.vjp(
        lambda: (inputs @ weight, {"sum": ops.sum(weight)}), [weight]
    )
    (gradient,) = pullback(ops.convert_to_tensor([[10.0, 1.0]]))
    assert_close(output, [[-2.0, -2.0]])
    assert_close(gradient, [[10.0, 1.0], [-10.0, -1.0]])
    assert float(auxiliary["sum"]) == 10.0


def test_vjp_keeps_the_assignments_of_the_function():
    model = network(
        keras.layers.BatchNormalization(momentum=0.0),
        keras.layers.Dropout(0.5, seed=0),
    )
    inputs = ops.convert_to_tensor(np.eye(3, dtype="float32") * 3)
    seeds = model.layers[1].seed_generator.state
    seed = to_numpy(seeds)
    gradients.vjp(
        lambda: (model(inputs, training=True), None),
        model.trainable_variables,
    )
    assert_close(model.layers[0].moving_mean, [1, 1, 1])
    assert (to_numpy(seeds) != seed).any()


def test_input_vjp_returns_the_input_gradient_and_changes_no_variable():
    model = network(
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5, seed=0),
        keras.layers.Dense(2),
    )
    before = [to_numpy(variable) for variable in model.variables]
    inputs = ops.convert_to_tensor(np.eye(3, dtype="float32"))
    output, pullback = gradients.input_vjp(
        lambda inputs: model(inputs, training=True), inputs
    )
    assert pullback(ops.ones_like(output)).shape == (3, 3)
    for old, new in zip(before, model.variables, strict=True):
        assert_equal(new, old)


def test_input_vjp_equals_the_jacobian_calculated_by_hand():
    output, pullback = gradients.input_vjp(
        lambda inputs: inputs**3, ops.convert_to_tensor([1.0, 2.0])
    )
    gradient = pullback(ops.convert_to_tensor([1.0, 10.0]))
    assert_close(output, [1.0, 8.0])
    assert_close(gradient, [3.0, 120.0])


def test_an_input_gradient_can_be_differentiated_again():
    model = network(keras.layers.Dense(1, use_bias=False))
    kernel = model.trainable_variables[0]
    inputs = ops.ones((4, 3))

    def squared_norm():
        gradient = gradients.input_gradient(model, inputs)
        return ops.sum(ops.square(gradient)), None

    output, _, pullback = gradients.vjp(squared_norm, [kernel])
    # The gradient at each of the 4 inputs is the kernel itself.
    value = to_numpy(kernel)
    assert_close(output, 4 * (value**2).sum(), rtol=1e-6)
    assert_close(pullback(ops.ones(()))[0], 8 * value, rtol=1e-6)


@pytest.mark.parametrize("scaled", [False, True])
def test_apply_performs_one_step_of_the_optimizer(scaled):
    variables = [keras.Variable([1.0]), keras.Variable([[2.0]])]
    optimizer = keras.optimizers.SGD(0.5)
    scale = 1.0
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        scale = 2.0**15
    optimizer.build(variables)
    gradient = [ops.convert_to_tensor(g) for g in ([scale], [[2 * scale]])]
    gradients.apply(optimizer, gradient, variables)
    assert [float(v.numpy().item()) for v in variables] == [0.5, 1.0]
    assert int(optimizer.iterations.numpy()) == 1


def test_a_loss_scale_is_part_of_the_cotangent():
    variables = [keras.Variable([1.0])]
    plain = keras.optimizers.SGD()
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(), initial_scale=8.0
    )
    scaled.build(variables)
    loss = ops.convert_to_tensor(3.0)
    assert float(gradients.loss_cotangent(loss, plain)) == 1.0
    assert float(gradients.loss_cotangent(loss, scaled)) == 8.0
