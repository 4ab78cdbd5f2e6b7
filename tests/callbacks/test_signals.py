import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import keras
import numpy as np
import pytest
from keras import ops

import gan_blocks
from gan_blocks import callbacks, datasets, networks

every_backend = pytest.mark.every_backend

both_signals = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)


@pytest.fixture(autouse=True)
def handlers():
    """Those that must be there again after each test."""
    before = list(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))
    yield before
    after = list(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
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
    """Counts the batches, and takes note that training has ended."""

    batches, ended = 0, False

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_train_end(self, logs=None):
        self.ended = True


def send(number):
    return lambda: os.kill(os.getpid(), number)


def train(*watchers, epochs=3):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    x, y = np.zeros((12, 2), "float32"), np.zeros((12, 1), "float32")
    options = {"batch_size": 2, "epochs": epochs, "verbose": 0}
    return model.fit(x, y, callbacks=list(watchers), **options)


@every_backend
@both_signals
def test_a_signal_ends_training_after_the_step(number, handlers, capsys):
    stop, count = callbacks.StopOnSignal(), Count()
    history = train(count, At("on_train_batch_begin", 2, send(number)), stop)
    assert count.batches == 3 and count.ended
    assert history.epoch == [0]
    assert stop.signal is number
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count(number.name) == said.err.count("once more") == 1

    # What stopped one training is no matter of the next.
    assert train(stop).epoch == [0, 1, 2]
    assert stop.signal is None
    assert capsys.readouterr().err == ""


@every_backend
@pytest.mark.parametrize(
    ("method", "place", "batches"),
    [
        ("on_epoch_begin", 0, 1),
        ("on_train_batch_begin", 0, 1),
        ("on_train_batch_end", 0, 1),
        ("on_train_batch_end", 5, 6),
        ("on_epoch_end", 0, 6),
        ("on_epoch_begin", 1, 7),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_signal_may_come_at_any_time(method, place, batches, last, capsys):
    stop, count = callbacks.StopOnSignal(), Count()
    watchers = [At(method, place, send(signal.SIGTERM)), stop]
    train(count, *watchers[:: 1 if last else -1])
    assert count.batches == batches and count.ended
    assert stop.signal is signal.SIGTERM


def test_a_signal_while_other_callbacks_end_does_not_interrupt_them(capsys):
    class Slow(keras.callbacks.Callback):
        saved = False

        def on_train_end(self, logs=None):
            signal.raise_signal(signal.SIGINT)
            self.saved = True

    slow, stop = Slow(), callbacks.StopOnSignal()
    train(slow, stop)
    assert slow.saved and stop.signal is signal.SIGINT


def test_a_second_signal_acts_at_once(capsys):
    def send_twice():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.6)
        signal.raise_signal(signal.SIGINT)

    stop, count = callbacks.StopOnSignal(), Count()
    with pytest.raises(KeyboardInterrupt):
        train(stop, At("on_train_batch_begin", 2, send_twice), count)
    assert count.batches == 2 and not count.ended
    assert stop.signal is signal.SIGTERM
    assert capsys.readouterr().err.count("once more") == 1


def test_a_signal_that_a_launcher_sends_twice_is_one(capsys):
    def send_twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    stop, count = callbacks.StopOnSignal(), Count()
    train(stop, At("on_train_batch_begin", 2, send_twice), count)
    assert count.batches == 3 and count.ended
    assert capsys.readouterr().err.count("once more") == 1


def test_a_second_sigterm_kills():
    script = """
    import os, signal, time
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import numpy as np
    from gan_blocks import callbacks

    def send_twice(batch, logs):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.6)
        print("alive", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        print("never", flush=True)

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    send = keras.callbacks.LambdaCallback(on_train_batch_begin=send_twice)
    stop = callbacks.StopOnSignal()
    data = np.zeros((2, 2)), np.zeros((2, 1))
    model.fit(*data, callbacks=[send, stop], verbose=0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert done.stdout == "alive\n"
    assert "SIGTERM: training stops after this step" in done.stderr


def test_after_an_error_a_signal_acts_as_before(handlers, capsys):
    def fail():
        raise RuntimeError

    stop = callbacks.StopOnSignal()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            train(stop, At("on_train_batch_end", 1, fail))
    assert signal.getsignal(signal.SIGINT) != handlers[0]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == handlers[0]
    assert stop.signal is None and capsys.readouterr().err == ""


def test_after_an_error_another_training_puts_things_in_order(handlers):
    def fail():
        raise RuntimeError

    with pytest.raises(RuntimeError):
        failing = At("on_train_batch_end", 1, fail)
        train(callbacks.StopOnSignal(), failing)
    assert signal.getsignal(signal.SIGINT) != handlers[0]
    train(callbacks.StopOnSignal())
    assert signal.getsignal(signal.SIGINT) == handlers[0]


def test_handlers_of_others_are_called_and_put_back(capsys):
    calls = []

    def handler(number, frame):
        calls.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:

        def send_twice():
            signal.raise_signal(signal.SIGTERM)
            assert not calls
            time.sleep(0.6)
            signal.raise_signal(signal.SIGTERM)

        train(callbacks.StopOnSignal(), At("on_epoch_begin", 1, send_twice))
        assert calls == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


@both_signals
def test_an_ignored_signal_stays_ignored(number, capsys):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        stop = callbacks.StopOnSignal()
        sender = At("on_train_batch_begin", 2, send(number))
        assert train(stop, sender).epoch == [0, 1, 2]
        assert stop.signal is None
        assert signal.getsignal(number) is signal.SIG_IGN
        assert capsys.readouterr().err == ""
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_it_does_nothing(handlers):
    seen, stop = [], callbacks.StopOnSignal()

    def look():
        seen.append(signal.getsignal(signal.SIGINT))

    def run():
        seen.append(train(stop, At("on_epoch_begin", 1, look)).epoch)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [handlers[0], [0, 1, 2]]
    assert stop.signal is None


def test_a_process_that_was_forked_is_not_concerned(monkeypatch, capsys):
    def pretend_to_be_forked():
        monkeypatch.setattr(os, "getpid", lambda: 0)
        signal.raise_signal(signal.SIGINT)

    stop = callbacks.StopOnSignal()
    with pytest.raises(KeyboardInterrupt):
        train(stop, At("on_epoch_begin", 1, pretend_to_be_forked))
    assert stop.signal is None and capsys.readouterr().err == ""


def test_a_closed_stderr_does_not_keep_the_run_from_its_end(monkeypatch):
    class Closed:
        def write(self, text):
            raise BrokenPipeError

        flush = write

    def send_without_stderr():
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", Closed())
            signal.raise_signal(signal.SIGTERM)

    stop, count = callbacks.StopOnSignal(), Count()
    train(stop, count, At("on_epoch_begin", 1, send_without_stderr))
    assert count.batches == 7 and count.ended


class AtStep(keras.callbacks.Callback):
    """Sends a signal while a step, counted over the run, is made."""

    def __init__(self, step):
        super().__init__()
        self.steps_left = step

    def on_train_batch_begin(self, batch, logs=None):
        self.steps_left -= 1
        if self.steps_left == 0:
            signal.raise_signal(signal.SIGINT)


def test_a_gan_that_is_stopped_in_mid_epoch_goes_on_exactly(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (26, 4, 4, 1), np.uint8)
    steps = 5

    def build():
        keras.utils.set_random_seed(0)
        gan = gan_blocks.GAN(
            networks.mlp_generator((4, 4, 1), units=(8,)),
            networks.mlp_discriminator((4, 4, 1), units=(8,)),
            ema_momentum=0.9,
            seed=0,
        )
        gan.compile("adam", "adam", run_eagerly=True)
        return gan

    def fit(gan, *watchers):
        done = int(gan.optimizer.iterations)
        epoch, step = divmod(done, steps)
        gan.fit(
            datasets.batches(images, 5, repeat=True, skip=done),
            initial_epoch=epoch,
            epochs=epoch + 1 if step else 3,
            steps_per_epoch=steps - step,
            shuffle=False,
            verbose=0,
            callbacks=list(watchers),
        )

    def saved():
        return sorted(path.stem for path in tmp_path.iterdir())

    whole = build()
    fit(whole)
    checkpoint = callbacks.EpochCheckpoint(tmp_path, every_n_epochs=9)
    stop = callbacks.StopOnSignal()
    fit(build(), checkpoint, AtStep(8), stop)
    assert saved() == ["epoch_0001_step_0000008"]
    assert stop.signal is signal.SIGINT

    resumed = keras.saving.load_model(callbacks.latest_checkpoint(tmp_path))
    assert int(resumed.optimizer.iterations) == 8
    fit(resumed, checkpoint, stop)
    assert saved() == ["epoch_0001_step_0000008", "epoch_0002"]
    assert stop.signal is None
    fit(resumed, checkpoint, stop)
    assert int(resumed.optimizer.iterations) == 15
    for one, other in zip(whole.variables, resumed.variables, strict=True):
        one, other = map(ops.convert_to_numpy, (one, other))
        if keras.backend.backend() == "tensorflow":
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
