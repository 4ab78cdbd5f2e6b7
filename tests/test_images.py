import os
import resource
import warnings

import keras
import numpy as np
import pytest
from PIL import Image
from support.disks import limit
from support.image_sources import noise

from gan_blocks import images


def tiles(number, channels=3, seed=0):
    return noise(number, 4, 6, channels, seed=seed)


MODES = [(1, "L"), (3, "RGB"), (4, "RGBA")]
formats = pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])


def save_frames(folder, number, size=(12, 8)):
    paths = []
    for index in range(number):
        pixels = noise(size[1], size[0], 3, seed=index)
        paths.append(folder / f"step_{index:07d}.png")
        images.save_png(pixels, paths[-1])
    return paths


def read_frames(path):
    frames, durations = [], []
    with Image.open(path) as image:
        for index in range(image.n_frames):
            image.seek(index)
            # `convert` drops the duration of a PNG's frame.
            duration = image.info.get("duration")
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info.get("duration", duration))
    return frames, durations


def test_floats_are_rounded_to_the_nearest_uint8():
    given = [-1.0, -0.9999, -0.996, 0.0, 0.2, 0.998, 1.0]
    assert images.to_uint8(given).tolist() == [0, 0, 1, 128, 153, 255, 255]


def test_uint8_values_survive_the_conversion_to_floats_and_back():
    steps = np.arange(256, dtype="uint8")
    floats = images.from_uint8(steps)
    assert floats.dtype == np.float32
    assert floats[0] == -1 and floats[255] == 1
    assert (np.diff(floats) > 0).all()
    assert (images.to_uint8(floats) == steps).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values_out_of_range_are_clipped_and_nan_becomes_black(dtype):
    largest = np.finfo(dtype).max
    given = [np.nan, -np.inf, np.inf, -largest, largest, -1.01, 1.01]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = images.to_uint8(np.array(given, dtype))
    assert made.tolist() == [0, 0, 255, 0, 255, 0, 255]


def test_conversion_refuses_images_that_are_already_converted():
    with pytest.raises(ValueError, match="floats .* uint8"):
        images.to_uint8(np.zeros(3, "uint8"))
    with pytest.raises(ValueError, match="uint8.* float64"):
        images.from_uint8(np.zeros(3))


@pytest.mark.parametrize("channels, mode", MODES)
def test_a_grid_fills_its_tiles_row_by_row(channels, mode):
    given = tiles(6, channels=channels)
    image = images.grid(given, rows=2, columns=3)
    assert image.mode == mode
    assert image.size == (18, 8)
    pixels = np.asarray(image).reshape(8, 18, channels)
    for index in range(6):
        top, left = 4 * (index // 3), 6 * (index % 3)
        tile = pixels[top : top + 4, left : left + 6]
        assert (tile == given[index]).all()


def test_a_grid_accepts_floats():
    given = tiles(4)
    made = images.grid(images.from_uint8(given))
    assert made.tobytes() == images.grid(given).tobytes()


@pytest.mark.parametrize(
    "number, sides, expected",
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
def test_a_grid_computes_missing_rows_and_columns(number, sides, expected):
    width, height = images.grid(tiles(number), **sides).size
    assert (height // 4, width // 6) == expected


def test_empty_tiles_are_black():
    pixels = np.asarray(images.grid(tiles(5) | 1, rows=2, columns=3))
    assert (pixels[4:, 12:] == 0).all()
    assert (pixels[:4] > 0).all() and (pixels[4:, :12] > 0).all()


def test_scale_enlarges_every_pixel():
    given = tiles(2)
    small = np.asarray(images.grid(given))
    large = np.asarray(images.grid(given, scale=3))
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 4, 6, 2), (0, 4, 6, 3)])
def test_a_grid_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="`images`.*shape"):
        images.grid(np.zeros(shape))


def test_a_grid_refuses_more_images_than_tiles():
    with pytest.raises(ValueError, match="rows=2, columns=2 and 5 images"):
        images.grid(tiles(5), rows=2, columns=2)


@pytest.mark.parametrize("name", ["rows", "columns", "scale"])
def test_a_grid_refuses_sides_that_are_not_positive(name):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}=0"):
        images.grid(tiles(4), **{name: 0})


def test_save_png_refuses_other_file_names(tmp_path):
    with pytest.raises(ValueError, match=r"\.png.*grid\.jpg"):
        images.save_png(images.grid(tiles(1)), tmp_path / "grid.jpg")
    assert not os.listdir(tmp_path)


