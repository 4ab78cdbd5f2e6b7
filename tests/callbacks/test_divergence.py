import keras
import numpy as np
import pytest
from keras import ops
from support import gans
from support.layers import on_tensorflow
from support.models import make_data, make_model, train

from gan_blocks import runs
from gan_blocks.callbacks import EpochCheckpoint, StopOnDivergence


def make_gan():
    gan = gans.small_gan(ema_momentum=0.9)
    gan.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1))
    return gan


def fit(gan, real_images, *callbacks, **options):
    options = {"shuffle": False, "verbose": 0, **options}
    real_images = gans.Batches(real_images, options.pop("batch_size", 4))
    gan.fit(real_images, callbacks=list(callbacks), **options)


def make_images(*bad_batches):
    images = gans.images(16)
    for batch in bad_batches:
        images[4 * batch] = np.nan
    return images


def state(gan):
    """Returns weights and optimizer state, without counts and rates."""
    variables = [*gan.weights]
    for optimizer in gan.optimizer.optimizers:
        rate = optimizer.learning_rate
        variables += [v for v in optimizer.variables if v is not rate]
    return gans.values(variables)


def rates(gan):
    found = [each.learning_rate for each in gan.optimizer.optimizers]
    return [float(ops.convert_to_numpy(rate)) for rate in found]


