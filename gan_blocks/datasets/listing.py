"""Lists the files of a folder, an archive or a list of paths."""

import bz2
import collections
import contextlib
import dataclasses
import glob
import gzip
import io
import lzma
import os
import pathlib
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any

from gan_blocks._types import PathLike
from gan_blocks.datasets import file_kinds
from gan_blocks.datasets.errors import SOURCES, reading
from gan_blocks.datasets.report import Report
from gan_blocks.runs import RunFolder

_FILE_LIMIT = 1024**3  # bytes; most files are read into memory
_ARCHIVE_LIMIT = 16 * 1024**3  # bytes of an archive when it is unpacked
_HEADER_LIMIT = 2**20  # bytes of one header of a tar archive
_CHUNK = 2**20  # bytes
_LZMA_LIMIT = 2**27  # bytes of memory; `xz -9` needs 65 MiB
_HEAD = 512  # bytes at the start of a file, which tell its kind
_OTHER_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


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
            return stream.read(_FILE_LIMIT)

    def head(self) -> bytes:
        """Returns the first bytes of the file."""
        self.size()  # Reading from a pipe could block.
        with self.open() as stream:
            return stream.read(_HEAD)


def check_size(size: int) -> None:
    """Checks the size of a file that is read into memory."""
    if size > _FILE_LIMIT:
        raise ValueError(
            f"a file of {size} bytes is larger than the limit of {_FILE_LIMIT}"
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


@dataclasses.dataclass(frozen=True, slots=True)
class _UnreadableFolder(File):
    error: OSError

    def size(self) -> int:
        raise self.error


@dataclasses.dataclass(frozen=True, slots=True)
class _ZipMember(File):
    archive: zipfile.ZipFile
    member: zipfile.ZipInfo

    def size(self) -> int:
        return self.member.file_size

    def open(self) -> AbstractContextManager[IO[bytes]]:
        method = self.member.compress_type
        if method == zipfile.ZIP_LZMA:
            raise ValueError("LZMA compression could need too much memory")
        if method not in _ZIP_METHODS:
            name = _OTHER_METHODS.get(method, f"the method {method}")
            raise ValueError(
                f"unknown compression {name}: unpack the archive with `7z x` "
                "and pass the folder"
            )
        if self.member.flag_bits & 1:
            raise ValueError(
                "encrypted: unpack the archive with `7z x` and its password, "
                "and pass the folder"
            )
        return self.archive.open(self.member)


@dataclasses.dataclass(frozen=True, slots=True)
class _TarMember(File):
    archive: IO[bytes]
    lock: threading.Lock
    member: tarfile.TarInfo

    def size(self) -> int:
        return self.member.size

    def open(self) -> AbstractContextManager[IO[bytes]]:
        check_size(self.member.size)
        with self.lock:
            self.archive.seek(self.member.offset_data)
            return io.BytesIO(self.archive.read(self.member.size))

    def head(self) -> bytes:
        with self.lock:
            self.archive.seek(self.member.offset_data)
            return self.archive.read(min(_HEAD, self.member.size))


def list_files(
    source: PathLike | Sequence[PathLike],
    stack: contextlib.ExitStack,
    report: Report,
) -> Mapping[str, File]:
    """Returns the files of a source by name, with `/` between folders.

    Hidden files and the folders of training runs are left out. If there is one
    archive and no image, the files in this archive are returned.

    Args:
        source: A folder, an archive, a file, a pattern such as `"cats/*.jpg"`,
            or a list of paths. The files are sorted by name, but the order of a
            list is kept.
        stack: Closes archives, which stay open while files are read.
        report: Receives what was left out.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a path cannot be read, or an archive is damaged.
    """
    files = _visible(_list_source(source, stack, report))
    archives = [name for name in files if file_kinds.is_archive(name)]
    images = file_kinds.image_endings().intersection(
        file_kinds.ending(name) for name in files
    )
    if len(archives) == 1 and not images:
        (name,) = archives
        report.notes.append(f"The archive {name} in the source was read.")
        files = list_archive(files[name], name, stack, report)
        files = _visible(_sorted(files))
    return _leave_out_runs(files, report)


def find_paths(source: PathLike | Sequence[PathLike]) -> list[pathlib.Path]:
    """Returns the paths of a source: one, or those that fit a pattern.

    Raises:
        FileNotFoundError: If nothing exists at a path.
        ValueError: If a path cannot be used.
    """
    if not isinstance(source, str | os.PathLike):
        return [path for each in source for path in find_paths(each)]
    try:
        path = pathlib.Path(source).expanduser()
        paths = [path] if path.exists() else []
        if not paths and re.search(r"[*?[]", str(path)):
            found = glob.glob(str(path), recursive=True)
            paths = [*map(pathlib.Path, sorted(found))]
        regular = all(path.is_file() or path.is_dir() for path in paths)
    # RuntimeError: "~no_such_user"
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"`source` must be {SOURCES}. Received: source={str(source)!r} "
            f"({error})"
        ) from error
    if not paths:
        raise FileNotFoundError(
            f"`source` must exist and be {SOURCES}, or be 'tfds:NAME'. "
            f"Received: source={str(source)!r}"
        )
    if not regular:  # Reading from a pipe could block.
        raise ValueError(
            "`source` must be a folder or a file, not a pipe or a device. "
            f"Received: source={str(source)!r}"
        )
    return paths


