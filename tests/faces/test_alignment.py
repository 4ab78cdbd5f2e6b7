import numpy as np
import pytest
from PIL import Image
from support.cats import FACE, SIDE, check_positions, draw, place

from gan_blocks import faces


def test_landmarks_are_read_as_points(tmp_path):
    path = tmp_path / "tom.jpg.cat"
    path.write_text("9 175 160 239 162 199 199 " + "10.5 -3 " * 6 + "\n")
    landmarks = faces.read_landmarks(path)
    assert landmarks.shape == (9, 2) and landmarks.dtype == float
    assert landmarks[:3].tolist() == [[175, 160], [239, 162], [199, 199]]
    assert landmarks[8].tolist() == [10.5, -3]


def aligned(landmarks, size, image_size=64, radius=4.0):
    """Returns the face of an image with a disc on each landmark."""
    return faces.align(draw(landmarks, size, radius), landmarks, image_size)


@pytest.mark.parametrize("degrees", range(-180, 180, 45))
def test_a_rotated_face_becomes_upright_and_centered(degrees):
    landmarks = place((150, 145), degrees=degrees)
    face = aligned(landmarks, (300, 290))
    assert face.size == (64, 64) and face.mode == "RGB"
    check_positions(face, 64 / SIDE)


@pytest.mark.parametrize(
    ("scale", "image_size"), [(1.3, 128), (2.0, 64), (4.7, 32), (4.7, 128)]
)
def test_a_face_gets_the_given_size(scale, image_size):
    landmarks = place((330.4, 321.7), scale, degrees=20)
    face = aligned(landmarks, (680, 660), image_size, radius=4 * scale)
    assert face.size == (image_size, image_size)
    check_positions(face, image_size / SIDE)


@pytest.mark.parametrize("center", [(50, 50), (249, 50), (50, 149), (249, 149)])
def test_a_face_near_a_corner_is_centered(center):
    face = aligned(place(center), (300, 200))
    check_positions(face, 64 / SIDE)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 250])
def test_swapped_eyes_do_not_turn_a_face_upside_down(degrees):
    landmarks = place((150, 150), degrees=degrees)
    image = draw(landmarks, (300, 300))
    landmarks[[0, 1]] = landmarks[[1, 0]]
    face = faces.align(image, landmarks, image_size=64)
    check_positions(face, 64 / SIDE)


def test_all_landmarks_are_inside_with_a_margin_of_10_percent():
    landmarks = place((150, 150), scale=2, degrees=70)
    pixels = np.asarray(aligned(landmarks, (300, 300), 110, radius=3))
    ears = (pixels[..., 0] > 128) & (pixels[..., 1] > 128)
    rows, columns = np.nonzero(ears)
    # The left ear's tip is 45 of 49.5 above the eyes: 5 pixels from the top.
    assert rows.min() == pytest.approx(5 - 1.7, abs=1)
    assert ears.sum() == pytest.approx(6 * np.pi * 1.67**2, rel=0.3)


def test_fine_patterns_are_averaged_in_a_reduced_face():
    checks = np.indices((1200, 1200)).sum(axis=0) % 2 * 255
    image = Image.fromarray(checks.astype("uint8")).convert("RGB")
    for scale, image_size in [(10, 64), (7, 128), (2, 64)]:
        landmarks = place((600, 600), scale, degrees=3)
        pixels = np.asarray(faces.align(image, landmarks, image_size))
        assert pixels.std() < 20
        assert pixels.mean() == pytest.approx(127.5, abs=2)


def test_a_rotated_face_is_smooth():
    def brightness(x):
        return 127.5 + 120 * np.sin(x / 2)

    stripes = np.tile(brightness(np.arange(300)), (300, 1))
    image = Image.fromarray(np.rint(stripes).astype("uint8")).convert("RGB")
    landmarks = place((150, 150), degrees=20)
    face = faces.align(image, landmarks, image_size=98)
    rows, columns = (np.indices((98, 98)) - 48.5) * SIDE / 98
    angle = np.deg2rad(20)
    x = 150 + np.cos(angle) * columns - np.sin(angle) * rows
    error = np.asarray(face)[..., 0] - brightness(x)
    assert np.abs(error).max() < 10


