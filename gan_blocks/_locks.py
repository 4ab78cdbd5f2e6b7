"""Locks between processes that write to the same folder."""

import atexit
import contextlib
import errno
import pathlib
import sys
from typing import IO

from gan_blocks._types import PathLike

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_held: dict[pathlib.Path, IO[bytes]] = {}  # By this process.


def try_lock(file: IO[bytes]) -> bool:
    """Locks a file until it is closed, or returns False if it is locked."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:  # Unlike `flock`, this is not inherited by forked processes.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # Other errors: this file system has no locks.
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def lock(folder: PathLike) -> None:
    """Reserves a folder for this process, until `unlock` or until it ends.

    Processes that only read need no lock. The lock is a file beside the
    folder, `.NAME.lock`, which has no effect after its process has been
    killed. On a file system without locks, or if the file cannot be written,
    nothing is reserved.

    Args:
        folder: The folder. It need not exist.

    Raises:
        ValueError: If another process has reserved the folder.
    """
    path = _lock_path(folder)
    if before := _held.pop(path, None):
        before.close()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "wb")
        if not try_lock(file):
            file.close()
            raise ValueError(
                f"Another process is training in {folder}. Wait until it has "
                "ended, end it (a notebook keeps the folder until its kernel "
                "ends), or choose another folder."
            )
        _held[path] = file


def unlock(folder: PathLike) -> None:
    """Ends the reservation of a folder. Has no effect without a `lock`."""
    _remove(_lock_path(folder))


@atexit.register
def _unlock_all() -> None:
    for path in [*_held]:
        _remove(path)


def _remove(path: pathlib.Path) -> None:
    if file := _held.pop(path, None):
        file.close()
        with contextlib.suppress(OSError):
            path.unlink()


def _lock_path(folder: PathLike) -> pathlib.Path:
    folder = pathlib.Path(folder).resolve()
    return folder.with_name(f".{folder.name}.lock")
