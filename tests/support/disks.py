"""A disk that is full, and other limits of the operating system."""

import contextlib
import resource


@contextlib.contextmanager
def limit(kind, value):
    """Lowers a limit of this process."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def full_disk(size=100_000):
    """Makes writes beyond `size` bytes of a file fail with an `OSError`."""
    return limit(resource.RLIMIT_FSIZE, size)
