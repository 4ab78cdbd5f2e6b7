import io
import os
import stat
import warnings

import numpy as np
import pytest
from PIL import Image

from gan_blocks import images


def noise(number, height=4, width=6, channels=3, seed=0):
    shape = number, height, width, channels
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def save_frames(folder, number, size=(12, 8), mode="RGB"):
    paths = []
    for index in range(number):
        shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 256, shape, dtype="uint8")
        paths.append(folder / f"step_{index:07d}.png")
        images.save_png(Image.fromarray(pixels), paths[-1])
    return paths


def read_frames(path):
    frames, durations = [], []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            duration = image.info.get("duration")  # a PNG forgets it later
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info.get("duration", duration))
    return frames, durations


def test_floats_become_the_nearest_of_256_steps():
    given = [-1.0, -0.9999, -0.996, 0.0, 0.2, 0.998, 1.0]
    assert images.to_uint8(given).tolist() == [0, 0, 1, 128, 153, 255, 255]


def test_every_step_survives_the_way_to_floats_and_back():
    steps = np.arange(256, dtype="uint8")
    floats = images.from_uint8(steps)
    assert floats.dtype == np.float32
    assert floats[0] == -1 and floats[255] == 1
    assert (np.diff(floats) > 0).all()
    assert (images.to_uint8(floats) == steps).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_that_are_no_colour_still_give_a_defined_one(dtype):
    largest = np.finfo(dtype).max
    given = [np.nan, -np.inf, np.inf, -largest, largest, -1.01, 1.01]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = images.to_uint8(np.array(given, dtype))
    assert made.tolist() == [0, 0, 255, 0, 255, 0, 255]


def test_conversion_leaves_its_argument_alone():
    given = np.array([np.nan, -3.0, 0.5])
    images.to_uint8(given)
    np.testing.assert_array_equal(given, [np.nan, -3.0, 0.5])


