"""Atomic writes, and best-effort writes that do not stop training."""

import contextlib
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from gan_blocks._types import PathLike

__all__ = ["BestEffort", "atomic_write", "remove_leftovers"]

_UNFINISHED = ".unfinished_"
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def atomic_write(path: PathLike, flush: bool = False) -> Iterator[pathlib.Path]:
    """Yields a temporary path that is moved to `path` at the end.

    Readers of `path` see the old content or the new content, never a part of
    it. If the block raises an error, `path` keeps its old content and the
    temporary files are removed. If the process is killed, the temporary files
    stay; `remove_leftovers` removes them. Missing folders are created.

    Args:
        path: The file to write, or a folder that does not exist yet.
        flush: If True, waits until the file is on the disk before it is
            moved, so that it survives a power failure. This takes
            milliseconds, or seconds on a busy disk. Only for files. Defaults
            to False.

    Yields:
        A path with the same name, in a new folder beside `path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside `path`, because a move is atomic only within one file system.
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=_UNFINISHED
    ) as folder:
        temporary = pathlib.Path(folder, path.name)
        yield temporary
        if flush:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)


def remove_leftovers(folder: PathLike) -> None:
    """Removes the temporary files of killed processes from a folder.

    Call it only while no process writes to `folder`. The folder may be
    missing.
    """
    for leftover in pathlib.Path(folder).glob(f"{_UNFINISHED}*"):
        shutil.rmtree(leftover, ignore_errors=True)


class BestEffort:
    """Logs failed writes as a warning, so that training continues.

    Each call returns a context manager that suppresses an `OSError`, such as
    a full disk. The first error is logged as a warning, later ones are not:

        best_effort = BestEffort("Images cannot be written to runs/cats")
        with best_effort():
            ...

    Args:
        what: Start of the warning, which says what cannot be written.
        logger: Logger of the warning. Defaults to `None`: the logger
            `gan_blocks.files`.
    """

    def __init__(self, what: str, logger: logging.Logger | None = None) -> None:
        self.what = what
        self.logger = logger or _logger
        self._warned = False

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Returns a context manager that suppresses an `OSError`."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self.logger.warning(
                    "%s (%s); training continues.", self.what, error
                )
            self._warned = True
