import os
import signal
import sys
import threading
import time

import keras
import pytest
from support.models import make_model, train

from gan_blocks.callbacks import StopOnSignal

SIGNALS = [signal.SIGINT, signal.SIGTERM]
both_signals = pytest.mark.parametrize(
    "number", SIGNALS, ids=lambda number: number.name
)


@pytest.fixture(autouse=True)
def handlers():
    """Checks that each test restores the signal handlers."""
    before = list(map(signal.getsignal, SIGNALS))
    yield before
    after = list(map(signal.getsignal, SIGNALS))
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


class At(keras.callbacks.Callback):
    """Calls a function at a place, such as `("on_epoch_end", 2)`."""

    def __init__(self, method, number, function):
        super().__init__()
        setattr(
            self,
            method,
            lambda place, logs=None: function() if place == number else None,
        )


class Count(keras.callbacks.Callback):
    """Counts the batches, and records that training has ended."""

    batches, ended = 0, False

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_train_end(self, logs=None):
        self.ended = True


def send(number):
    return lambda: os.kill(os.getpid(), number)


def fail():
    raise RuntimeError


def fit(*callbacks):
    return train(make_model(), *callbacks, steps=6, epochs=3).epoch


@pytest.mark.every_backend
@both_signals
def test_a_signal_stops_training_after_the_step(number, capsys):
    stop, count = StopOnSignal(), Count()
    epochs = fit(count, At("on_train_batch_begin", 2, send(number)), stop)
    assert count.batches == 3 and count.ended
    assert epochs == [0]
    assert stop.signal is number
    output = capsys.readouterr()
    assert output.out == ""
    assert f"{number.name}: training stops after this step." in output.err

    # The next training does not stop.
    assert fit(stop) == [0, 1, 2]
    assert stop.signal is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("method", "place", "batches"),
    [
        ("on_epoch_begin", 0, 1),
        ("on_train_batch_begin", 0, 1),
        ("on_train_batch_end", 5, 6),
        ("on_epoch_end", 0, 6),
        ("on_epoch_begin", 1, 7),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_signal_may_come_at_any_time(method, place, batches, order):
    stop, count = StopOnSignal(), Count()
    callbacks = [At(method, place, send(signal.SIGTERM)), stop]
    fit(count, *callbacks[::order])
    assert count.batches == batches and count.ended
    assert stop.signal is signal.SIGTERM


def test_a_signal_does_not_interrupt_the_end_of_other_callbacks():
    class Slow(keras.callbacks.Callback):
        saved = False

        def on_train_end(self, logs=None):
            signal.raise_signal(signal.SIGINT)
            self.saved = True

    slow, stop = Slow(), StopOnSignal()
    fit(slow, stop)
    assert slow.saved and stop.signal is signal.SIGINT


def test_a_second_signal_has_its_usual_effect(monkeypatch, capsys):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def send_twice():
        signal.raise_signal(signal.SIGTERM)
        monkeypatch.setattr(time, "monotonic", lambda: now + 0.6)
        signal.raise_signal(signal.SIGINT)

    stop, count = StopOnSignal(), Count()
    with pytest.raises(KeyboardInterrupt):
        fit(stop, At("on_train_batch_begin", 2, send_twice), count)
    assert count.batches == 2 and not count.ended
    assert stop.signal is signal.SIGTERM
    assert capsys.readouterr().err.count("training stops") == 1


def test_a_duplicate_signal_of_a_launcher_is_ignored(capsys):
    def send_twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    count = Count()
    fit(StopOnSignal(), At("on_train_batch_begin", 2, send_twice), count)
    assert count.batches == 3 and count.ended
    assert capsys.readouterr().err.count("training stops") == 1


def test_the_second_signal_after_an_error_in_fit_has_its_usual_effect(
    handlers, monkeypatch
):
    stop = StopOnSignal()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            fit(stop, At("on_train_batch_end", 1, fail))
    signal.raise_signal(signal.SIGINT)
    later = time.monotonic() + 0.6
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert list(map(signal.getsignal, SIGNALS)) == handlers


def test_the_next_training_after_an_error_in_fit_restores_the_handlers(
    handlers,
):
    with pytest.raises(RuntimeError):
        fit(StopOnSignal(), At("on_train_batch_end", 1, fail))
    assert signal.getsignal(signal.SIGINT) != handlers[0]
    fit(StopOnSignal())
    assert signal.getsignal(signal.SIGINT) == handlers[0]


@both_signals
@pytest.mark.parametrize("ignored", [True, False])
def test_earlier_handlers_are_restored_and_ignored_signals_stay_ignored(
    number, ignored
):
    calls = []
    handler = signal.SIG_IGN if ignored else lambda *_: calls.append(number)
    before = signal.signal(number, handler)
    try:
        stop = StopOnSignal()
        epochs = fit(stop, At("on_train_batch_begin", 2, send(number)))
        assert epochs == ([0, 1, 2] if ignored else [0])
        assert stop.signal is (None if ignored else number)
        assert signal.getsignal(number) is handler
        assert calls == []
    finally:
        signal.signal(number, before)


def test_the_callback_does_nothing_outside_the_main_thread(handlers):
    seen, stop = [], StopOnSignal()

    def look():
        seen.append(signal.getsignal(signal.SIGINT))

    def run():
        seen.append(fit(stop, At("on_epoch_begin", 1, look)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [handlers[0], [0, 1, 2]]
    assert stop.signal is None


def test_a_forked_process_uses_the_earlier_handlers(monkeypatch, capsys):
    def pretend_to_be_forked():
        monkeypatch.setattr(os, "getpid", lambda: 0)
        signal.raise_signal(signal.SIGINT)

    stop = StopOnSignal()
    with pytest.raises(KeyboardInterrupt):
        fit(stop, At("on_epoch_begin", 1, pretend_to_be_forked))
    assert stop.signal is None and capsys.readouterr().err == ""


def test_a_closed_stderr_does_not_interrupt_training(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    def send_without_stderr():
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", Closed())
            signal.raise_signal(signal.SIGTERM)

    count = Count()
    fit(StopOnSignal(), count, At("on_epoch_begin", 1, send_without_stderr))
    assert count.batches == 7 and count.ended
