"""Fuzzing: for any bytes, a reader returns images or raises a `ValueError`.

The readers get arbitrary bytes and damaged copies of valid files. As a test,
the examples are few and always the same. This command searches new examples
for several minutes, with at most 3 GiB of memory, and prints statistics:

    python tests/datasets/test_fuzzing.py MINUTES [READER ...]
"""

import faulthandler
import gzip
import io
import itertools
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile

# Otherwise Hypothesis creates a folder in the current directory.
os.environ.setdefault(
    "HYPOTHESIS_STORAGE_DIRECTORY",
    os.path.join(tempfile.gettempdir(), "hypothesis_of_gan_blocks"),
)

from gan_blocks import datasets, faces  # noqa: E402
import hypothesis  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
import pytest  # noqa: E402

MEMORY = 3 * 1024**3  # bytes
TIMEOUT = 120  # seconds for one example of the command
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 9, 9), "uint8")

# Valid files, to be damaged


def encode(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def valid_images():
    noise = Image.fromarray(IMAGES.reshape(9, 9, 3))
    rotated, gray = Image.Exif(), noise.convert("L")
    rotated[0x0112] = 6
    yield encode(noise, "PNG")
    yield encode(noise.quantize(), "PNG", transparency=1)
    yield encode(gray.convert("I;16"), "PNG")
    yield encode(noise, "PNG", save_all=True, append_images=[noise])
    yield encode(noise, "JPEG", exif=rotated)
    yield encode(noise, "JPEG", progressive=True)
    yield encode(noise.convert("CMYK"), "JPEG")
    yield encode(noise, "GIF", save_all=True, append_images=[gray])
    for options in ({}, {"lossless": True}, {"save_all": True}):
        yield encode(noise.convert("RGBA"), "WEBP", **options)
    for compression in (None, "tiff_lzw", "jpeg", "tiff_deflate", "packbits"):
        yield encode(noise, "TIFF", compression=compression)
    yield encode(gray.convert("1"), "TIFF", compression="group4")
    yield encode(noise.convert("RGBA"), "BMP")
    yield encode(noise.quantize(), "BMP")
    yield encode(noise, "PPM")
    yield b"P3 3 1 255 1 2 3 4 5 6 7 8 9 "
    yield encode(noise.convert("RGBA"), "TGA", compression="tga_rle")
    for format in ("AVIF", "JPEG2000"):
        if format in Image.SAVE:
            yield encode(noise, format)


def valid_npys():
    for array in (
        IMAGES,
        np.asfortranarray(IMAGES[..., None]),
        IMAGES / np.float32(255),
        IMAGES.reshape(3, 81).astype(">i8"),
        IMAGES > 99,
    ):
        stream = io.BytesIO()
        np.save(stream, array)
        yield stream.getvalue()


def valid_idxs():
    for shape in ((3, 9, 9), (1, 9, 9, 3)):
        header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        yield header + IMAGES.tobytes()


def valid_landmarks():
    yield b"9 " + b"175 160.5 -3 " * 6
    yield b"9\n" + b"\t1e2 +7" * 9 + b"\r\n"


def zip_files(*contents, ending, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}{ending}", content)
    return stream.getvalue()


# Damages

NUMBERS = [0, 1, 2, 3, 9, 10, 127, 255, 256, 2**14, 2**15, 2**16 - 1, 2**24]
NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
DAMAGES = ["flip", "cut", "insert", "splice", "number", "word"]
WORDS = ["-1", "nan", "-inf", "1e308", "'O'", "()", "None", "9" * 5000, "\0"]


@st.composite
def damaged(draw, contents):
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 3))):
        length = len(content)
        places = st.integers(0, min(length, 64)) | st.integers(0, length)
        start = draw(places)
        end = start + draw(st.integers(0, 8) | st.integers(0, length))
        before, part, after = content[:start], content[start:end], content[end:]
        damage = draw(st.sampled_from(DAMAGES))
        if damage == "flip":
            part = bytes([draw(st.integers(0, 255))]) + content[start + 1 : end]
        elif damage == "cut":
            part = b""
        elif damage == "insert":
            part = draw(st.binary(max_size=9)) + part
        elif damage == "splice":
            after = content[draw(places) :]
        elif damage == "number":
            kind = draw(st.sampled_from("BHIQ"))
            size = struct.calcsize(kind)
            number = draw(st.sampled_from(NUMBERS)) % 256**size
            part = struct.pack(draw(st.sampled_from("<>")) + kind, number)
            after = content[start + size :]
        elif found := list(re.finditer(rb"[0-9]+|True|False", content[:9999])):
            here = draw(st.sampled_from(found))
            before, after = content[: here.start()], content[here.end() :]
            word = draw(st.sampled_from([*map(str, NUMBERS), *WORDS]))
            part = word.encode()
        content = before + part + after
    return content


def arbitrary(beginnings):
    starts = st.sampled_from([b"", *beginnings])
    return st.builds(bytes.__add__, starts, st.binary(max_size=200))


def files(contents):
    beginnings = sorted({content[:12] for content in contents})
    return damaged(contents) | arbitrary(beginnings)


def readers():
    """Returns a file name and a strategy for its content, by reader."""
    images, npys, idxs = [*valid_images()], [*valid_npys()], [*valid_idxs()]
    zips = [
        zip_files(*images[:2], ending=".png", method=method)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    ]
    npzs = [zip_files(npy, ending=".npy") for npy in npys]
    gzs = [gzip.compress(idx) for idx in idxs]

    def inside(strategy, **options):
        return strategy.map(lambda content: zip_files(content, **options))

    return {
        "images": ("a.png", files(images)),
        "zip": ("a.zip", files(zips) | inside(files(images), ending=".png")),
        "npy": ("a.npy", files(npys)),
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


def check(folder, name, content):
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
                check_images(datasets.load(source, 8))
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


def fuzz(folder, reader, check=check, **settings):
    """Returns a function that checks many examples for a reader."""
    name, contents = READERS[reader]
    settings = hypothesis.settings(
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        **settings,
    )
    search = hypothesis.given(contents)(lambda x: check(folder, name, x))
    return settings(search)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_readers_return_images_or_raise_a_value_error(
    reader, tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2**20)  # Saves time.
    fuzz(tmp_path, reader, derandomize=True, max_examples=60)()


# The command


def main(minutes, *chosen):
    chosen = chosen or list(READERS)
    codes = [
        subprocess.run(
            [sys.executable, __file__, "--one", reader, str(seconds)]
        ).returncode
        for reader in chosen
        for seconds in [60 * float(minutes) / len(chosen)]
    ]
    return max(map(abs, codes))


def run_reader(reader, seconds):
    import resource

    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = used * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    count, slowest = 0, 0.0

    def check_and_count(*arguments):
        nonlocal count, slowest
        faulthandler.dump_traceback_later(TIMEOUT, exit=True)
        start = time.monotonic()
        check(*arguments)
        count, slowest = count + 1, max(slowest, time.monotonic() - start)

    end = time.monotonic() + float(seconds)
    with tempfile.TemporaryDirectory() as folder:
        first = int(time.time()) % 10**6 * 1000
        for number in itertools.count(first):
            search = fuzz(
                folder,
                reader,
                check_and_count,
                derandomize=False,
                max_examples=300,
            )
            hypothesis.seed(number)(search)()
            if time.monotonic() > end:
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{reader}: {count} examples, the slowest took {slowest:.1f} s; "
        f"peak memory {peak:.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        run_reader(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
