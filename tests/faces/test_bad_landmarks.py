"""Images with unusable landmarks are skipped, with the reason."""

import os
import re

import pytest
from support.bad_files import (
    dangling_link,
    link_to_itself,
    needs_posix,
    no_permission,
)
from support.image_sources import RED, plain

from gan_blocks import datasets, faces

VALID = b"9 80 90 120 90 100 130 60 80 65 50 80 60 120 60 135 50 140 80"

# Content of the file, and the reason in the error.
LANDMARKS = {
    "empty": (b"", "an empty file"),
    "binary": (bytes(range(256)), "not numbers"),
    "not UTF-8": (b"9 \xe9\xff" + VALID[2:], "not numbers"),
    "too few": (VALID[:-3], "17 numbers"),
    "a word": (VALID.replace(b"140", b"one"), "words that are not numbers"),
    "too many": (VALID + b" 1", "19 numbers"),
    "another count": (b"8" + VALID[1:], "'8' and 18 numbers"),
    "count of 5000 digits": (b"9" * 5000 + VALID[1:], "'99999999999999999999'"),
    "NaN": (VALID.replace(b"140", b"nan"), "not finite"),
    "infinite": (VALID.replace(b"140", b"-inf"), "not finite"),
    "beyond all images": (VALID.replace(b"140", b"1e300"), "beyond 1e"),
    "5000 digits": (VALID.replace(b"140", b"9" * 5000), "not finite"),
    "huge": (VALID + b" " * 10_000, "more than 10000 bytes"),
}


def write_image(path, landmarks):
    path.parent.mkdir(exist_ok=True)
    plain(RED, (200, 180)).save(path)
    landmarks_path = path.with_name(f"{path.name}.cat")
    if landmarks is not None:
        landmarks_path.write_bytes(landmarks)
    return landmarks_path


def check_skipped(tmp_path, name, reason):
    """Checks that one face is prepared and another one is skipped."""
    source, folder = tmp_path / "cats", tmp_path / "faces"
    assert faces.has_landmarks(source)
    faces.prepare(source, folder, 32, verbose=False)
    assert len(datasets.load(folder, 32)) == 1
    manifest = (folder / "prepared.json").read_text()
    assert '"prepared": 1' in manifest
    assert re.search(f'"{name}": "{reason}', manifest), manifest


@pytest.mark.parametrize("kind", LANDMARKS)
def test_an_image_with_damaged_landmarks_is_skipped(kind, tmp_path):
    content, reason = LANDMARKS[kind]
    path = write_image(tmp_path / "cats" / "bad.png", content)
    with pytest.raises(ValueError, match=f"bad.png.cat must .*{reason}"):
        faces.read_landmarks(path)
    write_image(tmp_path / "cats" / "good.png", VALID)
    check_skipped(tmp_path, "bad.png", f"damaged landmarks: .*{reason}")


@needs_posix
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (dangling_link, "unreadable: FileNotFound"),
        (link_to_itself, "damaged landmarks: .*symbolic links"),
        (os.mkfifo, "damaged landmarks: .*regular file"),
    ],
)
def test_landmarks_that_are_not_a_file_are_skipped(make, reason, tmp_path):
    write_image(tmp_path / "cats" / "good.png", VALID)
    make(write_image(tmp_path / "cats" / "bad.png", None))
    check_skipped(tmp_path, "bad.png", reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("secret.png", "damaged landmarks: .*Permission denied"),
        ("secret/", "unreadable: PermissionError"),
    ],
)
def test_files_and_folders_without_permission_are_skipped(
    name, reason, tmp_path
):
    write_image(tmp_path / "cats" / "good.png", VALID)
    if name == "secret/":
        (tmp_path / "cats" / name).mkdir()
    else:
        write_image(tmp_path / "cats" / name, VALID)
    with no_permission():
        check_skipped(tmp_path, name, reason)


@pytest.mark.parametrize(
    "source",
    [
        "~nobody-of-this-name/a",
        "a\0b",
        "a" * 5000,
        pytest.param("loop", marks=needs_posix),
    ],
)
def test_impossible_folders_raise_an_error(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if source == "loop":
        link_to_itself(tmp_path / source)
    assert not faces.has_landmarks(source)
    with pytest.raises((ValueError, OSError), match="`source` must"):
        faces.prepare(source, tmp_path / "faces", 32)
