"""Atomic and best-effort writes, and careful reads of damaged files."""

import contextlib
import json
import logging
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from gan_blocks._locks import try_lock
from gan_blocks._types import PathLike

__all__ = [
    "BestEffort",
    "atomic_write",
    "find_damage",
    "list_by_number",
    "read_json",
    "remove_leftovers",
]

_UNFINISHED = ".unfinished_"
_LOCK = ".lock"
_MAX_JSON = 2**24  # Bytes. The files of a run have a few thousand.
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
    with (
        tempfile.TemporaryDirectory(
            dir=path.parent, prefix=_UNFINISHED
        ) as folder,
        open(pathlib.Path(folder, _LOCK), "wb") as in_use,
    ):
        try_lock(in_use)
        temporary = pathlib.Path(folder, path.name)
        yield temporary
        if flush:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)


def remove_leftovers(folder: PathLike) -> None:
    """Removes the temporary files of killed processes from a folder.

    Files that another process is writing stay. The folder may be missing.
    """
    for leftover in pathlib.Path(folder).glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):
            with open(leftover / _LOCK, "wb") as file:
                unused = try_lock(file)
            if unused:
                shutil.rmtree(leftover, ignore_errors=True)


def list_by_number(folder: PathLike, pattern: str) -> list[pathlib.Path]:
    """Returns the files of a folder, sorted by the numbers in their names.

    Names with the same text are sorted by their numbers, so that
    `epoch_9999.png` is before `epoch_10000.png`.

    Args:
        folder: The folder. It may be missing.
        pattern: Pattern of the names, such as "*.png".
    """

    def key(path: pathlib.Path) -> list[str | int]:
        parts: list[str | int] = [*re.split(r"(\d+)", path.name)]
        parts[1::2] = map(int, parts[1::2])  # The text is between them.
        return parts

    return sorted(pathlib.Path(folder).glob(pattern), key=key)


def read_json(file: IO[bytes]) -> dict[str, Any]:
    """Reads a JSON object from an open file that may be damaged.

    Raises:
        ValueError: If the file does not hold a JSON object of at most 16 MB.
    """
    data = file.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise ValueError(f"{file.name} has more than {_MAX_JSON:,} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(
            f"{file.name} must hold a JSON object. Received: "
            f"{type(value).__name__}"
        )
    return value


def find_damage(path: PathLike) -> str | None:
    """Returns what is wrong with a `.keras` file or a zip file, or `None`."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # Damaged archives raise errors of any type.
        return f"{type(error).__name__}: {error}"
    return damaged and f"wrong checksum of its member {damaged}"


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
