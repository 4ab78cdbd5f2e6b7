"""The action `generate`: new pictures from a trained GAN."""

import pathlib
from collections.abc import Sequence

from gan_blocks import images
from gan_blocks.cli import loading
from gan_blocks.cli.output import fail

__all__ = ["generate"]

_BATCH = 500  # Pictures in memory at a time.


def generate(
    run: pathlib.Path,
    number: int = 64,
    seed: int = 0,
    labels: Sequence[int] | None = None,
    truncation: float = 1.0,
    scale: int = 1,
    separate: bool = False,
    output: pathlib.Path | None = None,
    folder: pathlib.Path | None = None,
) -> None:
    """Saves a grid of generated pictures, or one file per picture."""
    if folder and not separate:
        fail("--folder needs --separate.")
    gan = loading.load_gan(run)
    latents = gan.sample_latents(number, seed)
    name = f"generated_{number}_seed_{seed}"
    if truncation != 1:
        if gan.latent_distribution != "normal":
            fail(
                "--truncation needs a GAN with normal latents. This GAN has "
                f"{gan.latent_distribution} latents."
            )
        latents *= truncation
        name += f"_truncation_{truncation:g}"
    classes = loading.choose_labels(gan, labels, number)
    if not separate:
        output = output or loading.result_path(run, name, ".png", labels)
        generated = gan.generate(latents=latents, labels=classes)
        images.save_png(images.grid(generated, scale=scale), output)
        print(output)
        return
    folder = folder or loading.result_path(run, name, "", labels)
    for start in range(0, number, _BATCH):
        part = slice(start, start + _BATCH)
        generated = gan.generate(
            latents=latents[part],
            labels=None if classes is None else classes[part],
        )
        for index, image in enumerate(generated, start):
            picture = images.grid(image[None], scale=scale)
            images.save_png(picture, folder / f"{index:05}.png")
    print(folder)
