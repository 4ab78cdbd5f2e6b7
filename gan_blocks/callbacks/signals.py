"""Stopping at Ctrl-C and SIGTERM without losing progress."""

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Any

import keras

__all__ = ["StopOnSignal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Some launchers send a signal that the process has already received from the
# terminal.
_DUPLICATE = 0.5  # seconds


class StopOnSignal(keras.callbacks.Callback):
    """Stops training after the current step at Ctrl-C or SIGTERM.

    Job schedulers and containers send SIGTERM before they kill a process.
    Without this callback, both signals end `fit` immediately. With it, `fit`
    finishes the current step, ends as usual, and the other callbacks can
    save: `EpochCheckpoint` then loses nothing. Put this callback last, so that
    a signal cannot interrupt the end of the others.

    A message on stderr confirms the first signal. The second one has its
    usual effect; within 0.5 seconds it counts as a duplicate. Ignored signals
    stay ignored. Outside the main thread, which alone receives signals, the
    callback does nothing.

    The previous signal handlers are restored at the end of training. If `fit`
    raises an error, they are restored at the second signal, or by the next
    training with this callback.

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

    model: Any

    def __init__(self) -> None:
        super().__init__()
        self.signal = None
        self._previous = {}

    def on_train_begin(self, logs=None):
        self.signal = None
        if not _in_main_thread():
            return
        # On JAX, `self.model` moves all weights out of the training loop,
        # which the handler must not do.
        self._model = self.model
        self._process = os.getpid()
        for number in _SIGNALS:
            owner = getattr(signal.getsignal(number), "__self__", None)
            if isinstance(owner, StopOnSignal):
                owner._restore()  # An earlier `fit` raised an error.
            # `None` is a handler that was not set in Python.
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._previous[number] = signal.signal(number, self._handle)

    def on_train_end(self, logs=None):
        if _in_main_thread():
            self._restore()

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _handle(self, number, frame):
        if os.getpid() == self._process:  # Forked processes inherit handlers.
            if self.signal is None:
                self._stop(number)
                return
            if time.monotonic() < self._time + _DUPLICATE:
                return
        self._restore()
        signal.raise_signal(number)

    def _stop(self, number):
        self.signal = signal.Signals(number)
        self._time = time.monotonic()
        self._model.stop_training = True
        # A closed or busy stderr must not interrupt training.
        with contextlib.suppress(Exception):
            print(
                f"\n{self.signal.name}: training stops after this step. "
                "Repeat the signal to stop at once.",
                file=sys.stderr,
                flush=True,
            )


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()
