import contextlib
import threading
import time

import keras
import numpy as np
import pytest
from support import gans

from gan_blocks import datasets

STEPS_PER_EPOCH = 4


def make_gan():
    keras.utils.set_random_seed(0)
    gan = gans.small_gan(ema_momentum=0.9)
    gan.compile("adam", "adam")
    return gan


def make_batches():
    pixels = np.random.default_rng(0).integers(0, 256, (35, 4, 4, 1), np.uint8)
    return datasets.batches(pixels, batch_size=8, seed=3)


def fit(gan, epochs, *callbacks, resume=True, **options):
    return gan.fit(
        make_batches(),
        epochs=epochs,
        resume=resume,
        verbose=0,
        callbacks=list(callbacks),
        **options,
    )


class Stop(keras.callbacks.Callback):
    """Stops training at a step, and notes the calls and epochs of `fit`."""

    def __init__(self, at=None):
        super().__init__()
        self.at = at
        self.steps, self.epochs = 0, []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append((epoch, self.params["steps"]))

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == self.at:
            self.model.stop_training = True


@pytest.fixture(scope="module")
def whole():
    """A GAN that was trained for three epochs without a stop."""
    gan = make_gan()
    fit(gan, 3)
    return gan


@pytest.mark.every_backend
@pytest.mark.parametrize("stop_at", [3, STEPS_PER_EPOCH, 6])
def test_a_stopped_training_ends_with_the_same_bits(whole, stop_at):
    stopped = make_gan()
    fit(stopped, 3, Stop(stop_at))
    assert int(stopped.optimizer.iterations) == stop_at
    fit(stopped, 3)
    assert int(stopped.optimizer.iterations) == 12
    gans.assert_same_state(stopped, whole)


@pytest.mark.slow
def test_the_rest_of_an_epoch_may_need_fewer_steps_per_execution(whole):
    gan = make_gan()
    fit(gan, 3, Stop(3))
    gan.compile(*gan.optimizer.optimizers, steps_per_execution=2)
    fit(gan, 3)
    assert (int(gan.optimizer.iterations), gan.steps_per_execution) == (12, 2)
    gans.assert_same_state(gan, whole)


def test_an_interrupted_epoch_is_completed_first():
    gan = make_gan()
    fit(gan, 3, Stop(6))
    watch = Stop()
    history = fit(gan, 3, watch)
    assert watch.epochs == [(1, 2), (2, 4)]
    assert history.epoch == [1, 2]
    assert gan.history is history
    assert len(history.history["d_loss"]) == 2


def test_a_finished_training_is_not_continued():
    gan = make_gan()
    fit(gan, 2)
    assert fit(gan, 2).history == fit(gan, 1).history == {}
    assert int(gan.optimizer.iterations) == 8
    watch = Stop()
    fit(gan, 3, watch)
    assert watch.epochs == [(2, 4)]


def test_a_second_stop_ends_the_training():
    gan = make_gan()
    fit(gan, 3, Stop(1))
    watch = Stop(3)
    fit(gan, 3, watch)
    assert watch.epochs == [(0, 3)]
    # An earlier stop does not prevent a later training.
    fit(gan, 3)
    assert int(gan.optimizer.iterations) == 12


def test_every_fit_without_resume_adds_epochs_with_new_batches(whole):
    parts, watch = make_gan(), Stop()
    for _ in range(3):
        fit(parts, 1, watch, resume=False)
    assert watch.epochs == [(0, 4), (0, 4), (0, 4)]
    gans.assert_same_state(parts, whole)


def test_steps_per_epoch_can_be_chosen():
    gan = make_gan()
    watch = Stop()
    fit(gan, 2, watch, steps_per_epoch=3)
    assert watch.epochs == [(0, 3), (1, 3)]


def test_resume_needs_data_that_can_start_at_any_step():
    with pytest.raises(ValueError, match=r"datasets\.batches.*ndarray"):
        make_gan().fit(gans.images(), resume=True)


@pytest.mark.parametrize("epochs", [0, 2.5])
def test_resume_needs_a_positive_number_of_epochs(epochs):
    with pytest.raises(ValueError, match="`epochs` must be a positive integer"):
        fit(make_gan(), epochs)


class Fail(keras.callbacks.Callback):
    """Raises an error while the next batches are read."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        raise self.error


@pytest.mark.every_backend
@pytest.mark.parametrize(
    "callback", [Stop(), Stop(at=2), Fail(OSError()), Fail(KeyboardInterrupt())]
)
def test_no_thread_reads_ahead_after_fit(callback):
    gan = gans.compiled()
    before = set(threading.enumerate())
    with contextlib.suppress(OSError, KeyboardInterrupt):
        fit(gan, 1, callback)
    # TensorFlow ends its threads a moment later.
    limit = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < limit:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