class Watch(keras.callbacks.Callback):
    """Records the state at the beginning of an epoch and after each batch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = state(self.model)
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(state(self.model))


# Stopping.


@pytest.mark.every_backend
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_training_stops_at_the_batch_that_diverges(value, caplog):
    x, y = make_data(6)
    y[2 * 4] = value
    stop, model = StopOnDivergence(), make_model()
    train(model, stop, data=(x, y), initial_epoch=2, epochs=5)
    assert runs.steps_done(model) == 5
    assert model.stop_training and stop.diverged
    assert "at epoch 3, batch 5: `loss` is" in stop.message
    assert caplog.messages == [stop.message]

    # The next training starts without the message.
    train(make_model(), stop, steps=2)
    assert not stop.diverged and stop.message is None


def test_every_logged_value_is_checked():
    stop = StopOnDivergence()
    stop.set_model(make_model())
    stop.on_train_begin()
    stop.on_epoch_begin(0)
    logs = {"d_loss": 1.0, "g_loss": 1e30, "epoch": 3, "note": "nan"}
    stop.on_train_batch_end(0, logs)
    stop.on_train_batch_end(1)
    assert not stop.diverged
    stop.on_train_batch_end(2, logs | {"g_loss": float("nan")})
    assert stop.message.endswith("epoch 1, batch 3: `g_loss` is nan.")
    assert stop.model.stop_training


def test_training_that_does_not_diverge_is_not_stopped():
    stop = StopOnDivergence()
    assert len(train(make_model(), stop, epochs=3).epoch) == 3
    assert not stop.diverged


@pytest.mark.slow
def test_weights_are_checked_at_the_end_of_an_epoch():
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                weight = self.model.generator.weights[0]
                weight.assign(ops.full(weight.shape, np.inf))

    stop = StopOnDivergence()
    fit(make_gan(), make_images(), Break(), stop, epochs=3)
    assert stop.message == (
        "Training diverged and was stopped at epoch 1, end: the model has NaN "
        "or infinite values."
    )
    stop = StopOnDivergence(rollbacks=1)
    fit(make_gan(), make_images(), Break(), stop, epochs=3)
    assert "at epoch 2, end" in stop.message


def test_a_model_with_a_bad_optimizer_state_is_not_saved(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            slot = self.model.optimizer.generator_optimizer.variables[-1]
            slot.assign(ops.full(slot.shape, np.nan))

    fit(make_gan(), make_images(), Break(), EpochCheckpoint(tmp_path, 1))
    assert runs.latest_checkpoint(tmp_path) is None


# Rolling back.


@pytest.mark.every_backend
def test_a_rollback_restores_the_beginning_of_the_epoch(caplog):
    gan = make_gan()
    stop, watch = StopOnDivergence(rollbacks=2), Watch()
    # After this, optimizer state and moving averages are not zero.
    fit(gan, make_images(), stop, watch)
    fit(gan, make_images(2), stop, watch, initial_epoch=1, epochs=2)
    begin, (_, second, third, fourth) = watch.epoch, watch.batches
    gans.assert_same(begin, third)
    assert any((a != b).any() for a, b in zip(begin, second, strict=True))
    assert any((a != b).any() for a, b in zip(begin, fourth, strict=True))
    assert rates(gan) == pytest.approx([0.005, 0.05])
    assert runs.steps_done(gan) == 8
    assert not stop.diverged
    assert all(np.isfinite(value).all() for value in state(gan))
    (message,) = caplog.messages
    assert "diverged at epoch 2, batch 3: `d_loss` is nan" in message
    assert "Rollbacks left: 1." in message
    # The means of the epoch start again.
    assert np.isfinite(gan.history.history["d_loss"][-1])


@pytest.mark.filterwarnings("ignore:The real images contain NaN:UserWarning")
def test_the_number_of_rollbacks_is_limited(caplog):
    gan = make_gan()
    stop = StopOnDivergence(rollbacks=2)
    fit(gan, make_images(0, 1, 2), stop, epochs=3)
    assert stop.diverged
    assert "stopped at epoch 1, batch 3: " in stop.message
    assert runs.steps_done(gan) == 3
    assert rates(gan) == pytest.approx([0.01 / 4, 0.1 / 4])
    assert len(caplog.messages) == 3
    # Each training has the full number.
    fit(make_gan(), make_images(0, 1), stop)
    assert not stop.diverged


@pytest.mark.slow
@on_tensorflow
@pytest.mark.filterwarnings("ignore:The real images contain NaN:UserWarning")
def test_training_in_a_strategy_of_tensorflow_can_be_rolled_back():
    from tensorflow import distribute

    with distribute.MirroredStrategy(["cpu:0"]).scope():
        gan = make_gan()
    stop = StopOnDivergence(rollbacks=1)
    fit(gan, make_images(2), stop)
    assert not stop.diverged
    assert rates(gan) == pytest.approx([0.005, 0.05])
    assert all(np.isfinite(value).all() for value in state(gan))


@pytest.mark.parametrize(
    "rate",
    [
        keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9),
        lambda: 0.1,
    ],
    ids=["schedule", "function"],
)
def test_rates_that_are_computed_do_not_allow_rollbacks(rate):
    gan = make_gan()
    gan.compile(keras.optimizers.Adam(rate), "sgd")
    with pytest.raises(ValueError, match="`rollbacks` needs .*function in ada"):
        fit(gan, make_images(), StopOnDivergence(rollbacks=1))
    fit(gan, make_images(), StopOnDivergence())


@pytest.mark.parametrize("rollbacks", [-1, 1.5])
def test_the_number_of_rollbacks_must_be_an_integer_of_at_least_0(rollbacks):
    with pytest.raises(ValueError, match="`rollbacks` must be"):
        StopOnDivergence(rollbacks=rollbacks)


def test_a_model_with_one_optimizer_can_be_rolled_back():
    x, y = make_data(4)
    y[2] = np.nan
    model = make_model(keras.optimizers.Adam(0.5))
    train(model, StopOnDivergence(rollbacks=1), data=(x, y))
    assert float(model.optimizer.learning_rate) == 0.25
    assert np.isfinite(ops.convert_to_numpy(model.weights[0])).all()


def test_a_model_that_is_not_built_cannot_be_rolled_back():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    stop = StopOnDivergence(rollbacks=1)
    # JAX and torch build the model before training begins.
    with pytest.raises(ValueError, match="`rollbacks` needs a model that is"):
        model.fit(np.ones((2, 2)), np.ones(2), verbose=0, callbacks=[stop])
