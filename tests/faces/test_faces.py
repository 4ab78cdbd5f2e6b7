import json
import threading
import time

import keras
import numpy as np
import pytest
from PIL import Image

from gan_blocks import datasets, faces

# Eyes, mouth, left ear, right ear of an upright face, around the middle of
# the eyes; the farthest is 45 away, so the square has a side of 99.
FACE = np.array(
    [(-20, 0), (20, 0), (0, 32)]
    + [(-38, -8), (-30, -45), (-12, -28)]
    + [(12, -28), (34, -44), (40, -8)],
    float,
)
SIDE = 2 * 1.1 * 45
RED, GREEN, BLUE, YELLOW = (
    np.array(colour) for colour in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
)
COLOURS = [RED, GREEN, BLUE] + [YELLOW] * 6


def place(middle, scale=1.0, degrees=0.0):
    """Returns the landmarks of a face that was turned clockwise."""
    angle = np.deg2rad(degrees)
    x = np.array([np.cos(angle), np.sin(angle)])
    y = np.array([-np.sin(angle), np.cos(angle)])
    return scale * FACE @ np.stack([x, y]) + middle


IN_THE_MIDDLE = place((200, 150))


def draw(landmarks, size, radius=4.0):
    """Returns a black picture with a soft coloured disc on each landmark."""
    pixels = np.zeros((size[1], size[0], 3))
    for (x, y), colour in zip(landmarks, COLOURS, strict=True):
        top, left = (max(0, int(at - radius) - 1) for at in (y, x))
        around = pixels[top : int(y + radius) + 3, left : int(x + radius) + 3]
        rows, columns = np.indices(around.shape[:2])
        distance = np.hypot(columns + left - x, rows + top - y)
        disc = np.clip(radius + 0.5 - distance, 0, 1)
        np.maximum(around, disc[..., None] * colour, out=around)
    return Image.fromarray(np.rint(255 * pixels).astype("uint8"))


def found(face, colour):
    """Returns where, in pixels from the middle, a colour is centred."""
    pixels = np.asarray(face).astype(float)
    weight = np.clip(pixels @ (2 * colour - 1), 0, None)
    weight[weight < 60] = 0
    rows, columns = np.mgrid[: face.height, : face.width]
    centre = [(weight * at).sum() / weight.sum() for at in (columns, rows)]
    return np.array(centre) + 0.5 - face.width / 2


def check_places(face, scale, tolerance=0.5):
    for index, colour in enumerate([RED, GREEN, BLUE]):
        assert np.abs(found(face, colour) - scale * FACE[index]).max() < (
            tolerance
        )


