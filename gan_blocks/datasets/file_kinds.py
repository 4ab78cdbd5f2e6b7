"""Tells the kind of a file by its name and its first bytes."""

import functools
import posixpath
import re
from typing import NamedTuple

from PIL import Image

# Formats that Pillow decodes by itself. Others, such as EPS, start a program,
# which is not safe for files from an unknown source.
_FORMATS = "AVIF BMP GIF HEIF JPEG JPEG2000 PNG PPM TGA TIFF WEBP".split()
IDX_NAME = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")


class Kind(NamedTuple):
    """A kind of files that cannot be read.

    Attributes:
        name: Name of one such file.
        advice: What the user can do.
        endings: Endings of such files.
        start: Pattern of the first bytes.
        is_image: If True, such files are images or hold images.
    """

    name: str
    advice: str
    endings: str
    start: bytes = b"(?!)"  # never found
    is_image: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.advice}"


_TAR_ENDING = re.compile(r"\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$", re.I)
_TAR_START = rb"\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar"
_SAVE = "save its images with `np.save` and pass the .npy file"
_CONVERT = "save its images as files and pass their folder"
ARCHIVE = Kind(
    "zip or tar archive",
    "unpack it, or pass its path",
    ".zip .tar .tgz .tbz .tbz2 .txz .gz .bz2 .xz",
    rb"PK\x03\x04|" + _TAR_START,
    is_image=True,
)
_KINDS = (
    Kind("empty file", "download it again", "", rb"\Z"),
    Kind(
        "web page",
        "the download failed, so download the file again; a login may help",
        ".htm .html",
        rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*"
        rb"<(!doctype html|html|head|\?xml(?!.*(<|doctype )svg))",
    ),
    Kind(
        "Git LFS pointer",
        "download the file with `git lfs pull`",
        "",
        rb"version https://git-lfs",
    ),
    Kind("unfinished download", "download it again", ".crdownload .part"),
    Kind(
        "HEIC image",
        "install the package pillow-heif",
        ".heic .heif .hif",
        rb"....ftyp(hei|hev|mif1|msf1)",
        is_image=True,
    ),
    Kind(
        "unsupported archive",
        "unpack it, for example with `7z x`, and pass the folder",
        ".7z .rar .zst .lz4",
        rb"7z\xbc\xaf'\x1c|Rar!|\x28\xb5\x2f\xfd",
        is_image=True,
    ),
    ARCHIVE,
    Kind(
        "MATLAB file",
        f"read it with `scipy.io.loadmat`, {_SAVE}",
        ".mat",
        rb"MATLAB ",
    ),
    Kind(
        "HDF5 file", f"read it with `h5py`, {_SAVE}", ".h5 .hdf5", rb"\x89HDF"
    ),
    Kind(
        "Parquet or Arrow file",
        f"read it with the package `datasets`, {_CONVERT}",
        ".parquet .arrow",
        rb"PAR1|ARROW1",
    ),
    Kind(
        "table",
        f"if its rows are images, read it with `np.loadtxt`, {_SAVE}",
        ".csv .tsv .xls .xlsx",
    ),
    Kind(
        "LMDB database",
        f"read it with the package `lmdb`, {_CONVERT}",
        ".mdb .lmdb",
    ),
    Kind(
        "TFRecord file",
        "pass the folder of a prepared TFDS dataset, or read the file with "
        f"`tf.data.TFRecordDataset`, {_CONVERT}",
        ".tfrecord .tfrecords",
    ),
    Kind(
        "pickle",
        f"pickles can run any code, so they are never read; {_SAVE}",
        ".pkl .pickle .pt .pth .joblib",
        rb"\x80[\x02-\x05]",
    ),
    Kind(
        "video",
        "save its frames as images: `ffmpeg -i FILE frames/%05d.png`",
        ".mp4 .avi .mov .mkv .webm .m4v",
        rb"....ftyp|\x1aE\xdf\xa3",
    ),
    Kind(
        "medical image",
        f"read it with a package such as `pydicom` or `nibabel`, {_SAVE}",
        ".dcm .dicom .nii .nrrd .mha",
        rb".{128}DICM",
        is_image=True,
    ),
    Kind(
        "TIFF image that Pillow cannot read",
        "its pixel format may be unsupported, so read it with the package "
        f"`tifffile`, {_SAVE}",
        "",
        rb"II[*+]\0|MM\0[*+]",
        is_image=True,
    ),
    Kind(
        "unsupported image",
        "convert it to PNG",
        ".svg .psd .eps .jxl .exr .hdr .cr2 .nef .arw .dng .xcf",
        rb"8BPS|%!PS|\s*<svg|\xff\x0a|....JXL ",
        is_image=True,
    ),
)


@functools.cache
def image_formats() -> list[str]:
    """Returns the formats that this installation of Pillow can decode."""
    Image.init()
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    return [name for name in _FORMATS if name in Image.OPEN]


@functools.cache
def image_endings() -> frozenset[str]:
    """Returns the endings of images in lower case, such as ".png"."""
    formats = image_formats()
    endings = Image.registered_extensions().items()
    return frozenset(ending for ending, name in endings if name in formats)


def ending(name: str) -> str:
    """Returns the ending of a file name in lower case, such as ".png"."""
    return posixpath.splitext(name)[1].lower()


def is_archive(name: str) -> bool:
    """Returns whether a file is a zip or tar archive, by its name."""
    return ending(name) == ".zip" or is_tar(name)


def is_tar(name: str, head: bytes = b"") -> bool:
    """Returns whether a file is a tar archive, compressed or not."""
    if head.startswith(b"PK"):
        return False
    by_start = re.match(_TAR_START, head, re.DOTALL)
    return bool(by_start or _TAR_ENDING.search(name))


def has_image_start(head: bytes) -> bool:
    """Returns whether a file with these first bytes is an image."""
    accepts = (Image.OPEN[format][1] for format in image_formats())
    # A decoder returns a text if it recognizes a file that it cannot read.
    return any(accept and accept(head) is True for accept in accepts)


def find_kind(name: str, head: bytes | None = None) -> Kind | None:
    """Returns the kind of a file that cannot be read, if it is known.

    The first bytes decide, if they are given, and otherwise the ending.
    """
    if head is not None:
        for kind in _KINDS:
            if re.match(kind.start, head, re.DOTALL | re.IGNORECASE):
                return kind
    for kind in _KINDS:
        # Such as "train.tfrecord-00000-of-00002".
        if ending(name).partition("-")[0] in kind.endings.split():
            return kind
    return None
