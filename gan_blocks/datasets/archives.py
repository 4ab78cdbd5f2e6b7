"""Lists the files in zip and tar archives, and reads them safely."""

import bz2
import contextlib
import dataclasses
import gzip
import io
import lzma
import posixpath
import re
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import IO, Any

from gan_blocks.datasets import file_kinds
from gan_blocks.datasets.errors import reading
from gan_blocks.datasets.report import Report
from gan_blocks.datasets.source_files import HEAD, File, check_size

_ARCHIVE_LIMIT = 16 * 1024**3  # bytes of an archive when it is unpacked
_HEADER_LIMIT = 2**20  # bytes of one header of a tar archive
_CHUNK = 2**20  # bytes
_LZMA_LIMIT = 2**27  # bytes of memory; `xz -9` needs 65 MiB
_OTHER_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


def list_archive(
    file: File, name: str, stack: contextlib.ExitStack, report: Report
) -> Mapping[str, File]:
    """Returns the files in a zip or tar archive.

    An archive that is compressed as a whole, or lies in another archive, is
    first unpacked into a temporary file, which has no name. Files whose names
    lead out of the archive are left out.
    """
    files = {}
    for path, member in _list_members(file, name, stack, report).items():
        # Some programs for Windows write backslashes between folders.
        path = path.replace("\\", "/")
        if ".." in path.split("/") or re.match("/|[A-Za-z]:", path):
            report.leave_out(path, "skipped (path outside of the archive)")
        else:
            files[posixpath.normpath(path)] = member  # Without "./".
    return files


def _list_members(file, name, stack, report):
    word = "tar" if file_kinds.is_tar(name) else "zip"
    with reading(report.source, f"{word} archive"):
        head = file.head()
        stream = stack.enter_context(file.open())
        if file_kinds.is_tar(name, head):
            return _list_tar(stream, head, stack, report)
        if file.path is None:
            stream = _unpack(stream, stack)
        archive = stack.enter_context(zipfile.ZipFile(stream))
    # If several members have the same name, the last one is valid.
    return {
        member.filename: _ZipMember(archive, member)
        for member in archive.infolist()
        if not member.filename.endswith(("/", "\\"))  # a folder
    }


def _list_tar(stream, head, stack, report):
    if head.startswith(b"\x1f\x8b"):
        stream = _unpack(gzip.GzipFile(fileobj=stream), stack)
    elif head.startswith(b"BZh"):
        stream = _unpack(bz2.BZ2File(stream), stack)
    elif head.startswith(b"\xfd7zXZ"):
        stream = _unpack(_XzReader(stream), stack)
    lock = threading.Lock()
    reader: Any = _HeaderReader(stream)
    with tarfile.TarFile(fileobj=reader) as archive:
        files = {}
        for member in archive:
            if member.isreg() and not member.issparse():
                files[member.name] = _TarMember(stream, lock, member)
            elif member.islnk() and member.linkname in files:
                files[member.name] = files[member.linkname]
            elif not member.isdir():
                report.leave_out(member.name, "skipped (no ordinary file)")
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
        try:
            file.write(chunk)
        except OSError as error:
            raise ValueError(
                f"no room to unpack it in {tempfile.gettempdir()}: {error}"
            ) from error
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
            return self.archive.read(min(HEAD, self.member.size))
