"""Image files with more than 8 bits or more than 3 channels."""

import struct
import zlib

import numpy as np

_KINDS = {"u": 1, "i": 2, "f": 3}  # the TIFF tag SampleFormat


def png(array):
    """Returns a PNG file of a uint16 array (height, width, channels)."""
    height, width, channels = array.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(rows), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    )


def tiff(
    *pages, order="<", photometric=None, extra=(), deflate=False, planar=False
):
    """Returns a TIFF file of arrays (height, width, channels).

    Args:
        pages: One array for each page.
        order: Byte order.
        photometric: Color space, such as 1 for gray. Defaults to gray or color,
            by the number of channels.
        extra: Meanings of the channels beyond the color space: 0 for none, 1
            for an alpha that the colors are multiplied by, 2 for another alpha.
        deflate: If True, the pixels are compressed.
        planar: If True, the channels are stored one after the other.
    """
    mark = b"II*\0" if order == "<" else b"MM\0*"
    content = bytearray(mark + struct.pack(order + "I", 0))
    link = 4  # Where to write the place of the next page.
    for array in pages:
        height, width, channels = array.shape
        if photometric is None:
            photometric = 1 if channels < 3 else 2
        array = array.astype(array.dtype.newbyteorder(order))
        planes = np.moveaxis(array, -1, 0) if planar else array[np.newaxis]
        strips = [plane.tobytes() for plane in planes]
        if deflate:
            strips = [zlib.compress(strip) for strip in strips]
        offsets = [
            len(content) + sum(map(len, strips[:i])) for i in range(len(strips))
        ]
        content += b"".join(strips)
        tags = {
            256: ("I", [width]),
            257: ("I", [height]),
            258: ("H", [8 * array.itemsize] * channels),
            259: ("H", [8 if deflate else 1]),
            262: ("H", [photometric]),
            273: ("I", offsets),
            277: ("H", [channels]),
            278: ("I", [height]),
            279: ("I", [len(strip) for strip in strips]),
            284: ("H", [2 if planar else 1]),
            338: ("H", list(extra)),
            339: ("H", [_KINDS[array.dtype.kind]] * channels),
        }
        entries = b""
        for tag, (kind, values) in tags.items():
            if not values:
                continue
            data = struct.pack(f"{order}{len(values)}{kind}", *values)
            if len(data) > 4:
                place = struct.pack(order + "I", len(content))
                content, data = content + data, place
            code = {"H": 3, "I": 4}[kind]
            entries += struct.pack(order + "HHI", tag, code, len(values))
            entries += data.ljust(4, b"\0")
        content += b"\0" * (len(content) % 2)
        struct.pack_into(order + "I", content, link, len(content))
        content += struct.pack(order + "H", len(entries) // 12) + entries
        link = len(content)
        content += bytes(4)
    return bytes(content)
