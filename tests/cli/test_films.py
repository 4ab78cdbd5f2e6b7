import os
import shutil
import stat

import keras
import numpy as np
import pytest
from PIL import Image
from support.trained_runs import command

from gan_blocks import images


def frames_of(path):
    frames = []
    with Image.open(path) as film:
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("L")).astype(float))
    return np.array(frames)


def test_interpolation_gives_strips_and_a_film_that_closes(run, gan, capsys):
    command("interpolate", run.path, "--number", 3, "--seed", 5)
    film, strips = capsys.readouterr().out.split()
    assert film == str(run.path / "interpolated_3_seed_5.gif")
    ends = gan.generate(latents=gan.sample_latents(3, seed=5))
    with Image.open(strips) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (3 * 4, 8 * 4)
    np.testing.assert_allclose(
        pixels[:, :4], images.to_uint8(ends)[..., 0].reshape(12, 4), atol=1
    )
    frames = frames_of(film)
    assert np.ptp(frames, axis=0).max() > 5
    changes = np.abs(np.diff([*frames, frames[0]], axis=0)).mean((1, 2))
    assert changes[-1] < 3 * np.median(changes)  # The last leads to the first.


def test_an_interpolation_has_as_many_steps_as_asked(run, tmp_path):
    film = tmp_path / "film.png"
    words = ("--number", 2, "--steps", 5, "--file", film, "--scale", 1)
    command("interpolate", run.path, *words)
    assert frames_of(film).shape == (10, 4, 4)
    with Image.open(tmp_path / "film_strips.png") as strips:
        assert strips.size == (2 * 4, 2 * 4)


def test_an_interpolation_changes_the_class_at_each_picture(
    class_run, tmp_path
):
    gan = keras.saving.load_model(class_run / "checkpoints/epoch_0001.keras")
    path = gan.interpolate_latents(gan.sample_latents(4, 0), 2, closed=True)
    words = ("--number", 4, "--steps", 2, "--scale", 1)
    for chosen, labels in (
        ([], [0, 0, 1, 1, 2, 2, 0, 0]),
        (["--labels", "2"], [2] * 8),
    ):
        film = tmp_path / "film.png"
        command("interpolate", class_run, *words, *chosen, "--file", film)
        expected = gan.generate(latents=path, labels=np.array(labels))
        np.testing.assert_allclose(
            frames_of(film), images.to_uint8(expected)[..., 0], atol=1
        )


def test_the_grids_of_a_run_become_a_film_of_256_pixels(run, capsys):
    command("animate", run.path)
    film = run.path / "grids.gif"
    assert capsys.readouterr().out.strip() == str(film)
    grids = sorted(run.grids.iterdir())
    frames = frames_of(film)
    assert frames.shape == (len(grids), 256, 256)
    with Image.open(grids[0]) as grid:
        grid = np.asarray(grid)
    np.testing.assert_array_equal(frames[0], grid.repeat(16, 0).repeat(16, 1))


def test_the_grids_of_a_film_are_sorted_by_their_numbers(tmp_path):
    names = "0000_step_0000020", "0001", "9999", "10000"
    for i, name in enumerate(names):
        shade = np.full((8, 8, 1), i / 3, "float32")
        images.save_png(shade, tmp_path / "grids" / f"epoch_{name}.png")
    command("animate", tmp_path, tmp_path / "film.png")
    shades = frames_of(tmp_path / "film.png").mean((1, 2))
    assert (np.diff(shades) > 0).all()


def test_a_film_can_be_written_among_its_own_frames(run):
    film = run.grids / "film.png"
    for _ in range(2):
        command("animate", run.path, film, "--scale", 1)
        assert frames_of(film).shape == (2, 16, 16)
    film.unlink()


def test_mp4_files_need_ffmpeg(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    for words in (("animate", run.path), ("interpolate", run.path, "--file")):
        with pytest.raises(SystemExit) as exit_:
            command(*words, tmp_path / "film.mp4")
        assert exit_.value.code == 1
        assert "needs the program ffmpeg" in capsys.readouterr().err


def stand_in_for_ffmpeg(folder, script):
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_ffmpeg_is_given_the_pixels_of_the_frames(run, tmp_path, monkeypatch):
    # The last argument is the file to write.
    script = 'for last; do :; done; echo "$@" > "$0.txt"; cat > "$last"'
    monkeypatch.setenv("PATH", stand_in_for_ffmpeg(tmp_path, script))
    film = tmp_path / "film.mp4"
    command("animate", run.path, film, "--speed", 5, "--scale", 1)
    size = 3 * 16 * 16
    data = film.read_bytes()
    assert len(data) == size * (2 + 10)  # The last is held for 2 seconds.
    grids = sorted(run.grids.iterdir())
    with Image.open(grids[0]) as grid:
        assert data[:size] == grid.convert("RGB").tobytes()
    words = (tmp_path / "ffmpeg.txt").read_text()
    assert "-video_size 16x16 -framerate 5 " in words


def test_an_mp4_file_has_transparent_pictures_on_white(
    tmp_path, monkeypatch, capsys
):
    script = 'for last; do :; done; cat > "$last"'
    monkeypatch.setenv("PATH", stand_in_for_ffmpeg(tmp_path, script))
    pixels = np.array([[[200, 0, 0, 255], [0, 0, 0, 0]]], "uint8")
    images.save_png(pixels, tmp_path / "grids" / "epoch_0001.png")
    film = tmp_path / "film.mp4"
    command("animate", tmp_path, film, "--scale", 1)
    assert film.read_bytes()[:6] == bytes([200, 0, 0, 255, 255, 255])
    assert "The pictures are on white." in capsys.readouterr().out


def test_what_ffmpeg_reports_is_one_line(run, tmp_path, monkeypatch, capsys):
    script = "echo no encoder >&2; exit 3"
    monkeypatch.setenv("PATH", stand_in_for_ffmpeg(tmp_path, script))
    with pytest.raises(SystemExit):
        command("animate", run.path, tmp_path / "film.mp4")
    assert "film.mp4 cannot be written: ffmpeg: no encoder" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "film.mp4").exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg")
def test_ffmpeg_writes_an_mp4_file(run, tmp_path):
    command("interpolate", run.path, "--file", tmp_path / "film.mp4")
    assert b"ftyp" in (tmp_path / "film.mp4").read_bytes()[:16]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["film.mpeg"], "must end in .gif, .webp, .png or .mp4"),
        (["--speed", "200"], "at most 50"),
        (["--scale", "x"], "invalid integer value: 'x'"),
    ],
)
def test_wrong_options_are_reported_in_one_line(run, words, message, capsys):
    with pytest.raises(SystemExit):
        command("animate", run.path, *words)
    assert message in capsys.readouterr().err.splitlines()[-1]
