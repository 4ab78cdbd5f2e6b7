"""The action `animate`: a film of the grids of a run."""

import contextlib
import math
import pathlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from PIL import Image

from gan_blocks import images
from gan_blocks.cli import loading
from gan_blocks.cli.output import fail
from gan_blocks.files import atomic_write

__all__ = ["animate", "check_format", "save_film"]

_MINIMUM_WIDTH = 256  # Pixels. Smaller frames are enlarged.


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
    grids = sorted(folder.grids.glob("*.png"))
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
    frames: Sequence[pathlib.Path | Image.Image],
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
            width = _open(frames[0], 1).width
            scale = max(1, math.ceil(_MINIMUM_WIDTH / width))
        if path.suffix.lower() == ".mp4":
            _save_mp4(frames, path, speed, scale, hold_last)
            return
        enlarged = frames
        if scale > 1:
            enlarged = [_open(frame, scale) for frame in frames]
        images.save_animation(enlarged, path, speed, hold_last)
    except (ValueError, OSError) as error:
        fail(f"{path} cannot be written: {error}")


def _save_mp4(
    frames: Sequence[pathlib.Path | Image.Image],
    path: pathlib.Path,
    speed: float,
    scale: int,
    hold_last: float,
) -> None:
    size = _open(frames[0], scale).size

    def pixels() -> Iterator[bytes]:
        picture = b""
        for frame in frames:
            image = _open(frame, scale).convert("RGB")
            if image.size != size:
                raise ValueError(
                    "All frames must have the same size. Received: "
                    f"{size} and {image.size}"
                )
            picture = image.tobytes()
            yield picture
        for _ in range(round(speed * hold_last)):
            yield picture

    with atomic_write(path) as temporary:
        command = ["ffmpeg", "-loglevel", "error", "-y"]
        command += ["-f", "rawvideo", "-pixel_format", "rgb24"]
        command += ["-video_size", "{}x{}".format(*size)]
        command += ["-framerate", f"{speed:g}", "-i", "-"]
        # Players need this pixel format, which needs even sides.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
        command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        with subprocess.Popen(
            [*command, temporary],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # ffmpeg has failed.
                for picture in pixels():
                    process.stdin.write(picture)
            _, errors = process.communicate()
        if process.returncode:
            raise OSError(f"ffmpeg: {errors.decode(errors='replace').strip()}")


def _open(frame: pathlib.Path | Image.Image, scale: int) -> Image.Image:
    """Returns a frame with each pixel enlarged."""
    if not isinstance(frame, Image.Image):
        with Image.open(frame) as image:
            image.load()
            return _open(image, scale)
    width, height = frame.size
    return frame.resize(
        (scale * width, scale * height), Image.Resampling.NEAREST
    )
