"""Going back when training has come to NaN or infinity."""

import keras
import numpy as np
import pytest
from keras import ops

from gan_blocks import GAN, callbacks


def make_gan(**options):
    generator = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Reshape((2, 2, 1)),
        ]
    )
    discriminator = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    gan = GAN(generator, discriminator, ema_momentum=0.9, seed=0)
    gan.compile(
        keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.1), **options
    )
    return gan


def fit(gan, real_images, *others, **options):
    gan.fit(
        real_images,
        batch_size=4,
        shuffle=False,
        verbose=0,
        callbacks=list(others),
        **options,
    )


def pictures(*bad_batches):
    images = np.random.default_rng(0).uniform(-1, 1, (16, 2, 2, 1))
    for batch in bad_batches:
        images[4 * batch] = np.nan
    return images.astype("float32")


def state(gan):
    """Returns weights and slots, but for the seeds, counts and rates."""
    variables = [*gan.weights]
    for optimizer in gan.optimizer.optimizers:
        rate = optimizer.learning_rate
        variables += [v for v in optimizer.variables if v is not rate]
    return [ops.convert_to_numpy(v).copy() for v in variables]


def rates(gan):
    return [float(one.learning_rate) for one in gan.optimizer.optimizers]


class Watch(keras.callbacks.Callback):
    """Takes note of the state at the beginning of an epoch and of batches."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = state(self.model)
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(state(self.model))


@pytest.mark.every_backend
def test_after_nan_training_goes_on_from_the_beginning_of_the_epoch(caplog):
    gan = make_gan()
    stop, watch = callbacks.StopOnDivergence(rollbacks=2), Watch()
    fit(gan, pictures(), stop, watch)  # Slots and averages are not zero.
    fit(gan, pictures(2), stop, watch, initial_epoch=1, epochs=2)
    begin, (_, second, third, fourth) = watch.epoch, watch.batches
    for one, two in zip(begin, third, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((a != b).any() for a, b in zip(begin, second, strict=True))
    assert any((a != b).any() for a, b in zip(begin, fourth, strict=True))
    assert rates(gan) == pytest.approx([0.005, 0.05])
    assert int(gan.optimizer.iterations) == 8
    assert not stop.diverged
    assert all(np.isfinite(value).all() for value in state(gan))
    (message,) = caplog.messages
    assert message.startswith("At epoch 2, batch 3: `d_loss` is nan")
    assert "1 times more" in message
    # Logs of the epoch begin anew.
    assert np.isfinite(gan.history.history["d_loss"][-1])


def test_going_back_is_bounded(caplog):
    gan = make_gan()
    stop = callbacks.StopOnDivergence(rollbacks=2)
    fit(gan, pictures(0, 1, 2), stop, epochs=3)
    assert stop.diverged
    assert stop.message.startswith("Training stopped at epoch 1, batch 3: ")
    assert int(gan.optimizer.iterations) == 3
    assert rates(gan) == pytest.approx([0.01 / 4, 0.1 / 4])
    assert len(caplog.messages) == 3
    # Each training has its own number.
    fit(gan := make_gan(), pictures(0, 1), stop)
    assert not stop.diverged


def test_weights_are_looked_at_when_an_epoch_ends(caplog):
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                weight = self.model.generator.weights[0]
                weight.assign(ops.full(weight.shape, np.inf))

    stop = callbacks.StopOnDivergence()
    fit(make_gan(), pictures(), Break(), stop, epochs=3)
    assert stop.message == (
        "Training stopped at epoch 1, its end: some weights are NaN or "
        "infinite."
    )
    stop = callbacks.StopOnDivergence(rollbacks=1)
    fit(make_gan(), pictures(), Break(), stop, epochs=3)
    assert "at epoch 2, its end" in stop.message


def test_a_state_of_an_optimizer_that_is_not_finite_is_not_saved(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            slot = self.model.optimizer.generator_optimizer.variables[-1]
            slot.assign(ops.full(slot.shape, np.nan))

    checkpoint = callbacks.EpochCheckpoint(tmp_path, 1)
    fit(make_gan(), pictures(), Break(), checkpoint)
    assert callbacks.latest_checkpoint(tmp_path) is None


def test_a_schedule_cannot_be_halved():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    gan = make_gan()
    gan.compile(keras.optimizers.Adam(schedule), "sgd")
    with pytest.raises(ValueError, match="`rollbacks` needs .*schedule in ad"):
        fit(gan, pictures(), callbacks.StopOnDivergence(rollbacks=1))
    fit(gan, pictures(), callbacks.StopOnDivergence())


@pytest.mark.parametrize("rollbacks", [-1, 1.5])
def test_a_number_of_rollbacks_that_is_none_is_refused(rollbacks):
    with pytest.raises(ValueError, match="`rollbacks` must be"):
        callbacks.StopOnDivergence(rollbacks=rollbacks)


def test_a_model_with_one_optimizer_goes_back_too():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.5), "mean_squared_error")
    stop = callbacks.StopOnDivergence(rollbacks=1)
    data = np.ones((4, 2)), np.array([[1.0], [np.nan], [1.0], [1.0]])
    model.fit(*data, batch_size=1, verbose=0, callbacks=[stop], shuffle=False)
    assert float(model.optimizer.learning_rate) == 0.25
    assert np.isfinite(ops.convert_to_numpy(model.weights[0])).all()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="the others build a model before its training begins",
)
def test_a_model_that_is_not_built_has_nothing_to_go_back_to():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("adam", "mean_squared_error")
    stop = callbacks.StopOnDivergence(rollbacks=1)
    with pytest.raises(ValueError, match="`rollbacks` needs a model that is"):
        model.fit(np.ones((2, 2)), np.ones(2), verbose=0, callbacks=[stop])
