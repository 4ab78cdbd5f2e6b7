import signal
import time
import types

import keras
import numpy as np
import pytest
from support import gans
from support.models import StopAfter, list_names, make_data, make_model, train

from gan_blocks import datasets, replicas, runs
from gan_blocks.callbacks import (
    EpochCheckpoint,
    HistoryTable,
    StopOnSignal,
    TimeLimit,
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances only when a test says so."""
    clock = types.SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


class Tick(keras.callbacks.Callback):
    """Lets each step, epoch end and end of training take some seconds."""

    def __init__(self, clock, step=10.0, epoch=0.0, train=0.0):
        super().__init__()
        self.clock = clock
        self.seconds = step, epoch, train

    def on_train_batch_begin(self, batch, logs=None):
        self.clock.now += self.seconds[0]

    def on_epoch_end(self, epoch, logs=None):
        self.clock.now += self.seconds[1]

    def on_train_end(self, logs=None):
        self.clock.now += self.seconds[2]


@pytest.mark.every_backend
def test_training_stops_after_the_step_in_which_the_time_is_up(clock):
    model, limit = make_model(), TimeLimit(1.5)
    history = train(model, Tick(clock), limit, steps=6, epochs=9)
    assert runs.steps_done(model) == 9
    assert history.history["seconds"] == [60, 90]
    assert limit.stopped and limit.seconds_left() == 0


def test_training_that_ends_before_the_time_is_up_is_not_stopped(clock):
    model, limit = make_model(), TimeLimit(2, seconds_used=30)
    history = train(model, Tick(clock), limit, steps=3, epochs=2)
    assert history.history["seconds"] == [60, 90]
    assert not limit.stopped and limit.seconds_left() == 30


def test_the_time_of_other_callbacks_counts(clock):
    model, limit = make_model(), TimeLimit(1.5)
    tick = Tick(clock, step=0, epoch=60, train=7)
    train(model, tick, limit, steps=3)
    assert limit.seconds_left() == 23
    train(model, tick, limit, steps=3, epochs=9)
    assert limit.stopped and runs.steps_done(model) == 6


def test_the_time_between_trainings_does_not_count(clock):
    limit = TimeLimit(1)
    assert limit.seconds_left() == 60
    for left in (30, 0):
        clock.now += 1000
        train(make_model(), Tick(clock), limit, steps=3)
        clock.now += 1000
        assert limit.seconds_left() == left
    assert limit.stopped


def test_the_time_between_a_failed_training_and_the_next_does_not_count(clock):
    def fail(batch, logs):
        raise RuntimeError

    limit = TimeLimit(1)
    failing = keras.callbacks.LambdaCallback(on_train_batch_end=fail)
    with pytest.raises(RuntimeError):
        train(make_model(), Tick(clock), limit, failing)
    clock.now += 1000
    assert limit.seconds_left() == 50
    train(make_model(), Tick(clock), limit, steps=3)
    assert limit.seconds_left() == 20


@pytest.mark.every_backend
def test_a_run_without_time_left_makes_no_step(clock, caplog):
    gan = gans.compiled(gans.small_gan(ema_momentum=0.9))
    batches = datasets.batches(np.zeros((16, 4, 4, 1), "uint8"), 8, seed=0)
    limit = TimeLimit(1, seconds_used=61.5)
    options = {"epochs": 2, "resume": True, "verbose": 0}
    history = gan.fit(batches, callbacks=[limit], **options)
    assert limit.stopped and history.history == {}
    assert runs.steps_done(gan) == 0
    (message,) = caplog.messages
    assert "No time is left for training: 1.0 minutes are used." in message

    # The next training is not affected.
    limit = TimeLimit(5)
    gan.fit(batches, callbacks=[limit], **options)
    assert runs.steps_done(gan) == 4 and not limit.stopped


@pytest.mark.slow
@pytest.mark.every_backend
def test_a_stopped_run_resumes_exactly_with_the_rest_of_its_time(
    tmp_path, clock
):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1), "uint8")
    run = runs.RunFolder(tmp_path)

    def build():
        keras.utils.set_random_seed(0)
        return gans.compiled()

    def fit(gan, *callbacks):
        gan.fit(
            datasets.batches(pixels, 8, seed=0),
            epochs=99,
            resume=True,
            verbose=0,
            callbacks=[Tick(clock), *callbacks],
        )
        return gan

    whole = fit(build(), TimeLimit(1.5))
    assert runs.steps_done(whole) == 9

    def recorders(limit):
        return (
            limit,
            HistoryTable(run.history),
            EpochCheckpoint(run.checkpoints),
        )

    fit(build(), *recorders(TimeLimit(0.8)))
    used = float(runs.read_history(run.history)[-1]["seconds"])
    assert used == 50  # After two steps of the second epoch.
    gan = keras.saving.load_model(run.latest_checkpoint())
    fit(gan, *recorders(TimeLimit(1.5, seconds_used=used)))
    gans.assert_same_state(gan, whole)
    rows = runs.read_history(run.history)
    assert all(float(x["seconds"]) == 10 * int(x["step"]) for x in rows)


@pytest.mark.skipif(
    keras.backend.backend() == "torch",
    reason="Keras has no steps_per_execution on torch",
)
@pytest.mark.every_backend
def test_several_steps_per_execution_are_completed(clock):
    model = make_model(steps_per_execution=4)
    limit = TimeLimit(0.25)
    train(model, Tick(clock), limit, steps=12)
    assert limit.stopped and runs.steps_done(model) == 8


def test_the_time_of_validation_counts(clock):
    model, limit = make_model(), TimeLimit(1)
    slow = keras.callbacks.LambdaCallback()
    slow.on_test_begin = lambda logs: setattr(clock, "now", clock.now + 60)
    data = {"validation_data": make_data(1)}
    train(model, Tick(clock, 0), slow, limit, epochs=9, **data)
    assert limit.stopped and runs.steps_done(model) == 6


def test_a_step_does_not_use_the_model_of_the_callback():
    """On JAX, this would move all weights out of the training loop."""

    class Watched(TimeLimit):
        uses = 0

        @property
        def model(self):
            self.uses += 1
            return super().model

    limit = Watched(60)
    train(make_model(), limit, steps=20)
    assert limit.uses < 5


def test_the_clock_of_another_process_can_decide(clock, monkeypatch):
    decisions = iter([False, False, True, True])
    monkeypatch.setattr(replicas, "from_chief", lambda *_: next(decisions))
    model, limit = make_model(), TimeLimit(0.1)
    train(model, Tick(clock), limit)
    assert runs.steps_done(model) == 2


def test_a_signal_in_the_last_step_of_the_time_ends_training_as_usual(
    tmp_path, clock
):
    interrupt = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: (
            signal.raise_signal(signal.SIGINT) if batch == 2 else None
        )
    )
    limit, stop = TimeLimit(0.5), StopOnSignal()
    checkpoint = EpochCheckpoint(tmp_path)
    train(make_model(), Tick(clock), interrupt, limit, checkpoint, stop)
    assert limit.stopped and stop.signal is signal.SIGINT
    assert list_names(tmp_path) == ["epoch_0000_step_0000003.keras"]


def test_a_training_that_something_else_stops_was_not_stopped_by_the_time(
    clock,
):
    limit = TimeLimit(60)
    train(make_model(), Tick(clock), StopAfter(1, 2), limit)
    assert not limit.stopped and limit.seconds_used == 20


@pytest.mark.parametrize(
    "minutes", [0, -1, float("nan"), float("inf"), "60", None]
)
def test_minutes_must_be_a_positive_number(minutes):
    with pytest.raises(ValueError, match="`minutes` must be a positive number"):
        TimeLimit(minutes)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), ""])
def test_the_time_used_must_be_a_number_of_at_least_0(seconds):
    with pytest.raises(ValueError, match="`seconds_used` must be a number"):
        TimeLimit(1, seconds)