def test_a_square_at_the_border_has_no_black_edge():
    # The square reaches 49.5 pixels. The image has as much, or 1 pixel less.
    for size in (99, 98):
        image = Image.new("RGB", (size, size), "white")
        landmarks = place((size / 2 - 0.5, size / 2 - 0.5))
        pixels = np.asarray(faces.align(image, landmarks, image_size=90))
        assert pixels.min() == 255


@pytest.mark.parametrize("missing", [(2, 0), (0, 2), (-2, 0), (0, -2)])
def test_a_face_that_is_cut_off_is_refused(missing):
    image = Image.new("RGB", (99, 99))
    landmarks = place(np.array([49, 49]) + missing)
    with pytest.raises(ValueError, match="cut off.* 2.0 pixels outside"):
        faces.align(image, landmarks, image_size=64)


def test_the_corners_of_a_rotated_square_must_be_inside_the_image():
    upright, rotated = place((65, 65)), place((65, 65), degrees=45)
    image = Image.new("RGB", (131, 131))
    faces.align(image, upright, image_size=64)
    with pytest.raises(ValueError, match="cut off"):
        faces.align(image, rotated, image_size=64)


def test_a_face_that_is_too_small_is_refused():
    image, landmarks = Image.new("RGB", (200, 200)), place((100, 100))
    assert faces.align(image, landmarks, image_size=99).size == (99, 99)
    with pytest.raises(ValueError, match="small.*image_size=100 and 99.0 pix"):
        faces.align(image, landmarks, image_size=100)


def test_eyes_at_the_same_position_are_refused():
    landmarks = place((100, 100))
    landmarks[1] = landmarks[0] + 0.5
    with pytest.raises(ValueError, match="eyes coincide.* 0.7 pixels"):
        faces.align(Image.new("RGB", (200, 200)), landmarks, image_size=64)


@pytest.mark.parametrize(
    ("landmarks", "image_size", "message"),
    [
        (FACE[:8], 64, r"`landmarks` must be finite and of shape \(9, 2\)"),
        (FACE * np.nan, 64, "`landmarks` must be finite"),
        (FACE * 1e300, 64, "`landmarks` must be finite"),
        (FACE, 0, "`image_size` must be a positive integer"),
    ],
)
def test_wrong_arguments_are_refused(landmarks, image_size, message):
    with pytest.raises(ValueError, match=message):
        faces.align(Image.new("RGB", (9, 9)), landmarks, image_size)


def test_images_of_every_mode_become_rgb():
    landmarks = place((100, 100))
    image = draw(landmarks, (200, 200))
    expected = faces.align(image, landmarks, image_size=64)
    for mode in ("RGBA", "CMYK"):
        face = faces.align(image.convert(mode), landmarks, image_size=64)
        assert face == expected
    for mode in ("L", "1", "P", "LA"):
        face = faces.align(image.convert(mode), landmarks, image_size=64)
        assert face.mode == "RGB"
    deep = Image.fromarray(np.zeros((200, 200), "uint16"))
    with pytest.raises(ValueError, match="8 bits per channel. .* I;16"):
        faces.align(deep, landmarks, image_size=64)


def test_an_open_image_file_is_not_changed(tmp_path):
    landmarks = place((500, 500), scale=8)
    draw(landmarks, (1000, 1000), 30).save(tmp_path / "tom.jpg", quality=95)
    with Image.open(tmp_path / "tom.jpg") as image:
        first = faces.align(image, landmarks, image_size=32)
        assert image.size == (1000, 1000)
        assert faces.align(image, landmarks, image_size=32) == first
    check_positions(first, 32 / SIDE)
