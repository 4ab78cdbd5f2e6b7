"""Signals that end training where it can go on."""

import contextlib
import os
import signal
import sys
import threading
import time

import keras

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Launchers pass on a signal that the terminal has sent to all of them anyway.
_SAME_REQUEST = 0.5  # seconds


class StopOnSignal(keras.callbacks.Callback):
    """Lets Ctrl-C and SIGTERM end training after the current step.

    SIGTERM is what `kill`, job schedulers and containers send before they kill
    a process. Without this callback both signals abort `fit` wherever it is.
    With it the step is finished, a validation that is due is made, and `fit`
    returns as usual, so that the other callbacks come to their ends: together
    with `EpochCheckpoint` nothing that was trained is lost. Put it last in the
    list of callbacks, and a signal that comes while the others end is no
    interruption for them either.

    A message on stderr says so. A second signal acts at once, as it would
    without this callback; one within half a second of the first is taken for
    the same, since some launchers send it twice. Signals that were ignored,
    as a shell script's background jobs ignore Ctrl-C, stay so. Signals reach
    the main thread only: in another this callback does nothing.

    It has no part in the steps, which become no slower. What was there before
    is put back when training ends. If `fit` raises an error, which Keras tells
    no callback, that happens at the next signal or the next training with
    this callback, and such a signal acts as it would without.

    Attributes:
        signal: The `signal.Signals` that stopped the last training, or `None`.

    Example:

    ```python
    import signal

    import keras
    import numpy as np

    from gan_blocks import callbacks

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    data = np.zeros((8, 2)), np.zeros((8, 1))
    stop = callbacks.StopOnSignal()
    kill = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: (
            signal.raise_signal(signal.SIGTERM)
        )
    )
    model.fit(*data, batch_size=2, callbacks=[kill, stop], verbose=0)
    assert stop.signal == signal.SIGTERM
    assert int(model.optimizer.iterations) == 1
    ```
    """

    def __init__(self):
        super().__init__()
        self.signal = None
        self._previous = {}

    def on_train_begin(self, logs=None):
        """Begins to listen to the signals."""
        self.signal = None
        if not _in_main_thread():
            return
        # Looked up here: with JAX, `self.model` moves all weights out of the
        # training loop, which the handler may interrupt anywhere.
        self._trained = self.model
        self._process = os.getpid()
        for number in _SIGNALS:
            owner = getattr(signal.getsignal(number), "__self__", None)
            if isinstance(owner, StopOnSignal):
                owner._give_back()  # Left there by a `fit` that failed.
            # A handler that is not Python's, `None`, could not be put back.
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._previous[number] = signal.signal(number, self._handle)

    def on_train_end(self, logs=None):
        """Puts back what was there before."""
        if _in_main_thread():
            self._give_back()

    def _give_back(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _handle(self, number, frame):
        if self._is_training(frame):
            if self.signal is None:
                self._stop(number)
                return
            if time.monotonic() < self._time + _SAME_REQUEST:
                return
        self._give_back()
        signal.raise_signal(number)

    def _is_training(self, frame):
        # A process that was forked meanwhile inherits the handler.
        if os.getpid() != self._process:
            return False
        while frame:
            if frame.f_code.co_name == "fit":
                if frame.f_locals.get("self") is self._trained:
                    return True
            frame = frame.f_back
        return False

    def _stop(self, number):
        self.signal = signal.Signals(number)
        self._time = time.monotonic()
        self._trained.stop_training = True
        # Whatever is wrong with stderr (closed, or in the middle of a write),
        # the run shall be saved.
        with contextlib.suppress(Exception):
            print(
                f"\n{self.signal.name}: training stops after this step; once "
                "more to stop at once.",
                file=sys.stderr,
                flush=True,
            )


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()
