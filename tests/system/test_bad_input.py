"""Every kind of bad input and the answer that it gets.

A picture that is of no use is left out, with its name and a count in one
warning; a source that is of no use is refused with one `ValueError`.
"""

import gzip
import io
import os
import re
import struct
import tracemalloc
import warnings
import zipfile
import zlib

from gan_blocks import datasets, faces
from gan_blocks.datasets import arrays, loading, sources
import numpy as np
from PIL import Image
import pytest

RED, BLUE = (255, 0, 0), (0, 0, 255)
GIB = 1024**3


def encoded(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def plain(colour=RED, mode="RGB", size=(8, 8)):
    return Image.new(mode, size, colour)


def png_of_size(width, height):
    """A small file that claims to be a large picture."""
    content = bytearray(encoded(plain()))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def jpeg_of_size(width, height):
    content = bytearray(encoded(plain(), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def oriented():
    image = plain(size=(80, 80))
    image.paste(BLUE, (0, 0, 80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # The top is to be at the right.
    return encoded(image, "JPEG", quality=95, exif=exif)


def npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_that_claims(shape, dtype="|u1"):
    stream = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + bytes(100)


def zipped(members, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def changed_zip(content, at_local, at_central, value):
    """Changes a number of two bytes in every header of an archive."""
    content = bytearray(content)
    for mark, at in ((b"PK\3\4", at_local), (b"PK\1\2", at_central)):
        for match in re.finditer(re.escape(mark), bytes(content)):
            struct.pack_into("<H", content, match.start() + at, value)
    return bytes(content)


def idx(claimed, pixels):
    sizes = struct.pack(f">{len(claimed)}I", *claimed)
    return bytes((0, 0, 8, len(claimed))) + sizes + pixels


PNG = encoded(plain())
JPEG = encoded(Image.effect_noise((64, 64), 99), "JPEG")


@pytest.fixture
def in_little_memory():
    """What a file claims to be is not asked for, not even in vain."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


# Pictures that are used: what they hold, and the colour it must become.

USED = {
    "animated GIF": (
        encoded(plain(), "GIF", save_all=True, append_images=[plain(BLUE)]),
        RED,
    ),
    "animated PNG": (
        encoded(plain(), save_all=True, append_images=[plain(BLUE)]),
        RED,
    ),
    "animated WebP": (
        encoded(
            plain(),
            "WEBP",
            save_all=True,
            append_images=[plain(BLUE)],
            lossless=True,
        ),
        RED,
    ),
    "CMYK": (encoded(plain((0, 255, 255, 0), "CMYK"), "JPEG"), RED),
    "16 bits": (encoded(plain(25700, "I;16")), (100, 100, 100)),
    "palette": (encoded(plain().quantize()), RED),
    "grey in a set of colour": (encoded(plain(90, "L")), (90, 90, 90)),
    "black and white": (encoded(plain(1, "1")), (255, 255, 255)),
    "transparent": (encoded(plain((9, 9, 9, 0), "RGBA")), (255, 255, 255)),
    "PNG called JPEG": (PNG, RED),
    "long and thin": (encoded(plain(size=(4000, 1))), RED),
    "warned of by Pillow": (
        encoded(plain(), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff"),
        RED,
    ),
}


@pytest.mark.parametrize("kind", USED)
def test_a_picture_of_an_unusual_kind_is_read(kind, tmp_path):
    content, colour = USED[kind]
    (tmp_path / "picture.jpg").write_bytes(content)
    (found,) = datasets.load(tmp_path, 8).astype(int)
    assert np.abs(found - colour).max() <= 4


def test_colour_in_a_set_of_grey_becomes_grey(tmp_path):
    (tmp_path / "picture.png").write_bytes(PNG)
    assert (datasets.load(tmp_path, 8, channels=1) == 76).all()


def test_a_picture_with_an_orientation_is_turned(tmp_path):
    (tmp_path / "picture.jpg").write_bytes(oriented())
    (found,) = datasets.load(tmp_path, 8).astype(int)
    assert np.abs(found[:, :3] - RED).max() <= 4
    assert np.abs(found[:, 5:] - BLUE).max() <= 4


# Pictures that are left out: what they hold, and the reason in the warning.

LEFT_OUT = {
    "empty": (b"", "UnidentifiedImageError"),
    "text": (b"not a picture", "UnidentifiedImageError"),
    "corrupt": (PNG[:45] + b"\xff\xff" + PNG[47:], "Error"),
    "PNG, truncated": (PNG[:50], "truncated"),
    "JPEG, truncated": (JPEG[: len(JPEG) // 2], "truncated"),
    "JPEG 2000 that asks for 4 GB": (
        b"\0\0\0\x0cjP  \r\n\x87\n\xff\xff\xff\0jp2h",
        "Error",
    ),
    "floats": (encoded(plain(0.5, "F"), "TIFF"), "pixels are floats"),
    "PNG that is a bomb": (png_of_size(40000, 40000), "DecompressionBomb"),
    "PNG of 16 terapixels": (png_of_size(2**22, 2**22), "DecompressionBomb"),
    "JPEG that is a bomb": (jpeg_of_size(65000, 65000), "DecompressionBomb"),
    "PNG without pixels": (png_of_size(0, 0), "Error"),
    "program in PostScript": (encoded(plain(), "EPS"), "Unidentified"),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_picture_of_no_use_is_left_out_and_named(
    kind, tmp_path, in_little_memory
):
    content, reason = LEFT_OUT[kind]
    members = {"bad.png": content, "good.png": PNG}
    (tmp_path / "folder").mkdir()
    for name, content in members.items():
        (tmp_path / "folder" / name).write_bytes(content)
    (tmp_path / "a.zip").write_bytes(zipped(members))
    for source in (tmp_path / "folder", tmp_path / "a.zip"):
        check_left_out(source, "bad.png", reason)


def check_left_out(source, name, reason):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = datasets.load(source, 8)
    assert found.shape == (1, 8, 8, 3)
    assert (found == RED).all()
    (warning,) = caught
    assert warning.category is UserWarning
    text = str(warning.message)
    pattern = rf"1 could not be read: {re.escape(name)} \(.*{reason}.*1 were"
    assert re.search(pattern, text), text
    assert text.isprintable() and str(source) in text
    with pytest.raises(ValueError, match="cannot be read") as error:
        datasets.load(source, 8, strict=True)
    assert name in str(error.value) and str(source) in str(error.value)


def dangling(path):
    path.symlink_to("nowhere.png")


def loop(path):
    path.symlink_to(path.name)


def huge(path):
    path.write_bytes(PNG)
    os.truncate(path, GIB + 1)  # A hole, which takes no space.


needs_posix = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="needs POSIX's files"
)


@needs_posix
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (dangling, "FileNotFoundError"),
        (loop, "symbolic links"),
        (os.mkfifo, "regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "regular file"),
        (huge, "a file of 1073741825 bytes"),
    ],
)
def test_what_is_no_file_of_a_picture_is_left_out(make, reason, tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    make(tmp_path / "bad.png")
    check_left_out(tmp_path, "bad.png", reason)


@needs_posix
def test_links_to_pictures_are_followed_and_loops_of_folders_are_not(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere.png").write_bytes(PNG)
    (folder / "deep" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "deep" / "again").symlink_to(folder)
    assert len(datasets.load(folder, 8)) == 1


@pytest.fixture
def forbidden(monkeypatch):
    """Nothing whose name begins with `secret` can be opened."""

    def refusing(function):
        def opened(path, *args, **kwargs):
            if os.path.basename(str(path)).startswith("secret"):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *args, **kwargs)

        return opened

    for place in ("builtins.open", "io.open", "os.scandir", "os.listdir"):
        module, name = place.split(".")
        function = getattr(__import__(module), name)
        monkeypatch.setattr(place, refusing(function))


def test_a_picture_without_permission_is_left_out(tmp_path, forbidden):
    (tmp_path / "good.png").write_bytes(PNG)
    (tmp_path / "secret.png").touch()
    check_left_out(tmp_path, "secret.png", "Permission denied")


def test_a_folder_without_permission_is_left_out(tmp_path, forbidden):
    (tmp_path / "secret").mkdir()
    (tmp_path / "good.png").write_bytes(PNG)
    check_left_out(tmp_path, "secret/", "Permission denied")


@pytest.mark.parametrize(
    "name",
    ["secret", "secret.npy", "secret.npz", "secret.zip", "secret-idx3-ubyte"],
)
def test_a_source_without_permission_is_refused(name, tmp_path, forbidden):
    if name == "secret":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="`source` .*secret.*Permission"):
        datasets.load(tmp_path / name, 8)


def test_names_in_every_script_are_read_and_shown(tmp_path):
    names = [
        "ネコ.png",
        "кот.png",
        "قطة.png",
        "고양이.png",
        "🐈.png",
        "a b.png",
    ]
    for name in names:
        (tmp_path / name).write_bytes(PNG)
    assert len(datasets.load(tmp_path, 8)) == len(names)
    for name in names[1:]:
        (tmp_path / name).unlink()
    (tmp_path / "猫.png").touch()
    check_names(tmp_path, "ネコ.png", "猫.png")


def check_names(folder, good, bad):
    with pytest.warns(UserWarning, match=f"read: {re.escape(bad)} ") as caught:
        found = datasets.load(folder, 8)
    assert len(found) == 1 and (found == RED).all(), good
    text = str(caught[0].message)
    assert text.isprintable()
    text.encode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", r"caf\udce9.png"),
        (b"\x1b[2J\n.png", r"\x1b[2J\n.png"),
        ("\u202egnp.png".encode(), r"\u202egnp.png"),
    ],
)
def test_names_of_no_script_are_read_and_escaped(name, shown, tmp_path):
    for folder, content in (("good", PNG), ("bad", b"")):
        (tmp_path / folder).mkdir()
        path = os.path.join(os.fsencode(tmp_path / folder), name)
        try:
            with open(path, "wb") as file:
                file.write(content)
        except (OSError, ValueError):
            pytest.skip("the file system has no such names")
    check_names(tmp_path, name, f"bad/{shown}")


def test_a_memory_that_is_too_small_is_no_fault_of_a_picture(
    tmp_path, monkeypatch
):
    def fail(*args, **options):
        raise MemoryError

    (tmp_path / "good.png").write_bytes(PNG)
    monkeypatch.setattr(Image.Image, "resize", fail)
    with pytest.raises(MemoryError, match="too little memory for an image"):
        datasets.load(tmp_path, 8)


def test_a_picture_that_recurses_without_end_is_left_out(tmp_path, monkeypatch):
    def fit(image, **options):
        if image.size == (9, 9):
            return fit(image, **options)
        return np.asarray(image)

    (tmp_path / "bad.png").write_bytes(encoded(plain(size=(9, 9))))
    (tmp_path / "good.png").write_bytes(PNG)
    monkeypatch.setattr(loading, "_fit", fit)
    check_left_out(tmp_path, "bad.png", "RecursionError")


# Sources that are refused: the file, and the reason in the error.

MEMBERS = {"a.png": PNG, "b.png": PNG}
ENCRYPTED = changed_zip(zipped(MEMBERS), 6, 8, 1)
UNKNOWN_METHOD = changed_zip(zipped(MEMBERS), 8, 10, 93)
FUTURE = changed_zip(zipped(MEMBERS), 4, 6, 99)
IMAGES = np.zeros((4, 8, 8), "uint8")
TERA = (2**14, 2**14, 2**14)

REFUSED = {
    "npy, empty": ("a.npy", b"", "must be a valid NumPy file"),
    "npy, truncated": ("a.npy", npy(IMAGES)[:-1], "must be a valid NumPy file"),
    "npy that claims TB": ("a.npy", npy_that_claims(TERA), "must be a valid"),
    "npy, negative": ("a.npy", npy_that_claims((-1, 8, 8)), "must be a valid"),
    "npy of more than fits a number": (
        *("a.npy", npy_that_claims((2**62, 2**62, 3)), "must be a valid"),
    ),
    "npy whose header is no Python": (
        *("a.npy", npy(IMAGES).replace(b"{", b"["), "must be a valid"),
    ),
    "npy, no images": ("a.npy", npy(IMAGES[:0]), r"shape \(0, 8, 8\)"),
    "npy, wrong rank": ("a.npy", npy(np.zeros(9)), r"a.npy' of shape \(9,\)"),
    "npy, objects": (
        "a.npy",
        npy(np.array([None]), allow_pickle=True),
        "pickled objects are never read",
    ),
    "npy, structured": ("a.npy", npy(np.zeros((4, 8, 8), "u1,u1")), "a.npy'"),
    "npy, complex": ("a.npy", npy(IMAGES.astype(complex)), "dtype complex128"),
    "npy, text": ("a.npy", npy(IMAGES.astype("U3")), "dtype <U3"),
    "npy, dates": ("a.npy", npy(IMAGES.astype("M8[s]")), "dtype datetime64"),
    "npy, NaN": ("a.npy", npy(IMAGES * np.nan), "a.npy' with NaN"),
    "npy, infinite": ("a.npy", npy(IMAGES - np.inf), "values from -inf"),
    "npz, empty": ("a.npz", b"", "must be a valid NumPy file"),
    "npz without arrays": ("a.npz", zipped({}), "holds none"),
    "npz that is an npy": ("a.npz", npy(IMAGES), "not a zip file"),
    "npz that claims TB": (
        *("a.npz", zipped({"images.npy": npy_that_claims(TERA)})),
        "4398046511104 bytes is larger than the limit of 4294967296 bytes",
    ),
    "npz that claims a little too much": (
        *("a.npz", zipped({"images.npy": npy_that_claims((4, 8, 8))})),
        "does not hold the 256 bytes",
    ),
    "npz, objects": (
        *("a.npz", zipped({"x.npy": npy_that_claims((12,), "|O")})),
        "pickled objects are never read",
    ),
    "npz, encrypted": (
        *("a.npz", changed_zip(zipped({"x.npy": npy(IMAGES)}), 6, 8, 1)),
        "encrypted",
    ),
    "idx, empty": ("a-idx3-ubyte", b"", "must be a valid idx file"),
    "idx that claims TB": ("a-idx3-ubyte", idx(TERA, b"123"), "holds 3 pixels"),
    "idx without images": ("a-idx3-ubyte", idx((0, 8, 8), b""), "source="),
    "idx.gz, empty": ("a-idx3-ubyte.gz", b"", "must be a valid idx file"),
    "idx.gz that claims TB": (
        *("a-idx3-ubyte.gz", gzip.compress(idx(TERA, b"123"))),
        "is larger than the limit of 4294967296 bytes. Save it as .npy",
    ),
    "idx.gz that claims GBs": (
        *("a-idx3-ubyte.gz", gzip.compress(idx((4, 2**15, 2**15), b"123"))),
        "does not hold the 4294967296 bytes",
    ),
    "idx.gz that unpacks to more than it claims": (
        *("a-idx3-ubyte.gz", gzip.compress(idx((1, 8, 8), bytes(2**26)))),
        "does not hold the 64 bytes",
    ),
    "zip, empty": ("a.zip", b"", "must be a valid zip archive"),
    "zip, truncated": ("a.zip", zipped(MEMBERS)[:-9], "must be a valid zip"),
    "zip of a future version": ("a.zip", FUTURE, "must be a valid zip.*9.9"),
    "zip without pictures": ("a.zip", zipped({}), "holds no images"),
    "zip, encrypted": ("a.zip", ENCRYPTED, "2 could not be .*encrypted"),
    "zip, unknown method": ("a.zip", UNKNOWN_METHOD, "2 could .*compression"),
    "TFDS, empty": ("dataset_info.json", b"", "prepared by TFDS"),
    "TFDS, no JSON": ("dataset_info.json", b"\0{[", "prepared by TFDS"),
    "TFDS, other JSON": ("dataset_info.json", b"[1]", "prepared by TFDS"),
    "other": ("a.mat", b"", "must be a folder"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_source_of_no_use_is_refused(kind, tmp_path, in_little_memory):
    name, content, reason = REFUSED[kind]
    path = tmp_path / name
    path.write_bytes(content)
    source = tmp_path if name == "dataset_info.json" else path
    with pytest.raises(ValueError, match=f"`source` .*{reason}") as error:
        datasets.load(source, 8)
    text = str(error.value)
    assert str(source) in text and len(text) < 700 and text.isprintable()


def test_what_is_packed_is_unpacked_up_to_a_limit(tmp_path, monkeypatch):
    paths = tmp_path / "a-idx3-ubyte.gz", tmp_path / "a.npz"
    paths[0].write_bytes(gzip.compress(idx((4, 8, 8), bytes(256))))
    paths[1].write_bytes(zipped({"images.npy": npy(IMAGES)}))
    monkeypatch.setattr(arrays, "_PACKED_LIMIT", 256)
    for path in paths:
        assert datasets.load(path, 8).shape == (4, 8, 8, 3)
    monkeypatch.setattr(arrays, "_PACKED_LIMIT", 255)
    for path in paths:
        with pytest.raises(ValueError, match="256 bytes is larger"):
            datasets.load(path, 8)


def test_an_unpacked_idx_file_stays_on_the_disk(tmp_path):
    path = tmp_path / "a-idx3-ubyte"
    path.write_bytes(idx((4, 8, 8), bytes(256)))
    assert isinstance(datasets.load(path, 8, channels=1).base, np.memmap)


def test_an_npz_keeps_the_order_of_its_arrays(tmp_path):
    array = np.arange(6 * 4 * 4, dtype="uint8").reshape(6, 4, 4)
    for order in "CF":
        np.savez_compressed(tmp_path / "a.npz", np.asarray(array, order=order))
        found = datasets.load(tmp_path / "a.npz", 4, channels=1)
        np.testing.assert_array_equal(found[..., 0], array)


def test_an_image_of_gigapixels_in_an_array_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(npy_that_claims((1, 2**17, 2**17), "<f4"))
    os.truncate(path, 128 + 4 * 2**34)  # A hole, which takes no space.
    with pytest.raises(ValueError, match="at most 178956970 pixels"):
        datasets.load(path, 8)


def test_a_member_that_unpacks_to_gigabytes_is_left_out(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"bad.webp": bytes(2**21), "good.png": PNG}))
    monkeypatch.setattr(sources, "_FILE_LIMIT", 2**21 - 1)
    check_left_out(path, "bad.webp", "a file of 2097152 bytes")


def test_a_member_whose_packing_asks_for_gigabytes_is_left_out(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"bad.png": PNG}, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("good.png", PNG)
    check_left_out(path, "bad.png", "LZMA compression, whose memory")


def test_a_member_without_a_name_does_no_harm(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.png", PNG)
        archive.writestr(zipfile.ZipInfo(""), b"")
    assert len(datasets.load(path, 8)) == 1


def test_names_that_lead_out_of_an_archive_are_only_read(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.zip"
    members = ["../up.png", "/root.png", "C:\\disk.png", "a/./../../b.png"]
    path.write_bytes(zipped(dict.fromkeys(members, PNG)))
    assert len(datasets.load(path, 8)) == len(members)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_last_is_read(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"a.png": encoded(plain(BLUE))}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.png", PNG)
    (found,) = datasets.load(path, 8)
    assert (found == RED).all()


@needs_posix
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.zip", "a-idx3-ubyte"])
def test_a_pipe_or_a_device_is_no_source(name, tmp_path):
    os.mkfifo(tmp_path / name)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    for path in (tmp_path / name, tmp_path / "device" / name):
        with pytest.raises(ValueError, match=f"not a pipe or a device.*{name}"):
            datasets.load(path, 8)


@needs_posix
def test_a_pipe_among_the_files_of_mnist_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(ValueError, match="not a pipe or a device"):
        datasets.load(tmp_path, 8)


@needs_posix
def test_links_that_lead_nowhere_are_no_source(tmp_path):
    loop(tmp_path / "loop.zip")
    dangling(tmp_path / "dangling.zip")
    for name in ("loop.zip", "dangling.zip"):
        with pytest.raises(FileNotFoundError, match=f"`source` .*{name}"):
            datasets.load(tmp_path / name, 8)


@pytest.mark.parametrize("source", ["~nobody-of-this-name/a", "a" * 5000])
def test_paths_that_cannot_be_are_refused(source):
    with pytest.raises(ValueError, match=f"`source` must be a .*{source}"):
        datasets.load(source, 8)


@pytest.mark.parametrize("source", [None, 7, b"a.zip", [[1, 2]], np.uint8(3)])
def test_sources_that_are_no_path_and_no_array_are_refused(source):
    with pytest.raises(ValueError, match="`source` must be a NumPy array"):
        datasets.load(source, 8)


def test_a_disk_without_room_is_told_before_anything_is_read(
    tmp_path, monkeypatch
):
    def full(*args):
        raise OSError(28, "No space left on device")

    (tmp_path / "good.png").write_bytes(PNG)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(loading, "_MEMORY_LIMIT", 100)
    with pytest.raises(OSError, match="no room in .*No space.*TMPDIR"):
        datasets.load(tmp_path, 8)


def test_a_size_beyond_every_disk_is_told_too(tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    with pytest.raises(OSError, match="no room in"):
        datasets.load(tmp_path, 10**12)


def test_fewer_images_than_a_batch_are_refused(tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    images = datasets.load(tmp_path, 8)
    with pytest.raises(ValueError, match="batch_size=2 and 1 images"):
        datasets.batches(images, 2)


# Landmarks

WHOLE = b"9 80 90 120 90 100 130 60 80 65 50 80 60 120 60 135 50 140 80"

LANDMARKS = {
    "empty": (b"", "an empty file"),
    "binary": (bytes(range(256)), "not numbers"),
    "not UTF-8": (b"9 \xe9\xff" + WHOLE[2:], "not numbers"),
    "too few": (WHOLE[:-3], "17 numbers"),
    "too many": (WHOLE + b" 1", "19 numbers"),
    "another count": (b"8" + WHOLE[1:], "'8' and 18 numbers"),
    "negative count": (b"-9" + WHOLE[1:], "'-9' and 18 numbers"),
    "count of 5000 digits": (b"9" * 5000 + WHOLE[1:], "'99999999999999999999'"),
    "NaN": (WHOLE.replace(b"140", b"nan"), "not finite"),
    "infinite": (WHOLE.replace(b"140", b"-inf"), "not finite"),
    "beyond all pictures": (WHOLE.replace(b"140", b"1e300"), "beyond 1e"),
    "coordinate of 5000 digits": (
        *(WHOLE.replace(b"140", b"9" * 5000), "not finite"),
    ),
    "huge": (WHOLE + b" " * 10_000, "more than 10000 bytes"),
}


@pytest.mark.parametrize("kind", LANDMARKS)
def test_bad_landmarks_are_refused_or_their_picture_left_out(kind, tmp_path):
    content, reason = LANDMARKS[kind]
    path = write_cat(tmp_path / "cats" / "bad.png", content)
    with pytest.raises(ValueError, match=f"bad.png.cat must .*{reason}"):
        faces.read_landmarks(path)
    write_cat(tmp_path / "cats" / "good.png", WHOLE)
    check_face_left_out(tmp_path, "bad.png", f"damaged landmarks: .*{reason}")


def write_cat(picture, landmarks):
    picture.parent.mkdir(exist_ok=True)
    plain(size=(200, 180)).save(picture)
    path = picture.with_name(f"{picture.name}.cat")
    if landmarks is not None:
        path.write_bytes(landmarks)
    return path


def check_face_left_out(tmp_path, name, reason):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    assert faces.has_landmarks(source)
    faces.prepare(source, folder, 32, verbose=False)
    assert len(datasets.load(folder, 32)) == 1
    manifest = (folder / "prepared.json").read_text()
    assert '"prepared": 1' in manifest
    assert re.search(f'"{name}": "{reason}', manifest), manifest


@needs_posix
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (dangling, "unreadable: FileNotFound"),
        (loop, "damaged landmarks: .*symbolic links"),
        (os.mkfifo, "damaged landmarks: .*not a regular file"),
    ],
)
def test_landmarks_that_are_no_file_leave_their_picture_out(
    make, reason, tmp_path
):
    write_cat(tmp_path / "cats" / "good.png", WHOLE)
    make(write_cat(tmp_path / "cats" / "bad.png", None))
    check_face_left_out(tmp_path, "bad.png", reason)


def test_landmarks_without_permission_leave_their_picture_out(
    tmp_path, forbidden
):
    for name in ("good.png", "secret.png"):
        path = write_cat(tmp_path / "cats" / f"not_yet_{name}", WHOLE)
        path.rename(path.with_name(f"{name}.cat"))
        path.with_suffix("").rename(path.with_name(name))
    check_face_left_out(tmp_path, "secret.png", "damaged .*Permission denied")


def test_folders_of_cats_without_permission_are_named(tmp_path, forbidden):
    write_cat(tmp_path / "cats" / "good.png", WHOLE)
    (tmp_path / "cats" / "secret").mkdir()
    check_face_left_out(tmp_path, "secret/", "unreadable: PermissionError")


def test_sources_of_faces_that_cannot_be_are_refused(tmp_path):
    for source in ("~nobody-of-this-name/a", "a\0b", "a" * 5000):
        assert not faces.has_landmarks(source)
        with pytest.raises(ValueError, match="`source` must be a folder"):
            faces.prepare(source, tmp_path / "faces", 32)
    if hasattr(os, "mkfifo"):
        loop(tmp_path / "loop")
        assert not faces.has_landmarks(tmp_path / "loop")
        with pytest.raises(ValueError, match="`source` must be a folder"):
            faces.prepare(tmp_path / "loop", tmp_path / "faces", 32)


def test_landmarks_that_would_overflow_are_refused():
    landmarks = np.full((9, 2), 1e300)
    with pytest.raises(ValueError, match="`landmarks` must be finite"):
        faces.align(plain(), landmarks, 8)
