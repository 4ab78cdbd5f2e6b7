"""Files that cannot be used: damaged, huge, unreadable or not files at all."""

import contextlib
import io
import os
import re
import struct
import tarfile
import tracemalloc
import zlib
from unittest import mock

import numpy as np
import pytest
from support.image_sources import RED, encode, plain, write_zip

PNG = encode(plain(RED))

needs_posix = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="needs pipes and links"
)


@contextlib.contextmanager
def little_memory():
    """Checks that the block allocates less than 64 MiB at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@contextlib.contextmanager
def no_permission():
    """Makes all files and folders whose names start with `secret` unreadable.

    Changing their permissions would not do: root can read everything.
    """

    def refuse(function):
        def call(path, *args, **kwargs):
            if os.path.basename(str(path)).startswith("secret"):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        for name in ("builtins.open", "io.open", "os.scandir", "os.listdir"):
            module, attribute = name.split(".")
            function = getattr(__import__(module), attribute)
            stack.enter_context(mock.patch(name, refuse(function)))
        yield


def png_of_size(width, height):
    """Returns a small PNG file whose header claims another size."""
    content = bytearray(PNG)
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def jpeg_of_size(width, height):
    """Returns a small JPEG file whose header claims another size."""
    content = bytearray(encode(plain(RED), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_of_shape(shape, dtype="|u1"):
    """Returns an npy file of 100 bytes whose header claims another shape."""
    stream = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(100)


def idx(shape, pixels):
    """Returns an idx file whose header claims any shape."""
    sizes = struct.pack(f">{len(shape)}I", *shape)
    return bytes((0, 0, 8, len(shape))) + sizes + pixels


def zipped(files, **options):
    """Returns the content of a zip archive."""
    stream = io.BytesIO()
    write_zip(stream, files, **options)
    return stream.getvalue()


def tarred(files, mode="w", **options):
    """Returns the content of a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, **options) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def change_zip(content, offset_in_local, offset_in_central, value):
    """Changes a two-byte number in all headers of a zip archive."""
    content = bytearray(content)
    for mark, offset in (
        (b"PK\3\4", offset_in_local),
        (b"PK\1\2", offset_in_central),
    ):
        for match in re.finditer(re.escape(mark), bytes(content)):
            struct.pack_into("<H", content, match.start() + offset, value)
    return bytes(content)


def dangling_link(path):
    path.symlink_to("missing.png")


def link_to_itself(path):
    path.symlink_to(path.name)


def link_to_device(path):
    path.symlink_to("/dev/zero")


def huge_file(path):
    path.write_bytes(PNG)
    os.truncate(path, 1024**3 + 1)  # A sparse file, which needs no space.
