"""Files without which a run goes on."""

import contextlib
import logging

_logger = logging.getLogger(__package__)


class WarnOnce:
    """Gives contexts in which a file that cannot be written is a warning.

    For pictures and tables: a full disk, or a folder that is gone, shall not
    end a run of hours. The next file is tried again; only the first failure is
    told.

    Args:
        what: What is the matter, as a clause.
    """

    def __init__(self, what):
        self.what = what
        self._warned = False

    @contextlib.contextmanager
    def __call__(self):
        """Gives such a context."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                _logger.warning("%s; training goes on. (%s)", self.what, error)
            self._warned = True
