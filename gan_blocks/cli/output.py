"""What is printed, when there is nowhere to print it."""

import contextlib
import logging
import os
import sys

_logger = logging.getLogger(__package__)


@contextlib.contextmanager
def output_that_may_fail():
    """Lets a run go on though what it prints cannot be written.

    Because it is redirected to a disk that is full, or a pipe whose reader has
    ended.
    """
    with contextlib.redirect_stdout(_Output(sys.stdout)):
        yield


class _Output:
    """A text stream that is replaced by nothing when it first fails."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        with self._failing():
            self._stream.write(text)
        return len(text)

    def flush(self):
        with self._failing():
            self._stream.flush()

    @contextlib.contextmanager
    def _failing(self):
        try:
            yield
        except OSError as error:
            # What is still in the stream's buffer must get away, too.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            _logger.warning("nothing more is printed (%s)", error)
