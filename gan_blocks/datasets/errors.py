"""Errors of damaged sources."""

import contextlib
from collections.abc import Iterator

SOURCES = (
    "a folder, a .zip or .tar archive of images, a .npy or .npz file, an idx "
    "file, a list of paths"
)


@contextlib.contextmanager
def reading(source: str, kind: str) -> Iterator[None]:
    """Replaces any exception by a `ValueError` that names the source."""
    try:
        yield
    except Exception as error:  # Damaged files can cause any exception.
        reason = escape(str(error) or repr(error))
        raise ValueError(
            f"`source` must be a valid {kind}. Received: source={source} "
            f"({reason[:300]})"
        ) from error


def escape(text: str) -> str:
    """Escapes line breaks and unprintable characters, as `repr` does."""
    return repr(text)[1:-1]
