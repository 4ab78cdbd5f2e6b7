"""The action `interpolate`: a film along a path through the latents."""

import pathlib
from collections.abc import Sequence

import numpy as np

from gan_blocks import images
from gan_blocks.cli import animate, loading

__all__ = ["interpolate"]

_FRAMES_PER_SECOND = 20
_FRAMES_PER_TILE = 3  # The strips show every third frame.


def interpolate(
    run: pathlib.Path,
    number: int = 8,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    steps: int = 24,
    scale: int | None = None,
    file: pathlib.Path | None = None,
) -> None:
    """Saves a film that ends where it starts, and its frames as strips."""
    name = f"interpolated_{number}_seed_{seed}"
    file = file or loading.result_path(run, name, ".gif", labels)
    animate.check_format(file)
    gan = loading.load_gan(run)
    path = gan.interpolate_latents(
        gan.sample_latents(number, seed), steps, closed=True
    )
    classes = loading.choose_labels(gan, labels, number)
    if classes is not None:
        classes = np.repeat(classes, steps)
    frames = gan.generate(latents=path, labels=classes)
    strips = file.with_name(f"{file.stem}_strips.png")
    # Each strip starts with one of the pictures that the film passes.
    tiles = frames.reshape(number, steps, *frames.shape[1:])
    tiles = tiles[:, ::_FRAMES_PER_TILE]
    images.save_png(
        images.grid(tiles.reshape(-1, *frames.shape[1:]), rows=number), strips
    )
    pictures = [images.grid(frame[None]) for frame in frames]
    animate.save_film(pictures, file, _FRAMES_PER_SECOND, scale, hold_last=0)
    print(f"{file}\n{strips}")