def test_a_failed_save_keeps_the_old_png(tmp_path, monkeypatch):
    path = tmp_path / "grid.png"
    images.save_png(images.grid(tiles(1)), path)
    before = path.read_bytes()

    def write_half(self, file, **options):
        file.write_bytes(before[: len(before) // 2])
        raise OSError(28, "full")

    monkeypatch.setattr(Image.Image, "save", write_half)
    with pytest.raises(OSError):
        images.save_png(images.grid(tiles(1, seed=1)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["grid.png"]


@pytest.mark.parametrize("channels, mode", MODES)
def test_images_and_arrays_are_saved_as_png_in_new_folders(
    tmp_path, channels, mode
):
    (pixels,) = tiles(1, channels=channels)
    grid = images.grid(pixels[None])
    for index, image in enumerate((pixels, images.from_uint8(pixels), grid)):
        path = tmp_path / str(index) / "image.png"
        images.save_png(image, path)
        with Image.open(path) as saved:
            assert (saved.format, saved.mode) == ("PNG", mode)
            assert saved.tobytes() == pixels.tobytes()
        assert os.listdir(path.parent) == ["image.png"]


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("channels, mode", MODES)
def test_channels_can_be_first(channels, mode, tmp_path, channels_first):
    given = noise(2, 5, 6, channels)
    grid = images.grid(np.moveaxis(given, -1, 1), columns=1)
    assert grid.mode == mode
    assert grid.tobytes() == given.tobytes()
    assert images.grid(given, columns=1).tobytes() == given.tobytes()
    images.save_png(np.moveaxis(given[0], -1, 0), tmp_path / "image.png")
    with Image.open(tmp_path / "image.png") as saved:
        assert saved.tobytes() == given[0].tobytes()


def test_channels_are_last_by_default():
    with pytest.raises(ValueError, match="`images`.*shape"):
        images.grid(np.zeros((2, 3, 4, 6)))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 2), (1, 4, 6, 3)])
def test_arrays_of_other_shapes_are_not_saved(tmp_path, shape):
    with pytest.raises(ValueError, match="`images?`.*shape"):
        images.save_png(np.zeros(shape), tmp_path / "grid.png")
    assert not os.listdir(tmp_path)


@formats
def test_an_animation_plays_the_frames_in_order(tmp_path, extension):
    paths = save_frames(tmp_path / "frames", 4)
    path = tmp_path / "outputs" / f"run{extension}"
    images.save_animation(paths, path, frames_per_second=5)
    frames, durations = read_frames(path)
    assert durations == [200, 200, 200, 2200]
    originals = [np.asarray(Image.open(file), float) for file in paths]
    for index, frame in enumerate(frames):
        distances = [np.abs(frame - original).mean() for original in originals]
        assert np.argmin(distances) == index
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0
    assert os.listdir(path.parent) == [path.name]


def few_colors():
    colors = noise(200, 3)
    chosen = np.random.default_rng(0).integers(0, 200, (2, 32, 32))
    return [Image.fromarray(colors[which]) for which in chosen]


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("color.png", [images.grid(tiles(1, seed=i)) for i in range(3)]),
        ("gray.gif", [images.grid(tiles(1, 1, seed=i)) for i in range(3)]),
        ("few_colors.gif", few_colors()),
    ],
    ids=["color PNG", "gray GIF", "GIF of 200 colors"],
)
def test_pngs_and_gifs_of_few_colors_keep_every_pixel(tmp_path, name, frames):
    images.save_animation(frames, tmp_path / name)
    found, _ = read_frames(tmp_path / name)
    for frame, original in zip(found, frames, strict=True):
        np.testing.assert_array_equal(frame, original.convert("RGB"))


def smooth_frames(number, size=64):
    """Smooth colors that change slowly, as along a latent path."""
    y, x = np.mgrid[0:size, 0:size] / size
    colors = [
        np.stack([np.sin(3 * x + t), np.cos(2 * y - t), np.sin(x + y)], -1)
        for t in np.arange(number) / 8
    ]
    return [images.grid(color[None]) for color in colors]


@formats
def test_images_in_memory_give_the_same_animation_as_their_files(
    tmp_path, extension
):
    paths = save_frames(tmp_path, 3)
    grids = [Image.open(path) for path in paths]
    before = [image.tobytes() for image in grids]
    outputs = tmp_path / f"files{extension}", tmp_path / f"memory{extension}"
    images.save_animation(paths, outputs[0])
    images.save_animation(iter(grids), outputs[1])
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert [image.tobytes() for image in grids] == before
    assert {image.mode for image in grids} == {"RGB"}