def test_conversion_refuses_what_is_already_converted():
    with pytest.raises(ValueError, match="floats .* uint8"):
        images.to_uint8(np.zeros(3, "uint8"))
    with pytest.raises(ValueError, match="uint8.* float64"):
        images.from_uint8(np.zeros(3))


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_a_grid_holds_every_pixel_where_it_belongs(channels, mode):
    tiles = noise(6, channels=channels)
    picture = images.grid(tiles, rows=2, columns=3)
    assert picture.mode == mode
    assert picture.size == (18, 8)
    pixels = np.asarray(picture).reshape(8, 18, channels)
    for index in range(6):
        top, left = 4 * (index // 3), 6 * (index % 3)
        tile = pixels[top : top + 4, left : left + 6]
        assert (tile == tiles[index]).all()


def test_a_grid_of_floats_is_the_grid_of_their_uint8():
    tiles = noise(4)
    made = images.grid(images.from_uint8(tiles))
    assert made.tobytes() == images.grid(tiles).tobytes()


@pytest.mark.parametrize(
    "number, given, expected",
    [
        (1, {}, (1, 1)),
        (2, {}, (1, 2)),
        (4, {}, (2, 2)),
        (5, {}, (2, 3)),
        (7, {}, (3, 3)),
        (16, {}, (4, 4)),
        (7, {"rows": 2}, (2, 4)),
        (7, {"columns": 2}, (4, 2)),
        (2, {"rows": 3, "columns": 2}, (3, 2)),
    ],
)
def test_a_grid_chooses_the_sides_that_are_not_given(number, given, expected):
    width, height = images.grid(noise(number), **given).size
    assert (height // 4, width // 6) == expected


def test_tiles_without_an_image_are_blank():
    pixels = np.asarray(images.grid(noise(5) | 1, rows=2, columns=3))
    assert (pixels[4:, 12:] == 0).all()
    assert (pixels[:4] > 0).all() and (pixels[4:, :12] > 0).all()


def test_scale_repeats_every_pixel():
    tiles = noise(2)
    small = np.asarray(images.grid(tiles))
    large = np.asarray(images.grid(tiles, scale=3))
    assert large.shape == (12, 36, 3)
    for row in range(3):
        for column in range(3):
            assert (large[row::3, column::3] == small).all()


@pytest.mark.parametrize(
    "shape", [(4, 6, 3), (2, 4, 6, 2), (0, 4, 6, 3), (1, 2, 4, 6, 3)]
)
def test_a_grid_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="`images`.*shape"):
        images.grid(np.zeros(shape))


def test_a_grid_refuses_more_images_than_tiles():
    with pytest.raises(ValueError, match="rows=2, columns=2 and 5 images"):
        images.grid(noise(5), rows=2, columns=2)


@pytest.mark.parametrize("name", ["rows", "columns", "scale"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_grid_refuses_sides_that_are_not_positive(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        images.grid(noise(4), **{name: value})


def test_a_saved_png_holds_the_pixels_and_makes_its_folders(tmp_path):
    picture = images.grid(noise(4))
    path = tmp_path / "a" / "b" / "grid.png"
    images.save_png(picture, path)
    with Image.open(path) as read:
        assert read.format == "PNG"
        assert read.tobytes() == picture.tobytes()
    assert os.listdir(path.parent) == ["grid.png"]


def test_a_saved_png_can_be_read_by_whoever_could_read_a_plain_file(tmp_path):
    (tmp_path / "plain").write_text("")
    images.save_png(images.grid(noise(1)), tmp_path / "grid.png")
    plain, grid = (tmp_path / name for name in ("plain", "grid.png"))
    assert stat.S_IMODE(grid.stat().st_mode) == stat.S_IMODE(
        plain.stat().st_mode
    )


def test_a_png_is_saved_under_no_other_name(tmp_path):
    with pytest.raises(ValueError, match=r"\.png.*grid\.jpg"):
        images.save_png(images.grid(noise(1)), tmp_path / "grid.jpg")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_old_picture(tmp_path, monkeypatch, error):
    path = tmp_path / "grid.png"
    images.save_png(images.grid(noise(1)), path)
    before = path.read_bytes()

    def write_half(self, file, **options):
        file.write_bytes(before[: len(before) // 2])
        raise error

    monkeypatch.setattr(Image.Image, "save", write_half)
    with pytest.raises(type(error)):
        images.save_png(images.grid(noise(1, seed=1)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["grid.png"]


def test_a_picture_is_moved_into_place_only_when_it_is_whole(
    tmp_path, monkeypatch
):
    path = tmp_path / "grid.png"
    moved = []

    def replace(source, target):
        assert not path.exists()
        with Image.open(source) as picture:
            picture.load()
        moved.append((source, target))

    monkeypatch.setattr(images.os, "replace", replace)
    images.save_png(images.grid(noise(1)), path)
    assert len(moved) == 1 and moved[0][1] == path


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
def test_an_animation_plays_the_frames_in_order(tmp_path, extension):
    paths = save_frames(tmp_path / "frames", 4)
    path = tmp_path / "films" / f"run{extension}"
    images.animation(paths, path, frames_per_second=5)
    frames, durations = read_frames(path)
    assert durations == [200, 200, 200, 2200]
    originals = [np.asarray(Image.open(file), float) for file in paths]
    for index, frame in enumerate(frames):
        distances = [np.abs(frame - original).mean() for original in originals]
        assert np.argmin(distances) == index
    with Image.open(path) as film:
        assert film.info["loop"] == 0
    assert os.listdir(path.parent) == [path.name]


def test_an_animated_png_keeps_every_pixel(tmp_path):
    paths = save_frames(tmp_path, 3)
    images.animation(paths, tmp_path / "run.png")
    for frame, path in zip(
        read_frames(tmp_path / "run.png")[0], paths, strict=True
    ):
        with Image.open(path) as original:
            assert (frame == np.asarray(original)).all()


def test_a_grey_animated_gif_keeps_every_pixel(tmp_path):
    paths = save_frames(tmp_path, 3, mode="L")
    images.animation(paths, tmp_path / "run.gif")
    for frame, path in zip(
        read_frames(tmp_path / "run.gif")[0], paths, strict=True
    ):
        with Image.open(path) as original:
            assert (frame[..., 0] == np.asarray(original)).all()


def smooth_frames(number, size=64):
    """Colours that run into one another and wander, as an interpolation's."""
    y, x = np.mgrid[0:size, 0:size] / size
    colours = [
        np.stack([np.sin(3 * x + t), np.cos(2 * y - t), np.sin(x + y)], -1)
        for t in np.arange(number) / 8
    ]
    return [images.grid(colour[None]) for colour in colours]


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
def test_pictures_in_memory_make_the_animation_of_their_files(
    tmp_path, extension
):
    paths = save_frames(tmp_path, 3)
    pictures = [Image.open(path) for path in paths]
    before = [picture.tobytes() for picture in pictures]
    films = tmp_path / f"files{extension}", tmp_path / f"memory{extension}"
    images.animation(paths, films[0])
    images.animation(iter(pictures), films[1])
    assert films[0].read_bytes() == films[1].read_bytes()
    assert [picture.tobytes() for picture in pictures] == before
    assert {picture.mode for picture in pictures} == {"RGB"}


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
@pytest.mark.parametrize(
    "options, last",
    [({}, 2100), ({"hold_last": 0}, 100), ({"hold_last": 0.5}, 600)],
)
def test_the_last_frame_is_held_as_long_as_wanted(
    tmp_path, extension, options, last
):
    path = tmp_path / f"run{extension}"
    images.animation(smooth_frames(3, size=8), path, **options)
    assert read_frames(path)[1] == [100, 100, last]


@pytest.mark.parametrize("seconds", [-1, 61, float("nan")])
def test_an_animation_refuses_to_hold_for_impossible_times(tmp_path, seconds):
    with pytest.raises(ValueError, match=f"`hold_last`.*={seconds}"):
        images.animation(
            smooth_frames(1), tmp_path / "run.gif", hold_last=seconds
        )


def test_a_gif_keeps_smooth_colours_closer_than_pillow_does(tmp_path):
    pictures = smooth_frames(6)
    images.animation(pictures, tmp_path / "ours.gif")
    pictures[0].save(
        tmp_path / "plain.gif", save_all=True, append_images=pictures[1:]
    )
    originals = np.stack([np.asarray(picture, float) for picture in pictures])
    ours, plain = (
        np.stack(read_frames(tmp_path / name)[0]) - originals
        for name in ("ours.gif", "plain.gif")
    )
    assert (ours**2).mean() < 0.9 * (plain**2).mean()
    assert np.abs(ours).max() < np.abs(plain).max()


def test_a_gif_keeps_every_pixel_of_few_colours(tmp_path):
    colours = noise(1, height=1, width=200)[0, 0]
    chosen = np.random.default_rng(0).integers(0, 200, (2, 32, 32))
    pictures = [Image.fromarray(colours[which]) for which in chosen]
    images.animation(pictures, tmp_path / "run.gif")
    frames, _ = read_frames(tmp_path / "run.gif")
    for frame, picture in zip(frames, pictures, strict=True):
        assert (frame == np.asarray(picture)).all()


def test_frames_that_repeat_are_held_as_long(tmp_path):
    paths = save_frames(tmp_path, 2)
    path = tmp_path / "run.gif"
    images.animation([paths[0], paths[0], paths[1]], path)
    assert read_frames(path)[1] == [200, 2100]


def test_a_folder_is_played_by_name_without_the_film_itself(tmp_path):
    paths = save_frames(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("not a frame")
    film = tmp_path / "run.png"
    for _ in range(2):
        images.animation(tmp_path, film)
        frames, _ = read_frames(film)
        assert len(frames) == 3
    with Image.open(paths[2]) as last:
        assert (frames[2] == np.asarray(last)).all()


def test_one_frame_is_an_animation_too(tmp_path):
    paths = save_frames(tmp_path, 1)
    for name in ("run.gif", "run.webp", "run.png"):
        images.animation(paths, tmp_path / name)
        with Image.open(tmp_path / name) as film:
            assert film.size == (12, 8)


def test_an_animation_needs_frames(tmp_path):
    for paths in ([], tmp_path):
        with pytest.raises(ValueError, match="`frames`.*at least one frame"):
            images.animation(paths, tmp_path / "run.gif")
    with pytest.raises(FileNotFoundError):
        images.animation([tmp_path / "none.png"], tmp_path / "run.gif")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
def test_frames_of_unequal_size_are_refused_and_leave_no_film(
    tmp_path, extension
):
    paths = save_frames(tmp_path / "a", 2)
    paths += save_frames(tmp_path / "b", 1, size=(12, 9))
    path = tmp_path / "films" / f"run{extension}"
    with pytest.raises(ValueError, match=r"\(12, 8\).*b/step.*\(12, 9\)"):
        images.animation(paths, path)
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("speed", [0, -1, 51, float("nan")])
def test_an_animation_refuses_impossible_speeds(tmp_path, speed):
    paths = save_frames(tmp_path, 1)
    with pytest.raises(ValueError, match="`frames_per_second`"):
        images.animation(paths, tmp_path / "run.gif", frames_per_second=speed)


def test_an_animation_refuses_other_formats(tmp_path):
    paths = save_frames(tmp_path, 1)
    with pytest.raises(ValueError, match=r"`path`.*run\.mp4"):
        images.animation(paths, tmp_path / "run.mp4")


def test_an_animation_has_one_file_open_at_a_time(tmp_path, monkeypatch):
    paths = save_frames(tmp_path, 20)
    opened = []

    def open_and_count(path):
        opened.append(io.BytesIO(path.read_bytes()))
        assert sum(not file.closed for file in opened) <= 2
        image = original(opened[-1])
        image._exclusive_fp = True  # closed as a file opened by name is
        return image

    original = Image.open
    monkeypatch.setattr(images.Image, "open", open_and_count)
    images.animation(paths, tmp_path / "run.webp")
    assert len(opened) == 20


@pytest.mark.parametrize("flush", [True, False])
def test_a_file_is_on_the_disk_before_it_is_moved_if_asked_for(
    tmp_path, monkeypatch, flush
):
    seen = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def call(*arguments, name=name, original=original):
            seen.append(name)
            original(*arguments)

        monkeypatch.setattr(os, name, call)
    with images.written_aside(tmp_path / "notes.txt", flush=flush) as aside:
        aside.write_text("whole")
    assert seen == ["fsync"] * flush + ["replace"]