def _list_source(source, stack, report):
    paths = find_paths(source)
    if len(paths) != 1:
        return _list_paths(paths, report)
    (path,) = paths
    if path.is_dir():
        return _sorted(_list_folder(path, report))
    file, name = DiskFile(str(path)), path.name
    with reading(report.source, "file"):
        head = file.head()
    kind = file_kinds.find_kind(name, head) if head else None
    if kind not in (None, file_kinds.ARCHIVE):
        if not file_kinds.has_image_start(head):
            raise ValueError(
                f"`source` must be {SOURCES}, or 'tfds:NAME'. Received: "
                f"source={report.source} ({kind})"
            )
    is_zip = head.startswith(b"PK") and not name.endswith(".npz")
    if is_zip or file_kinds.is_archive(name):
        return _sorted(list_archive(file, name, stack, report))
    return {name: file}


def _sorted(files):
    return {name: files[name] for name in sorted(files)}


def _visible(files):
    return {
        name: file
        for name, file in files.items()
        if not any(map(_is_hidden, name.split("/")))
    }


def _is_hidden(name):
    return name.startswith((".", "__MACOSX")) and name not in (".", "..")


def _leave_out_runs(files, report):
    """Leaves out the folders of training runs, which hold generated images."""
    run = RunFolder("")
    marks = (run.settings_file, run.history, run.real_images, run.best_model)
    marks = {path.name for path in (*marks, run.checkpoints, run.grids)}
    found = collections.defaultdict(set)
    for name in files:
        parts = name.split("/")
        for mark in marks.intersection(parts):
            folder = parts[: parts.index(mark)]
            found["".join(f"{part}/" for part in folder)].add(mark)
    runs = tuple(sorted(run for run in found if len(found[run]) > 1))
    for name in runs:
        report.leave_out(name or "./", "folders of training runs")
    return {
        name: file for name, file in files.items() if not name.startswith(runs)
    }


def _list_folder(folder, report):
    """Returns the files of a folder at any depth.

    Links to folders are not followed, because they may form a loop. A folder
    that cannot be read is listed as a file that cannot be read.
    """
    failed, files = [], {}
    # Strings, because objects of `pathlib` take most of the time.
    for parent, folders, names in os.walk(folder, onerror=failed.append):
        inside = f"{_relative(parent, folder)}/".removeprefix("./")
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in folders:
            if os.path.islink(os.path.join(parent, name)):
                report.leave_out(f"{inside}{name}/", "links to folders")
        for name in names:
            files[f"{inside}{name}"] = DiskFile(os.path.join(parent, name))
    for error in failed:
        name = _relative(error.filename, folder)
        files[f"{name}/"] = _UnreadableFolder(error)
    return files