def save_cat(
    picture, landmarks=IN_THE_MIDDLE, size=(400, 300), radius=4.0, **options
):
    """Writes a picture of a face and its landmarks; returns its path."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(landmarks, size, radius).save(picture, **options)
    words = " ".join(f"{value:.0f}" for value in np.ravel(landmarks))
    picture.with_name(f"{picture.name}.cat").write_text(f"9 {words} ")
    return picture


def names(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_manifest(folder):
    return json.loads((folder / "prepared.json").read_text())


def test_landmarks_are_read_as_points(tmp_path):
    path = tmp_path / "tom.jpg.cat"
    path.write_text("9 175 160 239 162 199 199 " + "10.5 -3 " * 6 + "\n")
    landmarks = faces.read_landmarks(path)
    assert landmarks.shape == (9, 2) and landmarks.dtype == float
    assert landmarks[:3].tolist() == [[175, 160], [239, 162], [199, 199]]
    assert landmarks[8].tolist() == [10.5, -3]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("", "an empty file"),
        ("9", "'9' and 0 numbers"),
        ("8 " + "1 " * 16, "'8' and 16 numbers"),
        ("10 " + "1 " * 18, "'10' and 18 numbers"),
        ("9 " + "1 " * 17, "'9' and 17 numbers"),
        ("9 " + "1 " * 19, "'9' and 19 numbers"),
        ("9 " + "1 " * 17 + "one", "words that are no numbers"),
        ("9 " + "1 " * 17 + "nan", "not finite"),
        ("9 " + "1 " * 17 + "inf", "not finite"),
        ("\ufffd\x00 binary", "no numbers"),
    ],
)
def test_damaged_landmarks_are_refused_with_the_file_and_the_reason(
    text, received, tmp_path
):
    path = tmp_path / "tom.jpg.cat"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="tom.jpg.cat must hold 9") as error:
        faces.read_landmarks(path)
    assert received in str(error.value)


def test_landmarks_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "tom.jpg.cat"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match="tom.jpg.cat must hold 9"):
        faces.read_landmarks(path)


@pytest.mark.parametrize("degrees", range(-180, 180, 15))
def test_a_face_is_upright_and_centred_however_it_was_turned(degrees):
    landmarks = place((150, 145), degrees=degrees)
    picture = draw(landmarks, (300, 290))
    face = faces.align(picture, landmarks, image_size=64)
    assert face.size == (64, 64) and face.mode == "RGB"
    check_places(face, 64 / SIDE)


@pytest.mark.parametrize("image_size", [32, 64, 99, 128])
@pytest.mark.parametrize("scale", [1.3, 2.0, 4.7])
def test_a_face_has_its_size_whatever_it_was_before(scale, image_size):
    landmarks = place((330.4, 321.7), scale, degrees=20)
    picture = draw(landmarks, (680, 660), radius=4 * scale)
    face = faces.align(picture, landmarks, image_size)
    assert face.size == (image_size, image_size)
    check_places(face, image_size / SIDE)


@pytest.mark.parametrize("middle", [(50, 50), (249, 50), (50, 149), (249, 149)])
def test_a_face_is_found_wherever_it_is(middle):
    landmarks = place(middle)
    face = faces.align(draw(landmarks, (300, 200)), landmarks, image_size=90)
    check_places(face, 90 / SIDE)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 250])
def test_eyes_with_swapped_names_do_not_turn_a_face_over(degrees):
    landmarks = place((150, 150), degrees=degrees)
    picture = draw(landmarks, (300, 300))
    landmarks[[0, 1]] = landmarks[[1, 0]]
    face = faces.align(picture, landmarks, image_size=64)
    check_places(face, 64 / SIDE)


def test_all_landmarks_stay_in_and_the_farthest_leaves_a_tenth():
    landmarks = place((150, 150), scale=2, degrees=70)
    picture = draw(landmarks, (300, 300), radius=3)
    pixels = np.asarray(faces.align(picture, landmarks, image_size=110))
    ears = (pixels[..., 0] > 128) & (pixels[..., 1] > 128)
    rows, columns = np.nonzero(ears)
    # The left ear's tip is 45 of 49.5 above the eyes: 5 pixels from the top.
    assert rows.min() == pytest.approx(5 - 1.7, abs=1)
    assert ears.sum() == pytest.approx(6 * np.pi * 1.67**2, rel=0.3)


def test_fine_patterns_are_averaged_when_a_large_face_is_made_small():
    checks = np.indices((1200, 1200)).sum(axis=0) % 2 * 255
    picture = Image.fromarray(checks.astype("uint8")).convert("RGB")
    for scale, image_size in [(10, 64), (7, 128), (2, 64)]:
        landmarks = place((600, 600), scale, degrees=3)
        pixels = np.asarray(faces.align(picture, landmarks, image_size))
        assert pixels.std() < 20
        assert pixels.mean() == pytest.approx(127.5, abs=2)


def test_a_turned_picture_is_smooth():
    def brightness(x):
        return 127.5 + 120 * np.sin(x / 2)

    stripes = np.tile(brightness(np.arange(300)), (300, 1))
    picture = Image.fromarray(np.rint(stripes).astype("uint8")).convert("RGB")
    landmarks = place((150, 150), degrees=20)
    face = faces.align(picture, landmarks, image_size=98)
    rows, columns = (np.indices((98, 98)) - 48.5) * SIDE / 98
    angle = np.deg2rad(20)
    x = 150 + np.cos(angle) * columns - np.sin(angle) * rows
    error = np.asarray(face)[..., 0] - brightness(x)
    assert np.abs(error).max() < 10


def test_a_square_at_the_border_shows_nothing_from_beyond():
    # 49.5 from the middle, in a picture that has as much, or 1 pixel less.
    for size in (99, 98):
        picture = Image.new("RGB", (size, size), "white")
        landmarks = place((size / 2 - 0.5, size / 2 - 0.5))
        pixels = np.asarray(faces.align(picture, landmarks, image_size=90))
        assert pixels.min() == 255


@pytest.mark.parametrize("missing", [(2, 0), (0, 2), (-2, 0), (0, -2)])
def test_a_face_that_is_cut_off_is_refused(missing):
    picture = Image.new("RGB", (99, 99))
    landmarks = place(np.array([49, 49]) + missing)
    with pytest.raises(ValueError, match="cut off.* 2.0 pixels outside"):
        faces.align(picture, landmarks, image_size=64)


def test_the_corners_of_a_turned_square_must_be_in_the_picture_too():
    upright, turned = place((65, 65)), place((65, 65), degrees=45)
    picture = Image.new("RGB", (131, 131))
    faces.align(picture, upright, image_size=64)
    with pytest.raises(ValueError, match="cut off"):
        faces.align(picture, turned, image_size=64)


def test_a_face_that_would_have_to_be_enlarged_is_refused():
    picture, landmarks = Image.new("RGB", (200, 200)), place((100, 100))
    assert faces.align(picture, landmarks, image_size=99).size == (99, 99)
    with pytest.raises(ValueError, match="small.*image_size=100 and 99.0 pix"):
        faces.align(picture, landmarks, image_size=100)


def test_eyes_in_one_place_are_refused():
    landmarks = place((100, 100))
    landmarks[1] = landmarks[0] + 0.5
    with pytest.raises(ValueError, match="eyes coincide.* 0.7 pixels"):
        faces.align(Image.new("RGB", (200, 200)), landmarks, image_size=64)


@pytest.mark.parametrize(
    ("landmarks", "image_size", "message"),
    [
        (FACE[:8], 64, r"`landmarks` must be finite and of shape \(9, 2\)"),
        (FACE * np.nan, 64, "`landmarks` must be finite"),
        (FACE, 0, "`image_size` must be a positive integer"),
        (FACE, 64.0, "`image_size` must be a positive integer"),
        (FACE, (64, 64), "`image_size` must be a positive integer"),
    ],
)
def test_arguments_of_no_use_are_refused(landmarks, image_size, message):
    with pytest.raises(ValueError, match=message):
        faces.align(Image.new("RGB", (9, 9)), landmarks, image_size)


def test_pictures_of_all_kinds_become_rgb_and_are_left_alone():
    landmarks = place((100, 100))
    picture = draw(landmarks, (200, 200))
    expected = faces.align(picture, landmarks, image_size=64)
    for mode in ("RGBA", "CMYK"):
        face = faces.align(picture.convert(mode), landmarks, image_size=64)
        assert face == expected
    for mode in ("L", "1", "P", "LA"):
        face = faces.align(picture.convert(mode), landmarks, image_size=64)
        assert face.mode == "RGB"
    deep = Image.fromarray(np.zeros((200, 200), "uint16"))
    with pytest.raises(ValueError, match="8 bits a channel. .* I;16"):
        faces.align(deep, landmarks, image_size=64)


def test_an_opened_file_can_be_aligned_again(tmp_path):
    landmarks = place((500, 500), scale=8)
    draw(landmarks, (1000, 1000), 30).save(tmp_path / "tom.jpg", quality=95)
    with Image.open(tmp_path / "tom.jpg") as picture:
        first = faces.align(picture, landmarks, image_size=32)
        assert picture.size == (1000, 1000)
        assert faces.align(picture, landmarks, image_size=32) == first
    check_places(first, 32 / SIDE)


def test_a_tree_is_prepared_and_can_be_loaded(tmp_path, capsys):
    source = tmp_path / "cats"
    for index, name in enumerate(["CAT_00/1_0.jpg", "CAT_00/1_0.png", "b.JPG"]):
        save_cat(source / name, place((200, 150), 1, 40 * index))
    large = source / "deep" / "er" / "large.jpeg"
    save_cat(large, place((700, 650), 8), size=(1500, 1300), radius=30)
    Image.new("RGB", (400, 300)).save(source / "without_landmarks.jpg")
    (source / "._1_0.jpg.cat").write_text("hidden")
    (source / "driver.cat").write_text("not of a picture")
    folder = faces.prepare(source, str(tmp_path / "made" / "faces"), 64)
    assert folder == tmp_path / "made" / "faces"
    assert names(folder) == [
        *("CAT_00/1_0.jpg.png", "CAT_00/1_0.png.png", "b.JPG.png"),
        *("deep/er/large.jpeg.png", "prepared.json"),
    ]
    loaded = datasets.load(folder, image_size=64)
    assert loaded.shape == (4, 64, 64, 3)
    for pixels in loaded:
        check_places(Image.fromarray(pixels), 64 / SIDE, tolerance=1)
    assert read_manifest(folder) == {
        "source": str(source),
        "image_size": 64,
        "prepared": 4,
        "left_out": {},
    }
    out, _ = capsys.readouterr()
    assert "4/4" in out and "4 faces; left out: 0" in out
    assert names(tmp_path / "made")[-1] == "faces/prepared.json"


def test_a_large_jpeg_that_is_decoded_small_shows_the_same(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 220, 3), "uint8")
    picture = Image.fromarray(noise).resize((2200, 2000))
    path = tmp_path / "cats" / "tom.jpg"
    save_cat(path, place((1100, 1000), 12, 5), size=(2200, 2000))
    landmarks = faces.read_landmarks(f"{path}.cat")
    picture.save(path, quality=95)
    folder = faces.prepare(path.parent, tmp_path / "faces", 64, verbose=False)
    with Image.open(path) as picture:
        expected = np.asarray(faces.align(picture, landmarks, image_size=64))
    with Image.open(folder / "tom.jpg.png") as face:
        error = np.asarray(face).astype(float) - expected
    assert np.abs(error).mean() < 3 and expected.std() > 30


def test_pictures_that_give_no_face_are_left_out_and_named(tmp_path, capsys):
    source = tmp_path / "cats"
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
    save_cat(source / "text.jpg").write_text("no picture")
    save_cat(source / "bitmap.jpg", format="BMP")
    folder = faces.prepare(source, tmp_path / "faces", 64)
    assert names(folder) == ["CAT_00/good.jpg.png", "prepared.json"]
    manifest = read_manifest(folder)
    assert manifest["prepared"] == 1
    reasons = {
        "bitmap.jpg": "unreadable: UnidentifiedImageError",
        "cats/CAT_00/good.jpg": "copy: of CAT_00/good.jpg",
        "cut.jpg": "cut off by the border: ",
        "damaged.jpg": "damaged landmarks: ",
        "missing.jpg": "picture missing: ",
        "small.jpg": "too small: ",
        "small_too.jpg": "too small: ",
        "text.jpg": "unreadable: ",
        "torn.jpg": "unreadable: OSError('image file is truncated",
    }
    assert list(manifest["left_out"]) == sorted(reasons)
    for name, reason in reasons.items():
        assert manifest["left_out"][name].startswith(reason)
    summary = capsys.readouterr()[0].splitlines()[-1]
    assert "1 faces; left out: 9 (3 unreadable, 2 too small, 1 " in summary
    assert summary.endswith("bitmap.jpg, cats/CAT_00/good.jpg, cut.jpg, ...")


def test_equal_names_or_landmarks_alone_do_not_make_a_copy(tmp_path):
    source = tmp_path / "cats"
    save_cat(source / "a" / "tom.jpg")
    save_cat(source / "a" / "tim.jpg")
    save_cat(source / "b" / "tom.jpg", place((200, 150), 1, 90))
    save_cat(source / "c" / "tom.jpg", quality=20)
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    assert read_manifest(folder)["prepared"] == 4


def test_a_decompression_bomb_is_left_out(tmp_path, monkeypatch):
    source = tmp_path / "cats"
    save_cat(source / "good.jpg", size=(400, 300))
    save_cat(source / "bomb.jpg", size=(801, 300))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400 * 300)
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    (reason,) = read_manifest(folder)["left_out"].values()
    assert reason.startswith("unreadable: DecompressionBombError")


def test_an_orientation_in_the_file_is_neither_heeded_nor_kept(tmp_path):
    source = tmp_path / "cats"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    save_cat(source / "tom.jpg", exif=exif, icc_profile=b"a profile")
    folder = faces.prepare(source, tmp_path / "faces", 64, verbose=False)
    with Image.open(folder / "tom.jpg.png") as face:
        assert not face.getexif() and not face.info
    (pixels,) = datasets.load(folder, image_size=64)
    check_places(Image.fromarray(pixels), 64 / SIDE, tolerance=1)


def test_what_is_prepared_is_used_again_even_without_its_source(
    tmp_path, capsys
):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    save_cat(source / "tom.jpg")
    faces.prepare(source, folder, 64)
    files = [folder, *folder.rglob("*")]
    before = [path.stat().st_mtime_ns for path in files]
    capsys.readouterr()
    assert faces.prepare(source, folder, 64) == folder
    assert "faces were prepared before" in capsys.readouterr()[0]
    source.rename(tmp_path / "gone")
    assert faces.prepare(str(source), str(folder), 64) == folder
    assert [path.stat().st_mtime_ns for path in files] == before


def test_another_source_or_size_needs_another_folder(tmp_path):
    for name in ("a", "b"):
        save_cat(tmp_path / name / "tom.jpg")
    folder = faces.prepare(tmp_path / "a", tmp_path / "faces", 64, False)
    with pytest.raises(ValueError, match="`folder` must be another .*/a'"):
        faces.prepare(tmp_path / "b", folder, 64, verbose=False)
    with pytest.raises(ValueError, match="`folder` must be another .* 64 pix"):
        faces.prepare(tmp_path / "a", folder, 32, verbose=False)


def test_a_folder_with_other_files_is_not_touched(tmp_path):
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
def test_a_preparation_that_fails_leaves_nothing_and_is_done_again(
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


def test_a_lack_of_memory_is_no_fault_of_a_picture(tmp_path, monkeypatch):
    save_cat(tmp_path / "cats" / "tom.jpg")

    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "transform", fail)
    with pytest.raises(MemoryError):
        faces.prepare(tmp_path / "cats", tmp_path / "faces", 64, verbose=False)


def test_an_interrupt_does_not_wait_for_the_pictures_still_to_come(
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

    def interrupt(bar, number):
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save_one_then_wait)
    monkeypatch.setattr(keras.utils.Progbar, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        faces.prepare(source, folder, 64)
    assert len(seen) < 50
    assert list(tmp_path.iterdir()) == [source]


def test_a_source_that_gives_nothing_is_an_error_that_counts(tmp_path):
    source, folder = tmp_path / "cats", tmp_path / "faces"
    with pytest.raises(ValueError, match="`source` must be a folder"):
        faces.prepare(source, folder, 64)
    source.mkdir()
    Image.new("RGB", (9, 9)).save(source / "tom.jpg")
    with pytest.raises(ValueError, match="`source` must hold .* left out: 0"):
        faces.prepare(source, folder, 64, verbose=False)
    save_cat(source / "small.jpg", place((200, 150), 0.5))
    save_cat(source / "missing.jpg").unlink()
    with pytest.raises(ValueError, match="1 picture missing, 1 too small"):
        faces.prepare(source, folder, 64, verbose=False)
    with pytest.raises(ValueError, match="`image_size` must be a positive"):
        faces.prepare(source, folder, 0)
    assert not folder.exists()


def test_nothing_is_printed_unless_asked_for(tmp_path, capsys):
    save_cat(tmp_path / "cats" / "tom.jpg")
    for _ in range(2):
        faces.prepare(tmp_path / "cats", tmp_path / "faces", 64, verbose=False)
    assert capsys.readouterr() == ("", "")


def test_only_a_folder_of_pictures_with_landmarks_has_landmarks(tmp_path):
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
