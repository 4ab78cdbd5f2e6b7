"""Describes a file of a source: on the disk, or in an archive."""

import dataclasses
import os
import stat
from contextlib import AbstractContextManager
from typing import IO

FILE_LIMIT = 1024**3  # bytes; most files are read into memory
HEAD = 512  # bytes at the start of a file, which tell its kind


class File:
    """A file in a folder or in an archive.

    Attributes:
        path: Where the file is on the disk. None for a file in an archive.
    """

    path: str | None = None

    def size(self) -> int:
        """Returns the number of bytes.

        Raises:
            ValueError: If this is a pipe or a device, which could block.
            OSError: If the file cannot be accessed.
        """
        raise NotImplementedError

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Opens the content of the file."""
        raise NotImplementedError

    def read(self) -> bytes:
        """Returns the content of the file, which has at most 1 GiB."""
        check_size(self.size())
        with self.open() as stream:
            return stream.read(FILE_LIMIT)

    def head(self) -> bytes:
        """Returns the first bytes of the file."""
        self.size()  # Reading from a pipe could block.
        with self.open() as stream:
            return stream.read(HEAD)


def check_size(size: int) -> None:
    """Checks the size of a file that is read into memory."""
    if size > FILE_LIMIT:
        raise ValueError(
            f"a file of {size} bytes is larger than the limit of {FILE_LIMIT}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class DiskFile(File):
    """A file in a folder."""

    path: str  # pyright: ignore[reportIncompatibleVariableOverride]

    def size(self) -> int:
        status = os.stat(self.path)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(
                "it must be a regular file, not a pipe or a device"
            )
        return status.st_size

    def open(self) -> AbstractContextManager[IO[bytes]]:
        return open(self.path, "rb")
