"""Images of unusual kinds are loaded, and unusable images are skipped."""

import os
import re
import struct
import warnings
import zipfile
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from support.bad_files import (
    PNG,
    dangling_link,
    huge_file,
    jpeg_of_size,
    link_to_device,
    link_to_itself,
    little_memory,
    needs_posix,
    no_permission,
    png_of_size,
)
from support.image_sources import (
    BLUE,
    RED,
    encode,
    is_color,
    plain,
    write_folder,
    write_zip,
)

from gan_blocks import datasets
from gan_blocks.datasets import source_files

# The orientation 3 and, as text, the unit of the resolution.
ODD_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack(
    *("<HHIIHHI4sI", 0x112, 3, 1, 3, 0x128, 2, 2, b"2", 0)
)
JPEG = encode(Image.effect_noise((64, 64), 99), "JPEG")
ANIMATION = {"save_all": True, "append_images": [plain(BLUE)]}


# Content of the file, and the color in its first frame.
UNUSUAL = {
    "GIF": (encode(plain(RED), "GIF", **ANIMATION), RED),
    "APNG": (encode(plain(RED), **ANIMATION), RED),
    "WebP": (encode(plain(RED), "WEBP", lossless=True, **ANIMATION), RED),
    "palette": (encode(plain(RED).quantize()), RED),
    "gray": (encode(plain(90, mode="L")), (90, 90, 90)),
    "PNG called JPEG": (PNG, RED),
    "long and thin": (encode(plain(RED, (4000, 1))), RED),
    "damaged EXIF": (
        encode(plain(RED), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff"),
        RED,
    ),
    "damaged EXIF in a PNG": (encode(plain(RED), exif=b"damaged data"), RED),
    "EXIF with a number as text": (
        encode(plain(RED), "JPEG", quality=95, exif=ODD_EXIF),
        RED,
    ),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_image_of_an_unusual_kind_is_loaded(kind, tmp_path):
    content, color = UNUSUAL[kind]
    (tmp_path / "image.jpg").write_bytes(content)
    found = datasets.load(tmp_path, 8, verbose=True)
    assert is_color(found, color, tolerance=4)


def check_skipped(source, name, reason):
    """Checks that one image is loaded and another one is skipped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = datasets.load(source, 8)
    assert found.shape == (1, 8, 8, 3)
    assert is_color(found, RED)
    (warning,) = caught
    assert warning.category is UserWarning
    text = str(warning.message)
    pattern = rf"1 could not be read: {re.escape(name)} \(.*{reason}.*1 were"
    assert re.search(pattern, text), text
    assert text.isprintable() and str(source) in text
    with pytest.raises(ValueError, match="cannot be read") as error:
        datasets.load(source, 8, strict=True)
    assert name in str(error.value) and str(source) in str(error.value)


# Content of the file, and the reason in the warning.
UNUSABLE = {
    "empty": (b"", "UnidentifiedImageError"),
    "text": (b"not an image", "UnidentifiedImageError"),
    # Pillow starts a program to open PostScript.
    "PostScript": (encode(plain(RED), "EPS"), "UnidentifiedImageError"),
    "corrupt": (PNG[:45] + b"\xff\xff" + PNG[47:], "Error"),
    "truncated PNG": (PNG[:50], "truncated"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "JPEG 2000 with a chunk of 4 GB": (
        b"\0\0\0\x0cjP  \r\n\x87\n\xff\xff\xff\0jp2h",
        "Error",
    ),
    "NaN": (encode(plain(np.nan, mode="F"), "TIFF"), "NaN or infinite"),
    "PNG bomb": (png_of_size(40000, 40000), "DecompressionBomb"),
    "JPEG bomb": (jpeg_of_size(65000, 65000), "DecompressionBomb"),
    "no pixels": (png_of_size(0, 0), "Error"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_image_is_skipped_and_named(kind, tmp_path):
    content, reason = UNUSABLE[kind]
    files = {"bad.png": content, "good.png": PNG}
    with little_memory():
        folder = write_folder(tmp_path / "folder", files)
        check_skipped(folder, "bad.png", reason)
        check_skipped(write_zip(tmp_path / "a.zip", files), "bad.png", reason)


@needs_posix
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (dangling_link, "FileNotFoundError"),
        (link_to_itself, "symbolic links"),
        (os.mkfifo, "regular file"),
        (link_to_device, "regular file"),
        (huge_file, "a file of 1073741825 bytes"),
    ],
)
def test_links_pipes_devices_and_huge_files_are_skipped(make, reason, tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    make(tmp_path / "bad.png")
    check_skipped(tmp_path, "bad.png", reason)


@needs_posix
def test_links_to_images_are_followed_but_not_links_to_folders(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere.png").write_bytes(PNG)
    (folder / "deep" / "a.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "deep" / "again").symlink_to(folder)
    with pytest.warns(
        UserWarning, match="1 skipped .link to a folder.: deep/again/"
    ):
        assert len(datasets.load(folder, 8)) == 1


@pytest.mark.parametrize("name", ["secret.png", "secret/"])
def test_files_and_folders_without_permission_are_skipped(name, tmp_path):
    (tmp_path / "good.png").write_bytes(PNG)
    if name == "secret/":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).touch()
    with no_permission():
        check_skipped(tmp_path, name, "Permission denied")


def check_names(folder, bad):
    with pytest.warns(UserWarning, match=f"read: {re.escape(bad)} ") as caught:
        found = datasets.load(folder, 8)
    assert len(found) == 1 and is_color(found, RED)
    text = str(caught[0].message)
    assert text.isprintable()
    text.encode()


def test_file_names_in_all_scripts_are_loaded_and_shown(tmp_path):
    names = "ネコ.png", "кот.png", "قطة.png", "고양이.png", "🐈.png", "a b.png"
    write_folder(tmp_path, dict.fromkeys(names, PNG))
    assert len(datasets.load(tmp_path, 8)) == len(names)
    for name in names[1:]:
        (tmp_path / name).unlink()
    (tmp_path / "猫.png").touch()
    check_names(tmp_path, "猫.png")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", r"caf\udce9.png"),
        (b"\x1b[2J\n.png", r"\x1b[2J\n.png"),
        ("\u202egnp.png".encode(), r"\u202egnp.png"),
    ],
)
def test_file_names_that_cannot_be_printed_are_escaped(name, shown, tmp_path):
    for folder, content in (("good", PNG), ("bad", b"")):
        (tmp_path / folder).mkdir()
        path = os.path.join(os.fsencode(tmp_path / folder), name)
        try:
            with open(path, "wb") as file:
                file.write(content)
        except (OSError, ValueError):
            pytest.skip("the file system does not allow such names")
    check_names(tmp_path, f"bad/{shown}")


def test_too_little_memory_is_an_error_and_skips_no_image(
    tmp_path, monkeypatch
):
    (tmp_path / "good.png").write_bytes(PNG)
    monkeypatch.setattr(
        Image.Image, "resize", mock.Mock(side_effect=MemoryError)
    )
    with pytest.raises(MemoryError, match="too little memory for an image"):
        datasets.load(tmp_path, 8)


def test_an_image_that_causes_endless_recursion_is_skipped(
    tmp_path, monkeypatch
):
    def resize(image, *args, **options):
        if image.size == (9, 9):
            return resize(image)
        return image

    files = {"bad.png": encode(plain(RED, (9, 9))), "good.png": PNG}
    write_folder(tmp_path, files)
    monkeypatch.setattr(Image.Image, "resize", resize)
    check_skipped(tmp_path, "bad.png", "RecursionError")


# Members of archives


def test_a_member_that_unpacks_to_gigabytes_is_skipped(tmp_path, monkeypatch):
    files = {"bad.webp": bytes(2**21), "good.png": PNG}
    path = write_zip(tmp_path / "a.zip", files)
    monkeypatch.setattr(source_files, "FILE_LIMIT", 2**21 - 1)
    check_skipped(path, "bad.webp", "a file of 2097152 bytes")


def test_a_member_with_a_wrong_checksum_is_skipped(tmp_path):
    files = {"bad.bmp": encode(plain(BLUE), "BMP"), "good.png": PNG}
    path = write_zip(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[content.rindex(bytes(BLUE[::-1]))] ^= 1
    path.write_bytes(content)
    check_skipped(path, "bad.bmp", "CRC")


def test_a_member_whose_compression_needs_gigabytes_is_skipped(tmp_path):
    path = tmp_path / "a.zip"
    write_zip(path, {"bad.png": PNG}, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("good.png", PNG)
    check_skipped(path, "bad.png", "LZMA compression")


def test_a_member_without_a_name_is_ignored(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"good.png": PNG})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(""), b"")
    assert len(datasets.load(path, 8)) == 1


def test_members_with_paths_outside_of_the_archive_write_no_files(tmp_path):
    (tmp_path / "in").mkdir()
    names = ["../up.png", "/root.png", "C:\\disk.png", "a/./../../b.png"]
    files = dict.fromkeys([*names, "good.png"], PNG)
    path = write_zip(tmp_path / "in" / "a.zip", files)
    with pytest.warns(UserWarning, match="4 skipped .path outside"):
        assert len(datasets.load(path, 8)) == 1
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_several_members_with_the_same_name_is_loaded(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.png": encode(plain(BLUE))})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.png", PNG)
    (found,) = datasets.load(path, 8)
    assert np.array_equal(found[0, 0], RED)
