import json
import shutil
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from support.cats import (
    CENTERED,
    SIDE,
    check_positions,
    draw,
    place,
    save_cat,
)

from gan_blocks import datasets, faces
from gan_blocks.datasets import listing
from gan_blocks.datasets.progress import Progress


def names(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_manifest(folder):
    return json.loads((folder / "prepared.json").read_text())


def test_a_folder_tree_is_prepared_and_can_be_loaded(tmp_path, capsys):
    source = tmp_path / "cats"
    for index, name in enumerate(["CAT_00/1_0.jpg", "CAT_00/1_0.png", "b.JPG"]):
        save_cat(source / name, place((200, 150), 1, 40 * index))
    large = source / "deep" / "er" / "large.jpeg"
    save_cat(large, place((700, 650), 8), size=(1500, 1300), radius=30)
    Image.new("RGB", (400, 300)).save(source / "without_landmarks.jpg")
    (source / "._1_0.jpg.cat").write_text("hidden")
    (source / "driver.cat").write_text("not of an image")
    folder = faces.prepare(source, str(tmp_path / "made" / "faces"), 64)
    assert folder == tmp_path / "made" / "faces"
    assert names(folder) == [
        *("CAT_00/1_0.jpg.png", "CAT_00/1_0.png.png", "b.JPG.png"),
        *("deep/er/large.jpeg.png", "prepared.json"),
    ]
    loaded = datasets.load(folder, image_size=64)
    assert loaded.shape == (4, 64, 64, 3)
    for pixels in loaded:
        check_positions(Image.fromarray(pixels), 64 / SIDE, tolerance=1)
    manifest = read_manifest(folder)
    assert manifest["source"] == str(source)
    assert manifest["image_size"] == 64
    assert manifest["images"] == manifest["prepared"] == 4
    assert list(manifest["left_out"]) == ["without_landmarks.jpg"]
    out, _ = capsys.readouterr()
    assert "4/4 pictures" in out
    assert f"Pictures 4 from '{source}'" in " ".join(out.split())
    assert "1 without landmarks: without_landmarks.jpg" in out
    assert names(tmp_path / "made")[-1] == "faces/prepared.json"


def test_a_large_jpeg_gives_the_same_face_when_it_is_decoded_smaller(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 220, 3), "uint8")
    image = Image.fromarray(noise).resize((2200, 2000))
    path = tmp_path / "cats" / "tom.jpg"
    save_cat(path, place((1100, 1000), 12, 5), size=(2200, 2000))
    landmarks = faces.read_landmarks(f"{path}.cat")
    image.save(path, quality=95)
    folder = faces.prepare(path.parent, tmp_path / "faces", 64, verbose=False)
    with Image.open(path) as image:
        expected = np.asarray(faces.align(image, landmarks, image_size=64))
    with Image.open(folder / "tom.jpg.png") as face:
        error = np.asarray(face).astype(float) - expected
    assert np.abs(error).mean() < 3 and expected.std() > 30