def _relative(path, folder):
    return os.path.relpath(path, folder).replace(os.sep, "/")


def _list_paths(paths, report):
    """Returns the files of several paths. Folders stand for their files.

    Names start at the folder that all paths have in common.
    """
    paths = [path.absolute() for path in paths]
    top = os.path.commonpath([path.parent for path in paths]) if paths else ""
    files = {}
    for path in paths:
        name = path.relative_to(top).as_posix()
        if path.is_dir():
            inside = _sorted(_list_folder(path, report))
            files |= {f"{name}/{key}": file for key, file in inside.items()}
        else:
            files[name] = DiskFile(str(path))
    return files


def list_archive(
    file: File, name: str, stack: contextlib.ExitStack, report: Report
) -> Mapping[str, File]:
    """Returns the files in a zip or tar archive.

    An archive that is compressed as a whole, or lies in another archive, is
    first unpacked into a temporary file, which has no name.
    """
    word = "tar" if file_kinds.is_tar(name) else "zip"
    with reading(report.source, f"{word} archive"):
        head = file.head()
        stream = stack.enter_context(file.open())
        if file_kinds.is_tar(name, head):
            return _list_tar(stream, head, stack)
        if file.path is None:
            stream = _unpack(stream, stack)
        archive = stack.enter_context(zipfile.ZipFile(stream))
    # If several members have the same name, the last one is valid. Some
    # programs for Windows write backslashes between folders.
    return {
        member.filename.replace("\\", "/"): _ZipMember(archive, member)
        for member in archive.infolist()
        if not member.filename.endswith(("/", "\\"))  # a folder
    }


def _list_tar(stream, head, stack):
    if head.startswith(b"\x1f\x8b"):
        stream = _unpack(gzip.GzipFile(fileobj=stream), stack)
    elif head.startswith(b"BZh"):
        stream = _unpack(bz2.BZ2File(stream), stack)
    elif head.startswith(b"\xfd7zXZ"):
        stream = _unpack(_XzReader(stream), stack)
    lock = threading.Lock()
    reader: Any = _HeaderReader(stream)
    with tarfile.TarFile(fileobj=reader) as archive:
        files = {
            member.name: _TarMember(stream, lock, member)
            for member in archive
            # Links, devices and files with holes are ignored.
            if member.isreg() and not member.issparse()
        }
        # `tarfile` does not notice if the rest of the archive is missing.
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(
                f"cut off or damaged after {len(files)} files"
            )
    return files


def _unpack(stream: Any, stack: contextlib.ExitStack) -> IO[bytes]:
    """Copies a stream to a temporary file."""
    file = stack.enter_context(tempfile.TemporaryFile())
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if size > _ARCHIVE_LIMIT:
            raise ValueError(
                f"the archive has more than {_ARCHIVE_LIMIT} bytes when it is "
                "unpacked: unpack it and pass the folder"
            )
        file.write(chunk)
    file.seek(0)
    return file


class _XzReader:
    """Unpacks a stream of xz with little memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decompressor = lzma.LZMADecompressor(memlimit=_LZMA_LIMIT)

    def read(self, size: int) -> bytes:
        while not self._decompressor.eof:
            packed = b""
            if self._decompressor.needs_input:
                packed = self._stream.read(_CHUNK)
                if not packed:
                    raise EOFError("the archive is cut off")
            if chunk := self._decompressor.decompress(packed, size):
                return chunk
        return b""


class _HeaderReader:
    """Limits the size of one read, because `tarfile` reads whole headers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > _HEADER_LIMIT:
            raise tarfile.ReadError(f"a header of {size} bytes is too large")
        return self._stream.read(size)