@formats
@pytest.mark.parametrize(
    "options, last",
    [({}, 2100), ({"hold_last": 0}, 100), ({"hold_last": 0.5}, 600)],
)
def test_the_last_frame_is_shown_longer_by_hold_last(
    tmp_path, extension, options, last
):
    path = tmp_path / f"run{extension}"
    images.save_animation(smooth_frames(3, size=8), path, **options)
    assert read_frames(path)[1] == [100, 100, last]


def test_a_gif_has_smoother_colors_than_pillow_alone(tmp_path):
    grids = smooth_frames(6)
    images.save_animation(grids, tmp_path / "ours.gif")
    grids[0].save(
        tmp_path / "plain.gif", save_all=True, append_images=grids[1:]
    )
    originals = np.stack([np.asarray(image, float) for image in grids])
    ours, plain = (
        np.stack(read_frames(tmp_path / name)[0]) - originals
        for name in ("ours.gif", "plain.gif")
    )
    assert (ours**2).mean() < 0.9 * (plain**2).mean()
    assert np.abs(ours).max() < np.abs(plain).max()


def test_repeated_frames_keep_their_duration(tmp_path):
    paths = save_frames(tmp_path, 2)
    path = tmp_path / "run.gif"
    images.save_animation([paths[0], paths[0], paths[1]], path)
    assert read_frames(path)[1] == [200, 2100]


def test_the_frames_of_a_folder_are_sorted_without_the_animation(tmp_path):
    paths = save_frames(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("not a frame")
    animation = tmp_path / "run.png"
    for _ in range(2):
        images.save_animation(tmp_path, animation)
        frames, _ = read_frames(animation)
        assert len(frames) == 3
    with Image.open(paths[2]) as last:
        assert (frames[2] == np.asarray(last)).all()


def test_the_frames_of_a_folder_are_sorted_by_their_numbers(tmp_path):
    names = ["epoch_9999.png", "epoch_10000.png"]
    shades = np.zeros((4, 4, 1), "uint8"), np.full((4, 4, 1), 200, "uint8")
    for name, shade in zip(names, shades, strict=True):
        images.save_png(shade, tmp_path / name)
    images.save_animation(tmp_path, tmp_path / "run.webp")
    frames, _ = read_frames(tmp_path / "run.webp")
    assert frames[0].mean() < 10 and frames[1].mean() > 190


@formats
def test_one_frame_is_enough_for_an_animation(tmp_path, extension):
    paths = save_frames(tmp_path, 1)
    images.save_animation(paths, tmp_path / f"run{extension}")
    with Image.open(tmp_path / f"run{extension}") as animation:
        assert animation.size == (12, 8)


def test_save_animation_needs_at_least_one_frame(tmp_path):
    for paths in ([], tmp_path):
        with pytest.raises(ValueError, match="`frames`.*at least one frame"):
            images.save_animation(paths, tmp_path / "run.gif")
    with pytest.raises(FileNotFoundError):
        images.save_animation([tmp_path / "none.png"], tmp_path / "run.gif")
    assert not os.listdir(tmp_path)


@formats
def test_save_animation_refuses_frames_of_different_sizes(tmp_path, extension):
    paths = save_frames(tmp_path / "a", 2)
    paths += save_frames(tmp_path / "b", 1, size=(12, 9))
    path = tmp_path / "outputs" / f"run{extension}"
    with pytest.raises(ValueError, match=r"\(12, 8\).*b/step.*\(12, 9\)"):
        images.save_animation(paths, path)
    assert not os.listdir(path.parent)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("run.mp4", {}, r"`path`.*run\.mp4"),
        ("run.gif", {"hold_last": -1}, "`hold_last`.*=-1"),
        ("run.gif", {"hold_last": float("nan")}, "`hold_last`.*=nan"),
        ("run.gif", {"frames_per_second": 0}, "`frames_per_second`"),
        ("run.gif", {"frames_per_second": 51}, "`frames_per_second`"),
    ],
)
def test_save_animation_refuses_impossible_arguments(
    tmp_path, name, options, message
):
    with pytest.raises(ValueError, match=message):
        images.save_animation(smooth_frames(1), tmp_path / name, **options)


def test_an_animation_of_many_files_opens_few_of_them_at_a_time(tmp_path):
    paths = save_frames(tmp_path, 2) * 200
    with limit(resource.RLIMIT_NOFILE, 200):
        images.save_animation(paths, tmp_path / "run.webp")