def test_unusable_images_are_skipped_and_listed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400 * 300)
    source = tmp_path / "cats"
    save_cat(source / "bomb.jpg", size=(801, 300))
    save_cat(source / "CAT_00" / "good.jpg")
    save_cat(source / "cats" / "CAT_00" / "good.jpg")
    save_cat(source / "cut.jpg", place((30, 150)))
    save_cat(source / "small.jpg", place((200, 150), 0.5))
    save_cat(source / "small_too.jpg", place((200, 150), 0.6))
    save_cat(source / "damaged.jpg")
    (source / "damaged.jpg.cat").write_text("9 1 2 3")
    save_cat(source / "missing.jpg").unlink()
    save_cat(source / "torn.jpg")
    whole = (source / "torn.jpg").read_bytes()
    (source / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    save_cat(source / "text.jpg").write_text("not an image")
    folder = faces.prepare(source, tmp_path / "faces", 64)
    assert names(folder) == ["CAT_00/good.jpg.png", "prepared.json"]
    manifest = read_manifest(folder)
    assert manifest["prepared"] == 1
    reasons = {
        "bomb.jpg": "unreadable: DecompressionBombError",
        "cats/CAT_00/good.jpg": "duplicate: of CAT_00/good.jpg",
        "cut.jpg": "cut off by the border: ",
        "damaged.jpg": "damaged landmarks: ",
        "missing.jpg": "with landmarks but no image: ",
        "small.jpg": "too small: ",
        "small_too.jpg": "too small: ",
        "text.jpg": "unreadable: ",
        "torn.jpg": "unreadable: OSError('image file is truncated",
    }
    assert list(manifest["left_out"]) == sorted(reasons)
    for name, reason in reasons.items():
        assert manifest["left_out"][name].startswith(reason)
    summary = " ".join(capsys.readouterr()[0].split())
    assert f"Pictures 1 from '{source}'" in summary
    assert "3 unreadable: bomb.jpg, text.jpg, torn.jpg " in summary
    assert "2 too small: small.jpg, small_too.jpg" in summary


def test_images_with_the_same_name_or_landmarks_are_not_copies(
    tmp_path, capsys
):
    source = tmp_path / "cats"
    save_cat(source / "a" / "tom.jpg")
    save_cat(source / "a" / "tim.jpg")
    save_cat(source / "b" / "tom.jpg", place((200, 150), 1, 90))
    save_cat(source / "c" / "tom.jpg", quality=20)
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    assert read_manifest(folder)["prepared"] == 4
    assert capsys.readouterr() == ("", "")  # Because of `verbose`.


def test_an_exif_orientation_is_ignored_and_removed(tmp_path):
    source = tmp_path / "cats"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    save_cat(source / "tom.jpg", exif=exif, icc_profile=b"a profile")
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    with Image.open(folder / "tom.jpg.png") as face:
        assert not face.getexif() and not face.info
    (pixels,) = datasets.load(folder, image_size=64)
    check_positions(Image.fromarray(pixels), 64 / SIDE, tolerance=1)


def test_prepared_faces_are_reused_even_without_their_source(tmp_path, capsys):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    save_cat(source / "tom.jpg")
    faces.prepare(source, folder, 64)
    files = [folder, *folder.rglob("*")]
    before = [path.stat().st_mtime_ns for path in files]
    capsys.readouterr()
    assert faces.prepare(source, folder, 64) == folder
    assert "prepared earlier" in capsys.readouterr()[0]
    source.rename(tmp_path / "gone")
    assert faces.prepare(str(source), str(folder), 64) == folder
    assert [path.stat().st_mtime_ns for path in files] == before


def add_landmarks(source):
    save_cat(source / "new.jpg")


def correct_landmarks(source):
    path = source / "tom.jpg.cat"
    path.write_text(path.read_text().replace("9 ", "8 ", 1))


def remove_image(source):
    (source / "tom.jpg").unlink()


@pytest.mark.parametrize(
    ("change", "message", "prepared"),
    [
        (add_landmarks, "3 instead of 2", ["new", "tim", "tom"]),
        (correct_landmarks, "2 as before, but some files have", ["tim"]),
        (remove_image, "1 instead of 2", ["tim"]),
    ],
)
def test_faces_are_prepared_again_if_the_source_has_changed(
    change, message, prepared, tmp_path, capsys
):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    for name in ("tim.jpg", "tom.jpg"):
        save_cat(source / name)
    faces.prepare(source, folder, 64)
    change(source)
    capsys.readouterr()
    faces.prepare(source, folder, 64)
    assert message in capsys.readouterr().out.splitlines()[0]
    expected = [f"{name}.jpg.png" for name in prepared]
    assert names(folder) == sorted([*expected, "prepared.json"])
    assert sorted(tmp_path.iterdir()) == [source, folder]
    faces.prepare(source, folder, 64)
    assert "prepared earlier" in capsys.readouterr().out.splitlines()[-1]


def test_faces_are_kept_if_the_changed_source_has_no_usable_image(tmp_path):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    save_cat(source / "tom.jpg")
    faces.prepare(source, folder, 64, verbose=False)
    before = names(folder)
    (source / "tom.jpg.cat").write_text("9 1 2")
    with pytest.raises(ValueError, match="1 damaged landmarks: tom.jpg"):
        faces.prepare(source, folder, 64, verbose=False)
    assert names(folder) == before


def test_a_zip_archive_gives_the_same_faces_as_its_folder(tmp_path):
    source = tmp_path / "cats"
    for index in range(3):
        save_cat(
            source / "CAT_00" / f"{index}.jpg", place((200, 150), 1, index)
        )
        save_cat(source / "cats" / "CAT_00" / f"{index}.jpg")
    save_cat(source / "CAT_01" / "damaged.jpg")
    (source / "CAT_01" / "damaged.jpg.cat").write_text("9 1 2 3")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", source)
    assert faces.has_landmarks(archive)
    first = faces.prepare(source, tmp_path / "a", 64, verbose=False)
    second = faces.prepare(archive, tmp_path / "b", 64, verbose=False)
    assert names(second) == names(first)
    for name in names(first)[:-1]:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for key in ("images", "prepared", "left_out"):
        assert read_manifest(first)[key] == read_manifest(second)[key]
    save_cat(source / "new.jpg")
    shutil.make_archive(str(tmp_path / "archive"), "zip", source)
    faces.prepare(archive, second, 64, verbose=False)
    assert "new.jpg.png" in names(second)


def test_two_preparations_at_once_both_succeed(tmp_path):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    for index in range(5):
        save_cat(source / f"{index}.jpg")
    both = threading.Barrier(2)
    list_files = listing.list_files

    def wait(*arguments):
        both.wait(60)
        return list_files(*arguments)

    def prepare(_):
        return faces.prepare(source, folder, 64, verbose=False)

    with (
        mock.patch.object(listing, "list_files", wait),
        ThreadPoolExecutor() as pool,
    ):
        assert [*pool.map(prepare, range(2))] == [folder, folder]
    assert read_manifest(folder)["prepared"] == 5
    assert sorted(tmp_path.iterdir()) == [source, folder]


def test_faces_that_lie_inside_their_source_are_not_counted(tmp_path):
    save_cat(tmp_path / "cats" / "tom.jpg")
    for size in (32, 64):
        folder = faces.prepare(tmp_path, tmp_path / f"{size}", size, False)
        assert read_manifest(folder)["left_out"] == {}


def test_an_image_of_any_kind_gives_a_face(tmp_path):
    source = tmp_path / "cats"
    save_cat(source / "tom.bmp")
    save_cat(source / "without_ending", format="PNG")
    gray = draw(CENTERED, (400, 300)).convert("L")
    gray.putpixel((0, 0), 255)
    deep = Image.fromarray(np.asarray(gray, np.uint16) * 257)
    for name, image in {"deep.png": deep, "gray.png": gray}.items():
        save_cat(source / name)
        image.save(source / name)
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    assert read_manifest(folder)["prepared"] == 4
    deep, gray, *_ = datasets.load(folder, image_size=64, channels=1)
    assert gray.max() > 200 and np.abs(deep.astype(int) - gray).max() <= 2


def test_another_source_or_size_needs_another_folder(tmp_path):
    for name in ("a", "b"):
        save_cat(tmp_path / name / "tom.jpg")
    folder = faces.prepare(tmp_path / "a", tmp_path / "faces", 64, False)
    with pytest.raises(ValueError, match="`folder` must be another .*/a'"):
        faces.prepare(tmp_path / "b", folder, 64, verbose=False)
    with pytest.raises(ValueError, match="`folder` must be another .* 64 pix"):
        faces.prepare(tmp_path / "a", folder, 32, verbose=False)


def test_a_folder_with_other_files_is_not_changed(tmp_path):
    save_cat(tmp_path / "cats" / "tom.jpg")
    folder = tmp_path / "mine"
    folder.mkdir()
    for text in (None, "not JSON", "[]", "{}"):
        name = "holiday.txt" if text is None else "prepared.json"
        (folder / name).write_text(text or "")
        with pytest.raises(ValueError, match="`folder` must be .* other files"):
            faces.prepare(tmp_path / "cats", folder, 64, verbose=False)
        (folder / name).unlink()
    with pytest.raises(ValueError, match="`folder` must be .* other files"):
        faces.prepare(tmp_path / "cats", tmp_path / "cats", 64, verbose=False)
    faces.prepare(tmp_path / "cats", folder, 64, verbose=False)
    assert names(folder) == ["prepared.json", "tom.jpg.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_a_failed_preparation_leaves_nothing_and_can_be_repeated(
    error, tmp_path, monkeypatch
):
    source, folder = tmp_path / "cats", tmp_path / "made" / "faces"
    for index in range(5):
        save_cat(source / f"{index}.jpg")
    save = Image.Image.save

    def fail(image, path, **options):
        save(image, path, **options)
        if path.name == "2.jpg.png":
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", fail)
        with pytest.raises(error):
            faces.prepare(source, folder, 64, verbose=False)
    assert list(folder.parent.iterdir()) == []
    faces.prepare(source, folder, 64, verbose=False)
    assert read_manifest(folder)["prepared"] == 5


def test_a_memory_error_stops_the_preparation(tmp_path, monkeypatch):
    save_cat(tmp_path / "cats" / "tom.jpg")
    fail = mock.Mock(side_effect=MemoryError)
    monkeypatch.setattr(Image.Image, "transform", fail)
    with pytest.raises(MemoryError):
        faces.prepare(tmp_path / "cats", tmp_path / "faces", 64, verbose=False)


def test_an_interrupt_does_not_wait_for_the_remaining_images(
    tmp_path, monkeypatch
):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    for index in range(100):
        save_cat(source / f"{index:02}.jpg")
    interrupted, seen, save = threading.Event(), [], Image.Image.save

    def save_one_then_wait(image, path, **options):
        save(image, path, **options)
        if path.name != "00.jpg.png":
            interrupted.wait(60)
            time.sleep(0.05)
        seen.append(path)

    def interrupt(progress):
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save_one_then_wait)
    monkeypatch.setattr(Progress, "advance", interrupt)
    with pytest.raises(KeyboardInterrupt):
        faces.prepare(source, folder, 64)
    assert len(seen) < 50
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_without_usable_images_is_refused_with_the_counts(tmp_path):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    with pytest.raises(FileNotFoundError, match="`source` must"):
        faces.prepare(source, folder, 64)
    source.mkdir()
    Image.new("RGB", (9, 9)).save(source / "tom.jpg")
    with pytest.raises(
        ValueError, match="hold .* 1 without landmarks: tom.jpg"
    ):
        faces.prepare(source, folder, 64, verbose=False)
    save_cat(source / "small.jpg", place((200, 150), 0.5))
    save_cat(source / "missing.jpg").unlink()
    message = (
        "1 with landmarks but no image: missing.jpg; 1 too small: small.jpg"
    )
    with pytest.raises(ValueError, match=message):
        faces.prepare(source, folder, 64, verbose=False)
    with pytest.raises(ValueError, match="`image_size` must be a positive"):
        faces.prepare(source, folder, 0)
    assert not folder.exists()


