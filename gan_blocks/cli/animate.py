"""The action `animate`: a film of the grids of a run."""

import contextlib
import math
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from PIL import Image

from gan_blocks import images
from gan_blocks.cli import loading
from gan_blocks.cli.output import fail
from gan_blocks.datasets.transparency import put_on
from gan_blocks.files import atomic_write, list_by_number

__all__ = ["animate", "check_format", "save_film"]

_MINIMUM_WIDTH = 256  # Pixels. Smaller frames are enlarged.
_Frame = pathlib.Path | Image.Image


def animate(
    run: pathlib.Path,
    file: pathlib.Path | None = None,
    speed: float = 10.0,
    scale: int | None = None,
) -> None:
    """Saves a film of the grids that were saved during training."""
    folder = loading.find_folder(run)
    file = file or folder.path / "grids.gif"
    check_format(file)
    grids = list_by_number(folder.grids, "*.png")
    # An animated PNG may be saved among the grids.
    grids = [path for path in grids if path.absolute() != file.absolute()]
    if not grids:
        fail(f"No grids found in {folder.grids}. Train first.")
    save_film(grids, file, speed, scale, hold_last=2)
    print(file)


def check_format(path: pathlib.Path) -> None:
    """Ends the process if a film of this format cannot be written here."""
    if path.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        fail(
            "Writing .mp4 files needs the program ffmpeg, which is not "
            "installed. Install ffmpeg, or write a .webp or .gif file."
        )


def save_film(
    frames: Sequence[_Frame],
    path: pathlib.Path,
    speed: float,
    scale: int | None,
    hold_last: float,
) -> None:
    """Saves frames as a film.

    Args:
        frames: Image files or pictures, all of the same size.
        path: A `.gif`, `.webp`, `.png` or `.mp4` file.
        speed: Frames per second.
        scale: Enlarges each pixel so many times. `None` makes the film at
            least 256 pixels wide.
        hold_last: Extra time in seconds for the last frame.
    """
    try:
        if scale is None:
            scale = math.ceil(_MINIMUM_WIDTH / _open(frames[0], 1).width)
        if path.suffix.lower() == ".mp4":
            _save_mp4(frames, path, speed, scale, hold_last)
            return
        if scale > 1:
            frames = [_open(frame, scale) for frame in frames]
        images.save_animation(frames, path, speed, hold_last)
    except (ValueError, OSError) as error:
        fail(f"{path} cannot be written: {error}")


def _save_mp4(
    frames: Sequence[_Frame],
    path: pathlib.Path,
    speed: float,
    scale: int,
    hold_last: float,
) -> None:
    first = _open(frames[0], scale)
    if first.has_transparency_data:
        print("MP4 has no transparency. The pictures are on white.")
    size = first.size
    frames = [*frames, *[frames[-1]] * round(speed * hold_last)]
    command = ["ffmpeg", "-loglevel", "error", "-y"]
    command += ["-f", "rawvideo", "-pixel_format", "rgb24"]
    command += ["-video_size", "{}x{}".format(*size)]
    command += ["-framerate", f"{speed:g}", "-i", "-"]
    # Players need this pixel format, which needs even sides.
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    pipe: Any = subprocess.PIPE
    with atomic_write(path) as temporary:
        with subprocess.Popen(
            [*command, temporary], stdin=pipe, stderr=pipe
        ) as process:
            stdin: Any = process.stdin
            with contextlib.suppress(BrokenPipeError):  # ffmpeg has failed.
                for frame in frames:
                    image = _open(frame, scale).convert("RGBA")
                    if image.size != size:
                        raise ValueError(
                            "All frames must have the same size. Received: "
                            f"{size} and {image.size}"
                        )
                    opaque = put_on(image, "white").convert("RGB")
                    stdin.write(opaque.tobytes())
            _, errors = process.communicate()
        if process.returncode:
            raise OSError(f"ffmpeg: {errors.decode(errors='replace').strip()}")


def _open(frame: _Frame, scale: int) -> Image.Image:
    """Returns a frame with each pixel enlarged."""
    if not isinstance(frame, Image.Image):
        with Image.open(frame) as image:
            image.load()
            return _open(image, scale)
    width, height = frame.size
    return frame.resize(
        (scale * width, scale * height), Image.Resampling.NEAREST
    )
