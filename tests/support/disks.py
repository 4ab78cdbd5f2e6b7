"""A disk that is full."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk(size=100_000):
    """Makes writes beyond `size` bytes of a file fail with an `OSError`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