def test_only_a_folder_of_images_with_landmarks_has_landmarks(tmp_path):
    save_cat(tmp_path / "cats" / "CAT_00" / "tom.jpg")
    for known in (tmp_path, str(tmp_path), tmp_path / "cats" / "CAT_00"):
        assert faces.has_landmarks(known)
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.new("RGB", (9, 9)).save(plain / "tom.jpg")
    (plain / "driver.cat").touch()
    (plain / "gone.jpg.cat").touch()
    for other in (
        *(plain, plain / "tom.jpg", tmp_path / "nothing", "tfds:mnist"),
        *("sample", np.zeros((2, 8, 8, 3), "uint8"), None),
    ):
        assert not faces.has_landmarks(other)


def test_other_files_among_the_faces_are_never_lost(tmp_path):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    save_cat(source / "tom.jpg")
    faces.prepare(source, folder, 64, verbose=False)
    (folder / "run").mkdir()
    (folder / "run" / "gan.keras").touch()
    save_cat(source / "eve.jpg")
    with pytest.raises(ValueError, match="also holds 'run/gan.keras'"):
        faces.prepare(source, folder, 64, verbose=False)
    assert (folder / "run" / "gan.keras").exists()


def test_nothing_is_written_outside_of_the_folder(tmp_path):
    save_cat(tmp_path / "tom.jpg")
    with zipfile.ZipFile(tmp_path / "cats.zip", "w") as archive:
        for name in ("tom.jpg", "tom.jpg.cat"):
            archive.write(tmp_path / name, name)
            archive.write(tmp_path / name, f"../../evil/{name}")
    faces.prepare(tmp_path / "cats.zip", tmp_path / "a/faces", 64)
    assert names(tmp_path / "a") == ["faces/prepared.json", "faces/tom.jpg.png"]
    assert not (tmp_path / "evil").exists()
