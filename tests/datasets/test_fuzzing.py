"""Fuzzing: for any bytes, a reader returns images or raises a `ValueError`.

The readers get arbitrary bytes and damaged copies of valid files. As a test,
the examples are few and always the same. `FUZZING_EXAMPLES` searches that many
new examples for each reader; this also limits their memory and time:

    (ulimit -v 16000000; FUZZING_EXAMPLES=5000 python -m pytest -m slow \\
        -o faulthandler_timeout=3600 tests/datasets/test_fuzzing.py)
"""

import bz2
import gzip
import lzma
import os
import pathlib
import re
import struct
import tarfile
import tempfile
import warnings
import zipfile

# Otherwise Hypothesis creates a folder in the current directory.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY",
    os.path.join(tempfile.gettempdir(), "hypothesis_of_gan_blocks"),
)

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from PIL import Image, ImageCms  # noqa: E402
from support.bad_files import npy, tarred, zipped  # noqa: E402
from support.deep_files import png, tiff  # noqa: E402
from support.image_sources import encode, encode_idx, noise  # noqa: E402

from gan_blocks import datasets, faces  # noqa: E402

IMAGES = noise(3, 9, 9)

# Valid files, to be damaged


def valid_images():
    color = Image.fromarray(IMAGES.reshape(9, 9, 3))
    rotated, gray = Image.Exif(), color.convert("L")
    rotated[0x0112] = 6
    yield encode(color, "PNG")
    yield encode(color.quantize(), "PNG", transparency=1)
    yield encode(gray.convert("I;16"), "PNG")
    yield encode(color, "PNG", save_all=True, append_images=[color])
    yield encode(color, "JPEG", exif=rotated)
    yield encode(color, "JPEG", progressive=True)
    yield encode(color.convert("CMYK"), "JPEG")
    yield encode(color, "GIF", save_all=True, append_images=[gray])
    for options in ({}, {"lossless": True}, {"save_all": True}):
        yield encode(color.convert("RGBA"), "WEBP", **options)
    for compression in (None, "tiff_lzw", "jpeg", "tiff_deflate", "packbits"):
        yield encode(color, "TIFF", compression=compression)
    yield encode(gray.convert("1"), "TIFF", compression="group4")
    yield encode(color.convert("RGBA"), "BMP")
    yield encode(color.quantize(), "BMP")
    yield encode(color, "PPM")
    yield b"P3 3 1 255 1 2 3 4 5 6 7 8 9 "
    deep = IMAGES.reshape(9, 9, 3).astype("uint16") * 99
    yield png(deep)
    yield png(deep[..., [0, 1, 2, 0]])
    for options in ({"order": ">"}, {"deflate": True}, {"planar": True}):
        yield tiff(deep[..., [0, 1, 2, 0]], extra=(1,), **options)
    yield tiff(deep[..., :1] * 0, deep[..., :1].astype("float32"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    yield encode(color, "PNG", icc_profile=profile.tobytes())
    yield encode(color.convert("RGBA"), "TGA", compression="tga_rle")
    for format in ("AVIF", "JPEG2000"):
        if format in Image.SAVE:
            yield encode(color, format)


def valid_npys():
    yield npy(IMAGES)
    yield npy(np.asfortranarray(IMAGES[..., None]))
    yield npy(IMAGES / np.float32(255))
    yield npy(IMAGES.reshape(3, 81).astype(">i8"))
    yield npy(IMAGES > 99)


def valid_idxs():
    yield encode_idx(IMAGES)
    yield encode_idx(IMAGES[:1, ..., None].repeat(3, axis=-1))


def valid_landmarks():
    yield b"9 " + b"175 160.5 -3 " * 6
    yield b"9\n" + b"\t1e2 +7" * 9 + b"\r\n"


def valid_labels():
    yield b'{"labels": [["0.png", 3], ["1.png", 0]]}'
    yield b'{"labels": [["0.png", 300000000000], ["1.png", [1, 2]]]}'
    yield b'{"labels": null}'


def zip_files(*contents, ending, **options):
    files = {f"{i}{ending}": content for i, content in enumerate(contents)}
    return zipped(files, **options)


# Damages

NUMBERS = [0, 1, 2, 3, 9, 10, 127, 255, 256, 2**14, 2**15, 2**16 - 1, 2**24]
NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
WORDS = ["-1", "nan", "-inf", "1e308", "'O'", "()", "None", "9" * 5000, "\0"]


packed_numbers = st.builds(
    lambda order, kind, number: struct.pack(
        order + kind, number % 256 ** struct.calcsize(kind)
    ),
    st.sampled_from("<>"),
    st.sampled_from("BHIQ"),
    st.sampled_from(NUMBERS),
)
words = st.sampled_from([*map(str, NUMBERS), *WORDS]).map(str.encode)


@st.composite
def damaged(draw, contents):
    """Replaces parts of a file by bytes, numbers, words or its own end."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 3))):
        length = len(content)
        places = st.integers(0, min(length, 64)) | st.integers(0, length)
        start = draw(places)
        end = start + draw(st.integers(0, 8) | st.integers(0, length))
        new = draw(st.binary(max_size=9) | packed_numbers | words)
        found = list(re.finditer(rb"[0-9]+|True|False", content[:9999]))
        if found and draw(st.booleans()):  # A value in a header.
            start, end = draw(st.sampled_from(found)).span()
            new = draw(words)
        elif draw(st.booleans()):
            end = draw(places)  # Repeats or leaves out what is between.
        content = content[:start] + new + content[end:]
    return content


def files(contents):
    """Damaged files, and arbitrary bytes after the beginnings of files."""
    beginnings = sorted({content[:12] for content in contents})
    starts = st.sampled_from([b"", *beginnings])
    arbitrary = st.builds(bytes.__add__, starts, st.binary(max_size=200))
    return damaged(contents) | arbitrary


def readers():
    """Returns a file name and a strategy for its content, by reader."""
    images, npys, idxs = [*valid_images()], [*valid_npys()], [*valid_idxs()]
    zips = [
        zip_files(*images[:2], ending=".png", method=method)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    ]
    tar = tarred({"a/0.png": images[0], "a/1.png": images[1]})
    tars = [
        *(tar, gzip.compress(tar), bz2.compress(tar), lzma.compress(tar)),
        tarred({"a" * 120 + ".png": images[0]}, format=tarfile.PAX_FORMAT),
        tarred({"a" * 120 + ".png": images[0]}, format=tarfile.GNU_FORMAT),
    ]
    gzs = [gzip.compress(idx) for idx in idxs]
    npzs = [zip_files(npy, ending=".npy") for npy in npys]

    def inside(strategy, **options):
        return strategy.map(lambda content: zip_files(content, **options))

    return {
        "images": ("a.png", files(images)),
        "zip": ("a.zip", files(zips) | inside(files(images), ending=".png")),
        "zip in zip": (
            "a.zip",
            files(zips + tars).map(lambda x: zipped({"b.zip": x})),
        ),
        "tar": ("a.tar", files(tars) | files([tar]).map(gzip.compress)),
        "labels": (
            "a.zip",
            files([*valid_labels()]).map(
                lambda x: zipped(
                    {"dataset.json": x, "0.png": images[0], "1.png": images[1]}
                )
            ),
        ),
        "npy": ("a.npy", files(npys)),
        "npy slices": (
            "a.zip",
            st.tuples(files(npys), files(npys)).map(
                lambda pair: zip_files(*pair, ending=".npy")
            ),
        ),
        "idx in zip": (
            "a.zip",
            files(idxs + gzs).map(
                lambda x: zipped({"train-images-idx3-ubyte": x})
            ),
        ),
        "any": ("a", files([*images, *npys, *zips, *tars, *npzs, *gzs])),
        "npz": ("a.npz", files(npzs) | inside(files(npys), ending=".npy")),
        "idx": ("a-idx3-ubyte", files(idxs)),
        "idx.gz": (
            "a-idx3-ubyte.gz",
            files(gzs) | files(idxs).map(gzip.compress),
        ),
        "landmarks": ("a.png.cat", files([*valid_landmarks()])),
    }


READERS = readers()

# Checks


def check(folder, name, content, labels=False):
    """Checks that reading a file returns images or raises an error."""
    path = pathlib.Path(folder, name)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if name.endswith(".cat"):
                check_landmarks(faces.read_landmarks(path))
            else:
                source = folder if name.endswith(".png") else path
                found = datasets.load(source, 8, labels=labels)
                check_images(found[0] if labels else found)
        except ValueError as error:
            text = str(error)
            assert str(folder) in text, text
            assert text.isprintable() and len(text) < 2000, text
    for warning in caught:
        assert warning.category is UserWarning, warning
        assert str(folder) in str(warning.message), warning


def check_images(images):
    assert images.dtype == np.uint8
    assert len(images) and images.shape[1:] == (8, 8, 3)
    images.sum()  # Reads all of a memory-mapped file.


def check_landmarks(landmarks):
    assert landmarks.dtype == float and landmarks.shape == (9, 2)
    assert (np.abs(landmarks) <= 1e6).all()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_readers_return_images_or_raise_a_value_error(
    reader, tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**20)  # Saves time.
    name, contents = READERS[reader]
    examples = os.environ.get("FUZZING_EXAMPLES")
    settings = hypothesis.settings(
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=examples is None,
        max_examples=int(examples or 60),
    )
    labels = reader == "labels"
    search = hypothesis.given(contents)(
        lambda content: check(tmp_path, name, content, labels)
    )
    settings(search)()
